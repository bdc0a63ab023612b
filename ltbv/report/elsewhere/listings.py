"""What are the classes called, and what are the true labels? Two small files, each in the forms that people have them
in."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.arrays import class_ids, stored
from ltbv.report.elsewhere.npz import read_label_arrays
from ltbv.report.elsewhere.points import Points
from ltbv.report.elsewhere.rows import MOST_POINTS, Guesses, as_ids, check_range, check_size
from ltbv.report.elsewhere.texts import as_number, numbered_lines, read_json, read_lines, read_text
from ltbv.report.evidence import MOST_CLASSES
from ltbv.report.names import check_names


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


def read_labels(path: Path, num_classes: int) -> Points:
    """True labels of the test points, with ids where the file has them.

    .npz    `labels`, optional `sample_id` or `paths`
    .npy    (N,) integers
    .json   a list of integers, or a map from the name of a test point to its label
    .csv, .parquet   column `label`, optional column `sample`
    other   text: one class id a line, all on one line, or `path label` lines, where the path is the id
    """
    check_size(path)
    ids, guesses, unused = None, Guesses(), ()
    match path.suffix.lower():
        case ".npz":
            labels, ids, guesses, unused = read_label_arrays(path)
        case ".npy":
            labels = class_ids(stored(path))
        case ".json":
            labels = read_json(path)
            if isinstance(labels, dict):
                ids, labels = list(labels), list(labels.values())
            if not isinstance(labels, list) or not labels or any(type(label) is not int for label in labels):
                raise Refusal(f"{path} is no list of class ids, nor a map from test point to class id")
        case ".csv" | ".parquet":
            from ltbv.report.elsewhere.columns import read_label_columns

            labels, ids, guesses, unused = read_label_columns(path)
        case _:
            labels, ids = _lines(path)
    if len(labels) > MOST_POINTS:
        raise Refusal(f"{path} has {len(labels):,} labels; the most is {MOST_POINTS:,}")
    if wrong := [label for label in labels if not 0 <= label < MOST_CLASSES]:
        raise Refusal(f"{path} has label {wrong[0]}, but class ids go from 0 to {num_classes - 1}")
    labels = np.asarray(labels, np.int64)
    check_range(labels, num_classes, f"{path}: label")
    return Points(labels, None if ids is None else as_ids(ids, str(path)), str(path), guesses.ids, unused)


def _lines(path: Path) -> tuple[list[int], list[str] | None]:
    """Labels of lines of text, and what stands before them."""
    lines = read_lines(path)
    words = re.split(r"[\s,;]+", lines[0][1].strip(",;"))
    row = [as_number(word) for word in words]
    if len(lines) == 1 and len(row) > 2 and None not in row:
        return row, None
    return numbered_lines(path)


def some(names: Sequence[str]) -> str:
    """A few names, and that there are more."""
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
