"""cifar10-lt and cifar100-lt: the original python archives as a pool of images, read without trusting them.

The archives are pickles. A pickle is a program, which can name any function to be called, so none is run: its opcodes
are read one by one, those that make numbers, strings, lists and dictionaries are followed, the names that a pickled
array needs are answered by inert stand-ins, and everything else is refused.
"""

import gzip
import math
import pickletools
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ltbv.data.dataset import Dataset, Images, indices_of, labels_of
from ltbv.errors import Refusal, words_of

SIDE = 32  # pixels
MOST_AXES = 8  # of an array that is looked at
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
        try:
            with path.open("rb") as file:
                yield name, (_unpickled(file, path.stat().st_size, str(path)), str(path))
        except OSError as error:
            raise Refusal(f"{path} cannot be read: {error.strerror or error}") from error


def _from_packed(archive: Archive, packed: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, tuple[object, str]]]:
    wanted = {f"{archive.folder}/{name}": name for name in (*needed, archive.names_file)}
    found = set()
    try:
        # one pass, nothing is written to disk
        with gzip.open(packed) as file, tarfile.open(fileobj=_Unpacked(file, packed), mode="r|") as members:
            for member in members:
                name = wanted.get(member.name.removeprefix("./"))
                if name is None or not member.isfile():
                    continue
                place = f"{packed}:{archive.folder}/{name}"
                found.add(name)
                yield name, (_unpickled(members.extractfile(member), member.size, place), place)
    except Refusal:
        raise
    except Exception as error:  # OSError, EOFError, TarError, zlib.error, ValueError, …: damage has many names
        raise Refusal(f"{packed} is damaged or incomplete ({words_of(error)}); get the archive again") from error
    missing = [name for name in needed if name not in found]
    if missing:
        raise Refusal(f"{packed} lacks {', '.join(missing)} in {archive.folder}; use {archive.title}'s python version")


class _Unpacked:
    """The bytes of a packed archive; one that swells to more than LARGEST_ARCHIVE is refused, not unpacked."""

    def __init__(self, file: BinaryIO, packed: Path):
        self._file, self._packed, self._left = file, packed, LARGEST_ARCHIVE

    def read(self, size: int) -> bytes:
        taken = self._file.read(size)
        self._left -= len(taken)
        if self._left < 0:
            raise Refusal(f"{self._packed} holds more than {LARGEST_ARCHIVE:,} bytes; get the archive again")
        return taken


# ---- a pickle, opcode by opcode


class _Array:
    """Stands in for a pickled numpy array and only keeps what it is told; `uint8` makes the real one."""

    def __init__(self, *arguments: object) -> None:
        del arguments
        self.state: object = None

    def uint8(self) -> np.ndarray | None:
        """The array, or None if this is no uint8 array of the size it claims."""
        if not (isinstance(self.state, tuple) and len(self.state) == 5):
            return None
        _, shape, dtype, by_column, data = self.state
        if not (isinstance(dtype, _Dtype) and dtype.code in (b"u1", b"|u1", "u1", "|u1") and isinstance(data, bytes)):
            return None
        if not (isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)):
            return None
        if len(shape) > MOST_AXES or math.prod(shape) != len(data):
            return None
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_column is True else "C")


class _Dtype:
    """Stands in for a pickled numpy dtype."""

    def __init__(self, code: object = None, *more: object) -> None:
        del more
        self.code = code
        self.state: object = None


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
    ("numpy", "dtype"): _Dtype,
}


class _Program:
    """What a pickle makes, by its opcodes: a stack, marks on it, and a memo of what is used again.

    Nothing is called but `_STAND_INS`, memory is bounded by the length of the file, and keys are strings: the hash of
    nested tuples that share their parts would never end.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._stack: list = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self, file: "_Bounded") -> object:
        """The value at STOP; ValueError, IndexError, … where the program makes no sense."""
        for opcode, argument, _ in pickletools.genops(file):
            self._step(opcode.name, argument)
        return self._stack.pop()

    def _step(self, opcode: str, argument: object) -> None:
        stack = self._stack
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BININT" | "BININT1" | "BININT2" | "INT" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
                stack.append(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":  # of Python 2: bytes
                stack.append(argument.encode("latin1"))
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "MARK":
                self._marks.append(len(stack))
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_TUPLE":
                stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}[opcode]())
            case "LIST":
                stack.append(self._marked())
            case "DICT":
                stack.append(self._filled({}, self._marked()))
            case "TUPLE":
                stack.append(tuple(self._marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._last(int(opcode[-1]))))
            case "APPEND" | "APPENDS":
                items = self._last(1) if opcode == "APPEND" else self._marked()
                self._top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._last(2) if opcode == "SETITEM" else self._marked()
                self._filled(self._top(dict), items)
            case "GLOBAL":
                stack.append(self._stand_in(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(self._stand_in(*self._last(2)))
            case "REDUCE":
                function, arguments = self._last(2)
                if function not in (_Array, _Dtype) or not isinstance(arguments, tuple):
                    raise ValueError("it calls what is no array")
                stack.append(function(*arguments))
            case "BUILD":
                (state,) = self._last(1)
                self._top(_Array, _Dtype).state = state
            case _:
                raise ValueError(f"opcode {opcode}, which a CIFAR archive never has")

    def _last(self, number: int) -> list:
        """The last values of the stack, taken from it."""
        if number > len(self._stack):
            raise ValueError("its stack is empty")
        taken = self._stack[-number:]
        del self._stack[-number:]
        return taken

    def _marked(self) -> list:
        """The values since the last mark, taken from the stack."""
        mark = self._marks.pop()
        taken = self._stack[mark:]
        del self._stack[mark:]
        return taken

    def _top(self, *kinds: type):
        if not isinstance(self._stack[-1], kinds):
            raise ValueError(f"a {type(self._stack[-1]).__name__} is filled like another")
        return self._stack[-1]

    @staticmethod
    def _filled(into: dict, items: list) -> dict:
        keys, values = items[::2], items[1::2]
        if not all(isinstance(key, (bytes, str)) for key in keys):
            raise ValueError("a key is no string")
        into.update(zip(keys, values, strict=True))
        return into

    def _stand_in(self, module: object, name: object) -> object:
        if not (isinstance(module, str) and isinstance(name, str)) or (module, name) not in _STAND_INS:
            raise Refusal(
                f"{self._place} asks for {module}.{name}, which a CIFAR archive never does; nothing was run."
                " Use the original archive"
            )
        return _STAND_INS[module, name]


class _Bounded:
    """A file of `size` bytes for `pickletools`, which reads as many as an opcode promises."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        taken = self._file.read(min(size, self._left))
        self._left -= len(taken)
        return taken

    def readline(self) -> bytes:
        taken = self._file.readline(self._left)
        self._left -= len(taken)
        return taken


def _unpickled(file: BinaryIO, size: int, place: str) -> object:
    if size > LARGEST_FILE:
        raise Refusal(f"{place} has {size:,} bytes; no file of a CIFAR archive has more than {LARGEST_FILE:,}")
    try:
        return _Program(place).run(_Bounded(file, size))
    except (Refusal, OSError, tarfile.TarError, zlib.error):
        raise
    except Exception as error:  # damaged pickles raise anything at all
        what = f"{size:,} bytes: {words_of(error)}"
        raise Refusal(f"{place} is damaged or incomplete ({what}); get the archive again") from error


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
        pixels = rows.uint8() if isinstance(rows, _Array) else None
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
    whole = isinstance(names, list) and len(names) == archive.num_classes
    if not (whole and all(type(name) is bytes for name in names)):
        raise Refusal(f"{place}: {archive.names_key.decode()!r} does not hold {archive.num_classes} names")
    found = tuple(name.decode("utf-8", "replace") for name in names)
    if strange := [name for name in found if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME]:
        raise Refusal(f"{place}: {archive.names_key.decode()!r} holds {strange[0][:40]!r}, which is no name")
    return found
