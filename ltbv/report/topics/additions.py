"""What does a method bring on top of another one? Of each method that is built on one of the study: both, and the
difference, paired by run."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ltbv import stats
from ltbv.report import captions
from ltbv.report.evidence import GROUPS, SHOWN, Evidence
from ltbv.report.measured import Measured
from ltbv.report.questions import WHY
from ltbv.report.rows import LEVEL
from ltbv.report.sheet import METHOD, SHORT, SPLIT, Column, Sheet, difference, estimate, indexed, word
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic
from ltbv.report.written import formatted

COLUMNS = (
    *("base", "method", "group", "quantity", "base_estimate", "base_low", "base_high", "estimate", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "runs"),
)


def measure(measured: Measured) -> Finding:
    return Finding({"additions": additions(measured.evidence, measured.records, measured.estimates)})


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


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """A method and what it is built on."""
    named = tables.additions.rename(columns={"difference": "reference_difference"})
    rows = indexed(named, "base", "method", "group", "quantity")
    lines = []
    for base, method in dict.fromkeys((base, method) for base, method, *_ in rows):
        for place, group in enumerate(GROUPS):
            cells = {quantity: rows[base, method, group, quantity] for quantity in SHORT}
            of = cells["accuracy"]
            before = {name: of[f"base_{name}"] for name in ("estimate", "low", "high")}
            lines.append(
                (
                    word(evidence.names[method]),
                    word(evidence.names[base]),
                    word(group, place),
                    estimate(before, "accuracy"),
                    estimate(of, "accuracy"),
                    *(difference(cell, quantity) for quantity, cell in cells.items()),
                )
            )
    return Sheet(
        "additions",
        "What a method brings on top of another",
        f"Corrected for the number of runs; {captions.INTERVAL}. Differences from the method without the addition are"
        f" paired by run; * where the interval excludes 0. {captions.short(evidence)}",
        (
            METHOD,
            Column("built on", numeric=False, filtered=True),
            SPLIT,
            Column("without", "acc. %"),
            Column("with", "acc. %"),
            *(Column(short, "what it brings") for short in SHORT.values()),
        ),
        tuple(lines),
    )


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing:
    from ltbv.report import experts

    return Drawing(
        "additions",
        experts.additions(tables.additions, looks),
        tables.additions,
        "What a method brings on top of another: accuracy by split without it (hollow) and with it, with intervals, and"
        " the difference paired by run.",
        f"{_finding(tables, evidence)} The numbers are in the table of what a method brings on top of another.",
    )


def _finding(tables: Tables, evidence: Evidence) -> str:
    """How many bring accuracy in the tail, and which brings most."""
    own = tables.additions
    _, tail = evidence.ends
    own = own[(own["quantity"] == "accuracy") & (own["group"] == tail)]
    clear = own[(own["difference_low"] > 0) | (own["difference_high"] < 0)]
    said = f"Of {len(own)} additions {int((clear['difference'] > 0).sum())} raise accuracy in {tail} by their interval"
    said += f", {int((clear['difference'] < 0).sum())} lower it"
    if not own["difference"].notna().any():
        return f"{said}."
    most = own.loc[own["difference"].idxmax()]
    names = evidence.names
    by = formatted(most["difference"], "accuracy", sign="+")
    return f"{said}; most brings {names[most['method']]} on {names[most['base']]}: {by} points."


TOPIC = Topic(measure, sheets={"additions": (sheet,)}, figures={"additions": draw}, question=WHY)
