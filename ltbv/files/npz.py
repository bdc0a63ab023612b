"""How are arrays kept in one file, and read without trusting it? An .npz of plain arrays.

The archive keeps a checksum (CRC-32) of each array, which every reading checks. What its directory promises is held
against the length of the file.
"""

import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from ltbv.files.atomic import beside, write_bytes, writing
from ltbv.files.npy import checked_header, read_blocks, read_values
from ltbv.files.reading import check_regular, reading

MOST_RATIO = 1100  # what deflate, at best, makes of a byte


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """An uncompressed .npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # any name may be `allow_pickle`, says numpy's stub
    return buffer.getvalue()


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays at `path`, as `packed`."""
    write_bytes(path, packed(arrays))


def stream_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The same for arrays that are larger than memory, such as mapped ones: they go to the disk piece by piece."""
    with writing(path):
        descriptor, temporary = beside(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # as above
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_arrays(
    path: Path, names: Iterable[str] | None = None, *, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed .npz: those of `names`, and of `optional` if they are there; or all."""
    with _ours(path):
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            infos = members(archive)
            wanted = infos if names is None else [*names, *(name for name in optional if name in infos)]
            return {name: _read(archive, infos, name) for name in wanted}


def names_of(path: Path) -> tuple[str, ...]:
    """Which arrays there are in an uncompressed .npz."""
    with _ours(path):
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            return tuple(members(archive))


def read_given(path: Path, names: Iterable[str], *, optional: Iterable[str] = (), cure: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz that somebody else wrote, compressed or not: those of `names`, and of `optional` if there.

    cure   what to do about a file that is not whole, or lacks an array
    """
    with reading(path, lambda why: f"is not a whole .npz of plain arrays ({why}); {cure}"):
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            infos = members(archive, deflated=True)
            wanted = [*names, *(name for name in optional if name in infos)]
            return {name: _read(archive, infos, name) for name in wanted}


def shape_of(path: Path, name: str) -> tuple[int, ...]:
    """The shape of one array of an uncompressed .npz, without reading its values."""
    with _ours(path):
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            infos = members(archive)
            with archive.open(_of(infos, name)) as member:
                return checked_header(member, name, infos[name].file_size).shape


def read_rows(
    path: Path, name: str, rows: int, check: Callable[[tuple[int, ...], np.dtype], None]
) -> Iterator[np.ndarray]:
    """Consecutive rows of a table (N, C) in an uncompressed .npz, so many at once, the last ones fewer. The file is
    open until all are read, and its checksum is compared only then.

    check   refuses a shape and type that are not wanted, before anything is read
    """
    with _ours(path):
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            infos = members(archive)
            with archive.open(_of(infos, name)) as member:
                header = checked_header(member, name, infos[name].file_size)
                check(header.shape, header.dtype)
                if header.column_major:  # its rows are not one after the other
                    whole = read_values(member, header)
                    yield from (whole[start : start + rows] for start in range(0, len(whole), rows))
                else:
                    yield from read_blocks(member, header, rows)


def members(archive: zipfile.ZipFile, *, deflated: bool = False) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an archive by name, or a ValueError where it promises more bytes than the file can hold.

    deflated   they may be compressed, as numpy does it; other ways take memory before a byte is read
    """
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if deflated else (zipfile.ZIP_STORED,)
    assert archive.fp is not None, "it is open"
    held = os.fstat(archive.fp.fileno()).st_size  # the directory of an archive can promise anything
    for info in archive.infolist():
        if info.compress_type not in ways:
            raise ValueError(f"{info.filename} is compressed{' in a way that numpy does not know' * deflated}")
        most = info.compress_size * (1 if info.compress_type == zipfile.ZIP_STORED else MOST_RATIO)
        if info.compress_size > held or info.file_size > most:
            raise ValueError(f"{info.filename} promises {info.file_size:,} bytes, the file has {held:,}")
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _ours(path: Path) -> AbstractContextManager[None]:
    cure = "delete it and run the command again"
    return reading(path, lambda why: f"is not a whole .npz of plain arrays ({why}); {cure}")


def _of(infos: dict[str, zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    if name not in infos:
        raise ValueError(f"it has no {name}")
    return infos[name]


def _read(archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], name: str) -> np.ndarray:
    with archive.open(_of(infos, name)) as member:
        return read_values(member, checked_header(member, name, infos[name].file_size))
