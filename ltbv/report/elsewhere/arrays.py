"""How are the arrays of a .npy or .npz file read safely? Header first, then in blocks; nothing is ever unpickled.

What a header claims is held against the bytes there are before memory is taken for it. Scores are read as a stream, not
mapped: mapped pages of large files count as memory used, and members of a compressed .npz cannot be mapped.
"""

import math
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ltbv.errors import Refusal, words_of
from ltbv.report.elsewhere.rows import BLOCK, MOST_BYTES, MOST_POINTS, plain_numbers

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes; others take memory before a byte is read
MOST_RATIO = 1100  # what deflate, at best, makes of a byte
LAST_CHARACTER = 0x10FFFF


@dataclass(frozen=True)
class Stored:
    """An array that lies in a file: a .npy, or `member` of an .npz. `name` is how it is called in messages."""

    path: Path
    member: str | None
    name: str
    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype

    def whole(self) -> np.ndarray:
        """All of it."""
        if (size := math.prod(self.shape) * self.dtype.itemsize) > MOST_BYTES:
            raise Refusal(f"{self.name} has {size:,} bytes, too many to read at once (the most is {MOST_BYTES:,})")
        with opened(self.path, self.member) as file:
            _header(file)
            values = np.frombuffer(self._take(file, size), self.dtype)
            self._end(file)
        return values.reshape(self.shape, order="F" if self.column_major else "C")

    def blocks(self) -> Iterator[np.ndarray]:
        """Consecutive rows of a table (N, C), about BLOCK values at once."""
        rows, columns = self.shape
        step = max(1, BLOCK // columns)
        if self.column_major:
            whole = self.whole()
            yield from (whole[start : start + step] for start in range(0, rows, step))
            return
        with opened(self.path, self.member) as file:
            _header(file)
            for start in range(0, rows, step):
                here = min(step, rows - start)
                taken = self._take(file, here * columns * self.dtype.itemsize)
                yield np.frombuffer(taken, self.dtype).reshape(here, columns)
            self._end(file)

    def _take(self, file: IO[bytes], size: int) -> bytes:
        taken = file.read(size)
        if len(taken) < size:
            raise Refusal(f"{self.name} ends early: it has fewer values than its shape {self.shape} says")
        return taken

    def _end(self, file: IO[bytes]) -> None:
        """At the end of a member its checksum is compared."""
        if file.read(1):
            raise Refusal(f"{self.name} has more values than its shape {self.shape} says")


@contextmanager
def opened(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a file, or of a member of an archive; whatever is amiss with them is a Refusal."""
    try:
        if member is None:
            with open(path, "rb") as file:
                yield file
        else:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                yield file
    except Refusal:
        raise
    except Exception as error:  # OSError, BadZipFile, zlib.error, NotImplementedError, …: damage has many names
        raise Refusal(f"{path} is damaged or no {path.suffix} file ({words_of(error)})") from error


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an .npz by field name."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos, held = archive.infolist(), os.fstat(archive.fp.fileno()).st_size
        if more := [info for info in infos if info.compress_size > held or info.file_size > MOST_RATIO * held]:
            raise ValueError(f"{more[0].filename} promises {more[0].file_size:,} bytes, the file has {held:,}")
        if other := [info for info in infos if info.compress_type not in METHODS]:
            raise ValueError(f"{other[0].filename} is compressed in a way that numpy does not know")
    except Exception as error:
        raise Refusal(f"{path} is damaged or no .npz file ({words_of(error)})") from error
    return {info.filename.removesuffix(".npy"): info for info in infos}


def stored(path: Path, info: zipfile.ZipInfo | None = None) -> Stored:
    """The array of a .npy file, or of a member of an .npz: its header is read and checked, its values are not."""
    member = info.filename if info else None
    name = f"{path}: {member.removesuffix('.npy')}" if member else str(path)
    with opened(path, member) as file:
        shape, column_major, dtype = _header(file)
        start = file.tell()
        size = info.file_size if info else os.fstat(file.fileno()).st_size
    if dtype.hasobject:
        raise Refusal(f"{name} holds Python objects, which are never unpickled; save plain numbers or text")
    if any(type(length) is not int or not 0 < length <= MOST_POINTS for length in shape) or not dtype.itemsize:
        raise Refusal(f"{name} has shape {shape} of {dtype}: a length is 0 or more than {MOST_POINTS:,}")
    if (claimed := math.prod(shape) * dtype.itemsize) != size - start:
        raise Refusal(f"{name} claims shape {shape} of {dtype}, {claimed:,} bytes, but has {size - start:,}")
    return Stored(path, member, name, shape, column_major, dtype)


def shape_of_objects(path: Path, info: zipfile.ZipInfo) -> tuple[int, ...] | None:
    """The shape of a member that holds Python objects; None where it holds anything else."""
    try:
        with opened(path, info.filename) as file:
            shape, _, dtype = _header(file)
    except Refusal:
        return None
    return shape if dtype.hasobject else None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Of format 1.0, which is that of every array of numbers or text; a header of 2.0 may be as long as 4 GiB."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f".npy format {version} is not known here")
    with warnings.catch_warnings(action="ignore"):  # headers written by Python 2 read as well
        return np.lib.format.read_array_header_1_0(file)


def class_ids(found: Stored, *, several: bool = False) -> np.ndarray:
    """Class ids (N,) int64, with `several` runs (R, N); their range is not checked here. A column (N, 1) is (N,)."""
    column = found.shape[1:] == (1,)
    if len(found.shape) != 1 and not column and not (several and len(found.shape) == 2):
        raise Refusal(
            f"{found.name} has shape {found.shape}; a file holds one run, class ids (N,), unless it is all of a method,"
            " NAME=FILE: then they may be (R, N)"
        )
    if found.dtype.kind not in "iu":
        raise Refusal(f"{found.name} is of type {found.dtype}; class ids are integers")
    values = found.whole()
    if values.dtype.itemsize == 8 and values.max() > np.iinfo(np.int64).max:
        raise Refusal(f"{found.name} goes up to {values.max()}, which is no class id")
    return (values[:, 0] if column else values).astype(np.int64)


def text_ids(found: Stored) -> np.ndarray:
    """Names of test points (N,) as text. Numbers stored as floats are read too: decoupling stores them so."""
    values = found.whole().reshape(-1) if len(found.shape) == 1 or found.shape[1:] == (1,) else None
    if values is not None and values.dtype.kind in "iu":
        return values.astype(np.str_)
    if values is not None and values.dtype.kind == "f":
        return np.asarray(plain_numbers(list(map(str, values.tolist()))))
    if values is not None and values.dtype.kind == "U":
        values = values.astype(values.dtype.newbyteorder("="))
        if values.view(np.uint32).max() > LAST_CHARACTER:
            raise Refusal(f"{found.name} has characters that there are not")
        return np.asarray(plain_numbers(values.tolist()))
    if values is not None and values.dtype.kind == "S":
        try:
            return np.asarray(plain_numbers(np.char.decode(values, "utf-8").tolist()))
        except UnicodeDecodeError as error:
            raise Refusal(f"{found.name} is not UTF-8 text ({error})") from error
    raise Refusal(f"{found.name} is {found.dtype} of shape {found.shape}; ids are (N,) text or numbers")
