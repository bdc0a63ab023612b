"""How are predictions read from a table, .csv or .parquet? One file holds one run or many.

    run      name of the run (absent: one run)          pred       predicted class id
    sample   names the test point (absent: by order)    p_0, p_1, … probability of each class
    label    true class id (absent: --labels)
Either `pred` or all of `p_0` … is there; with both, `pred` is the prediction. Other names that are read as these, and
what becomes of further columns: see `roles`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from ltbv.errors import Refusal
from ltbv.files.reading import reading
from ltbv.report.elsewhere import delimited, parquet
from ltbv.report.elsewhere.roles import WHOLE, Roles, assign
from ltbv.report.elsewhere.rows import (
    BLOCK,
    LOGITS,
    MOST_POINTS,
    NOTHING,
    PROBS,
    Guesses,
    Labelled,
    Rows,
    Scores,
    as_ids,
)
from ltbv.report.elsewhere.twice import Claims

MOST_NUMBERED = 30
MOST_ROWS = 10 * MOST_POINTS  # of all runs together; a small .parquet file can claim any number


def read_table(
    path: Path, run: str, num_classes: int | None, *, labelled: bool, called: Mapping[str, str] = NOTHING
) -> Rows:
    """The rows of a .csv or .parquet file.

    run       name of the run where there is no column of that name
    labelled  labels are given elsewhere, the column may be absent
    called    role -> name of the column that has it, see `roles.called`; of scores what stands before the number or the
              class name
    """
    columns = _columns(path)
    stems = [called[kind] for kind in (LOGITS, PROBS) if kind in called] or ["p_"]
    named = _named_scores(columns, stems[0]) if stems[0] in called.values() else {}
    scores = [*named.values()] or _score_columns(path, columns, num_classes, stems[0])
    numbered = _without(_numbered(columns), scores)
    others = _without(columns, [*scores, *numbered])
    if not (others or scores):
        raise _missing(path, "'pred' (nor p_0, p_1, …)", columns)
    fields = _fields(path, others or scores[:1])  # without any of them, one score tells how many rows there are
    rows = len(next(iter(fields.values())))
    roles = assign(path, fields if others else {}, _only(called, ("run", "ids", "label", "pred")))
    if roles.pred is None and (not scores or "pred" in called):
        raise _missing(path, f"{called['pred']!r}" if "pred" in called else "'pred' (nor p_0, p_1, …)", columns)
    if roles.label is None and not labelled:
        raise _missing(path, repr(called.get("label", "label")), columns)
    labels, preds = (
        None if name is None else _of_classes(fields[name], f"{path}: {name}") for name in (roles.label, roles.pred)
    )
    codes, names = pd.factorize(_text(fields[roles.run])) if roles.run is not None else (np.zeros(rows, np.intp), [run])

    kind = LOGITS if LOGITS in called else PROBS

    def blocks() -> Iterator[np.ndarray]:
        with _reading(path):
            yield from _format(path).numbers(path, scores, max(1, BLOCK // len(scores)))

    return Rows(
        path,
        tuple(str(name) for name in names),
        codes,
        labels=labels,
        ids=_ids(path, fields, roles.ids),
        preds=preds,
        scores=Scores(kind, blocks, len(scores), tuple(named) or None) if scores else None,
        claims=Claims.of({name: fields[name] for name in roles.unused}),
        unused=(*roles.unused, *numbered),
        guesses=_guesses(fields, roles),
    )


def _ids(path: Path, fields: dict[str, np.ndarray], name: str | None) -> np.ndarray | None:
    return None if name is None else as_ids(_text(fields[name]), str(path))


def _guesses(fields: dict[str, np.ndarray], roles: Roles) -> Guesses:
    return Guesses.of(roles, lambda name: _text(fields[name]))


def _only(called: Mapping[str, str], roles: tuple[str, ...], there: Iterable[str] | None = None) -> dict[str, str]:
    """Of what is called, these roles, whose columns are `there`."""
    return {role: name for role, name in called.items() if role in roles and (there is None or name in there)}


def read_label_columns(path: Path, called: Mapping[str, str] = NOTHING) -> Labelled:
    """The labels of a table."""
    columns = _columns(path)
    numbered = _numbered(columns)
    fields = _fields(path, _without(columns, numbered) or columns[:1])
    roles = assign(path, fields, _only(called, ("ids", "label"), fields))
    if roles.label is None:
        raise _missing(path, "'label'", columns)
    if roles.run is not None and len(set(fields[roles.run].tolist())) > 1:
        raise Refusal(f"{path} has labels of several runs in {roles.run!r}; give those of one")
    unused = [*roles.unused, *([roles.pred] if roles.pred is not None else []), *numbered]
    labels = _of_classes(fields[roles.label], f"{path}: {roles.label}")
    return Labelled(labels, _ids(path, fields, roles.ids), _guesses(fields, roles), tuple(unused))


def _missing(path: Path, what: str, columns: list[str]) -> Refusal:
    more = ", …" if len(columns) > 8 else ""
    return Refusal(f"{path} has no column {what}; it has: {', '.join(map(repr, columns[:8]))}{more}")


def _named_scores(columns: list[str], stem: str) -> dict[str, str]:
    """Class name -> the column that begins with `stem` and ends with it; none where a number stands there."""
    found = {name.removeprefix(stem): name for name in columns if name.startswith(stem) and name != stem}
    return {} if any(re.fullmatch("[0-9]{1,7}", name) for name in found) else found


def _score_columns(path: Path, columns: list[str], num_classes: int | None, stem: str) -> list[str]:
    """p_0 … p_{C-1} in this order, or nothing where the file has no such columns; C is None where it is not known.
    `stem` is what stands before the number."""
    there = {name for name in columns if re.fullmatch(rf"{re.escape(stem)}[0-9]{{1,7}}", name)}
    if not there and stem == "p_":
        return []
    if not there:
        raise _missing(path, f"{stem + '0'!r}", columns)
    if num_classes is None:
        num_classes = max(len(there), 2)
    wanted = [f"{stem}{k}" for k in range(num_classes)]
    if missing := [name for name in wanted if name not in there]:
        raise Refusal(f"{path} has no column {missing[0]!r}, but there are {num_classes} classes")
    if beyond := sorted(there - set(wanted)):
        raise Refusal(f"{path} has a column {beyond[0]!r}, but there are only {num_classes} classes")
    return wanted


def _numbered(columns: list[str]) -> list[str]:
    """Columns of which there are many with one name and a number, such as logits: values of classes or features, which
    are not looked at one by one."""
    stems = [re.sub(r"[0-9]+$", "", name) for name in columns]
    times = Counter(stem for stem, name in zip(stems, columns, strict=True) if stem != name)
    return [name for stem, name in zip(stems, columns, strict=True) if stem != name and times[stem] > MOST_NUMBERED]


def _without(names: list[str], others: list[str]) -> list[str]:
    taken = set(others)
    return [name for name in names if name not in taken]


class Format(Protocol):
    """How tables of a format are read."""

    def names(self, path: Path, /) -> list[str]: ...

    def fields(self, path: Path, wanted: Sequence[str], most: int, /) -> dict[str, np.ndarray]: ...

    def numbers(self, path: Path, wanted: Sequence[str], rows: int, /) -> Iterator[np.ndarray]: ...


def _format(path: Path) -> Format:
    return parquet if path.suffix.lower() == ".parquet" else delimited


def _columns(path: Path) -> list[str]:
    """Names of the columns, each of which is there once."""
    with _reading(path):
        columns = _format(path).names(path)
    if len(columns) == 1 and (others := [mark for mark in ";\t|" if mark in columns[0]]):
        raise Refusal(f"{path} has {others[0]!r} between its columns: the separator is {others[0]!r}, and must be ','")
    if repeated := [name for name, times in Counter(columns).items() if times > 1]:
        raise Refusal(f"{path} has the column {repeated[0]!r} {columns.count(repeated[0])} times")
    return columns


def _fields(path: Path, columns: list[str]) -> dict[str, np.ndarray]:
    with _reading(path):
        return _format(path).fields(path, columns, MOST_ROWS)


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, lambda why: f"cannot be read as {path.suffix[1:]}: {why}")


def _text(values: np.ndarray) -> np.ndarray:
    """Names (n,) as text, whatever type a parquet file gives them."""
    return values if values.dtype == object else values.astype(np.str_).astype(object)


def _of_classes(values: np.ndarray, where: str) -> np.ndarray:
    """Class ids (n,) int64, or names of classes as text without blanks around it, where some are no whole numbers;
    whether they are classes is not checked here."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind == "f" and (missing := np.isnan(values)).any():
        raise Refusal(f"{where} is missing in row {int(missing.argmax())} (from 0), and {missing.sum()} times in all")
    codes, distinct = pd.factorize(_text(values))
    if not all(WHOLE.fullmatch(word) for word in distinct):
        return np.array([word.strip() for word in distinct], object)[codes]
    return np.array([int(word) for word in distinct], np.int64)[codes]
