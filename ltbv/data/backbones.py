"""What is asked where --features names one file, or one of each of several backbones?

Several backbones are draws of one thing: the same network, trained anew on another resample or with another seed. Their
files hold the same images, row for row, and as many features. Run r is trained and tested on the features of backbone
r mod B: whatever number of runs is asked, backbones have as many of them, but for one, and a study may grow.

The `dataset` of a study is then all paths, with commas between them. A run's sample is of images, and which backbone it
sees them through is said by `Dataset.seen`; each backbone's features are normalised by their own moments.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ltbv.data.dataset import Dataset, Images, indices_of, labels_of, make_ids
from ltbv.data.features import NEEDED, SUFFIX, Features, open_features
from ltbv.errors import Refusal

BETWEEN = ","
MOST = 1000


def instead(features: object, dataset: object, usual: str) -> str:
    """What `Settings.dataset` is where features are asked for: their paths, unless a data set was chosen too."""
    several = features if isinstance(features, Iterable) and not isinstance(features, str) else [features]
    paths = [str(path) for path in several]
    for path in paths or ["nothing"]:
        if not path.endswith(SUFFIX):
            raise Refusal(f"features {path}: give an {SUFFIX} with the arrays {', '.join(NEEDED)}")
        if len(paths) > 1 and f"{SUFFIX}{BETWEEN}" in path:
            raise Refusal(f"features {path}: {SUFFIX}{BETWEEN} in a name looks like two; call the file otherwise")
    if dataset != usual:
        raise Refusal(f"features {paths[0]} and data set {dataset}: give --features or --dataset, not both")
    return BETWEEN.join(paths)


def are_features(dataset: object) -> bool:
    """Does it name files of features?"""
    return isinstance(dataset, str | Path) and str(dataset).endswith(SUFFIX)


def placed(dataset: str) -> str:
    """The same by whole paths: a worker may stand elsewhere."""
    return BETWEEN.join(str(path.absolute()) for path in _paths(dataset))


def kept_as(dataset: str) -> str:
    """The name of the directory of a study: of a file of features, its own."""
    paths = _paths(dataset)
    return paths[0].stem if len(paths) == 1 else f"{paths[0].stem}-{len(paths)}-backbones"


def open_backbones(dataset: str) -> tuple[Features, ...]:
    """The features of each; refused where they are not of the same images, or one comes twice."""
    paths = _paths(dataset)
    if len(paths) > MOST:
        raise Refusal(f"{len(paths)} files of features: give at most {MOST:,}")
    first, *others = found = open_features(*paths)
    for other in others:
        where = f"features {other.path} and {first.path}"
        for what, alike, cure in (
            ("labels of test rows", np.array_equal(first.labels, other.labels), "the same test images in one order"),
            ("test_ids", _alike(first.test_ids, other.test_ids), "the same test images in one order"),
            ("rows of each class in train", np.array_equal(first.pool_sizes, other.pool_sizes), "the same images"),
            ("train_ids", _alike(first.train_ids, other.train_ids), "the same images of each class in one order"),
            ("train_groups", _same(first.groups, other.groups), "the same groups, or of none"),
            ("test_groups", _same(first.clusters, other.clusters), "the same groups, or of none"),
            ("class_names", first.class_names == other.class_names, "the same names"),
            ("number of features", first.width == other.width, "draws of one network, as wide as each other"),
        ):
            if not alike:
                raise Refusal(f"{where} differ in {what}; give files of {cure}")
    by_content: dict[str, Features] = {}
    for one in found:
        if (same := by_content.setdefault(one.content, one)) is not one:
            raise Refusal(f"features {one.path} and {same.path} are the same; give each backbone once")
    return found


def joined(backbones: tuple[Features, ...]) -> Dataset:
    """The data set of one backbone, or of several: vectors as images of one pixel and D channels."""
    first, number = backbones[0], len(backbones)
    if number == 1:
        return first.dataset()
    scalings = [one.scaling() for one in backbones]
    tests = np.stack([_normalised(one.test, *of) for one, of in zip(backbones, scalings, strict=True)])

    def read(ids: np.ndarray) -> np.ndarray:
        which, within = np.divmod(indices_of(ids), first.pool_sizes[labels_of(ids)])
        rows = first.rows(make_ids(labels_of(ids), within))
        found = np.empty((len(ids), first.width), np.float32)
        for b, (one, of) in enumerate(zip(backbones, scalings, strict=True)):
            found[which == b] = _normalised(one.train[rows[which == b]], *of)
        return found[:, None, None]

    return Dataset(
        name=names_of(backbones),
        class_names=first.class_names,
        pool_sizes=first.pool_sizes,
        read=read,
        test=Images(tests[0][:, None, None], first.labels),
        mean=(0.0,) * first.width,
        std=(1.0,) * first.width,
        mirrors=False,
        content=hashlib.sha256(" ".join(one.content for one in backbones).encode()).hexdigest()[:16],
        tests=tests[:, :, None, None],
        clusters=first.clusters,
    )


def names_of(backbones: tuple[Features, ...]) -> str:
    """Of the files, without where they lie."""
    return BETWEEN.join(one.path.name for one in backbones)


def _paths(dataset: str) -> list[Path]:
    return [Path(path) for path in re.split(f"(?<={re.escape(SUFFIX)}){BETWEEN}", dataset)]


def _alike(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Do they name the same images? What one file does not say is not compared."""
    return one is None or other is None or np.array_equal(one.astype(str), other.astype(str))


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Do both say the same, or neither anything?"""
    return one is other if one is None or other is None else np.array_equal(one, other)


def _normalised(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return ((values - mean) / scale).astype(np.float32)
