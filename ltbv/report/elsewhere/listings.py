"""How many training images has each class, what is it called, and what are the true labels? Three small files, each in
the forms that people have them in."""

import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.arrays import IDS, class_ids, members, stored, text_ids
from ltbv.report.elsewhere.points import Points
from ltbv.report.elsewhere.rows import MOST_CLASSES, MOST_POINTS, as_ids, check_range, check_size

MOST_TEXT = 1 << 30  # bytes of a text file
MOST_JSON = 1 << 27  # bytes of a JSON file, whose values take many times as much memory
LONGEST_NAME = 1000  # characters
MOST_IMAGES = 10**12  # of a class


def read_counts(path: Path, names: Sequence[str] | None = None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Training images of each class (C,), and the class names if the file has them.

    .json   a list of C numbers, or a map from class name to number: in the order of `names`, or in its own
    .npy    (C,) integers
    other   text: one number a line, or `path label` lines, which are counted: a class without a line has no image
    names   C class names, if known
    """
    check_size(path)
    suffix = path.suffix.lower()
    value = _read_json(path) if suffix == ".json" else None
    if suffix == ".json":
        if isinstance(value, dict):
            value, names = _in_order(path, value, names), check_names(names or list(value), str(path))
        if not isinstance(value, list) or any(type(number) is not int for number in value):
            raise Refusal(f"{path} is no list of whole numbers, nor a map from class name to whole number")
    elif suffix == ".npy":
        value = class_ids(stored(path)).tolist()
    else:
        value, paths = _read_lines(path)
        if paths is not None:
            value = np.bincount(value, minlength=len(names or ())).tolist()
    counts = check_counts(value, str(path))
    if names is not None and len(names) != len(value):
        raise Refusal(f"{path} has counts of {len(value)} classes, but there are {len(names)} class names")
    return counts, tuple(names) if names is not None else None


def check_counts(counts: list[int], where: str) -> np.ndarray:
    """Training images of each class (C,) int64, or a Refusal of numbers that cannot be."""
    if not 2 <= len(counts) <= MOST_CLASSES:
        raise Refusal(f"{where} has counts of {len(counts)} classes; there must be from 2 to {MOST_CLASSES:,}")
    if wrong := [(k, number) for k, number in enumerate(counts) if not 0 <= number <= MOST_IMAGES]:
        raise Refusal(f"{where} has {wrong[0][1]} training images for class {wrong[0][0]}")
    if not any(counts):
        raise Refusal(f"{where} has no training image in any class")
    return np.array(counts, np.int64)


def _in_order(path: Path, counts: dict[str, Any], names: Sequence[str] | None) -> list[Any]:
    if names is None:
        return list(counts.values())
    if differ := sorted(counts.keys() ^ set(names)):
        where = "has a count for" if differ[0] in counts else "has no count for"
        raise Refusal(f"{path} {where} {differ[0]!r}; its {len(counts)} names must be the {len(names)} class names")
    return [counts[name] for name in names]


def read_names(path: Path) -> tuple[str, ...]:
    """Class names in the order of the class ids: a JSON list (.json), or text, one a line."""
    check_size(path)
    if path.suffix.lower() == ".json":
        names = _read_json(path)
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
        labels = _read_json(path)
        if not isinstance(labels, list) or not labels or any(type(label) is not int for label in labels):
            raise Refusal(f"{path} is no list of class ids")
    elif suffix in (".csv", ".parquet"):
        from ltbv.report.elsewhere.columns import read_label_columns

        labels, ids = read_label_columns(path)
    else:
        labels, ids = _read_lines(path)
    if len(labels) > MOST_POINTS:
        raise Refusal(f"{path} has {len(labels):,} labels; the most is {MOST_POINTS:,}")
    if wrong := [label for label in labels if not 0 <= label < MOST_CLASSES]:
        raise Refusal(f"{path} has label {wrong[0]}, but class ids go from 0 to {num_classes - 1}")
    labels = np.asarray(labels, np.int64)
    check_range(labels, num_classes, f"{path}: label")
    return Points(labels, None if ids is None else as_ids(ids, str(path)), str(path))


def _read_lines(path: Path) -> tuple[list[int], list[str] | None]:
    """The number at the end of each line, and what stands before it, if every line has that; blank lines are left
    out."""
    numbers, before = [], []
    for at, line in enumerate(io.StringIO(read_text(path)), 1):
        if len(numbers) > MOST_POINTS:
            raise Refusal(f"{path} has more than {MOST_POINTS:,} lines")
        words = line.rsplit(None, 1)
        if not words:
            continue
        if not (words[-1].isascii() and words[-1].isdigit() and len(words[-1]) <= 15):
            shown = line.strip()[:60]
            raise Refusal(f"{path} has {shown!r} in line {at}: give a number, or a path, a blank and a class id")
        numbers.append(int(words[-1]))
        before += words[:-1]
    if not numbers:
        raise Refusal(f"{path} has no lines with numbers")
    if before and len(before) < len(numbers):
        raise Refusal(f"{path} has a path in {len(before)} of {len(numbers)} lines: give one in each line, or in none")
    if before and max(numbers) >= MOST_CLASSES:
        raise Refusal(f"{path} has class id {max(numbers)}; the most is {MOST_CLASSES - 1:,}")
    return numbers, [word.strip() for word in before] or None


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    try:
        if (size := path.stat().st_size) > most:
            raise Refusal(f"{path} has {size:,} bytes; the most is {most:,}")
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read as text: {error}") from error
    return text.replace("\r\n", "\n")


def _read_json(path: Path) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        times = Counter(key for key, _ in pairs)
        if len(times) < len(pairs):
            raise ValueError(f"{max(times, key=times.__getitem__)!r} is there twice")
        return dict(pairs)

    try:
        return json.loads(read_text(path, MOST_JSON), object_pairs_hook=once)
    except (Refusal, RecursionError, ValueError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{path} cannot be read as JSON: {error}") from error
