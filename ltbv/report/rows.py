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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns
from ltbv.stats.compare import two_sided_p
from ltbv.stats.intervals import Intervals

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
BINS_OF_CLASSES = 20
LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class Bin:
    """Classes of neighbouring counts, from place `first` to `last` in the order by count."""

    first: int
    last: int


Group = str | int | Bin  # one of GROUPS, a class id, or neighbouring classes


def bins(evidence: Evidence) -> dict[Bin, list[int]]:
    """At most BINS_OF_CLASSES bins of about equal size, and their class ids."""
    ids = evidence.by_count
    parts = np.array_split(np.arange(len(ids)), min(BINS_OF_CLASSES, len(ids)))
    return {Bin(int(part[0]), int(part[-1])): [ids[place] for place in part] for part in parts}


def groups(evidence: Evidence) -> dict[str, tuple[Group, np.ndarray]]:
    """What the statistics are asked about: name -> group and its class ids; of GROUPS, of each class, and of bins."""
    found: dict[str, tuple[Group, np.ndarray]] = {name: (name, ids) for name, ids in evidence.groups.items()}
    found |= {f"class {c}": (c, np.array([c])) for c in range(len(evidence.class_names))}
    return found | {f"places {of.first} to {of.last}": (of, np.array(ids)) for of, ids in bins(evidence).items()}


def _ids(evidence: Evidence) -> dict[str, np.ndarray]:
    return {name: ids for name, (_, ids) in groups(evidence).items()}


def record(evidence: Evidence, method: MethodRuns, values: Mapping[str, np.ndarray] | None = None) -> stats.Record:
    """What the statistics read of a method; `values` (R, N) are those whose means are wanted too."""
    return stats.Record(
        method.predictions,
        evidence.labels,
        method.runs,
        evidence.train_counts,
        evidence.setting.scheme,
        per_run=dict(values or {}),
        clusters=evidence.clusters,
        shared=evidence.setting.shared,
        backbones=method.backbones,
    )


def estimate(evidence: Evidence, record: stats.Record) -> list[stats.Estimate]:
    """Of every group, by its name in `groups`."""
    return stats.summarize(record, _ids(evidence), level=LEVEL)


def compare(evidence: Evidence, method: stats.Record, reference: stats.Record) -> list[stats.Difference]:
    """Differences from the reference over the runs that both have; none without such runs."""
    if not set(method.numbers) & set(reference.numbers):
        return []
    return stats.compare(method, reference, _ids(evidence), level=LEVEL)


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
    named = groups(evidence)
    points = {name: int(evidence.points_by_class[ids].sum()) for name, (_, ids) in named.items()}
    of_group = pd.Series([named[name][0] for name in of_all["group"]], dtype=object)
    return of_all.assign(runs=len(method.runs), points=of_all["group"].map(points), group=of_group)[list(COLUMNS)]


def difference(paired: Intervals | None) -> tuple[np.ndarray | float, ...]:
    """DIFFERENCE of some groups, (G,) each; NaN where there is none."""
    if paired is None:
        return (np.nan,) * len(DIFFERENCE)
    return paired.estimate, paired.low, paired.high, two_sided_p(paired.estimate, paired.se, paired.df)


def of_groups(
    evidence: Evidence,
    method: MethodRuns,
    own: Mapping[str, Intervals],
    paired: Mapping[str, Intervals],
) -> pd.DataFrame:
    """COLUMNS of one method, for all classes and each split, from the intervals of each quantity and of its difference
    from the reference; `paired` is empty where there is none."""
    points = [evidence.points(group) for group in GROUPS]
    found = []
    for quantity, of in own.items():
        apart = difference(paired[quantity] if paired else None)
        columns = (method.key, GROUPS, quantity, of.estimate, of.low, of.high, of.plug_in, *apart)
        found.append(pd.DataFrame(dict(zip(COLUMNS, (*columns, len(method.runs), points), strict=True))))
    return pd.concat(found, ignore_index=True)
