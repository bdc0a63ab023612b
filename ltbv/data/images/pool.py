"""What does a pool hold? `pixels.u8` mapped into memory, `index.npz`, and `pool.json`, which says what it is.

    pixels.u8     uint8 [rows, side, side, channels], flat; of large training images that are not square, each of its
                  own height and width, and of test images what a network sees
    index.npz     rows [n] of each image in pixels.u8, labels [n], tests [n], and groups [n] where images come in such;
                  starts [n] in bytes, heights [n], widths [n] where these are their own; training images first, by
                  class
    files.csv     of each image: path, class, split, sha256, and group
    left_out.csv  what was left out, and why

The name ends in .pool and has the key of its content.
"""

import csv
import errno
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.data import cache
from ltbv.data.dataset import Dataset, Images, Mapped, indices_of, labels_of
from ltbv.data.entry import Entry
from ltbv.data.images.recipe import OWN_SIZES, RULES, seen_side
from ltbv.data.profile import OWN
from ltbv.data.strip import Strip
from ltbv.errors import Refusal, words_of
from ltbv.files import Damaged, read_arrays, read_json
from ltbv.files.reading import reading

DESCRIPTION, PIXELS, INDEX = "pool.json", "pixels.u8", "index.npz"
PLACES = ("starts", "heights", "widths")
FILES, LEFT_OUT = "files.csv", "left_out.csv"
CURE = "delete it and run `ltbv images` again"


@dataclass(frozen=True)
class Pool:
    """A pool on the disk; pixels are read when they are asked for.

    train_counts, test_counts   [C] images of each class
    mean, std                   of the training pixels, one a channel, in units of [0, 1]
    rows, nbytes                of pixels.u8
    blocks                      first row and byte of each block of pixels.u8
    checksums                   crc32 of each
    own_sizes                   images are of their own height and width, the shorter is `side`
    """

    path: Path
    name: str
    key: str
    side: int
    channels: int
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrors: bool
    rows: int
    nbytes: int
    blocks: tuple[tuple[int, int], ...]
    checksums: tuple[int, ...]
    notes: tuple[str, ...]
    grouped: bool = False
    own_sizes: bool = False

    @cached_property
    def pixels(self) -> np.ndarray:
        """[rows, side, side, channels] uint8, mapped; flat, where images are of their own sizes."""
        path, shape = self.path / PIXELS, (self.rows, self.side, self.side, self.channels)
        with reading(path, lambda why: f"is not whole ({why}); {CURE}"):
            _check_there(path)
            if path.stat().st_size != self.nbytes:
                raise ValueError(f"it has {path.stat().st_size:,} bytes and not {self.nbytes:,}")
            return np.memmap(path, np.uint8, "r", shape=(self.nbytes,) if self.own_sizes else shape)

    @cached_property
    def index(self) -> dict[str, np.ndarray]:
        """`rows`, `labels`, `tests`, and perhaps `groups`, `starts` and `sizes` [n, 2], checked against what the pool
        says of itself."""
        path = self.path / INDEX
        _check_there(path)
        more = [*(["groups"] if self.grouped else []), *(PLACES if self.own_sizes else [])]
        found = read_arrays(path, ("rows", "labels", "tests", *more))
        rows, labels, tests = found["rows"], found["labels"], found["tests"]
        counts = [np.repeat(np.arange(len(of)), of) for of in (self.train_counts, self.test_counts)]
        whole = labels.tolist() == np.concatenate(counts).tolist() and rows.shape == labels.shape == tests.shape
        whole = whole and (tests == (np.arange(len(tests)) >= len(counts[0]))).all()
        if self.grouped:
            groups = found["groups"]
            whole = whole and groups.dtype.kind == "i" and groups.shape == rows.shape and groups.min() >= 0
        if self.own_sizes:
            whole = whole and self._placed(found)
        if not whole or rows.dtype.kind != "i" or not ((rows >= 0) & (rows < self.rows)).all():
            raise Damaged(f"{path} does not fit {DESCRIPTION}; {CURE}")
        return found

    def _placed(self, found: dict[str, np.ndarray]) -> bool:
        """Do images lie within the file, and are they as large as they have to be? `sizes` is added."""
        starts, *lengths = (found[name] for name in PLACES)
        if not all(of.dtype.kind in "iu" and of.shape == found["rows"].shape for of in (starts, *lengths)):
            return False
        sizes = found["sizes"] = np.stack(lengths, 1).astype(np.int64)
        tests = found["tests"].astype(bool)
        sized = (sizes[~tests].min(1) == self.side).all() and (sizes[tests] == seen_side(self.side)).all()
        sized = sized and (sizes < 2**16).all() and self.nbytes % self.channels == 0
        room = self.nbytes - sizes.prod(1) * self.channels
        return bool(sized and ((starts >= 0) & (starts <= room) & (starts % self.channels == 0)).all())

    def entry(self) -> Entry:
        """As a data set that a study can ask for: as long-tailed as it is, resampled as it is."""
        largest, smallest = max(self.train_counts), min(self.train_counts)
        return Entry(
            name=self.name,
            description=f"images of {self.path}",
            num_classes=len(self.class_names),
            pool=self.train_counts,
            image_shape=(seen_side(self.side), seen_side(self.side), self.channels),
            head=largest,
            imbalance=largest / smallest,
            profile=OWN,
            scheme="stratified_bootstrap",
            needs_data_dir=False,
            endless=False,
            notes=self.notes,
            groups=self.index["groups"][: sum(self.train_counts)] if self.grouped else None,
            _load=lambda data_dir: self.dataset(),
        )

    def dataset(self) -> Dataset:
        """Training images and test images, both read from the map when they are asked for."""
        trained = sum(self.train_counts)
        mapped, read, tests = self._strip() if self.own_sizes else self._squares()
        return Dataset(
            name=self.name,
            class_names=self.class_names,
            pool_sizes=np.array(self.train_counts),
            read=read,
            test=Images(tests, self.index["labels"][trained:].astype(np.int64)),
            mean=self.mean,
            std=self.std,
            mirrors=self.mirrors,
            content=self.key,
            mapped=mapped,
            clusters=np.unique(self.index["groups"][trained:], return_inverse=True)[1] if self.grouped else None,
        )

    def _squares(self) -> tuple[Mapped, Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """Training images, what reads them, and test images."""
        rows, pixels, first = self.index["rows"], self.pixels, np.cumsum([0, *self.train_counts])
        mapped = Mapped(pixels, lambda ids: rows[first[labels_of(ids)] + indices_of(ids)])
        return mapped, lambda ids: np.asarray(pixels[mapped.rows(ids)]), self._middles(rows[first[-1] :])

    def _strip(self) -> tuple[Mapped, Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """The same of images of their own sizes; what reads them gives their middle squares."""
        first, starts, sizes = np.cumsum([0, *self.train_counts]), self.index["starts"], self.index["sizes"]
        trained, tested = (Strip(self.pixels, self.channels, starts[own], sizes[own])
                           for own in (slice(first[-1]), slice(first[-1], None)))  # fmt: skip
        mapped = Mapped(trained, lambda ids: first[labels_of(ids)] + indices_of(ids))
        rows, side = np.arange(len(tested.starts)), seen_side(self.side)
        start, length = tested.span(0)
        if (tested.starts == start + rows * length).all():
            shape = (len(rows), side, side, self.channels)
            tests = self.pixels[start : start + len(rows) * length].reshape(shape)
        else:
            tests = tested.middles(rows, side)
        return mapped, lambda ids: trained.middles(mapped.rows(ids), self.side), tests

    def _middles(self, rows: np.ndarray) -> np.ndarray:
        """What a network sees of these rows: in the map where they follow each other, else in memory."""
        side, whole = seen_side(self.side), np.arange(rows[0], rows[0] + len(rows))
        own = slice((self.side - side) // 2, (self.side - side) // 2 + side)
        if (rows == whole).all():
            return self.pixels[rows[0] : rows[0] + len(rows), own, own]
        return np.array(self.pixels[rows, own, own])

    def __fspath__(self) -> str:
        return str(self.path)

    def check(self) -> None:
        """A `Damaged` where a file is missing or not as long as it was; nothing is read through."""
        self.index, self.pixels  # noqa: B018
        _check_there(self.path / FILES)

    def verify(self) -> None:
        """Read every byte; a `Damaged` where it is not what was written."""
        self.check()
        values, ends = self.pixels.reshape(-1), [*(start for _, start in self.blocks[1:]), self.nbytes]
        for (row, start), end, wanted in zip(self.blocks, ends, self.checksums, strict=True):
            if zlib.crc32(values[start:end].tobytes()) != wanted:
                raise Damaged(f"{self.path / PIXELS} is damaged near row {row:,}; {CURE}")


def _check_there(path: Path) -> None:
    """A file of a pool that is missing, or a link to nothing, is damage, and no fault of the moment."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            raise Damaged(f"{path.parent} is no whole pool: it has no {path.name}; {CURE}") from error
        return  # what keeps it from being read is said where it is read
    if not regular:
        raise Damaged(f"{path} is no regular file; {CURE}")


def is_remnant(path: Path) -> bool:
    """Is it what is left of a pool that has lost its description?"""
    return not is_pool(path) and all(os.path.isfile(path / name) for name in (PIXELS, INDEX))


def is_pool(path: Path) -> bool:
    return os.path.isfile(path / DESCRIPTION)  # what the system calls impossible, too long a name, is none


def is_whole(path: Path, key: str) -> bool:
    """Is it the pool of this key, with all its files?"""
    try:
        found = open_pool(path)
        found.check()
    except Refusal:
        return False
    return found.key == key


def open_pool(path: Path) -> Pool:
    """The pool in a directory, or a Refusal of what is none."""
    described = path / DESCRIPTION
    try:
        changed = described.stat().st_mtime_ns
    except OSError as error:
        raise Refusal(f"{path} is no pool of images: it has no {DESCRIPTION}") from error
    return _opened(Path(path).absolute(), changed)


@lru_cache(maxsize=32)
def _opened(path: Path, changed: int) -> Pool:
    del changed  # another file is another entry
    said = read_json(path / DESCRIPTION)
    try:
        if said["rules"] not in (RULES, OWN_SIZES):
            raise Refusal(f"{path} was written by another version of ltbv; {CURE}")
        return _read(path, said)
    except Refusal:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{path / DESCRIPTION} is not as ltbv writes it ({words_of(error)}); {CURE}") from error


def _read(path: Path, said: dict[str, Any]) -> Pool:
    names = tuple(_text(name) for name in said["class_names"])
    counts = [_numbers(said[name], least) for name, least in (("train_counts", 1), ("test_counts", 0))]
    side, channels, rows = _numbers([said[name] for name in ("side", "channels", "rows")], 1)
    moments = [tuple(float(value) for value in said[name]) for name in ("mean", "std")]
    checksums = _numbers(said["checksums"], 0)
    if not len(names) == len(counts[0]) == len(counts[1]) or {len(of) for of in moments} != {channels}:
        raise ValueError("its lists are of different lengths")
    if sum(map(sum, counts)) > rows or not all(s > 0 for s in moments[1]):
        raise ValueError("its numbers do not fit together")
    nbytes, blocks = _blocks(said, rows, side**2 * channels, len(checksums))
    return Pool(
        path=path,
        name=_text(said["name"]),
        key=_text(said["key"]),
        side=side,
        channels=channels,
        class_names=names,
        train_counts=counts[0],
        test_counts=counts[1],
        mean=moments[0],
        std=moments[1],
        mirrors=bool(said["mirrors"]),
        rows=rows,
        nbytes=nbytes,
        blocks=blocks,
        checksums=checksums,
        notes=tuple(_text(note) for note in said["notes"]),
        grouped=bool(said.get("groups", False)),
        own_sizes=said["rules"] == OWN_SIZES,
    )


def _blocks(said: dict[str, Any], rows: int, size: int, number: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """All bytes, and first row and byte of each of so many blocks; `size` bytes has an image that is square."""
    if said["rules"] == RULES:
        (block,) = _numbers([said["block"]], 1)
        if number != -(-rows // block):
            raise ValueError("its numbers do not fit together")
        return rows * size, tuple((row, row * size) for row in range(0, rows, block))
    (nbytes,) = _numbers([said["bytes"]], 1)
    blocks = tuple((row, start) for row, start in (_numbers(pair, 0) for pair in said["blocks"]))
    whole = [*blocks, (rows, nbytes)]
    if len(blocks) != number or whole[0] != (0, 0) or not all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(whole)):
        raise ValueError("its numbers do not fit together")
    return nbytes, blocks


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no text")
    return value


def _numbers(values: Any, least: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int and value >= least for value in values):
        raise ValueError(f"{str(values)[:40]} are no numbers from {least}")
    return tuple(values)


def folder() -> Path:
    """Where pools lie that were made on the way."""
    try:
        return cache.directory() / "pools"
    except RuntimeError as error:
        raise Refusal("there is no home directory for a pool; set LTBV_CACHE, or `ltbv images … --write`") from error


def called(dataset: str) -> str:
    """What finds the same pool from everywhere: in that folder its name with its key, else its path; '' of no pool."""
    path = Path(dataset)
    if not is_pool(path):
        return ""
    return path.stem if path.absolute().parent == folder() else str(path.absolute())


def kept(name: str) -> list[Path]:
    """Pools of that folder with this name, or with this name and key."""
    try:
        every = sorted(path for path in folder().glob("*.pool") if is_pool(path))
    except (OSError, Refusal):
        return []
    return [path for path in every if name in (path.stem, path.stem.rpartition("-")[0])]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A .csv; names that are no UTF-8 keep their bytes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
