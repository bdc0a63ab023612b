"""What would a referee ask beside accuracy, bias and variance? The scores of other papers, other test sets, how often a
run beats a run, and whether runs are as sure as they may be. Formulas and sources are in `ltbv.stats`: `priors`,
`run_scores`, `wins`, `calibration`, `ranks`.

Means over test points (`varies` says "runs and points") have the intervals of everything else in the report; the others
vary over runs alone, and say nothing of new test images (`stats.over_runs`).

The Brier score of a run is 1 - 2 p_true + sum_k p_k^2 at each point, which prediction files hold. Its bias is the score
of the mean probabilities, which they hold only with the logits: `probability_losses` parts it where these are kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report import captions
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns
from ltbv.report.measured import Measured
from ltbv.report.names import printable
from ltbv.report.rows import COLUMNS, LEVEL
from ltbv.report.rows import difference as difference_of
from ltbv.report.sheet import (
    BETTER,
    METHOD,
    SPLIT,
    UNCLEAR,
    WORSE,
    Cell,
    Column,
    Sheet,
    beside_reference,
    difference,
    estimate,
    indexed,
    word,
)
from ltbv.report.topic import Finding, Tables, Topic
from ltbv.stats.intervals import Intervals, Options
from ltbv.stats.splits import GroupWeights

MICRO = "micro_accuracy"
ACCURACIES = {  # quantity -> how it is called
    MICRO: "micro",
    "macro_f1": "macro-F1",
    "geometric_mean": "geometric mean",
    "worst_class": "worst class",
}
TOP = {f"top_{k}_accuracy": k for k in (3, 5)}
PERCENT = ACCURACY = "accuracy"  # of `run_scores`, and how a share is written in percent, higher being better
WINS, CALIBRATION, OVERCONFIDENCE, BRIER = "wins", "calibration_error", "overconfidence", "brier"
UNDER = "accuracy_"  # before the name of a prior; all of `stats.long_tailed_priors` are in the table, these are shown:
PRIORS = {
    "training": ("", "as in training"),
    **{f"forward_{ratio}": ("forward", f"{ratio}") for ratio in (50, 10, 2)},
    **{f"backward_{ratio}": ("backward", f"{ratio}") for ratio in (2, 10, 50)},
}
BOTH, RUNS = "runs and points", "runs"
ON_THESE = "for new training runs on these test images: how other images would differ is not in it"


def measure(measured: Measured) -> Finding:
    """`other_scores`: COLUMNS of `rows`, and `varies`, what the interval is for: BOTH or RUNS. Quantities:

    micro_accuracy, accuracy_PRIOR                 `stats.priors`; those of a prior over all classes only
    macro_f1, geometric_mean, worst_class          `stats.run_scores`
    wins                                           `stats.wins` by accuracy, over the reference: no difference
    calibration_error, overconfidence, brier       where probabilities are known; overconfidence: mean confidence
                                                   minus accuracy
    """
    evidence, found = measured.evidence, []
    every = {method.key: Scored.of(evidence, method, measured.records[method.key]) for method in evidence.methods}
    for method in evidence.methods:
        runs = [] if method is evidence.reference else evidence.paired_runs(method)
        own, reference = every[method.key], every[evidence.reference.key]
        pair = (own.rows(runs), reference.rows(runs)) if runs else None
        scores = [weighed(evidence, own, reference if runs else None), *of_runs(own, pair), *of_points(own, pair)]
        found += [score.rows(method, evidence) for score in scores]
    return Finding({"other_scores": pd.concat(found, ignore_index=True)})


@dataclass(frozen=True)
class Score:
    """Quantities of groups (one of both for each element of the arrays), and what they differ from the reference."""

    quantities: tuple[str, ...]
    groups: tuple[str, ...]
    own: Intervals | stats.Wins
    paired: Intervals | None
    varies: str

    def rows(self, method: MethodRuns, evidence: Evidence) -> pd.DataFrame:
        of, apart = self.own, difference_of(self.paired)
        points = [evidence.points(group) for group in self.groups]
        own = (of.estimate, of.low, of.high, of.estimate)  # nothing is corrected: the plug-in is the estimate
        columns = (method.key, self.groups, self.quantities, *own, *apart, len(method.runs), points)
        return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)) | {"varies": self.varies})


@dataclass(frozen=True)
class Scored:
    """What the runs of a record say, each by itself: `scores` (R, G) by name and `of_points` (R, N) by name."""

    record: stats.Record
    weights: GroupWeights
    scores: Mapping[str, np.ndarray]
    of_points: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, evidence: Evidence, method: MethodRuns, record: stats.Record) -> "Scored":
        labels, groups, classes = evidence.labels, evidence.groups, len(evidence.class_names)
        scores, of_points = stats.run_scores(method.predictions, labels, groups), {}
        if (known := method.scores) is not None:
            confidence, right = np.maximum(known.p_true, known.score), method.predictions == labels
            scores[CALIBRATION] = stats.squared_calibration_error(confidence, right, labels, groups)
            of_points[OVERCONFIDENCE] = confidence.astype(np.float64) - right
        of_points |= {name: method.ranks < k for name, k in TOP.items() if method.ranks is not None and k < classes}
        if known is not None and method.sum_p2 is not None:
            of_points[BRIER] = 1 - 2 * known.p_true.astype(np.float64) + method.sum_p2
        return cls(record, GroupWeights.of(groups, labels), scores, of_points)

    def rows(self, runs: Sequence[int]) -> "Scored":
        """Of the runs with these numbers, in this order."""
        if tuple(runs) == self.record.numbers:
            return self
        at = [self.record.numbers.index(run) for run in runs]
        scores, of_points = ({name: of[at] for name, of in every.items()} for every in (self.scores, self.of_points))
        return Scored(self.record.select(runs), self.weights, scores, of_points)

    def over_runs(self, name: str) -> stats.OverRuns:
        return stats.OverRuns.of(
            self.scores[name], stats.calibration_error if name == CALIBRATION else None, self.record.backbones
        )

    def over_points(self, name: str, reference: np.ndarray | None = None) -> Intervals:
        return stats.mean_of_values(
            self.of_points[name],
            self.record.labels,
            self.weights,
            reference_values=reference,
            clusters=self.record.clusters,
            widening=self.record.widening(),
            backbones=self.record.backbones,
            options=Options(level=LEVEL),
        )


Pair = tuple[Scored, Scored]  # a method and the reference, over the runs that both have


def weighed(evidence: Evidence, own: Scored, reference: Scored | None) -> Score:
    """Accuracies in which classes do not count the same."""
    micro = stats.micro_weights(evidence.groups, evidence.labels)
    counts = evidence.train_counts
    known = {} if counts is None else stats.long_tailed_priors(counts)
    priors = {UNDER + name: prior for name, prior in known.items()}
    return Score(
        (MICRO,) * len(micro) + tuple(priors),
        (*micro, *(GROUPS[0] for _ in priors)),
        stats.accuracy_under(own.record, micro | priors, level=LEVEL),
        stats.accuracy_under(own.record, micro | priors, reference.record, level=LEVEL) if reference else None,
        BOTH,
    )


def of_runs(own: Scored, pair: Pair | None) -> Iterator[Score]:
    """Scores that a run has as a whole, and how often they are better than the reference's."""
    for name in own.scores:
        both = pair if pair is not None and name in pair[1].scores else None
        if name == ACCURACY:
            if both is not None:
                won = stats.wins(both[0].scores[name], both[1].scores[name], level=LEVEL)
                if both[0].record.backbones is not None:  # its interval is that of independent pairs
                    won = replace(won, low=np.full_like(won.low, np.nan), high=np.full_like(won.high, np.nan))
                yield Score((WINS,) * len(GROUPS), GROUPS, won, None, RUNS)
            continue
        apart = None
        if both is not None:
            widening = both[0].record.widening()
            apart = (both[0].over_runs(name) - both[1].over_runs(name)).intervals(widening=widening, level=LEVEL)
        yield Score(
            (name,) * len(GROUPS),
            GROUPS,
            own.over_runs(name).intervals(widening=own.record.widening(), level=LEVEL),
            apart,
            RUNS,
        )


def of_points(own: Scored, pair: Pair | None) -> Iterator[Score]:
    """Means over test points of what a run says of each."""
    for name in own.of_points:
        apart = None
        if pair is not None and name in pair[1].of_points:
            apart = pair[0].over_points(name, pair[1].of_points[name])
        yield Score((name,) * len(GROUPS), GROUPS, own.over_points(name), apart, BOTH)


def _methods(rows: Mapping[tuple[str, str, str], Mapping[str, Any]], quantity: str) -> list[str]:
    """Keys of the methods for which a quantity is known, in their order."""
    return list(dict.fromkeys(method for method, _, of in rows if of == quantity))


def accuracies_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """Micro accuracy, macro-F1, geometric mean and worst class by split."""
    rows = indexed(tables.other_scores)
    shown = ACCURACIES | {name: f"top-{k}" for name, k in TOP.items() if _methods(rows, name)}
    lines = []
    for method in evidence.names:
        for place, group in enumerate(GROUPS):
            cells = [rows.get((method, group, quantity)) for quantity in shown]
            lines.append(
                (
                    word(evidence.names[method]),
                    word(group, place),
                    *(Cell() if cell is None else estimate(cell, PERCENT) for cell in cells),
                    *(Cell() if cell is None else difference(cell, PERCENT) for cell in cells),
                )
            )
    top = " Top-k: the true class is among the k most likely." if len(shown) > len(ACCURACIES) else ""
    return Sheet(
        "other_accuracies",
        "Accuracy as other papers give it",
        "In percent. Micro: images count, not classes (in all other tables classes do: balanced accuracy). Scores of a"
        " run, mean over runs: macro-F1, the geometric mean of the classes' accuracies (0 as soon as a class is lost),"
        f" the accuracy of the worst class.{top} {captions.INTERVAL}; of the scores of a run {ON_THESE}."
        f" {captions.paired(evidence)}. {captions.short(evidence)}",
        (METHOD, SPLIT, *beside_reference(shown.values(), evidence)),
        tuple(lines),
    )


def priors_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """Accuracy where the test set has other class frequencies."""
    rows = indexed(tables.other_scores)
    shown = {
        UNDER + name: column for name, column in PRIORS.items() if (evidence.reference.key, "all", UNDER + name) in rows
    }
    minus = f"- {printable(evidence.reference.label)}"
    lines = []
    for method, label in evidence.names.items():
        cells = [rows[method, "all", quantity] for quantity in shown]
        lines.append((word(label), word("accuracy", 0), *(estimate(cell, PERCENT) for cell in cells)))
        if method != evidence.reference.key:
            lines.append((word(label), word(minus, 1), *(difference(cell, PERCENT) for cell in cells)))
    return Sheet(
        "test_priors",
        "Accuracy on test sets with a long tail of their own",
        "In percent, from the accuracies of the classes: on a test set whose classes are as frequent as in training;"
        " and forward or backward, 50, 10 or 2 times as many images of the most frequent class as of the rarest, in the"
        " order of the training images or against it. No method is told; one that adapts to the test images has seen"
        f" them as they are here, or as its name says. {captions.INTERVAL}."
        f" {captions.paired(evidence)}. {captions.short(evidence)}",
        (
            METHOD,
            Column("number", numeric=False, filtered=True),
            *(Column(name, over) for over, name in shown.values()),
        ),
        tuple(lines),
    )


def wins_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """How often a run of a method beats the run of the reference."""
    rows = indexed(tables.other_scores)
    lines = [
        (word(evidence.names[method]), *(won(rows[method, group, WINS]) for group in GROUPS))
        for method in _methods(rows, WINS)
    ]
    return Sheet(
        "wins",
        f"How often a run beats that of {printable(evidence.reference.label)}",
        "In percent of the pairs of runs with one training sample and one seed, by accuracy; ties count half. In"
        " brackets the 95 % interval (Clopper and Pearson; ties lost and ties won), for new pairs of runs drawn as"
        " these were, on these test images; * where it excludes 50. How much is gained is another question."
        f" {captions.short(evidence)}",
        (Column("method", numeric=False), *(Column(group) for group in GROUPS)),
        tuple(lines),
    )


def won(row: Mapping[str, float]) -> Cell:
    above, below = row["low"] > 0.5, row["high"] < 0.5
    mark = BETTER if above else WORSE if below else UNCLEAR
    ends = (row["low"], row["high"]) if np.isfinite(row["low"]) else (None, None)
    return Cell(row["estimate"], PERCENT, low=ends[0], high=ends[1], star=bool(above or below), mark=mark)


def calibration_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """Is a run as sure as it may be?"""
    rows = indexed(tables.other_scores)
    with_brier = bool(_methods(rows, BRIER))
    lines = []
    for method in _methods(rows, CALIBRATION):
        for place, group in enumerate(GROUPS):
            error, over = rows[method, group, CALIBRATION], rows[method, group, OVERCONFIDENCE]
            score = rows.get((method, group, BRIER))
            brier = (Cell(), Cell()) if score is None else (estimate(score, ""), difference(score, ""))
            lines.append(
                (
                    word(evidence.names[method]),
                    word(group, place),
                    estimate(over, ""),
                    estimate(error, ""),
                    difference(error, ""),
                    *(brier if with_brier else ()),
                )
            )
    minus = f"- {printable(evidence.reference.label)}"
    return Sheet(
        "calibration",
        "Confidence: is a run as often right as it believes?",
        "Overconfidence: mean confidence of the predicted class minus accuracy. Calibration error: root mean square gap"
        " of the two in bins of like confidence, without what chance adds, 0 where chance alone explains it."
        + (" Brier: sum over classes of the squared gap between probability and truth." if with_brier else "")
        + f" {captions.INTERVAL}; of the calibration error {ON_THESE}. Confidence is that of the logits as they are,"
        f" and depends on their scale. {captions.paired(evidence)}. {captions.short(evidence)}",
        (
            METHOD,
            SPLIT,
            Column("overconfidence"),
            Column("error", "calibration"),
            Column(minus, "calibration"),
            *((Column("score", "Brier"), Column(minus, "Brier")) if with_brier else ()),
        ),
        tuple(lines),
    )


TOPIC = Topic(measure, sheets={"other_scores": (accuracies_sheet, priors_sheet, wins_sheet, calibration_sheet)})
