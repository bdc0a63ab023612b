"""What are the classes called, and what are the true labels? Two small files, each in the forms that people have them
in."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.arrays import IDS, class_ids, members, stored, text_ids
from ltbv.report.elsewhere.points import Points
from ltbv.report.elsewhere.rows import MOST_CLASSES, MOST_POINTS, as_ids, check_range, check_size
from ltbv.report.elsewhere.texts import numbered_lines, read_json, read_text

LONGEST_NAME = 1000  # characters


def read_names(path: Path) -> tuple[str, ...]:
    """Class names in the order of the class ids: a JSON list (.json), or text, one a line."""
    check_size(path)
    if path.suffix.lower() == ".json":
        names = read_json(path)
        if not isinstance(names, list) or any(not isinstance(name, str) for name in names):
            raise Refusal(f"{path} is no list of class names")
    else:
        names = read_text(path).removesuffix("\n").split("\n")
    return check_names(names, str(path))


def check_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Class names, or a Refusal of those that cannot be told apart or written."""
    for k, name in enumerate(names):
        if not name:
            raise Refusal(f"{where} has no name for class {k} (from 0)")
        if len(name) > LONGEST_NAME or any("\ud800" <= c <= "\udfff" for c in name):  # which no file can hold
            raise Refusal(f"{where} has {name[:40]!r} for class {k} (from 0), which is too long or no text")
    name, times = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise Refusal(f"{where} has the class name {name!r} {times} times")
    return tuple(names)


def read_labels(path: Path, num_classes: int) -> Points:
    """True labels of the test points, with ids where the file has them.

    .npz    `labels`, optional `sample_id` or `paths`
    .npy    (N,) integers
    .json   a list of integers
    .csv, .parquet   column `label`, optional column `sample`
    other   text: one class id a line, or `path label` lines, where the path is the id
    """
    check_size(path)
    suffix, ids = path.suffix.lower(), None
    if suffix == ".npz":
        found = members(path)
        if "labels" not in found:
            raise Refusal(f"{path} has no labels; it has: {', '.join(sorted(found)) or 'nothing'}")
        labels = class_ids(stored(path, found["labels"]))
        ids = next((text_ids(stored(path, found[name])) for name in IDS if name in found), None)
        if ids is not None and ids.size != labels.size:
            raise Refusal(f"{path} has {labels.size} labels and {ids.size} ids")
    elif suffix == ".npy":
        labels = class_ids(stored(path))
    elif suffix == ".json":
        labels = read_json(path)
        if not isinstance(labels, list) or not labels or any(type(label) is not int for label in labels):
            raise Refusal(f"{path} is no list of class ids")
    elif suffix in (".csv", ".parquet"):
        from ltbv.report.elsewhere.columns import read_label_columns

        labels, ids = read_label_columns(path)
    else:
        labels, ids = numbered_lines(path)
    if len(labels) > MOST_POINTS:
        raise Refusal(f"{path} has {len(labels):,} labels; the most is {MOST_POINTS:,}")
    if wrong := [label for label in labels if not 0 <= label < MOST_CLASSES]:
        raise Refusal(f"{path} has label {wrong[0]}, but class ids go from 0 to {num_classes - 1}")
    labels = np.asarray(labels, np.int64)
    check_range(labels, num_classes, f"{path}: label")
    return Points(labels, None if ids is None else as_ids(ids, str(path)), str(path))
