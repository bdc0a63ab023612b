"""How are the arrays of a .npy or .npz file read safely? Header first, then in blocks; nothing is ever unpickled.

What a header claims is held against the bytes there are before memory is taken for it. Scores are read as a stream, not
mapped: mapped pages of large files count as memory used, and members of a compressed .npz cannot be mapped.
"""

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from ltbv.errors import Refusal
from ltbv.files import npy, npz
from ltbv.files.reading import Damaged, reading
from ltbv.report.elsewhere.rows import BLOCK, MOST_BYTES, MOST_POINTS, plain_numbers

LAST_CHARACTER = 0x10FFFF


@dataclass(frozen=True)
class Stored:
    """An array that lies in a file: a .npy, or `member` of an .npz. `name` is how it is called in messages."""

    path: Path
    member: str | None
    name: str
    header: npy.Header

    @property
    def shape(self) -> tuple[int, ...]:
        return self.header.shape

    @property
    def dtype(self) -> np.dtype:
        return self.header.dtype

    def whole(self) -> np.ndarray:
        """All of it."""
        if (size := self.header.size) > MOST_BYTES:
            raise Refusal(f"{self.name} has {size:,} bytes, too many to read at once (the most is {MOST_BYTES:,})")
        with opened(self.path, self.member) as file:
            npy.read_header(file)
            return npy.read_values(file, self.header)

    def blocks(self) -> Iterator[np.ndarray]:
        """Consecutive rows of a table (N, C), or of R tables (R, N, C) run by run, about BLOCK values at once."""
        if self.header.column_major:
            yield from _blocks_of(self.whole())
            return
        columns = self.shape[-1]
        table = replace(self.header, shape=(math.prod(self.shape[:-1]), columns))
        with opened(self.path, self.member) as file:
            npy.read_header(file)
            yield from npy.read_blocks(file, table, max(1, BLOCK // columns))


@dataclass(frozen=True)
class Held:
    """An array that is in memory already. `name` is how it is called in messages."""

    name: str
    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def whole(self) -> np.ndarray:
        """All of it."""
        return self.values

    def blocks(self) -> Iterator[np.ndarray]:
        """As those of `Stored`."""
        return _blocks_of(self.values)


Array = Stored | Held


def _blocks_of(whole: np.ndarray) -> Iterator[np.ndarray]:
    table = whole.reshape(-1, whole.shape[-1])
    step = max(1, BLOCK // table.shape[1])
    return (table[start : start + step] for start in range(0, len(table), step))


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, lambda why: f"is damaged or no {path.suffix} file ({why})")


@contextmanager
def opened(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a file, or of a member of an archive; whatever is amiss with them is a Refusal."""
    with _reading(path):
        if member is None:
            with open(path, "rb") as file:
                yield file
        else:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                yield file


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an .npz by field name."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        return npz.members(archive, deflated=True)


def stored(path: Path, info: zipfile.ZipInfo | None = None) -> Stored:
    """The array of a .npy file, or of a member of an .npz: its header is read and checked, its values are not."""
    member = info.filename if info else None
    name = f"{path}: {member.removesuffix('.npy')}" if member else str(path)
    with opened(path, member) as file:
        header = npy.read_header(file, member.removesuffix(".npy") if member else "it")
        if header.dtype.hasobject:
            raise Refusal(f"{name} holds Python objects, which are never unpickled; save plain numbers or text")
        if any(not 0 < length <= MOST_POINTS for length in header.shape) or not header.dtype.itemsize:
            raise Refusal(
                f"{name} has shape {header.shape} of {header.dtype}: a length is 0 or more than {MOST_POINTS:,}"
            )
        header.check((info.file_size if info else os.fstat(file.fileno()).st_size) - file.tell())
    return Stored(path, member, name, header)


def shape_of_objects(path: Path, info: zipfile.ZipInfo) -> tuple[int, ...] | None:
    """The shape of a member that holds Python objects; None where it holds anything else."""
    try:
        with opened(path, info.filename) as file:
            header = npy.read_header(file)
    except Damaged:
        return None
    return header.shape if header.dtype.hasobject else None


def class_names_or_ids(found: Array, *, several: bool = False) -> np.ndarray:
    """As `class_ids`, or class names, text of the same shape."""
    if found.dtype.kind not in "US":
        return class_ids(found, several=several)
    shape = _shape_of_runs(found, several)
    return _as_text(found, found.whole().reshape(-1)).reshape(shape)


def class_ids(found: Array, *, several: bool = False) -> np.ndarray:
    """Class ids (N,) int64, with `several` runs (R, N); their range is not checked here. A column (N, 1) is (N,)."""
    shape = _shape_of_runs(found, several)
    if found.dtype.kind not in "iu":
        raise Refusal(f"{found.name} is of type {found.dtype}; class ids are integers")
    values = found.whole()
    if values.dtype.itemsize == 8 and values.max() > np.iinfo(np.int64).max:
        raise Refusal(f"{found.name} goes up to {values.max()}, which is no class id")
    return values.reshape(shape).astype(np.int64)


def _shape_of_runs(found: Array, several: bool) -> tuple[int, ...]:
    """(N,), with `several` runs (R, N); refused where a file has anything else."""
    column = found.shape[1:] == (1,)
    if len(found.shape) != 1 and not column and not (several and len(found.shape) == 2):
        raise Refusal(
            f"{found.name} has shape {found.shape}; a file holds one run, class ids (N,), unless it is all of a method,"
            " NAME=FILE: then they may be (R, N)"
        )
    return found.shape[:1] if column else found.shape


def text_ids(found: Array) -> np.ndarray:
    """Names of test points (N,) as text. Numbers stored as floats are read too: decoupling stores them so."""
    values = found.whole().reshape(-1) if len(found.shape) == 1 or found.shape[1:] == (1,) else None
    if values is not None and values.dtype.kind in "iu":
        return values.astype(np.str_)
    if values is not None and values.dtype.kind == "f":
        return np.asarray(plain_numbers(list(map(str, values.tolist()))))
    if values is not None and values.dtype.kind in "US":
        return np.asarray(plain_numbers(_as_text(found, values).tolist()))
    raise Refusal(f"{found.name} is {found.dtype} of shape {found.shape}; ids are (N,) text or numbers")


def _as_text(found: Array, values: np.ndarray) -> np.ndarray:
    """Text (n,) of text or of bytes."""
    if values.dtype.kind == "S":
        try:
            return np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise Refusal(f"{found.name} is not UTF-8 text ({error})") from error
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    if values.view(np.uint32).max() > LAST_CHARACTER:
        raise Refusal(f"{found.name} has characters that there are not")
    return values
