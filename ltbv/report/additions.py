"""What does a method bring on top of another one? Of each method that is built on one of the study: both, and the
difference, paired by run."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ltbv import stats
from ltbv.report.evidence import GROUPS, SHOWN, Evidence
from ltbv.report.rows import LEVEL

COLUMNS = (
    *("base", "method", "group", "quantity", "base_estimate", "base_low", "base_high", "estimate", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "runs"),
)


def additions(
    evidence: Evidence, records: Mapping[str, stats.Record], estimates: Mapping[str, Sequence[stats.Estimate]]
) -> pd.DataFrame:
    """COLUMNS: accuracy, bias and variance of `base` and of `method`, which is built on it, by split.

    The difference is method minus base, over the `runs` that both have; empty where they have none in common.
    """
    of = {(key, one.group, one.quantity): one for key, own in estimates.items() for one in own if one.group in GROUPS}
    lines = []
    for base, method in evidence.additions:
        common = set(base.runs) & set(method.runs)
        pair = records[method.key], records[base.key]
        paired = stats.compare(*pair, evidence.groups, level=LEVEL) if common else []
        differences = {(d.group, d.quantity): (d.estimate, d.low, d.high, d.p) for d in paired}
        for group in GROUPS:
            for quantity in SHOWN:
                ends = [
                    (one.estimate, one.low, one.high)
                    for one in (of[key, group, quantity] for key in (base.key, method.key))
                ]
                difference = differences.get((group, quantity), (float("nan"),) * 4)
                lines.append((base.key, method.key, group, quantity, *ends[0], *ends[1], *difference, len(common)))
    return pd.DataFrame(lines, columns=list(COLUMNS))
