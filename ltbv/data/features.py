"""What is in a file of features that a frozen backbone made? A data set whose images are vectors.

An .npz (compressed or not) of

    train, test                  (n, D) and (N, D) numbers, finite
    train_labels, test_labels    (n,) and (N,) whole numbers, 0 to C - 1, each class at least once in both
    train_ids, test_ids          which image a row is of, each once; to see that no test image is trained on. Optional,
    train_groups, test_groups    what a row is one of, a burst, a patient, …; none in both. Optional, both or neither,
    class_names                  (C,) texts. Optional, and
    about                        a text: which backbone, trained on what. Optional

Further arrays are left alone. A network sees z_j = (x_j - m_j) / s_j * 8 / sqrt(D), with m_j and s_j the mean and the
standard deviation of feature j over all of `train` (s_j = 1 where that is 0), the same for all runs. The mean squared
length of a training vector is then 64, whatever made it, so that one learning rate suits them.
"""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from ltbv.data.dataset import Dataset, Images, indices_of, labels_of
from ltbv.errors import Refusal
from ltbv.files import read_given

SUFFIX = ".npz"
NEEDED = ("train", "train_labels", "test", "test_labels")
OPTIONAL = ("train_ids", "test_ids", "train_groups", "test_groups", "class_names", "about")
LENGTH = 64.0  # mean squared length of what a network sees
MOST_CLASSES, LONGEST_NAME, LONGEST_ABOUT = 100_000, 200, 500


@dataclass(frozen=True, eq=False)
class Features:
    """A file that was read and checked.

    train        [n, D] float32, class after class, within a class in the order of the file
    pool_sizes   [C] rows of each class in it
    test         [N, D] float32, and `labels` [N] int64
    content      16 hex digits that all of these and the names of classes decide
    train_ids    [n] and test_ids [N], in the same orders; None where the file has none
    groups       [n] and clusters [N], numbers from 0 of the groups of training and of test rows; None: each its own
    """

    path: Path
    train: np.ndarray = field(repr=False)
    pool_sizes: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    about: str
    content: str
    train_ids: np.ndarray | None = field(default=None, repr=False)
    test_ids: np.ndarray | None = field(default=None, repr=False)
    groups: np.ndarray | None = field(default=None, repr=False)
    clusters: np.ndarray | None = field(default=None, repr=False)

    @property
    def width(self) -> int:
        """D."""
        return self.train.shape[1]

    def scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """m_j and s_j sqrt(D) / 8 of each feature, [D] each: what is taken off, and what is then divided by."""
        mean, spread = self.train.mean(0, dtype=np.float64), self.train.std(0, dtype=np.float64)
        return mean, np.where(spread > 0, spread, 1.0) * np.sqrt(self.width / LENGTH)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Where in `train` the rows of these ids are."""
        first = np.cumsum([0, *self.pool_sizes])
        return first[labels_of(ids)] + indices_of(ids)

    def dataset(self) -> Dataset:
        """Vectors as images of one pixel and D channels."""
        mean, scale = self.scaling()
        return Dataset(
            name=self.path.name,
            class_names=self.class_names,
            pool_sizes=self.pool_sizes,
            read=lambda ids: self.train[self.rows(ids), None, None],
            test=Images(self.test[:, None, None], self.labels),
            mean=tuple(mean.tolist()),
            std=tuple(scale.tolist()),
            mirrors=False,
            content=self.content,
            clusters=self.clusters,
        )


def open_features(*paths: Path | str) -> tuple[Features, ...]:
    """The features of each file; read once, and again when one was written again. What will not do is refused."""
    versions = []
    for path in paths:
        try:
            found = os.stat(path)
        except OSError as error:
            raise Refusal(f"features {path}: {error.strerror}; give an {SUFFIX} with {', '.join(NEEDED)}") from error
        versions.append((os.path.abspath(path), found.st_mtime_ns, found.st_size))
    return _all_read(*versions)


@lru_cache(maxsize=1)
def _all_read(*versions: tuple[str, int, int]) -> tuple[Features, ...]:
    return tuple(_read(path) for path, *_ in versions)


def _read(path: str) -> Features:
    names = ", ".join(NEEDED)
    arrays = read_given(Path(path), NEEDED, optional=OPTIONAL, cure=f"give an {SUFFIX} of plain arrays: {names}")
    where = f"features {path}"
    train, test = (_vectors(where, name, arrays[name]) for name in ("train", "test"))
    if train.shape[1] != test.shape[1]:
        raise Refusal(f"{where}: train has {train.shape[1]} features and test {test.shape[1]}; give both the same")
    own, labels = (_labels(where, name, arrays[f"{name}_labels"], len(arrays[name])) for name in ("train", "test"))
    class_names = _class_names(where, arrays.get("class_names"), 1 + int(max(own.max(), labels.max())))
    counts = np.bincount(own, minlength=len(class_names))
    for name, of in (("train", counts), ("test", np.bincount(labels, minlength=len(class_names)))):
        if (missing := np.flatnonzero(of == 0)).size:
            raise Refusal(
                f"{where}: class {missing[0]} has no row in {name} ({missing.size} of {len(of)} classes have none);"
                " every class needs one in train and in test: leave such classes out and number the others from 0"
            )
    _check_ids(where, arrays, len(train), len(test))
    groups, clusters = _groups(where, arrays, len(train), len(test))
    order = np.argsort(own, kind="stable")
    train = train[order]
    found = hashlib.sha256()
    for array in (train, counts.astype(np.int64), test, labels):
        found.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    found.update("\n".join(class_names).encode())
    if groups is not None and clusters is not None:
        groups = groups[order]
        found.update(b"groups" + groups.tobytes() + clusters.tobytes())
    about = _text(where, "about", arrays.get("about"))
    ids = arrays.get("train_ids")
    ids = ids if ids is None else ids[order]
    content = found.hexdigest()[:16]
    return Features(
        path=Path(path),
        train=train,
        pool_sizes=counts,
        test=test,
        labels=labels,
        class_names=class_names,
        about=about,
        content=content,
        train_ids=ids,
        test_ids=arrays.get("test_ids"),
        groups=groups,
        clusters=clusters,
    )


def _vectors(where: str, name: str, values: np.ndarray) -> np.ndarray:
    """[n, D] float32."""
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise Refusal(f"{where}: {name} is {_shown(values)}; give numbers of shape (rows, features)")
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    fine = np.isfinite(found).all(axis=1)
    if not fine.all():
        row = int(np.argmin(fine))
        value = values[row][~np.isfinite(found[row])][0]
        raise Refusal(
            f"{where}: {name} row {row} holds {value} ({int((~fine).sum())} rows of {len(found)} are not finite in"
            " float32); leave such rows out or mend them"
        )
    return found


def _labels(where: str, name: str, values: np.ndarray, rows: int) -> np.ndarray:
    """[n] int64."""
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise Refusal(f"{where}: {name}_labels is {_shown(values)}; give one whole number a row, 0 to C - 1")
    if len(values) != rows:
        raise Refusal(f"{where}: {name}_labels has {len(values)} for {rows} rows of {name}; give one a row")
    wrong = (values < 0) | (values >= MOST_CLASSES)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise Refusal(f"{where}: {name}_labels row {row} is {values[row]}; classes are numbered from 0, without gaps")
    return values.astype(np.int64)


def _class_names(where: str, values: np.ndarray | None, classes: int) -> tuple[str, ...]:
    """As many as there are classes; numbers where none are given."""
    if values is None:
        found = tuple(map(str, range(classes)))
    elif values.ndim != 1 or values.dtype.kind != "U":
        raise Refusal(f"{where}: class_names is {_shown(values)}; give texts of shape (C,)")
    else:
        found = tuple(map(str, values))
    if len(found) < classes:
        raise Refusal(f"{where}: class_names has {len(found)} names, and a label is {classes - 1}; name every class")
    if strange := [name for name in found if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME]:
        raise Refusal(f"{where}: class_names holds {strange[0][:40]!r}; give printable names, none of them empty")
    if twice := [name for name, times in Counter(found).items() if times > 1]:
        raise Refusal(f"{where}: class_names holds {twice[0]!r} twice; give each class its own")
    if len(found) < 2:
        raise Refusal(f"{where}: there is one class; give two or more")
    return found


def _names(where: str, name: str, values: np.ndarray, rows: int) -> np.ndarray:
    """One whole number or text a row."""
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise Refusal(f"{where}: {name} is {_shown(values)}; give one whole number or text a row, or leave them out")
    if len(values) != rows:
        raise Refusal(f"{where}: {name} has {len(values)} for {rows} rows; give one a row, or leave them out")
    return values


def _groups(
    where: str, arrays: dict[str, np.ndarray], train: int, test: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Numbers from 0 of the groups of training rows, and of those of test rows; none is in both."""
    names = ("train_groups", "test_groups")
    if not any(name in arrays for name in names):
        return None, None
    for name, other in (names, names[::-1]):
        if name not in arrays:
            raise Refusal(f"{where}: there are {other} and no {name}; give both, or neither")
    own, tested = (_names(where, name, arrays[name], rows) for name, rows in zip(names, (train, test), strict=True))
    if (both := np.intersect1d(own.astype(str), tested.astype(str))).size:
        raise Refusal(
            f"{where}: {str(both[0])!r} is in train_groups and in test_groups ({both.size} are); rows of a group say"
            " nearly the same: move each group to one of them"
        )
    groups, clusters = (np.unique(of, return_inverse=True)[1].astype(np.int64) for of in (own, tested))
    return groups, clusters


def _check_ids(where: str, arrays: dict[str, np.ndarray], train: int, test: int) -> None:
    """Each image once, and none in both."""
    for name, rows in (("train_ids", train), ("test_ids", test)):
        if name not in arrays:
            continue
        ids = _names(where, name, arrays[name], rows)
        distinct, times = np.unique(ids, return_counts=True)
        if times.max() > 1:
            twice = str(distinct[times.argmax()])
            raise Refusal(f"{where}: {name} has {twice!r} {times.max()} times; give each row once")
    if "train_ids" in arrays and "test_ids" in arrays:
        both = np.intersect1d(arrays["train_ids"].astype(str), arrays["test_ids"].astype(str))
        if both.size:
            raise Refusal(
                f"{where}: {str(both[0])!r} is in train_ids and in test_ids ({both.size} are); a test image must not be"
                " trained on: leave it out of one"
            )


def _text(where: str, name: str, values: np.ndarray | None) -> str:
    if values is None:
        return ""
    if values.ndim != 0 or values.dtype.kind != "U":
        raise Refusal(f"{where}: {name} is {_shown(values)}; give one text, or leave it out")
    text = " ".join(str(values).split())
    if len(text) > LONGEST_ABOUT:
        raise Refusal(f"{where}: {name} has {len(text)} characters; give at most {LONGEST_ABOUT}")
    return text


def _shown(values: np.ndarray) -> str:
    return f"of shape {values.shape} and type {values.dtype}"
