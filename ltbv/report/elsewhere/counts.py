"""How many training images has each class? In the forms that people have it in: each is matched to the classes by its
keys, and a form that could be two things is refused.

    list     JSON list, .npy, one number a line, all numbers on one line: in the order of class ids
    map      JSON map, `key count` or `count key` (as `uniq -c` writes) lines: by class id, or by class name
    images   `path label` lines, which are counted
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.arrays import class_ids, stored
from ltbv.report.elsewhere.rows import check_size
from ltbv.report.elsewhere.texts import as_number, as_numbers, natural, numbered_lines, read_json, read_lines
from ltbv.report.evidence import MOST_CLASSES, MOST_IMAGES
from ltbv.report.names import check_names
from ltbv.stats import class_counts as of_classes

EXTENSION = re.compile(r".*\.([A-Za-z][A-Za-z0-9]{1,4})", re.DOTALL)
OF_A_CLASS = ("txt", "csv", "tsv", "lst", "json", "tar", "zip", "tgz", "gz", "lmdb")  # a file that holds many images
TOTALS = ("total", "sum", "all")
OF_A_HEADER = re.compile(  # words that name columns, with _ between them
    "class(es)?|labels?|categor(y|ies)|names?|ids?|idx|index|target|counts?|n|num(ber)?|of|images|samples|train(ing)?"
    "|size|freq(uency)?"
)
FORMS = (
    "give a JSON list in the order of class ids or a JSON map from class id or name to number, one number a line,"
    " `id count` lines, or `path label` lines"
)


def read_counts(
    path: Path, names: Sequence[str] | None = None, notes: list[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Training images of each class (C,), and the class names if the file has them.

    .json   a list of C numbers, or a map to numbers from class ids (a class without a key has 0) or class names
    .npy    (C,) integers
    other   text: one number a line, or all on one line; lines `id count`, `name count`, or `count id` as `uniq -c`
            writes them, with a blank, tab, comma, semicolon or colon between, and perhaps a header; `path label` lines,
            which are counted: a class without a line has no image
    names   C class names, if known: names in the file are matched with them. If not, its own, in its order: where that
            is alphabetical (as `sorted` has it, and people) it is taken for that of the class ids, and said; else see
            `why_no_ids`
    notes   what a reader must know is added here
    """
    check_size(path)
    notes = [] if notes is None else notes
    match path.suffix.lower():
        case ".json":
            value = read_json(path)
            if isinstance(value, dict):
                value, names = by_key(value, names, str(path), notes)
            if not isinstance(value, list) or any(type(number) is not int for number in value):
                raise Refusal(f"{path} is no list of whole numbers, nor a map from class name to whole number")
        case ".npy":
            value = class_ids(stored(path)).tolist()
        case _:
            value, names = _of_lines(path, names, notes)
    counts = check_counts(value, str(path))
    if names is not None and len(names) != len(value):
        raise Refusal(f"{path} has counts of {len(value)} classes, but there are {len(names)} class names")
    return counts, tuple(names) if names is not None else None


def check_counts(counts: Sequence[int], where: str) -> np.ndarray:
    """Training images of each class (C,) int64, or a Refusal of numbers that cannot be."""
    if not 2 <= len(counts) <= MOST_CLASSES:
        raise Refusal(f"{where} has counts of {len(counts)} classes; there must be from 2 to {MOST_CLASSES:,}")
    if wrong := [(k, number) for k, number in enumerate(counts) if not 0 <= number <= MOST_IMAGES]:
        raise Refusal(f"{where} has {wrong[0][1]} training images for class {wrong[0][0]}")
    if not any(counts):
        raise Refusal(f"{where} has no training image in any class")
    return np.array(counts, np.int64)


def by_key(
    counts: Mapping[str, Any], names: Sequence[str] | None, where: str, notes: list[str]
) -> tuple[list[Any], Sequence[str] | None]:
    """Counts in the order of class ids, and the class names: keys are class names, or class ids."""
    keys = list(counts)
    if len(keys) > 2 and sorted(map(str, counts.values())) == sorted(map(str, range(len(keys)))):
        raise Refusal(f"{where} has the numbers 0 to {len(keys) - 1}, each once: class ids, not training images")
    for key in (key for key in keys if str(key).strip().lower() in TOTALS):
        if len(keys) > 2 and counts[key] == sum(of for other, of in counts.items() if other != key and type(of) is int):
            raise Refusal(f"{where} has {key!r}, the sum of the others, among its classes: take it out")
    if names is not None and counts.keys() == set(names):
        return [counts[name] for name in names], names
    if (ids := of_classes.class_ids(keys)) is not None:
        return of_classes.by_id(ids, list(counts.values()), where, len(names) if names else None), names
    if names is not None:
        differ = sorted(counts.keys() ^ set(names))
        what = "has a count for" if differ[0] in counts else "has no count for"
        raise Refusal(f"{where} {what} {differ[0]!r}; its {len(counts)} names must be the {len(names)} class names")
    check_names(keys, where)
    if why_no_ids(keys) is None:
        notes.append(
            f"{where} names classes, not ids: the alphabetical order of the names is taken for that of the ids."
        )
    return list(counts.values()), keys


def why_no_ids(names: Sequence[str]) -> str | None:
    """Why the order of class names says nothing of class ids; None where it is alphabetical, as image folders are read,
    by text and by the numbers in it."""
    names = list(names)
    if sorted(names) != (people := sorted(names, key=natural)):
        as_text, as_people = next(both for both in zip(sorted(names), people, strict=True) if both[0] != both[1])
        return (
            f"class names whose alphabetical order is not that of their numbers ({as_text[:40]!r} before"
            f" {as_people[:40]!r})"
        )
    return None if names == sorted(names) else "class names that are not in alphabetical order"


def _of_lines(path: Path, names: Sequence[str] | None, notes: list[str]) -> tuple[list[int], Sequence[str] | None]:
    """Counts from lines of text, and class names."""
    found = _without_header(read_lines(path))
    if hollow := [at for at, line in found if line[0] in ",;:"]:
        raise Refusal(f"{path} has nothing before a separator in line {hollow[0]}; {FORMS}")
    lines = [line.rstrip(",;: \t") for _, line in found]
    words = [re.split(r"[\s,;:]+", line) for line in lines]
    numbers = [row for of_line in words if (row := as_numbers(of_line)) is not None]
    if len(numbers) == len(lines):
        widths = {len(of_line) for of_line in numbers}
        if widths == {1} or (len(lines) == 1 and min(widths) > 2):
            return [number for of_line in numbers for number in of_line], names
        if widths != {2}:
            raise Refusal(f"{path} has {len(lines)} lines of {min(widths)} to {max(widths)} numbers; {FORMS}")
        return _of_pairs(path, [a for a, _ in numbers], [b for _, b in numbers], names), names
    if all(as_number(of_line[0]) is not None and as_number(of_line[-1]) is None for of_line in words):
        counted = [re.split(r"[\s,;:]+", line, maxsplit=1) for line in lines]
        return _by_name(path, [name for _, name in counted], [int(number) for number, _ in counted], names, notes)
    return _of_names_or_paths(path, found, names, notes)


def _without_header(found: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The lines without a first one such as `class,count`, of words that name columns alone."""
    words = re.split(r"[\s,;:_]+", found[0][1].lower().replace('"', ""))
    return found[1:] if len(found) > 2 and len(words) > 1 and all(map(OF_A_HEADER.fullmatch, words)) else found


def _of_pairs(path: Path, first: list[int], second: list[int], names: Sequence[str] | None) -> list[int]:
    """Counts from lines of two numbers: `id count`, `count id`, or `path label` where paths are numbers too."""
    readings = {
        "id count": _by_number(path, first, second, names),
        "count id": _by_number(path, second, first, names),
        "path label": np.bincount(second).tolist() if _are_labels(second) and len(set(first)) == len(first) else None,
    }
    possible = {form: counts for form, counts in readings.items() if counts is not None}
    if len(possible) != 1:
        either = "could be " + " or ".join(possible) if possible else "are neither `id count` nor `path label`"
        raise Refusal(f"{path} has lines of two numbers, such as {first[0]} {second[0]}, which {either}; {FORMS}")
    return next(iter(possible.values()))


def _by_number(path: Path, ids: list[int], counts: list[int], names: Sequence[str] | None) -> list[int] | None:
    """Counts by class id, if these may be ids: each once, 0 among them, and few left out."""
    most = len(names) if names else 2 * len(ids)
    if len(set(ids)) < len(ids) or min(ids) > 0 or max(ids) >= most:
        return None
    return of_classes.by_id(ids, counts, str(path), len(names) if names else None)


def _are_labels(numbers: list[int]) -> bool:
    """May this be a label for each of many images? No class is left out, and some have more than one."""
    return len(numbers) > len(set(numbers)) == max(numbers) + 1


def _of_names_or_paths(
    path: Path, found: list[tuple[int, str]], names: Sequence[str] | None, notes: list[str]
) -> tuple[list[int], Sequence[str] | None]:
    numbers, before = numbered_lines(path, found)
    if before is None:
        return numbers, names
    if names is not None and set(names) in (set(before), set(map(_class_of, before))):
        return _by_name(path, before, numbers, names, notes)
    if _are_files(before):
        return _images(path, numbers, names), names
    if all(as_number(word.split()[0]) is not None for word in before):
        raise Refusal(f"{path} has a number at both ends of its lines, such as {before[0][:40]!r}; {FORMS}")
    if not _are_labels(numbers):
        return _by_name(path, before, numbers, names, notes)
    if len(numbers) <= 2 * (max(numbers) + 1):
        raise Refusal(
            f"{path} has lines such as {before[0][:40]!r} {numbers[0]}, which could be `name count` or `path label`;"
            " give a JSON map from class name to number, or --classes FILE with these names"
        )
    return _images(path, numbers, names), names


def _are_files(names: Sequence[str]) -> bool:
    """Does each have an extension, few in all, as files of one image have? Directories, and names with a dot in them,
    have not."""
    found = [EXTENSION.fullmatch(name) for name in names]
    kinds = {match[1].lower() for match in found if match}
    return all(found) and len(kinds) <= 3 and not kinds & set(OF_A_CLASS)


def _class_of(name: str) -> str:
    """The class of a directory or file: train/ant/ and lists/ant.txt are of ant."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    match = EXTENSION.fullmatch(last)
    return last.removesuffix(f".{match[1]}") if match and match[1].lower() in OF_A_CLASS else last


def _images(path: Path, labels: list[int], names: Sequence[str] | None) -> list[int]:
    if max(labels) >= MOST_CLASSES:
        raise Refusal(f"{path} has class id {max(labels)}; the most is {MOST_CLASSES - 1:,}")
    return np.bincount(labels, minlength=len(names or ())).tolist()


def _by_name(
    path: Path, keys: list[str], counts: list[int], names: Sequence[str] | None, notes: list[str]
) -> tuple[list[int], Sequence[str] | None]:
    short = list(map(_class_of, keys))
    if set(keys) != set(names or ()) and len(set(short)) == len(set(keys)):
        keys = short
    of_key = dict(zip(keys, counts, strict=True))
    if len(of_key) < len(keys):
        (key, times), *_ = Counter(keys).most_common(1)
        raise Refusal(f"{path} has {key[:40]!r} in {times} lines; {FORMS}")
    return by_key(of_key, names, str(path), notes)
