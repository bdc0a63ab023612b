"""How is a file written so that it is whole or absent, and read so that nothing in it is trusted?

Written under another name, flushed, fsynced, renamed last, the directory fsynced too. Arrays are .npz of plain arrays:
the archive keeps a checksum (CRC-32) of each, which every reading checks; nothing is unpickled, and nothing is
allocated that the file is too short to hold.

Only a file that was read and is not whole is `Damaged`. What keeps it from being read (no right to, no memory, no
descriptor, a disk that does not answer) is a fault of the moment: the file is left as it is.
"""

import contextlib
import errno
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ltbv.errors import Refusal, words_of
from ltbv.temporary import beside

LARGEST_JSON = 100_000_000  # bytes
NOWHERE = (None, errno.EINVAL)  # of errors that come from following what a damaged archive says: a seek to nowhere


class Damaged(Refusal):
    """A file that was read and is not whole."""


def write_bytes(path: Path, content: bytes, *, confirm: Callable[[], None] = lambda: None) -> None:
    """Put `content` at `path`; a reader sees the old file, or none, or the whole new one."""
    write_together({path: content}, confirm=confirm)


def write_together(
    files: Mapping[Path, bytes], gone: Iterable[Path] = (), *, confirm: Callable[[], None] = lambda: None
) -> None:
    """All of several files, or none: the first gets its name when the last is on the disk.

    gone      are deleted before the last file gets its name, which may be a list of what there is
    confirm   is asked last, when only the names are missing; what it raises leaves everything as it was
    """
    waiting: dict[Path, Path] = {}
    new = {folder for path in files for folder in path.parents if not os.path.exists(folder)}
    try:
        for path, content in files.items():
            with writing(path):
                waiting[path] = _written_beside(path, content)
        confirm()
        for path, temporary in list(waiting.items()):
            with writing(path):
                if len(waiting) == 1:
                    for other in gone:
                        other.unlink(missing_ok=True)
                os.replace(temporary, path)
                del waiting[path]
        for path in {path.parent: path for path in files}.values():
            with writing(path):
                _sync(path.parent)
    except BaseException:
        for temporary in waiting.values():
            temporary.unlink(missing_ok=True)
        for folder in sorted(new, key=lambda folder: len(folder.parts), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _written_beside(path: Path, content: bytes) -> Path:
    """The name under which `content` waits to become `path`."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it exists and is no regular file")
    descriptor, temporary = beside(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_if_closed(folder: Path) -> None:
    """Refuse a folder in which nothing can be made, before the work is done whose result would go there."""
    for place in (folder, *folder.absolute().parents):
        try:
            if not place.is_dir() and os.path.lexists(place):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "it is read-only, or not yours to write to")
        except OSError as error:
            raise Refusal(f"cannot write into {folder}: {error.strerror or error}") from error
        if place.is_dir():
            return


@contextlib.contextmanager
def writing(path: Path, act: str = "write") -> Iterator[None]:
    """What the system refuses is refused in one line. For `write` there is a folder, and no empty one is left."""
    new = False
    try:
        if act == "write":
            new = not path.parent.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if new:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        raise Refusal(f"cannot {act} {path}: {error.strerror or error}; finished files are kept") from error


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, readable by a person."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """An uncompressed .npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays at `path`, as `packed`."""
    write_bytes(path, packed(arrays))


def read_arrays(
    path: Path, names: Iterable[str] | None = None, *, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of an .npz (those of `names`, and of `optional` if they are there; or all), never unpickled."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
        wanted = there if names is None else [*names, *(name for name in optional if name in there)]
        return {name: _read_member(archive, name) for name in wanted}


def shape_of(path: Path, name: str) -> tuple[int, ...]:
    """The shape of one array of an .npz, without reading its values."""
    with _reading(path), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        shape, _, dtype = _header(member)
        if not 0 <= math.prod(shape) * dtype.itemsize <= path.stat().st_size or (shape and min(shape) < 0):
            raise ValueError(f"{name} of shape {shape} does not fit into the file")
        return shape


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What goes wrong in here is damage of the file (which has many names), or a fault of the moment."""
    try:
        _check_regular(path)
        yield
    except Exception as error:
        if (cause := _of_the_moment(error)) is not None:
            why = getattr(cause, "strerror", None) or words_of(cause) or "not enough memory"
            raise Refusal(f"cannot read {path}: {why}; it is left as it is, try again") from error
        cure = "delete it and run the command again"
        raise Damaged(f"{path} is not a whole .npz of plain arrays ({words_of(error)}); {cure}") from error


def _of_the_moment(error: BaseException | None) -> BaseException | None:
    """What says nothing of the file, among an error and those that it hides: zipfile calls any of them a bad file."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno not in NOWHERE):
            return error
        error = error.__context__
    return None


def _check_regular(path: Path) -> None:
    """A pipe or a device may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")


def _header(member: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    if np.lib.format.read_magic(member) != (1, 0):  # a header of 2.0, which no plain array has, may take 4 GiB
        raise ValueError("its .npy format is not 1.0")
    header = np.lib.format.read_array_header_1_0(member)
    if any(type(length) is not int for length in header[0]):  # True is a length to numpy, until it is used
        raise ValueError(f"its shape {header[0]} is not of whole numbers")
    return header


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array; refused if it holds objects, or if its header promises more than the file has."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        shape, fortran, dtype = _header(member)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects")
        size = math.prod(shape) * dtype.itemsize
        held = os.fstat(archive.fp.fileno()).st_size  # the directory of an archive can promise anything
        if info.compress_type != zipfile.ZIP_STORED or not size <= info.file_size == info.compress_size <= held:
            raise ValueError(f"{name} is compressed, or its header promises {size} bytes of {info.file_size}")
        content = member.read()  # to the end, where the checksum is compared
    if len(content) != size:
        raise ValueError(f"{name} has {len(content)} bytes of {size}")
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order="F" if fortran else "C")


def read_json(path: Path) -> Any:
    """The value of a JSON file of at most LARGEST_JSON bytes."""
    try:
        _check_regular(path)
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, ltbv writes at most {LARGEST_JSON:,}")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(f"{path} cannot be read as JSON: {error}") from error
