"""What did the runs of one method say of the test points? The record that `summarize`, `compare` and `sign_flip` read.

A record refuses what it cannot be: predictions for other points than the labels, classes beyond the class counts. Two
records are compared over the runs that both have, and refused where they are not of one study: other test labels, other
class counts, another resampling scheme.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ltbv.errors import Refusal
from ltbv.stats.class_counts import class_counts
from ltbv.stats.diversity import measure_experts
from ltbv.stats.keyed import Keys, keyed, matched, plain
from ltbv.stats.logits import measure_logits
from ltbv.stats.measured import Logits, Measured, measure_per_run, measure_votes
from ltbv.stats.nested import check_backbones, over_backbones
from ltbv.stats.votes import check_labels, check_predictions

OF_ONE_SET = {  # schemes whose runs resample one training set, and what is then said of it
    "stratified_bootstrap": "resampling one training set, with about two thirds of its images in each run",
    "bootstrap": "resampling one training set, its class counts too, with about two thirds of its images in each run",
    "seed_only": "initialisation and order alone, because every run sees the same images",
}
OF_SPREAD = {  # quantities that say how much runs differ: runs that share images differ less, and no factor mends that
    "variance",
    "unbiased_variance",
    "biased_variance",
    "hits",
    "variance_low",
    "variance_high",
    "kw_variance",
    "brier_variance",
    "cross_entropy_variance",
    "expert_variance",
}


@dataclass(frozen=True, eq=False)
class Record:
    """R runs of one method on N test points.

    predictions   (R, N) int, the predicted class of each run; row r is run number runs[r]
    labels        (N,) int, the true class
    runs          (R,) run numbers; None: 0 to R - 1. Rows of two records with one number are a pair: one training
                  sample, the same seeds
    train_counts  (C,) training images of each class, or class id -> number; None: not known, and the highest class id
                  seen sets C
    scheme        name of the resampling scheme; None: not known
    logits        (R, N, C) array, or a function slice of n points -> (R, n, C) that reads a block at a time; optional
    clusters      (N,) which test points belong together (frames of a clip, images of a patient), whole numbers or text;
                  None: none do. What is said of new test images is then said of new clusters
    shared        (C,) share of a class's training images that two runs have in common, 0 to 1; NaN or None: not known
    per_run       name -> (R, N): further values of each run at each point, to be averaged over runs (a hardest-negative
                  score, experts used)
    expert_logits (R, E, N, C) array, or a function slice of n points -> (R, E, n, C), of experts whose mean the logits
                  are; optional
    backbones     (R,) which backbone each run stands on, whole numbers or text, where runs train a head on one of
                  several: every quantity is then the mean over backbones of what it is given one, and intervals are for
                  new ones, see `nested`. None, or all one: runs are draws of their own

    Refused: predictions that are no integer class ids, not (R, N), or beyond `train_counts`; labels likewise; run
    numbers that repeat or are not R; clusters that are not one a test point; shares that are none; values that are
    missing. Tables are matched by their index (`keyed`): test points to those of the labels, and the index of the
    predictions are run numbers. What is measured of a record is kept with it: about 150 bytes a test point, and one for
    each run.
    """

    predictions: np.ndarray
    labels: np.ndarray
    runs: Sequence[int] | None = None
    train_counts: np.ndarray | None = None
    scheme: str | None = None
    logits: Logits | None = None
    per_run: Mapping[str, np.ndarray] = field(default_factory=dict)
    clusters: np.ndarray | None = None
    shared: np.ndarray | None = None
    expert_logits: Logits | None = None
    backbones: np.ndarray | None = None
    _measured: dict[tuple[Any, ...], dict[str, Measured]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        predictions, labels = check_predictions(self.predictions, self.labels)
        rows, points = keyed(self.predictions, "predictions", 2)[1][0], keyed(self.labels, "labels", 1)[1][0]
        runs = _run_numbers(rows, self.runs, len(predictions))
        if len(runs) != len(predictions) or len(set(runs)) != len(runs):
            raise Refusal(f"runs {list(runs)[:8]} must be one number of its own for each of {len(predictions)} rows")
        if self.train_counts is not None:
            counts = class_counts(self.train_counts)
            object.__setattr__(self, "train_counts", counts)
            classes = counts.size
            check_labels(labels, classes)
            if predictions.max() >= classes:
                raise Refusal(f"predictions go up to {predictions.max()}, but train_counts has {classes} classes")
        clusters = None if self.clusters is None else check_clusters(self.clusters, labels.size, points)
        per_run = {name: _of_runs(values, name, rows, points) for name, values in self.per_run.items()}
        logits, expert_logits = (
            of if of is None or callable(of) else plain(of, name)
            for name, of in (("logits", self.logits), ("expert_logits", self.expert_logits))
        )
        if self.shared is not None:
            shared = np.asarray(plain(self.shared, "shared") if hasattr(self.shared, "index") else self.shared, float)
            if shared.ndim != 1 or ((shared < 0) | (shared > 1)).any():
                raise Refusal(
                    f"shared must be (C,) shares from 0 to 1; got {shared.shape} from {np.nanmin(shared, initial=0):g}"
                    f" to {np.nanmax(shared, initial=0):g}"
                )
        known = {"predictions": predictions, "labels": labels, "runs": runs, "clusters": clusters}
        known |= {"backbones": check_backbones(self.backbones, len(predictions))}
        known |= {"per_run": per_run, "logits": logits, "expert_logits": expert_logits}
        for name, value in known.items():
            object.__setattr__(self, name, value)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The run numbers (R,), given or counted."""
        assert self.runs is not None, "they were counted when the record was made"
        return tuple(self.runs)

    def select(self, runs: Sequence[int]) -> "Record":
        """The record of the runs with these numbers, in this order."""
        if tuple(runs) == self.numbers:
            return self
        if missing := sorted(set(runs) - set(self.numbers)):
            raise Refusal(f"the record has no run {missing[0]}: it has {list(self.numbers)[:8]}")
        rows = [self.numbers.index(run) for run in runs]
        return replace(
            self,
            predictions=self.predictions[rows],
            runs=tuple(runs),
            logits=_rows_of(self.logits, rows),
            expert_logits=_rows_of(self.expert_logits, rows),
            per_run={name: values[rows] for name, values in self.per_run.items()},
            backbones=None if self.backbones is None else self.backbones[rows],
        )

    @property
    def draws(self) -> int:
        """How many draws intervals rest on: backbones where there are several, else runs."""
        return len(self.predictions) if self.backbones is None else int(self.backbones.max()) + 1

    @property
    def runs_each(self) -> int:
        """How many runs bias and variance are corrected for: those of the backbone that has fewest, or all."""
        return len(self.predictions) if self.backbones is None else int(np.bincount(self.backbones).min())

    @cached_property
    def of_backbones(self) -> tuple["Record", ...]:
        """The records of the runs of each backbone."""
        assert self.backbones is not None, "asked where there are several"
        rows = [np.flatnonzero(self.backbones == b) for b in range(self.draws)]
        return tuple(self.select([self.numbers[row] for row in of]) for of in rows)

    def _over_backbones(self, measure: Callable[["Record"], dict[str, Measured]], classes: int) -> dict[str, Measured]:
        """Each quantity as the mean over backbones of what `measure` says of the runs of one."""
        each = [measure(of) for of in self.of_backbones]
        found = {name: over_backbones([one[name] for one in each], self.labels, classes) for name in each[0]}
        return self._widened(found)

    def measure(self, num_classes: int, ties: str, seed: int, bias_by_half: bool) -> dict[str, Measured]:
        """All quantities by name, measured once; arguments as in `measure_votes`."""
        asked = (num_classes, ties, seed, bias_by_half)
        if asked not in self._measured and self.backbones is not None:
            self._measured[asked] = self._over_backbones(lambda of: of.measure(*asked), num_classes)
        if asked not in self._measured:
            measured = measure_votes(
                self.predictions, self.labels, num_classes, ties=ties, seed=seed, bias_by_half=bias_by_half
            )
            measured = self._widened(measured) | self.measure_scores(num_classes) | self.measure_experts(num_classes)
            further = measure_per_run(self.per_run, len(self.predictions), self.labels, num_classes)
            if taken := sorted(measured.keys() & further.keys()):
                raise Refusal(f"per_run names {taken} are taken by quantities of their own: choose other names")
            self._measured[asked] = measured | self._widened(further)
        return self._measured[asked]

    def measure_scores(self, num_classes: int) -> dict[str, Measured]:
        """The quantities of `measure_logits` alone, measured once; none without logits."""
        return self._measured_once(measure_logits, self.logits, num_classes)

    def measure_experts(self, num_classes: int) -> dict[str, Measured]:
        """Those of `diversity.measure_experts`; none without logits of the experts."""
        return self._measured_once(measure_experts, self.expert_logits, num_classes)

    def _measured_once(
        self, measure: Callable[..., dict[str, Measured]], values: Logits | None, num_classes: int
    ) -> dict[str, Measured]:
        if values is None:
            return {}
        asked = (measure, num_classes)
        if asked not in self._measured and self.backbones is not None:
            own = Record.measure_scores if measure is measure_logits else Record.measure_experts
            self._measured[asked] = self._over_backbones(lambda of: own(of, num_classes), num_classes)
        if asked not in self._measured:
            measured = measure(values, len(self.predictions), self.labels, num_classes)
            self._measured[asked] = self._widened(measured)
        return self._measured[asked]

    def _widened(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        """All but what says how much runs differ, see `widening`."""
        widening = self.widening()
        return {name: of if name in OF_SPREAD else replace(of, widening=widening) for name, of in measured.items()}

    def widening(self) -> float:
        """By what v_run grows because runs share training images: 1 + R f/(1 - f), f the mean of `shared` over classes,
        R the `draws`.

        1 where it is not known, and where runs resample one training set: no factor leads from there to new ones. NaN
        where runs share all their images.
        """
        if self.shared is None or self.scheme in OF_ONE_SET or np.isnan(self.shared).all():
            return 1.0
        overlap = float(np.nanmean(self.shared))
        return 1 + self.draws * overlap / (1 - overlap) if overlap < 1 else np.nan


def _backbones_of(record: Record, runs: Sequence[int]) -> list[int]:
    """Of the runs with these numbers; where there is one backbone, or none is known, 0."""
    if record.backbones is None:
        return [0] * len(runs)
    found = record.backbones[[record.numbers.index(run) for run in runs]]
    return np.unique(found, return_inverse=True)[1].tolist()


def _rows_of(values: Logits | None, rows: list[int]) -> Logits | None:
    """Those of some runs, still unread if they were."""
    return (lambda block: values(block)[rows]) if callable(values) else None if values is None else values[rows]


def _run_numbers(rows: Keys, runs: Sequence[int] | None, total: int) -> tuple[int, ...]:
    """Run numbers: as given, or those of a table's index, or from 0."""
    numbers: Keys = rows if runs is None else plain(runs, "runs").tolist()
    if numbers is None:
        return tuple(range(total))
    if rows is not None and numbers != rows:
        raise Refusal(f"predictions have runs {rows[:8]} in their index, but runs are {numbers[:8]}: give them once")
    whole = [number for number in numbers if type(number) is int]
    if len(whole) < len(numbers):
        raise Refusal(f"runs {numbers[:8]} must be whole numbers: two records are paired by them; give runs=")
    return tuple(whole)


def _of_runs(values: np.ndarray, name: str, rows: Keys, points: Keys) -> np.ndarray:
    """Values (R, N) in the order of the predictions and the labels."""
    what = f"per_run[{name!r}]"
    values, (own_rows, own_points) = keyed(values, what, 2)
    if values.ndim == 2:
        values = matched(values, 0, own_rows, rows, what, "predictions")
        values = matched(values, 1, own_points, points, what, "labels")
    return values


def check_clusters(clusters: ArrayLike, points: int, keys: Keys = None) -> np.ndarray:
    """`clusters` as numbers from 0 (N,), or a Refusal; `keys` are the names of the test points in a table."""
    clusters, (own,) = keyed(clusters, "clusters", 1)
    if clusters.shape != (points,) or clusters.dtype.kind not in "iuUS":
        raise Refusal(
            f"clusters must be one whole number or name for each of {points} test points; got {clusters.dtype} of shape"
            f" {clusters.shape}"
        )
    numbers = np.unique(matched(clusters, 0, own, keys, "clusters", "labels"), return_inverse=True)[1]
    if points > 1 and numbers.max() == 0:
        raise Refusal("clusters are all one: from a single cluster nothing can be said of others; give two or more")
    return numbers


def pair(method: Record, reference: Record) -> tuple[Record, Record]:
    """Both records with the runs that both have, row by row; or a Refusal that says why they are no pair."""
    if method.labels.shape != reference.labels.shape:
        raise Refusal(
            f"the method has {method.labels.size} test points and its reference {reference.labels.size}: compare on"
            " one test set"
        )
    if differ := int((method.labels != reference.labels).sum()):
        raise Refusal(
            f"the test labels of the method and its reference differ at {differ} of {method.labels.size} points:"
            " give both in one order of one test set"
        )
    if method.scheme and reference.scheme and method.scheme != reference.scheme:
        raise Refusal(
            f"the method was resampled by {method.scheme!r} and its reference by {reference.scheme!r}: their variances"
            " are of different things; use one scheme for both"
        )
    ours, theirs = method.train_counts, reference.train_counts
    if ours is not None and theirs is not None and not np.array_equal(ours, theirs):
        one, other = (f"{np.sum(of)} in {np.size(of)}" for of in (ours, theirs))
        raise Refusal(
            f"the method and its reference were trained on different class counts ({one} and {other} classes):"
            " train both on the same"
        )
    if (method.clusters is None) != (reference.clusters is None) or not np.array_equal(
        method.clusters if method.clusters is not None else [],
        reference.clusters if reference.clusters is not None else [],
    ):
        raise Refusal("the method and its reference have different clusters of test points: give both the same")
    common = [run for run in method.numbers if run in set(reference.numbers)]
    if common and _backbones_of(method, common) != _backbones_of(reference, common):
        raise Refusal(
            "the method and its reference have runs of one number on different backbones: pairs share the backbone too"
        )
    if not common:
        raise Refusal(
            f"the method (runs {list(method.numbers)[:4]}...) and its reference (runs {list(reference.numbers)[:4]}...)"
            " have no run number in common: pairs share a training sample and seeds"
        )
    return method.select(common), reference.select(common)
