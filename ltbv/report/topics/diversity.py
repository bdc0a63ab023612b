"""Is a network of several experts better because each of them is, or because they are averaged? Its cross-entropy as
the bias and variance of its experts less their diversity: `stats.diversity` has the formulas, source and correction.

Of methods that answer with the mean of their experts' logits, where those of each expert are kept; beside them the
reference, where it is one of these or has one expert, so that its experts can be compared with a network by itself.
Never of routed answers. Nothing is claimed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report import captions
from ltbv.report.evidence import GROUPS, MOST_LOGITS, Evidence, MethodRuns
from ltbv.report.measured import Measured
from ltbv.report.names import printable
from ltbv.report.questions import WHY
from ltbv.report.rows import COLUMNS, LEVEL, of_groups
from ltbv.report.sheet import (
    METHOD,
    SPLIT,
    UNBOUNDED,
    UNCLEAR,
    Cell,
    Sheet,
    beside_reference,
    by_split,
    difference,
    why_doubtful,
)
from ltbv.report.topic import Finding, Tables, Topic
from ltbv.report.written import formatted

LOSS, BIAS, VARIANCE, DIVERSITY = stats.EXPERT_PARTS
SHOWN = {LOSS: "loss", BIAS: "bias", VARIANCE: "variance", DIVERSITY: "diversity"}


def measure(measured: Measured) -> Finding:
    """`diversity`: COLUMNS of `rows`, quantities EXPERT_PARTS; without rows where no method has logits of experts."""
    evidence, lines, found = measured.evidence, [], []
    several = [method for method in evidence.methods if method.expert_logits is not None]
    reference = None
    for method in _first(evidence.reference, several):
        if _size(method, evidence) > MOST_LOGITS:
            why = f"there are more than {MOST_LOGITS:,} logits of its experts"
        elif (record := _with_experts(measured.records[method.key], method)) is None:
            why = "a logit of an expert is not finite"
        else:
            reference = record if method is evidence.reference else reference
            found.append(_rows(evidence, method, record, reference))
            continue
        lines.append(f"{method.label}: {why}, so its loss is not parted into bias, variance and diversity of experts.")
    rows = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
    return Finding({"diversity": rows}, tuple(lines))


def _first(reference: MethodRuns, several: list[MethodRuns]) -> Iterator[MethodRuns]:
    """The reference, if it can be compared with, then the others; none where no method has several experts."""
    if several and reference not in several and reference.experts == 1 and reference.logits is not None:
        yield reference
    yield from several


def _size(method: MethodRuns, evidence: Evidence) -> int:
    """How many logits its experts have in all runs."""
    return (method.experts or 1) * method.predictions.size * len(evidence.class_names)


def _with_experts(record: stats.Record, method: MethodRuns) -> stats.Record | None:
    """The record with the logits of each expert, which are held no longer than it; None where one is infinite."""
    if method.expert_logits is not None:
        logits = method.expert_logits(method.runs)
    else:
        assert method.logits is not None, "`_first` asks for them"
        logits = method.logits(method.runs)[:, None]
    return replace(record, expert_logits=logits, per_run={}) if np.isfinite(logits).all() else None


def _rows(evidence: Evidence, method: MethodRuns, own: stats.Record, reference: stats.Record | None) -> pd.DataFrame:
    """COLUMNS of one method."""
    paired = {}
    if method is not evidence.reference and reference is not None and evidence.paired_runs(method):
        paired = stats.expert_parts(own, evidence.groups, reference, level=LEVEL)
    return of_groups(evidence, method, stats.expert_parts(own, evidence.groups, level=LEVEL), paired)


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """A line a method and split."""
    lines = by_split(tables.diversity, evidence, SHOWN, _difference, UNBOUNDED)
    return Sheet(
        "diversity",
        "Experts: bias, variance and diversity",
        "In nats: loss, the cross-entropy of the mean of the experts' logits, = bias + variance of one expert -"
        " diversity (Wood et al., 2023). Bias and variance are means over the experts, each compared with itself in"
        " other runs; diversity is what averaging gains over asking one, the mean Kullback-Leibler divergence of the"
        " experts from their ensemble, and more of it is neither better nor worse by itself. Of methods that answer"
        " with that mean (never of routed ones), where logits of each expert are kept; one expert has no diversity."
        " Bias and variance are corrected for the number of runs by the jackknife, which leaves a little."
        f" {captions.INTERVAL_OF_LOSS}. {captions.paired(evidence)}; not corrected for the number of"
        f" tests.{why_doubtful(lines, UNBOUNDED)} {captions.short(evidence)}",
        (METHOD, SPLIT, *beside_reference(SHOWN.values(), evidence)),
        lines,
        answer=_answer(tables, evidence),
    )


def _difference(row: Mapping[str, Any], part: str) -> Cell:
    """As of any quantity, but more diversity is neither better nor worse."""
    cell = difference(row, part)
    return replace(cell, mark=UNCLEAR) if part == SHOWN[DIVERSITY] and cell.mark else cell


def _answer(tables: Tables, evidence: Evidence) -> str:
    """What averaging gains over all classes, and whether one expert is better than the reference by the interval."""
    of = tables.diversity
    several = {method.key for method in evidence.methods if method.expert_logits is not None}
    of = of[(of["group"] == GROUPS[0]) & of["method"].isin(several)]
    gains = of[of["quantity"] == DIVERSITY].set_index("method")["estimate"]
    if gains.isna().all():
        return "Loss of experts as bias, variance and diversity, by split."
    ends = dict.fromkeys((gains.idxmin(), gains.idxmax()))
    gained = " to ".join(f"{formatted(gains[key])} ({printable(evidence.names[key])})" for key in ends)
    text = f"Averaging takes {gained} off the cross-entropy of one expert over all classes."
    compared = of[of["difference_low"].notna()]
    if compared.empty:
        return text
    said = []
    for quantity in (BIAS, VARIANCE):
        own = compared[compared["quantity"] == quantity]
        lower, higher = int((own["difference_high"] < 0).sum()), int((own["difference_low"] > 0).sum())
        said.append(f"{SHOWN[quantity]} is lower in {lower}, higher in {higher}")
    reference, methods = printable(evidence.reference.label), f"{len(own)} method{'s' * (len(own) != 1)}"
    return f"{text} One expert against {reference}, of {methods}, by the interval: {'; '.join(said)}."


TOPIC = Topic(measure, sheets={"diversity": (sheet,)}, question=WHY)
