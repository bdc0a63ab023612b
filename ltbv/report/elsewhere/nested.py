"""What do nested lists and dictionaries say? The values of a .json or a .pt, as arrays in the forms of an .npz.

dictionary of fields   logits, preds, labels, …, as in an .npz
list of dictionaries   one for each test point, with the same fields
dictionary by name     of each test point: its prediction, or its scores
list, or nested lists  one array: predictions (N,), (R, N), scores (N, C), (R, N, C)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.archives import Archive
from ltbv.report.elsewhere.arrays import Held
from ltbv.report.elsewhere.npz import read_archive, read_bare
from ltbv.report.elsewhere.roles import ALIASES, DOCUMENTED, plain
from ltbv.report.elsewhere.rows import LOGITS, PROBS, Rows
from ltbv.report.elsewhere.twice import RIGHT, SHARES

KNOWN = {
    LOGITS,
    PROBS,
    *RIGHT,
    *SHARES,
    *(name for of in (DOCUMENTED, ALIASES) for names in of.values() for name in names),
}
DEEPEST = 3  # R, N, C
KINDS = ({int}, {float}, {int, float}, {str}, {bool})  # of which an array may be


def read_nested(path: Path, value: Any, run: str, called: Mapping[str, str], *, several: bool) -> Rows:
    """The rows of a file that holds this value: lists, dictionaries, numbers, text and arrays."""
    value = by_field(path, value, called)
    if isinstance(value, dict):
        return read_archive(Archive.holding(path, value, called), run, several=several)
    return read_bare(path, Held(str(path), value), run, several=several)


def by_field(path: Path, value: Any, called: Mapping[str, str]) -> dict[str, np.ndarray | str] | np.ndarray:
    """Arrays by the name of the field, or why it is none; or the one array that there is."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = _columns(path, value)
    if not isinstance(value, dict):
        array = as_array(value)
        if isinstance(array, str):
            raise Refusal(f"{path} {array}")
        if not array.size or not array.ndim:
            raise Refusal(f"{path} holds no values for test points, but an array of shape {array.shape}")
        return array
    if any(not isinstance(name, str) for name in value):
        raise Refusal(f"{path} has a field whose name is no text")
    if value and not any(plain(name) in KNOWN or name in called.values() for name in value):
        of_points = as_array(list(value.values()))
        kinds = {1: ("iuUS", "preds"), 2: ("f", "scores")}
        if not isinstance(of_points, str) and of_points.size and of_points.ndim in kinds:
            of_kind, what = kinds[of_points.ndim]
            if of_points.dtype.kind in of_kind:
                what = _kind(of_points) if what == "scores" else what
                return {"sample_id": np.array(list(value)), what: of_points}
    return {name: as_array(of) for name, of in value.items()}


def _kind(scores: np.ndarray) -> str:
    return PROBS if scores.min() >= 0 and scores.max() <= 1 else LOGITS


def _columns(path: Path, rows: list[Any]) -> dict[str, list[Any]]:
    """The fields of dictionaries that all have the same."""
    names = rows[0].keys()
    for at, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != names:
            raise Refusal(f"{path} is a list whose item {at} (from 0) has other fields than the first")
    return {name: [row[name] for row in rows] for name in names}


def as_array(value: Any) -> np.ndarray | str:
    """Nested lists of numbers of one type or of text as an array; else why they are none."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        alike = {(of.shape, of.dtype) if isinstance(of, np.ndarray) else None for of in value}
        return np.stack(value) if len(alike) == 1 else "has tensors of different shapes or types"
    shape, level = [], value
    while isinstance(level, list) and level:
        shape.append(len(level))
        level = level[0]
        if len(shape) > DEEPEST:
            return f"has lists in lists, more than {DEEPEST} deep"
    if level == []:
        return "holds no values, but an empty list"
    flat = [value]
    for length in shape:
        if any(not isinstance(of, list) or len(of) != length for of in flat):
            return "has lists of different lengths"
        flat = [of for part in flat for of in part]
    kinds = set(map(type, flat))
    if kinds not in KINDS:
        odd = sorted(kind.__name__ for kind in kinds)
        return f"has values of {', '.join(odd)}, not of numbers or of text"
    if int in kinds and (float in kinds or any(not -(2**63) <= of < 2**63 for of in flat)):
        if any(abs(of) > 1e300 for of in flat):
            return "has whole numbers that are too large"
        return np.array(flat, np.float64).reshape(shape)
    if kinds == {str}:
        if any("\0" in of or not _is_text(of) for of in flat):
            return "has text that is none"
        longest = max(map(len, flat))
        if longest * len(flat) > 2**28:
            return "has text that is too long"
    return np.array(flat).reshape(shape)


def _is_text(word: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in word)
