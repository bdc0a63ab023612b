"""cifar10-lt and cifar100-lt: the original python archives as a pool of images, read without trusting them.

The archives are pickles, of which nothing is run (`files.pickles`).
"""

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ltbv.data.dataset import Dataset, Images, indices_of, labels_of
from ltbv.errors import Refusal
from ltbv.files.pickles import ForeignName, PickledArray, read_pickle
from ltbv.files.reading import reading

SIDE = 32  # pixels
LONGEST_NAME = 200  # characters of a class name
HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
LARGEST_FILE = 200 * 2**20  # bytes; the largest file of either archive, CIFAR-100's train, has 155,249,918
LARGEST_ARCHIVE = 400 * 2**20  # bytes of all files together, unpacked; either archive has less than 200 MB


@dataclass(frozen=True)
class Archive:
    """One of the two archives: where its files lie, what is in them, and what they must hold.

    pool_size, test_size   images of each class
    mean, std              of the training pixels, one a channel, in units of [0, 1]
    """

    name: str
    title: str
    folder: str
    packed: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    names_file: str
    labels_key: bytes
    names_key: bytes
    num_classes: int
    pool_size: int
    test_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def load(self, data_dir: Path) -> Dataset:
        """The data set from `data_dir`, from the archive's folder in it, or from the packed archive in it."""
        contents = dict(_contents(self, data_dir))
        train = [_Rows.of(self, *contents[name]) for name in self.train_files]
        test = [_Rows.of(self, *contents[name]) for name in self.test_files]
        names = _class_names(self, *contents[self.names_file]) if self.names_file in contents else None
        del contents

        labels = _labels(self, train, self.pool_size)
        place = np.empty(len(labels), np.int64)  # by class, in the order of the files
        place[np.argsort(labels, kind="stable")] = np.arange(len(labels))
        pool = _pixels(train, place).reshape(self.num_classes, self.pool_size, SIDE, SIDE, 3)
        test_labels = _labels(self, test, self.test_size)
        return Dataset(
            name=self.name,
            class_names=names or tuple(str(k) for k in range(self.num_classes)),
            pool_sizes=np.full(self.num_classes, self.pool_size),
            read=lambda ids: pool[labels_of(ids), indices_of(ids)],
            test=Images(pixels=_pixels(test, np.arange(len(test_labels))), labels=test_labels),
            mean=self.mean,
            std=self.std,
            mirrors=True,
        )


CIFAR10 = Archive(
    name="cifar10-lt",
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    packed="cifar-10-python.tar.gz",
    train_files=tuple(f"data_batch_{k}" for k in range(1, 6)),
    test_files=("test_batch",),
    names_file="batches.meta",
    labels_key=b"labels",
    names_key=b"label_names",
    num_classes=10,
    pool_size=5000,
    test_size=1000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)

CIFAR100 = Archive(
    name="cifar100-lt",
    title="CIFAR-100",
    folder="cifar-100-python",
    packed="cifar-100-python.tar.gz",
    train_files=("train",),
    test_files=("test",),
    names_file="meta",
    labels_key=b"fine_labels",
    names_key=b"fine_label_names",
    num_classes=100,
    pool_size=500,
    test_size=100,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)


# ---- from a directory to unpickled values


def _contents(archive: Archive, data_dir: Path) -> Iterator[tuple[str, tuple[object, str]]]:
    """(file name, (unpickled value, place for messages)) of each file of the archive; the names file may be missing."""
    needed = (*archive.train_files, *archive.test_files)
    if not data_dir.exists():
        raise Refusal(f"{data_dir} does not exist; --data-dir is the directory that holds {archive.folder}")
    folder, packed = data_dir / archive.folder, data_dir / archive.packed
    if not folder.is_dir():
        if any((data_dir / name).is_file() for name in needed):
            folder = data_dir
        elif packed.is_file():
            yield from _from_packed(archive, packed, needed)
            return
        else:
            raise Refusal(
                f"{data_dir} holds no {archive.title}: looked for the directory {archive.folder}, its file {needed[0]}"
                f" and {archive.packed}, which {HOMEPAGE} has"
            )
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise Refusal(f"{folder} lacks {', '.join(missing)}; a whole {archive.title} has {', '.join(needed)}")
    for name in (*needed, archive.names_file):
        path = folder / name
        if not path.is_file():
            continue
        with _reading(path), path.open("rb") as file:
            yield name, (_unpickled(file, path.stat().st_size, str(path)), str(path))


def _from_packed(archive: Archive, packed: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, tuple[object, str]]]:
    wanted = {f"{archive.folder}/{name}": name for name in (*needed, archive.names_file)}
    found = set()
    # one pass, nothing is written to disk
    with (
        _reading(packed),
        gzip.open(packed) as file,
        tarfile.open(fileobj=_Unpacked(file, packed), mode="r|") as members,  # type: ignore[call-overload]  # only read
    ):
        for member in members:
            name = wanted.get(member.name.removeprefix("./"))
            if name is None or not member.isfile():
                continue
            place = f"{packed}:{archive.folder}/{name}"
            found.add(name)
            yield name, (_unpickled(members.extractfile(member), member.size, place), place)
    missing = [name for name in needed if name not in found]
    if missing:
        raise Refusal(f"{packed} lacks {', '.join(missing)} in {archive.folder}; use {archive.title}'s python version")


class _Unpacked:
    """The bytes of a packed archive; one that swells to more than LARGEST_ARCHIVE is refused, not unpacked."""

    def __init__(self, file: gzip.GzipFile, packed: Path):
        self._file, self._packed, self._left = file, packed, LARGEST_ARCHIVE

    def read(self, size: int) -> bytes:
        taken = self._file.read(size)
        self._left -= len(taken)
        if self._left < 0:
            raise Refusal(f"{self._packed} holds more than {LARGEST_ARCHIVE:,} bytes; get the archive again")
        return taken


def _unpickled(file: BinaryIO, size: int, place: str) -> object:
    if size > LARGEST_FILE:
        raise Refusal(f"{place} has {size:,} bytes; no file of a CIFAR archive has more than {LARGEST_FILE:,}")
    with _reading(place, f"{size:,} bytes: "):
        try:
            return read_pickle(file, size)
        except ForeignName as name:
            raise Refusal(
                f"{place} asks for {name}, which a CIFAR archive never does; nothing was run. Use the original archive"
            ) from name


def _reading(place: Path | str, seen: str = "") -> AbstractContextManager[None]:
    return reading(place, lambda why: f"is damaged or incomplete ({seen}{why}); get the archive again")


# ---- from unpickled values to checked arrays


@dataclass(frozen=True)
class _Rows:
    """One file of images: rows [n, 3072] uint8 (planes red, green, blue) and labels [n]."""

    rows: np.ndarray
    labels: np.ndarray
    place: str

    @classmethod
    def of(cls, archive: Archive, content: object, place: str) -> "_Rows":
        rows = _field(content, b"data", place)
        pixels = rows.uint8() if isinstance(rows, PickledArray) else None
        width = SIDE * SIDE * 3
        if pixels is None or pixels.ndim != 2 or pixels.shape[1] != width:
            found = "something else" if pixels is None else f"an array of shape {pixels.shape}"
            raise Refusal(f"{place}: 'data' holds {found}, not uint8 pixels of shape (n, {width})")
        labels = _field(content, archive.labels_key, place)
        key = archive.labels_key.decode()
        if not isinstance(labels, list) or len(labels) != len(pixels):
            found = f"{len(labels)} labels" if isinstance(labels, list) else "no list"
            raise Refusal(f"{place}: {key!r} holds {found} for {len(pixels)} images; there must be one for each")
        wrong = [label for label in labels if not (type(label) is int and 0 <= label < archive.num_classes)]
        if wrong:
            raise Refusal(
                f"{place}: {key!r} holds {_shown(wrong[0])};"
                f" labels of {archive.title} are 0 to {archive.num_classes - 1}"
            )
        return cls(pixels, np.array(labels, np.int64), place)


def _shown(value: object) -> str:
    """What stands where a label should; not all of a nested or endless thing."""
    if isinstance(value, int) and value.bit_length() > 2000:
        return "a number of many digits"
    plain = value is None or isinstance(value, (int, float, str, bytes))
    return repr(value[:40] if isinstance(value, (str, bytes)) else value)[:40] if plain else type(value).__name__


def _field(content: object, key: bytes, place: str) -> object:
    if not isinstance(content, dict):
        raise Refusal(f"{place} holds a {type(content).__name__}, not the dictionary of a CIFAR archive")
    if key not in content:
        raise Refusal(f"{place} has no entry {key.decode()!r}; is it a file of the other CIFAR archive?")
    return content[key]


def _labels(archive: Archive, files: list[_Rows], per_class: int) -> np.ndarray:
    """Labels [n] of the files one after the other, with `per_class` images of each class, or a Refusal."""
    labels = np.concatenate([file.labels for file in files])
    counts = np.bincount(labels, minlength=archive.num_classes)
    off = np.flatnonzero(counts != per_class)
    if len(off):
        places = ", ".join(file.place for file in files)
        more = f" (and {len(off) - 1} more classes differ)" if len(off) > 1 else ""
        raise Refusal(
            f"{places}: class {off[0]} has {counts[off[0]]} images, not {per_class}{more}; use the original archive"
        )
    return labels


def _pixels(files: list[_Rows], place: np.ndarray) -> np.ndarray:
    """Pixels [n, 32, 32, 3] uint8; image i of the files goes to row place[i]."""
    pixels = np.empty((len(place), SIDE, SIDE, 3), np.uint8)
    start = 0
    for file in files:
        stop = start + len(file.rows)
        pixels[place[start:stop]] = file.rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        start = stop
    return pixels


def _class_names(archive: Archive, content: object, place: str) -> tuple[str, ...]:
    names = _field(content, archive.names_key, place)
    if not isinstance(names, list) or len(names) != archive.num_classes or {*map(type, names)} != {bytes}:
        raise Refusal(f"{place}: {archive.names_key.decode()!r} does not hold {archive.num_classes} names")
    found = tuple(name.decode("utf-8", "replace") for name in names)
    if strange := [name for name in found if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME]:
        raise Refusal(f"{place}: {archive.names_key.decode()!r} holds {strange[0][:40]!r}, which is no name")
    return found
