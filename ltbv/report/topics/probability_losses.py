"""Are the probabilities right on average, and how much do they change when a method is trained again? Brier score and
cross-entropy, parted into bias and variance: `stats.loss_parts` has the formulas, their sources and what the correction
for the number of runs leaves.

Of methods whose logits are at hand. What no decision shows is seen here (a run may be as often right and less sure);
and the scale of the logits counts, which accuracy, bias and variance of the vote do not see. Nothing is claimed.
"""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report import captions
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns, Seen
from ltbv.report.measured import Measured
from ltbv.report.names import printable
from ltbv.report.rows import COLUMNS, LEVEL, of_groups
from ltbv.report.sheet import (
    METHOD,
    SPLIT,
    UNBOUNDED,
    Sheet,
    beside_reference,
    by_split,
    difference,
    why_doubtful,
)
from ltbv.report.topic import Finding, Tables, Topic
from ltbv.stats.logits import ReadBefore

PARTS = ("score", "bias", "variance")
WHAT = {
    "brier": (
        "Brier score, its bias and its variance",
        "The squared gap between the probabilities of a run and the truth, summed over classes (0 to 2) = bias, that of"
        " the mean probabilities of all runs, + variance, the mean squared distance of a run from these. Corrected for"
        " the number of runs, exactly in the mean.",
    ),
    "cross_entropy": (
        "Cross-entropy, its bias and its variance",
        "In nats: bias, the cross-entropy of the mean logits of all runs, + variance, the mean Kullback-Leibler"
        " divergence of a run from these. Corrected for the number of runs by the jackknife, which leaves a little"
        " (no exact correction is known).",
    ),
}


def measure(measured: Measured) -> Finding:
    """`probability_losses`: COLUMNS of `rows`, quantities brier, brier_bias, brier_variance, cross_entropy,
    cross_entropy_bias and cross_entropy_variance; of methods that have finite logits."""
    evidence, lines = measured.evidence, []
    reference, found = None, []
    for method in evidence.methods:
        record = _with_logits(measured.records[method.key], method)
        if record is None:
            if method.logits is not None:
                lines.append(
                    f"{method.label}: some class has a probability of 0, or a logit that is not finite, so Brier score"
                    " and cross-entropy are not parted into bias and variance."
                )
            continue
        if method is evidence.reference:
            reference = record
        found.append(_rows(evidence, method, record, reference))
    rows = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
    return Finding({"probability_losses": rows}, tuple(lines))


def _with_logits(record: stats.Record, method: MethodRuns) -> stats.Record | None:
    """The record with its logits, which are held no longer than it; None without them, or where one is infinite."""
    if method.logits is None:
        return None
    if isinstance(method.logits, Seen) and method.logits.runs == method.runs:
        held = cache(partial(method.logits, method.runs))
        return replace(record, logits=ReadBefore(method.logits.losses, lambda block: held()[:, block]), per_run={})
    logits = method.logits(method.runs)
    return replace(record, logits=logits, per_run={}) if all(np.isfinite(run).all() for run in logits) else None


def _rows(evidence: Evidence, method: MethodRuns, own: stats.Record, reference: stats.Record | None) -> pd.DataFrame:
    """COLUMNS of one method."""
    paired = {}
    if method is not evidence.reference and reference is not None and evidence.paired_runs(method):
        paired = stats.loss_parts(own, evidence.groups, reference, level=LEVEL)
    return of_groups(evidence, method, stats.loss_parts(own, evidence.groups, level=LEVEL), paired)


def sheets(tables: Tables, evidence: Evidence) -> list[Sheet]:
    """One of each loss."""
    return [_sheet(loss, tables, evidence) for loss in stats.LOSS_PARTS]


def _sheet(loss: str, tables: Tables, evidence: Evidence) -> Sheet:
    title, meaning = WHAT[loss]
    shown = dict(zip((loss, *stats.LOSS_PARTS[loss]), PARTS, strict=True))
    lines = by_split(tables.probability_losses, evidence, shown, difference, UNBOUNDED)
    return Sheet(
        loss,
        title,
        f"{meaning} Of logits as they are: their scale counts. {captions.INTERVAL_OF_LOSS}."
        f" {captions.paired(evidence)}; not corrected for the number of tests.{why_doubtful(lines, UNBOUNDED)}"
        f" {captions.short(evidence)}",
        (METHOD, SPLIT, *beside_reference(PARTS, evidence)),
        lines,
        answer=_answer(loss, tables, evidence),
    )


def _answer(loss: str, tables: Tables, evidence: Evidence) -> str:
    """How many methods lower and raise what, over all classes, by the interval of the paired difference."""
    of, name = tables.probability_losses, loss.replace("_", "-").capitalize()
    of = of[(of["group"] == GROUPS[0]) & of["difference_low"].notna()]
    if of.empty:
        return f"{name} as bias and variance, by split."
    said = []
    for part, quantity in zip(PARTS[1:], stats.LOSS_PARTS[loss], strict=True):
        own = of[of["quantity"] == quantity]
        lower, higher = int((own["difference_high"] < 0).sum()), int((own["difference_low"] > 0).sum())
        said.append(
            f"{part} is lower than that of {printable(evidence.reference.label)} in {lower}, higher in {higher}"
        )
    methods = f"{len(own)} method{'s' * (len(own) != 1)}"
    return f"{name} over all classes, of {methods}, by the interval: {'; '.join(said)}."


TOPIC = Topic(measure, sheets={"probability_losses": (sheets,)})
