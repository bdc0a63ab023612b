"""What does one array in a file hold? Its header first; nothing is unpickled, and nothing allocated that is not there.

Functions of an open file (a .npy, or a member of an .npz), which raise ValueError where it is not whole.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import IO

import numpy as np

PIECE = 2**17  # bytes that are read at once: they stay in the processor's cache, and are never held twice


@dataclass(frozen=True)
class Header:
    """What an array promises to be. `name`: how it is called where it does not keep that."""

    name: str
    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check(self, held: int) -> None:
        """Refuses objects, and a header that promises anything but the bytes `held` after it."""
        if self.dtype.hasobject:
            raise ValueError(f"{self.name} holds Python objects, which are never unpickled")
        if self.size != held:
            raise ValueError(
                f"{self.name} claims shape {self.shape} of {self.dtype}, {self.size:,} bytes, but has {held:,}"
            )


def read_header(file: IO[bytes], name: str = "it") -> Header:
    """Of format 1.0, which is that of every array of numbers or text; a header of 2.0 may be as long as 4 GiB."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{name} is of .npy format {version}, which is not known here")
    length = file.read(2)
    header = Header(name, *_parsed(length + file.read(int.from_bytes(length, "little"))))
    if any(type(length) is not int or length < 0 for length in header.shape):  # True is a length to numpy, until used
        raise ValueError(f"{name} has shape {header.shape}: a length is no whole number")
    return header


@lru_cache(1024)  # numpy parses them as Python: a third of the time that a small array takes, and most are alike
def _parsed(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type, as numpy reads them: ValueError where they are not whole, or longer than it reads."""
    with warnings.catch_warnings(action="ignore"):  # headers written by Python 2 read as well
        return np.lib.format.read_array_header_1_0(BytesIO(header))


def checked_header(file: IO[bytes], name: str, size: int) -> Header:
    """The header of an array that, with it, has so many bytes; see `Header.check`."""
    header = read_header(file, name)
    header.check(size - file.tell())
    return header


def read_values(file: IO[bytes], header: Header) -> np.ndarray:
    """All of a checked array, from where its header ends."""
    content = bytearray()
    while len(content) < header.size:
        content += _taken(file, header, min(PIECE, header.size - len(content)))
    _end(file, header)
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.column_major else "C")


def read_blocks(file: IO[bytes], header: Header, rows: int) -> Iterator[np.ndarray]:
    """Consecutive rows of a checked table (N, C), so many at once, the last ones fewer; not of one column-major."""
    columns = header.shape[1]
    for start in range(0, header.shape[0], rows):
        here = min(rows, header.shape[0] - start)
        content = _taken(file, header, here * columns * header.dtype.itemsize)
        yield np.frombuffer(content, header.dtype).reshape(here, columns)
    _end(file, header)


def _taken(file: IO[bytes], header: Header, size: int) -> bytes:
    taken = file.read(size)
    if len(taken) < size:
        raise ValueError(f"{header.name} ends early: it has fewer values than its shape {header.shape} says")
    return taken


def _end(file: IO[bytes], header: Header) -> None:
    """At the end of a member its checksum is compared."""
    if file.read(1):
        raise ValueError(f"{header.name} has more values than its shape {header.shape} says")
