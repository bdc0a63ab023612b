"""What does `ltbv.stats` say of every method, group of classes and quantity? One row each. Columns:

    method                 key of the method
    group                  all, many, medium, few; or a class id
    quantity               see `ltbv.stats.summarize`
    estimate, low, high    corrected for the number of runs, with its interval
    plug_in                uncorrected, as published tables have it; compare at equal R only
    reference_difference   method minus reference (CE), corrected and paired by run, with
    difference_low, difference_high, p     its interval and two-sided p; empty for the reference itself
    runs, points           R; test points of the group

In each group, in the column plug_in: error = bias + unbiased_variance - hits.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report.evidence import Evidence, MethodRuns

COLUMNS = (
    "method",
    "group",
    "quantity",
    "estimate",
    "low",
    "high",
    "plug_in",
    "reference_difference",
    "difference_low",
    "difference_high",
    "p",
    "runs",
    "points",
)
DIFFERENCE = COLUMNS[7:11]
EXPERTS = "experts_used"
BINS_OF_CLASSES = 20
LEVEL = 0.95  # of every interval


def bins(evidence: Evidence) -> dict[str, list[int]]:
    """Classes of neighbouring counts, at most BINS_OF_CLASSES bins of about equal size; names begin with 'bin'."""
    ids = evidence.by_count
    parts = np.array_split(np.arange(len(ids)), min(BINS_OF_CLASSES, len(ids)))
    return {f"bin {part[0]} {part[-1]}": [ids[place] for place in part] for part in parts}


def groups(evidence: Evidence) -> dict[str | int, np.ndarray]:
    """The groups of the report, and each class as a group of its own."""
    return evidence.groups | {c: np.array([c]) for c in range(len(evidence.class_names))}


def _per_run(method: MethodRuns) -> dict[str, np.ndarray]:
    """What is averaged over runs, by quantity, (R, N)."""
    values = {}
    if method.p_negative is not None:
        values |= {"hardest_negative": method.p_negative, "hardest_above_true": method.p_negative > method.p_true}
    if method.experts_used is not None:
        values[EXPERTS] = method.experts_used
    return values


def estimate(evidence: Evidence, method: MethodRuns) -> list[stats.Estimate]:
    return stats.summarize(
        method.predictions,
        evidence.labels,
        groups(evidence) | bins(evidence),
        level=LEVEL,
        per_run=_per_run(method),
    )


def compare(evidence: Evidence, method: MethodRuns) -> list[stats.Difference]:
    """Differences from the reference over the runs that both have; none without such runs."""
    runs = evidence.paired_runs(method)
    if not runs:
        return []
    ours, reference = method.rows(runs), evidence.reference.rows(runs)
    of_ours, of_reference = _per_run(ours), _per_run(reference)
    common = of_ours.keys() & of_reference.keys()
    return stats.compare(
        ours.predictions,
        reference.predictions,
        evidence.labels,
        groups(evidence),
        level=LEVEL,
        per_run={name: of_ours[name] for name in of_ours if name in common},
        reference_per_run={name: of_reference[name] for name in of_ours if name in common},
    )


def rows(
    evidence: Evidence,
    method: MethodRuns,
    estimates: Sequence[stats.Estimate],
    differences: Sequence[stats.Difference],
) -> pd.DataFrame:
    """COLUMNS of one method, for every group and quantity."""
    own = pd.DataFrame(
        [(method.key, e.group, e.quantity, e.estimate, e.low, e.high, e.plug_in) for e in estimates],
        columns=list(COLUMNS[:7]),
    )
    paired = pd.DataFrame(
        [(d.group, d.quantity, d.estimate, d.low, d.high, d.p) for d in differences],
        columns=["group", "quantity", *DIFFERENCE],
    ).astype(dict.fromkeys(DIFFERENCE, float))
    of_all = own.merge(paired, how="left", on=["group", "quantity"])
    points = {
        group: int(evidence.points_by_class[ids].sum()) for group, ids in (groups(evidence) | bins(evidence)).items()
    }
    return of_all.assign(runs=len(method.runs), points=of_all["group"].map(points))[list(COLUMNS)]
