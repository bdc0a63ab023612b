"""What is each field of a file about: the run, the test point, the label, the prediction? Its name or its values say.

A field that is used nowhere is named in a caution. One that looks like a run, a test point or a method is used or
refused: left unread, it would make test points of runs, or mix what belongs apart.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ltbv.errors import Refusal

WHOLE = re.compile(r"-?[0-9]{1,18}")
OF_POINT = re.compile(r"-?[0-9]+(\.0*)?([eE]\+?[0-9]{1,2})?")
DOCUMENTED = {
    "run": ("run",),
    "ids": ("sample", "sample_id", "paths"),
    "label": ("label", "labels"),
    "pred": ("pred", "preds"),
}
ALIASES = {  # in the order of preference, after the documented names; see `plain`
    "run": ("runs", "run_id", "run_name", "seed", "random_seed", "trial", "replicate", "repetition", "resample"),
    "ids": (
        *("sample_ids", "samples", "path", "image_path", "img_path", "file_path", "filepath", "filename", "filenames"),
        *("file_name", "file_names", "file", "files", "image", "images", "img", "image_id", "image_ids", "image_name"),
        *("img_id", "img_name", "id", "ids", "uid", "uuid", "key", "keys", "name", "names"),
    ),
    "label": ("target", "targets", "y_true", "true_label", "true_labels", "ground_truth", "gt"),
    "pred": ("prediction", "predictions", "predicted", "predicted_label", "pred_label", "y_pred"),
    "mask": ("mask", "masked", "missing", "is_missing", "isna", "ignore", "ignored", "valid", "is_valid"),
    "method": ("method", "methods", "model", "algorithm", "classifier", "approach", "architecture"),
    "row": (
        "index",
        "indices",
        "idx",
        "row",
        "unnamed:_0",
        "__index_level_0__",
        "",
    ),  # ids, but only if nothing else is
}
CALLED = {  # what a role is called by those who say which field has it
    "run": "run",
    "sample": "ids",
    "label": "label",
    "prediction": "pred",
    "pred": "pred",
    "logits": "logits",
    "probs": "probs",
}
ANSWERS = {"true", "false", "yes", "no", "t", "f", "nan", "none", ""}  # text that names nothing


def called(words: Sequence[str]) -> dict[str, str]:
    """What is typed as ROLE=FIELD, with commas between: role -> name of the field that has it."""
    found: dict[str, str] = {}
    for word in (part.strip() for of in words for part in of.split(",")):
        said, equals, name = word.partition("=")
        if not (equals and said in CALLED and name):
            known = ", ".join(CALLED)
            raise Refusal(f"{word!r} is not ROLE=COLUMN, such as label=target; a role is one of {known}")
        if (role := CALLED[said]) in found or name in found.values():
            raise Refusal(f"columns have {said!r} or {name!r} twice: {','.join(words)}")
        found[role] = name
    return found


def some_of(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def plain(name: str) -> str:
    """A name in small letters, with _ for blanks and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


@dataclass(frozen=True, eq=False)
class Field:
    """One value for each of n rows: numbers, or text."""

    name: str
    values: np.ndarray

    @cached_property
    def _factors(self) -> tuple[np.ndarray, np.ndarray]:
        codes, distinct = pd.factorize(self.values, use_na_sentinel=False)
        return codes, np.asarray(distinct)

    @property
    def codes(self) -> np.ndarray:
        """(n,) which of the distinct values a row has."""
        return self._factors[0]

    @property
    def distinct(self) -> np.ndarray:
        """The values there are, each once."""
        return self._factors[1]

    @cached_property
    def whole(self) -> bool:
        """Are these whole numbers, as numbers or as text?"""
        if self.distinct.dtype.kind in "OUS":
            return all(WHOLE.fullmatch(_as_text(value)) for value in self.distinct)
        if self.distinct.dtype.kind == "f":
            return bool((np.abs(self.distinct) < 2**53).all() and (self.distinct % 1 == 0).all())
        return self.distinct.dtype.kind in "iu"

    @cached_property
    def numbers(self) -> bool:
        """May these be whole numbers of test points, of any number of digits, or written as floats?"""
        if self.distinct.dtype.kind in "OUS":
            return all(OF_POINT.fullmatch(_as_text(value)) for value in self.distinct)
        return self.whole

    @cached_property
    def text(self) -> bool:
        """Do some values name something?"""
        if self.distinct.dtype.kind not in "OUS":
            return False
        words = [word for value in self.distinct if (word := _as_text(value).strip()).lower() not in ANSWERS]
        return bool(pd.to_numeric(pd.Series(words, dtype=object), errors="coerce").isna().any())


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Roles:
    """Names of the fields that say what; None: no field does.

    guesses    where `ids` is None, what may name the test points, the likeliest first: other files must agree
    strangers  those of them whose name says nothing
    unnamed    refuses what matters if none of the guesses is right
    unused     all others, the guesses among them
    """

    run: str | None
    ids: str | None
    label: str | None
    pred: str | None
    guesses: tuple[str, ...]
    strangers: tuple[str, ...]
    unnamed: Callable[[], None]
    unused: tuple[str, ...]


def assign(path: Path, arrays: Mapping[str, np.ndarray], called: Mapping[str, str]) -> Roles:
    """Roles of the fields of a file, each (n,); refused where one that matters cannot be told. Fields that are `called`
    have their role whatever they hold."""
    fields = {name: Field(name, values) for name, values in arrays.items()}
    for role, name in called.items():
        if role in ("run", "ids") and name not in fields:
            there = some_of(sorted(map(repr, fields)))
            raise Refusal(f"{path} has no {name!r} with a value for each row, as --columns says; it has: {there}")
    for name, field in fields.items():
        refuse_mask(path, name, field.distinct)
    label, pred = (_of_classes(path, fields, role, called) for role in ("label", "pred"))
    left = {name: field for name, field in fields.items() if name not in (label, pred)}
    for field in _called(left, ALIASES["method"]):
        if len(field.distinct) > 1:
            raise Refusal(
                f"{path} has {len(field.distinct)} methods in {field.name!r}, such as {_some(field)}; give one file for"
                " each, NAME=FILE"
            )
    said_ids, said_run = (fields[called[role]] if role in called else None for role in ("ids", "run"))
    left = {name: field for name, field in left.items() if field is not said_ids}
    run = (
        said_run
        or next(iter(_called(left, DOCUMENTED["run"])), None)
        or next((one for one in _called(left, ALIASES["run"]) if 1 < len(one.distinct) < len(one.values)), None)
    )
    left = {name: field for name, field in left.items() if field is not run}
    if run is not None:
        _refuse_other_runs(path, run, _called(left, (*DOCUMENTED["run"], *ALIASES["run"])))
    run_of = run.codes if run else np.zeros(len(next(iter(fields.values())).values) if fields else 0, np.intp)
    ids, guesses, strangers = _ids(left, run_of) if said_ids is None else (said_ids, [], [])
    rest = [field for field in left.values() if field is not ids]

    def unnamed() -> None:
        known = [fields[name].codes for name in (label, pred) if name is not None]
        labels = fields[label].codes if label is not None else None
        others = [field for field in rest if field not in guesses]  # a guess says no more than that rows differ
        for field in sorted(others, key=lambda field: plain(field.name) in _ID_NAMES):  # last, they repeat for a reason
            _refuse_if_it_matters(path, field, run_of, known, labels)

    if ids is None and not guesses:
        unnamed()
    return Roles(
        None if run is None else run.name,
        None if ids is None else ids.name,
        label,
        pred,
        guesses=tuple(field.name for field in guesses),
        strangers=tuple(field.name for field in strangers),
        unnamed=unnamed,
        unused=tuple(field.name for field in rest),
    )


def _refuse_other_runs(path: Path, run: Field, others: list[Field]) -> None:
    """Refuses a second field that is called as runs are, and divides one of them; what differs in each row does not."""
    for other in others:
        both = pd.DataFrame({"run": run.codes, "other": other.codes}).drop_duplicates()
        if len(run.distinct) < len(both) < run.codes.size:
            of = int(both["run"].value_counts().idxmax())
            own = [_as_text(other.distinct[code]) for code in both["other"][both["run"] == of][:2]]
            raise Refusal(
                f"{path} has {run.name!r} and {other.name!r}, which differ: rows of run {_as_text(run.distinct[of])!r}"
                f" have {other.name} {own[0]!r} and {own[1]!r}; take out what does not name the runs"
            )


def refuse_mask(path: Path, name: str, distinct: np.ndarray) -> None:
    """Refuses a field that says which values are missing, where some are."""
    if plain(name) in ALIASES["mask"] and len(distinct) > 1:
        raise Refusal(
            f"{path} has {name!r}, which says that some rows do not count; leave these points out of all files, and"
            f" take {name!r} out"
        )


def _called(fields: Mapping[str, Field], names: Sequence[str]) -> list[Field]:
    """Fields with one of these names, in the order of the names."""
    found = [field for field in fields.values() if plain(field.name) in names]
    return sorted(found, key=lambda field: names.index(plain(field.name)))


def _of_classes(path: Path, fields: Mapping[str, Field], role: str, called: Mapping[str, str]) -> str | None:
    """The field of labels or predictions; two that say different things are refused. Names of classes are taken where
    there are no ids."""
    if role in called:
        return called[role] if called[role] in fields else None
    left = {name: field for name, field in fields.items() if name not in called.values()}
    others = _called(left, ALIASES[role])
    others = [one for one in others if one.whole] or [one for one in others if one.text]
    found = [*_called(left, DOCUMENTED[role]), *others]
    for other in found[1:]:
        if other.whole == found[0].whole and _differ(found[0], other):
            raise Refusal(f"{path} has {found[0].name!r} and {other.name!r}, which differ: take out what is no {role}")
    return found[0].name if found else None


def _differ(one: Field, other: Field) -> bool:
    if one.whole:
        return not np.array_equal(_numbers(one), _numbers(other))
    return [_as_text(value) for value in one.distinct] != [_as_text(value) for value in other.distinct] or bool(
        (one.codes != other.codes).any()
    )


def _numbers(field: Field) -> np.ndarray:
    """Whole numbers (n,)."""
    of_text = field.distinct.dtype.kind in "OUS"
    return np.array([int(_as_text(value) if of_text else value) for value in field.distinct])[field.codes]


def _ids(fields: Mapping[str, Field], run_of: np.ndarray) -> tuple[Field | None, list[Field], list[Field]]:
    """The field that names the test points; else what may, since its values differ within each run, and which of that
    has an unknown name.

    A known name is enough, whatever the values; of several, the documented comes first, and an alias that only counts
    rows last.
    """
    able = {name: field for name, field in fields.items() if run_of.size > 1 and _differs(field, run_of)}
    if documented := _called(able, DOCUMENTED["ids"]) or _called(fields, DOCUMENTED["ids"]):
        return documented[0], [], []
    if known := sorted(_called(able, ALIASES["ids"]), key=lambda field: _counts_rows(field, run_of)):
        return known[0], [], []
    of_rows = _called(able, ALIASES["row"])
    strangers = [field for field in able.values() if field not in of_rows]
    strangers.sort(key=lambda field: (not field.text, not field.numbers))
    counts = [field for field in of_rows if _counts_rows(field, run_of)]
    return None, [*(field for field in of_rows if field not in counts), *strangers, *counts], strangers


def _differs(field: Field, run_of: np.ndarray) -> bool:
    return _pairs(run_of, field.codes) == field.codes.size


_ID_NAMES = (*DOCUMENTED["ids"], *ALIASES["ids"])


def _counts_rows(field: Field, run_of: np.ndarray) -> bool:
    """Are these 0, 1, 2, … or 1, 2, 3, … in each run?"""
    if not field.whole:
        return False
    order = np.argsort(run_of, kind="stable")
    sizes = np.bincount(run_of)
    place = np.empty(run_of.size, np.int64)
    place[order] = np.arange(run_of.size) - np.repeat(sizes.cumsum() - sizes, sizes)
    above = _numbers(field) - place
    return bool((above == above[0]).all() and above[0] in (0, 1))


def _pairs(*codes: np.ndarray) -> int:
    """How many different rows these codes (n,) make."""
    return len(_joined(*codes)[1])


def _joined(*codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    whole = np.zeros(codes[0].size, np.int64)
    for code in codes:
        whole, distinct = pd.factorize(whole * (int(code.max(initial=0)) + 1) + code)
    return whole, distinct


def _refuse_if_it_matters(
    path: Path, field: Field, run_of: np.ndarray, known: list[np.ndarray], labels: np.ndarray | None
) -> None:
    """Refuses a field that, where nothing names the test points, may tell runs or methods apart, or name something."""
    if len(field.distinct) < 2 or _pairs(run_of, *known) == _pairs(run_of, *known, field.codes):
        return  # the same in each row, or no more than run, label and prediction say already
    cure = "call it run or sample if it is that, give a file for each method if it tells methods apart, or take it out"
    if field.text:
        raise Refusal(f"{path} has {field.name!r}, which is not known: text such as {_some(field)}; {cure}")
    of_value = np.bincount(field.codes)
    if labels is not None and of_value.min() == of_value.max() > 1 and _pairs(field.codes, labels) == of_value.size:
        raise Refusal(
            f"{path} has {field.name!r}, whose values come {of_value[0]} times each, with one label, as names of test"
            f" points do in {of_value[0]} runs: name the runs in a column run, or take it out"
        )
    groups, distinct = _joined(run_of, field.codes)
    size, more = divmod(groups.size, len(distinct))
    if labels is None or more or size < 2 or (np.bincount(groups) != size).any():
        return
    of_group = labels[np.lexsort((labels, groups))].reshape(len(distinct), size)
    if (of_group == of_group[0]).all():
        raise Refusal(
            f"{path} has {field.name!r}, which is not known and divides the rows into {len(distinct)} parts with the"
            f" same labels, as runs or methods do; {cure}"
        )


def _some(field: Field) -> str:
    return ", ".join(repr(_as_text(value)[:40]) for value in field.distinct[:3])
