"""What are the classes called, and what are the true labels? Two small files, each in the forms that people have them
in."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.archives import Archive
from ltbv.report.elsewhere.arrays import Held, class_names_or_ids, stored
from ltbv.report.elsewhere.nested import by_field
from ltbv.report.elsewhere.npz import read_label_arrays
from ltbv.report.elsewhere.points import Points
from ltbv.report.elsewhere.rows import MOST_POINTS, NOTHING, Labelled, as_ids, check_size
from ltbv.report.elsewhere.texts import as_number, as_numbers, numbered_lines, read_json, read_lines, read_text
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


def read_labels(path: Path, names: Sequence[str] | None = None, called: Mapping[str, str] = NOTHING) -> Points:
    """True labels of the test points, class ids or class names, with ids where the file has them.

    .npz    `labels`, optional `sample_id` or `paths`
    .npy    (N,) integers or text
    .json, .pt   a list, or a map from the name of a test point to its label, or fields as those of an .npz
    .csv, .parquet   column `label`, optional column `sample`
    other   text: one class a line, all class ids on one line, or `path label` lines, where the path is the id
    names   of the classes, if known: they may have blanks
    called  role -> name of the field that has it, see `roles.called`; passed over where the file has no such field
    """
    check_size(path)
    match path.suffix.lower():
        case ".npz":
            found = read_label_arrays(Archive.of(path, NOTHING).where_there(called))
        case ".npy":
            found = Labelled(class_names_or_ids(stored(path)))
        case ".json" | ".pt":
            found = _nested(path, called)
        case ".csv" | ".parquet":
            from ltbv.report.elsewhere.columns import read_label_columns

            found = read_label_columns(path, called)
        case _:
            found = _lines(path, names)
    if found.labels.size > MOST_POINTS:
        raise Refusal(f"{path} has {found.labels.size:,} labels; the most is {MOST_POINTS:,}")
    ids = None if found.ids is None else as_ids(found.ids, str(path))
    return Points(found.labels, ids, str(path), found.guesses.ids, found.unused)


def _nested(path: Path, called: Mapping[str, str]) -> Labelled:
    """Labels of a .json or .pt: one array, a map from the name of a test point, or fields as in an .npz."""
    if path.suffix.lower() == ".pt":
        from ltbv.report.elsewhere.pt import read_pt

        value = by_field(path, read_pt(path), called)
    else:
        value = by_field(path, read_json(path), called)
    if isinstance(value, np.ndarray):
        return Labelled(class_names_or_ids(Held(str(path), value)))
    archive = Archive.holding(path, value, NOTHING)
    if not archive.of_classes("label") and value.keys() == {"sample_id", "preds"}:  # classes by test point
        archive = Archive.holding(path, {"sample_id": value["sample_id"], "labels": value["preds"]}, NOTHING)
    return read_label_arrays(archive.where_there(called))


def _lines(path: Path, names: Sequence[str] | None) -> Labelled:
    """Labels of lines of text; what stands before them names the test points."""
    lines = read_lines(path)
    row = as_numbers(re.split(r"[\s,;]+", lines[0][1].strip(",;")))
    if len(lines) == 1 and row is not None and len(row) > 2:
        return Labelled(_class_ids(path, row))
    ends = [as_number(re.split(r"[\s,;]+", line)[-1]) is not None for _, line in lines]
    if any(ends) and not (names and all(_end(line, set(names)) for _, line in lines)):
        numbers, before = numbered_lines(path)
        return Labelled(_class_ids(path, numbers), before)
    words, before = _named_lines(path, lines, names)
    return Labelled(np.array(words, object), before)


def _class_ids(path: Path, labels: Sequence[int]) -> np.ndarray:
    if wrong := [label for label in labels if not 0 <= label < MOST_CLASSES]:
        raise Refusal(f"{path} has label {wrong[0]}; class ids go from 0 to {MOST_CLASSES - 1:,} at most")
    return np.array(labels, np.int64)


def _named_lines(
    path: Path, lines: Sequence[tuple[int, str]], names: Sequence[str] | None
) -> tuple[list[str], list[str] | None]:
    """Class names at the ends of lines, and what stands before them. Names that are not known have no blanks."""
    known = set(names or ())
    labels, before = [], []
    for at, line in lines:
        label = _end(line, known) if known else re.split(r"[\s,;]+", line)[-1]
        if label is None:
            raise Refusal(f"{path} has {line[:60]!r} in line {at}, which does not end in the name of a class")
        labels.append(label)
        before += [rest] if (rest := line[: len(line) - len(label)].rstrip(" \t,;")) else []
    if before and len(before) < len(lines):
        raise Refusal(f"{path} has a path in {len(before)} of {len(lines)} lines: give one in each line, or in none")
    if not known and (several := [at for at, name in enumerate(before) if re.search(r"\s", name)]):
        at, line = lines[several[0]]
        raise Refusal(f"{path} has {line[:60]!r} in line {at}, where a class name may have blanks; give --classes FILE")
    return labels, before or None


def _end(line: str, names: set[str]) -> str | None:
    """The longest of the names that a line ends in, after a blank, a comma or a semicolon, or that it is."""
    starts = [0, *(match.end() for match in re.finditer(r"[\s,;]+", line))]
    return next((line[start:] for start in starts if line[start:] in names), None)


def some(names: Sequence[str]) -> str:
    """A few names, and that there are more."""
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
