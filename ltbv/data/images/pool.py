"""What does a pool hold? `pixels.u8` mapped into memory, `index.npz`, and `pool.json`, which says what it is.

    pixels.u8     uint8 [rows, side, side, channels], flat
    index.npz     rows [n] of each image in pixels.u8, labels [n], tests [n], and groups [n] where images come in such;
                  training images first, by class
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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.data import cache
from ltbv.data.dataset import Dataset, Images, Mapped, indices_of, labels_of
from ltbv.data.entry import Entry
from ltbv.data.images.recipe import RULES, seen_side
from ltbv.data.profile import OWN
from ltbv.errors import Refusal, words_of
from ltbv.files import Damaged, read_arrays, read_json
from ltbv.files.reading import reading

DESCRIPTION, PIXELS, INDEX = "pool.json", "pixels.u8", "index.npz"
FILES, LEFT_OUT = "files.csv", "left_out.csv"
CURE = "delete it and run `ltbv images` again"


@dataclass(frozen=True)
class Pool:
    """A pool on the disk; pixels are read when they are asked for.

    train_counts, test_counts   [C] images of each class
    mean, std                   of the training pixels, one a channel, in units of [0, 1]
    checksums                   crc32 of each block of `block` rows of pixels.u8
    rows                        of pixels.u8
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
    block: int
    checksums: tuple[int, ...]
    notes: tuple[str, ...]
    grouped: bool = False

    @cached_property
    def pixels(self) -> np.ndarray:
        """[rows, side, side, channels] uint8, mapped."""
        path, shape = self.path / PIXELS, (self.rows, self.side, self.side, self.channels)
        with reading(path, lambda why: f"is not whole ({why}); {CURE}"):
            _check_there(path)
            if path.stat().st_size != np.prod(shape):
                raise ValueError(f"it has {path.stat().st_size:,} bytes and not {np.prod(shape):,}")
            return np.memmap(path, np.uint8, "r", shape=shape)

    @cached_property
    def index(self) -> dict[str, np.ndarray]:
        """`rows`, `labels`, `tests` and perhaps `groups`, checked against what the pool says of itself."""
        path = self.path / INDEX
        _check_there(path)
        found = read_arrays(path, ("rows", "labels", "tests", *(["groups"] if self.grouped else [])))
        rows, labels, tests = found["rows"], found["labels"], found["tests"]
        counts = [np.repeat(np.arange(len(of)), of) for of in (self.train_counts, self.test_counts)]
        whole = labels.tolist() == np.concatenate(counts).tolist() and rows.shape == labels.shape == tests.shape
        whole = whole and (tests == (np.arange(len(tests)) >= len(counts[0]))).all()
        if self.grouped:
            groups = found["groups"]
            whole = whole and groups.dtype.kind == "i" and groups.shape == rows.shape and groups.min() >= 0
        if not whole or rows.dtype.kind != "i" or not ((rows >= 0) & (rows < self.rows)).all():
            raise Damaged(f"{path} does not fit {DESCRIPTION}; {CURE}")
        return found

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
        rows, pixels = self.index["rows"], self.pixels
        trained = sum(self.train_counts)
        first = np.cumsum([0, *self.train_counts])
        mapped = Mapped(pixels, lambda ids: rows[first[labels_of(ids)] + indices_of(ids)])
        return Dataset(
            name=self.name,
            class_names=self.class_names,
            pool_sizes=np.array(self.train_counts),
            read=lambda ids: np.asarray(pixels[mapped.rows(ids)]),
            test=Images(self._middles(rows[trained:]), self.index["labels"][trained:].astype(np.int64)),
            mean=self.mean,
            std=self.std,
            mirrors=self.mirrors,
            content=self.key,
            mapped=mapped,
            clusters=np.unique(self.index["groups"][trained:], return_inverse=True)[1] if self.grouped else None,
        )

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
        for number, wanted in enumerate(self.checksums):
            content = self.pixels[number * self.block : (number + 1) * self.block]
            if zlib.crc32(content.tobytes()) != wanted:
                raise Damaged(f"{self.path / PIXELS} is damaged near row {number * self.block:,}; {CURE}")


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
        if said["rules"] != RULES:
            raise Refusal(f"{path} was written by another version of ltbv; {CURE}")
        return _read(path, said)
    except Refusal:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{path / DESCRIPTION} is not as ltbv writes it ({words_of(error)}); {CURE}") from error


def _read(path: Path, said: dict[str, Any]) -> Pool:
    names = tuple(_text(name) for name in said["class_names"])
    counts = [_numbers(said[name], least) for name, least in (("train_counts", 1), ("test_counts", 0))]
    (side, channels, rows, block) = _numbers([said[name] for name in ("side", "channels", "rows", "block")], 1)
    moments = [tuple(float(value) for value in said[name]) for name in ("mean", "std")]
    checksums = _numbers(said["checksums"], 0)
    if not len(names) == len(counts[0]) == len(counts[1]) or {len(of) for of in moments} != {channels}:
        raise ValueError("its lists are of different lengths")
    if len(checksums) != -(-rows // block) or sum(map(sum, counts)) > rows or not all(s > 0 for s in moments[1]):
        raise ValueError("its numbers do not fit together")
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
        block=block,
        checksums=checksums,
        notes=tuple(_text(note) for note in said["notes"]),
        grouped=bool(said.get("groups", False)),
    )


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
