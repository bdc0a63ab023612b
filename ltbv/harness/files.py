"""How is a file written so that it is whole or absent, and read so that nothing in it is trusted?

Written under another name, flushed, fsynced, renamed last, the directory fsynced too. Arrays are .npz of plain arrays:
the archive keeps a checksum (CRC-32) of each, which every reading checks; nothing is unpickled, and nothing is
allocated that the file is too short to hold.
"""

import contextlib
import io
import json
import math
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ltbv.errors import Refusal, words_of

LARGEST_JSON = 100_000_000  # bytes


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`; a reader sees the old file, or none, or the whole new one."""
    with writing(path):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """With a folder for `path`; what the system refuses is refused in one line, and leaves no empty folder."""
    new = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if new:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        raise Refusal(f"cannot write {path}: {error.strerror or error}; finished files are kept") from error


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, readable by a person."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An uncompressed .npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(
    path: Path, names: Iterable[str] | None = None, *, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of an .npz (those of `names`, and of `optional` if they are there; or all), never unpickled."""
    try:
        _check_regular(path)
        with zipfile.ZipFile(path) as archive:
            there = [name.removesuffix(".npy") for name in archive.namelist()]
            wanted = there if names is None else [*names, *(name for name in optional if name in there)]
            return {name: _read_member(archive, name) for name in wanted}
    except Exception as error:  # OSError, ValueError, zipfile.BadZipFile, zlib.error, …: damage has many names
        cure = "delete it and run the command again"
        raise Refusal(f"{path} is not a whole .npz of plain arrays ({words_of(error)}); {cure}") from error


def shape_of(path: Path, name: str) -> tuple[int, ...]:
    """The shape of one array of an .npz, without reading its values."""
    try:
        _check_regular(path)
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            shape, _, dtype = _header(member)
            if not 0 <= math.prod(shape) * dtype.itemsize <= path.stat().st_size or (shape and min(shape) < 0):
                raise ValueError(f"{name} of shape {shape} does not fit into the file")
            return shape
    except Exception as error:
        raise Refusal(f"{path} is not a whole .npz of plain arrays ({words_of(error)})") from error


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
