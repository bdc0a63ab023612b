"""How do runs from anywhere become the evidence of a report?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ltbv import stats
from ltbv.errors import Refusal, unknown
from ltbv.report.elsewhere.rows import PROBS, Judged
from ltbv.report.evidence import MOST_LOGITS, REFERENCE, SPLITS, Evidence, MethodRuns, Setting
from ltbv.report.names import encoded

UNKNOWN = "unknown"
FIELDS = ("p_true", "p_negative", "negatives", "experts_used", "sum_p2", "ranks")
FROM_ZERO = "count class ids from 0 everywhere"


@dataclass(frozen=True)
class Run:
    """One run: `predictions` (N,) in the order of the test points, and what its scores say, if it has any.

    `of` makes one: predictions that are known need not be those of the highest score. `table` are the scores (N, C)
    themselves, of the kind that `scores` says, where they are in memory anyway.
    """

    name: str
    predictions: np.ndarray
    scores: Judged | None
    table: np.ndarray | None = None

    @classmethod
    def of(cls, name: str, predictions: np.ndarray | None, scores: Judged | None) -> "Run":
        """A run with the predictions given, or else those of the scores; ties among scores then decided something."""
        if predictions is None:
            assert scores is not None  # a run has one of the two, or both
            return cls(name, scores.predictions, scores)
        return cls(name, predictions, scores and replace(scores, tied=None))

    def part(self, name: str, rows: np.ndarray) -> "Run":
        """A run of these rows of it, in the order given."""
        table = None if self.table is None else self.table[rows]
        return Run(name, self.predictions[rows], self.scores and self.scores.take(rows), table)


def in_order(sources: Mapping[Any, Any], reference: Any = None) -> tuple[dict[str, Any], list[str]]:
    """The methods by name, the reference first: that of this name, or 'ce', or the first of several, which a line then
    says. Names that are numbers become their text, {0.5: …} is '0.5', and what no file can hold becomes `\\udcff`."""
    names = [encoded(str(key)).decode() for key in sources]
    named = dict(zip(names, sources.values(), strict=True))
    if len(named) < len(sources):
        raise Refusal(f"two methods are called {next(name for name in names if names.count(name) > 1)!r}")
    if reference is not None and str(reference) not in named:
        raise unknown("reference", str(reference), named)
    if unnamed := [key for key in named if not key.strip()]:
        raise Refusal(f"a method is called {unnamed[0]!r}: give it a name")
    wanted = REFERENCE if reference is None else str(reference)
    order = sorted(named, key=lambda key: key != wanted)
    named = {key: named[key] for key in order}
    if order[0] == wanted or len(order) == 1:
        return named, []
    return named, [f"no method is called {REFERENCE!r}: {order[0]!r}, the first, is the reference."]


def run_numbers(names: Sequence[str]) -> tuple[list[int], bool]:
    """The number of each run, and whether its name says it: the one number in which the names differ.

    Names that do not say it are numbered from 0 in their order. Example: seed3_epoch200 and seed7_epoch200 are runs
    3 and 7; a and b are runs 0 and 1.
    """
    found = [[int(digits) for digits in re.findall(r"[0-9]{1,9}", name)] for name in names]
    if len({len(numbers) for numbers in found}) == 1:
        places = list(zip(*found, strict=True))
        varying = [place for place in places if len(set(place)) > 1] if len(names) > 1 else places
        if len(varying) == 1 and len(set(varying[0])) == len(names):
            return list(varying[0]), True
    order = sorted(range(len(names)), key=lambda at: (found[at], names[at]))
    numbers = [0] * len(names)
    for number, at in enumerate(order):
        numbers[at] = number
    return numbers, False


def _refuse_numbers_under_two_names(key: str, names: Sequence[str]) -> None:
    """Refuses runs such as ce_0 and ride_0, or seed0_best and seed0_last: they are of two methods, or of one run."""
    of_numbers: dict[tuple[str, ...], str] = {}
    for name in names:
        numbers = tuple(re.findall(r"[0-9]+", name))
        if (other := of_numbers.setdefault(numbers, name)) != name and numbers:
            raise Refusal(
                f"{key} has runs {other!r} and {name!r}, the same numbers under two names: if they are of two"
                " methods, give each a directory of its own, NAME=DIR"
            )


def method_runs(key: str, runs: list[Run], notes: list[str]) -> MethodRuns:
    """One method, its runs by number; what a reader must know of them is added to `notes`."""
    if not runs:
        raise Refusal(f"{key} has no runs")
    _refuse_numbers_under_two_names(key, [run.name for run in runs])
    numbers, named = run_numbers([run.name for run in runs])
    if not named and len(runs) > 1:
        notes.append(f"{key}: names of runs hold no number of their own; runs are numbered in the order of names.")
    in_order = sorted(zip(numbers, runs, strict=True), key=lambda pair: pair[0])
    scores = [run.scores for _, run in in_order]
    first = {one.kind: run.name for one, (_, run) in zip(scores, in_order, strict=True) if one}
    if len(first) > 1:
        raise Refusal(
            f"{key}: {' and '.join(f'run {name!r} has {kind}' for kind, name in first.items())}; give the same for all"
            " runs of a method (probs are scores from 0 to 1, unless a field or argument says what they are)"
        )
    if unscored := scores.count(None):
        which = "" if unscored == len(scores) else f" in {unscored} of {len(scores)} runs"
        notes.append(f"{key}: predicted labels alone{which}, so nothing is said of its hardest negatives.")
    total = sum(run.predictions.size for run in runs)
    if differ := sum(int(one.differs.sum()) for one in scores if one):
        notes.append(
            f"{key}: {differ:,} of {total:,} predictions are not the class of the highest score beside them; the"
            " predictions are used as they are, scores for the hardest negatives alone."
        )
    if ties := sum(int(one.tied.sum()) for one in scores if one and one.tied is not None):
        coarse = next(one.coarse for one in scores if one and one.tied is not None and one.tied.any())
        notes.append(f"{key}: {coarse} scores tie in {ties:,} of {total:,} predictions; the lower class is taken.")
    if off_by := max((one.off_by for one in scores if one), default=0):
        notes.append(
            f"{key}: probabilities are rounded, their sums are up to {off_by:.2g} from 1; they are taken as they are."
        )
    known: dict[str, Any] = {}
    if not unscored:
        known = {name: _stack([getattr(one, name) for one in scores]) for name in FIELDS}
    tables = {number: (run.scores.kind, run.table) for number, run in in_order if run.scores and run.table is not None}
    if len(tables) == len(runs) and sum(table.size for _, table in tables.values()) <= MOST_LOGITS:
        known["logits"] = partial(_logits, tables)
    small = np.uint16 if max(int(run.predictions.max()) for run in runs) < 2**16 else np.uint32
    return MethodRuns(
        key,
        key,
        tuple(number for number, _ in in_order),
        np.stack([run.predictions.astype(small) for _, run in in_order]),
        **known,
    )


def _stack(rows: list[np.ndarray | None]) -> np.ndarray | None:
    """(R, N), or None where a run has none."""
    known = [row for row in rows if row is not None]
    return np.stack(known) if len(known) == len(rows) else None


def _logits(tables: Mapping[int, tuple[str, np.ndarray]], runs: Sequence[int]) -> np.ndarray:
    """Logits (R, N, C) of the runs of these numbers, of a kind and a table each: of probabilities, their logarithms."""
    with np.errstate(divide="ignore"):
        return np.stack([np.log(table) if kind == PROBS else table for kind, table in map(tables.__getitem__, runs)])


def without_counts(num_classes: int, source: str) -> str:
    """What a reader must know where training images of the classes are not known."""
    return (
        "no training counts are given, so nothing is said of many, medium and few, and nothing is claimed;"
        f" {num_classes} classes are taken from {source}."
    )


def evidence_of(
    methods: list[MethodRuns],
    labels: np.ndarray,
    train_counts: np.ndarray | None,
    class_names: tuple[str, ...] | None,
    notes: list[str],
    *,
    num_classes: int,
    many: float,
    few: float,
    dataset: str,
    scheme: str = UNKNOWN,
    seed: int | None = None,
    shared: np.ndarray | None = None,
    data_counts: np.ndarray | None = None,
) -> Evidence:
    """Evidence with what is known where no study directory says more.

    train_counts (C,) training images of each class; None: not known, and no class is in a split
    many, few    a class with more than `many` training images is many, with fewer than `few` is few
    data_counts  (C,) images of each class in the data set that `many` and `few` are meant for; None: `train_counts`
    """
    if train_counts is not None:
        _refuse_shifted_counts(labels, train_counts)
    _refuse_shifted(labels, methods)
    if train_counts is None:
        splits, head, imbalance = dict.fromkeys(SPLITS, np.empty(0, np.intp)), None, None
    else:
        notes = [*notes, *_untrained(labels, train_counts)]
        present = train_counts[train_counts > 0]
        head, imbalance = int(present.max()), float(present.max() / present.min())
        splits = stats.splits(train_counts if data_counts is None else data_counts, many=many, few=few)
    return Evidence(
        labels=np.asarray(labels, np.int64),
        class_names=tuple(encoded(name).decode() for name in class_names or map("class {}".format, range(num_classes))),
        train_counts=train_counts,
        splits=splits,
        methods=tuple(methods),
        setting=Setting(
            dataset=dataset,
            scheme=scheme,
            head=head,
            imbalance=imbalance,
            epochs=None,
            seed=seed,
            shared=np.full(num_classes, np.nan) if shared is None else shared,
            notes=tuple(notes),
        ),
    )


def _refuse_shifted_counts(labels: np.ndarray, train_counts: np.ndarray) -> None:
    """Refuses class ids that count from 1 on one side, labels or training counts, and from 0 on the other."""
    tested, trained = np.unique(labels), np.flatnonzero(train_counts)
    for above, below, first, second in (
        (trained, tested, "the training counts", "the labels of the test points"),
        (tested, trained, "the labels of the test points", "the training counts"),
    ):
        only, other = np.setdiff1d(above, below), np.setdiff1d(below, above)
        if other.size == 1 and other[0] == below.min() and only.size == 1 and only[0] == above.max() == below.max() + 1:
            raise Refusal(
                f"{first} have class {only[0]}, but not {other[0]}, and {second} have {other[0]}, but not {only[0]}:"
                f" {first} seem to count from {other[0] + 1}, off by one; {FROM_ZERO}"
            )


def _refuse_shifted(labels: np.ndarray, methods: list[MethodRuns]) -> None:
    """Refuses class ids that count from 1 among labels and from 0 among predictions, or the other way round."""
    for method in methods:
        predictions = method.predictions.astype(np.int64)
        for name, by in (("the predictions", 1), ("the labels of the test points", -1)):
            least = predictions.min() if by > 0 else labels.min()
            right, shifted = (float((predictions - step == labels).mean()) for step in (0, by))
            if least >= 1 and shifted > max(0.5, 2 * right):
                raise Refusal(
                    f"{method.key}: {shifted:.0%} of its predictions are the label {by:+d}, and {right:.0%} the label:"
                    f" {name} seem to count from 1, off by one; {FROM_ZERO}"
                )


def _untrained(labels: np.ndarray, train_counts: np.ndarray) -> list[str]:
    """A line on classes that have test points but no training image; refused if most have none, since the counts are
    then likely those of other classes, and if the counts look like labels, one for each image."""
    there = int(labels.max()) + 1
    if train_counts.size > 2 * there and train_counts.max() < there:
        raise Refusal(
            f"there are {train_counts.size:,} training counts, none above {train_counts.max()}, but labels go up to"
            f" {there - 1}: these look like labels of training images; give training images of each class"
        )
    tested = np.flatnonzero(np.bincount(labels, minlength=train_counts.size))
    without = tested[train_counts[tested] == 0]
    if not without.size:
        return []
    some = ", ".join(map(str, without[:5].tolist())) + (", …" if without.size > 5 else "")
    if 2 * without.size > tested.size:
        raise Refusal(
            f"{without.size} of the {tested.size} classes with test points have no training image (class ids {some}):"
            " give training images of each class, in the order of class ids or by class id"
        )
    have = "class has" if without.size == 1 else "classes have"
    return [f"{without.size} {have} test points, but no training image by the counts given: class ids {some}."]
