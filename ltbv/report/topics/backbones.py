"""How much of the variance is the backbone's, how much the head's? Of studies whose runs stand on several backbones.

A probe's variance is that of the head, given its backbone; whoever trains the backbone too has both. Parted by pairs of
runs, on one backbone and on two (`stats.sources`), which is unbiased for any number of backbones from two on. The
variance is Kohavi and Wolpert's, half the chance that two runs differ, and the bias what it leaves of the error: other
numbers than those of votes in the other tables, since two or three backbones hold no vote. Nothing is claimed.
"""

from typing import Any

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report import captions
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns
from ltbv.report.measured import Measured
from ltbv.report.questions import WHY
from ltbv.report.rows import COLUMNS, LEVEL, of_groups
from ltbv.report.sheet import METHOD, SPLIT, Sheet, beside_reference, by_split, difference, why_doubtful
from ltbv.report.topic import Finding, Tables, Topic
from ltbv.report.written import formatted

NAMES = {  # of `stats.source_parts` -> here, and as it is shown
    "bias": ("bias_over_backbones", "bias"),
    "total_variance": ("variance_over_backbones", "variance"),
    "data_variance": ("backbone_variance", "of the backbone"),
    "algorithm_variance": ("head_variance", "of the head"),
}
SHOWN = dict(NAMES.values())


def measure(measured: Measured) -> Finding:
    """`backbones`: COLUMNS of `rows`, quantities of NAMES; without rows where there is one backbone, or none."""
    evidence, found = measured.evidence, []
    for method in evidence.methods if evidence.setting.backbones else ():
        common = [] if method is evidence.reference else evidence.paired_runs(method)
        paired = _parts(evidence, method.rows(common), evidence.reference.rows(common)) if common else {}
        if own := _parts(evidence, method):
            found.append(of_groups(evidence, method, own, paired))
    rows = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
    return Finding({"backbones": rows})


def _parts(evidence: Evidence, method: MethodRuns, reference: MethodRuns | None = None) -> dict[str, Any]:
    """The parts by name; none where one backbone has fewer than two runs, or there is one."""
    of = method.backbones
    assert of is not None, "asked of studies of several"
    rows = [np.flatnonzero(of == b) for b in np.unique(of)]
    each = min(map(len, rows))
    if len(rows) < 2 or each < 2:
        return {}
    at = np.stack([row[:each] for row in rows])  # as many of each backbone: the last one or two runs may be left out
    parts = stats.source_parts(
        method.predictions[at],
        evidence.labels,
        evidence.groups,
        None if reference is None else reference.predictions[at],
        level=LEVEL,
        clusters=evidence.clusters,
    )
    return {name: parts[of_stats] for of_stats, (name, _) in NAMES.items()}


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """A line a method and split."""
    lines = by_split(tables.backbones, evidence, SHOWN, difference)
    number = len(evidence.setting.backbones)
    few = "" if number > 2 else " Of two backbones, nothing says how others differ: only the head has an interval."
    return Sheet(
        "backbones",
        f"Variance of the head and of {number} backbones",
        "Variance = of the backbone + of the head: half the chance that two heads on different backbones differ, and on"
        " one (Kohavi and Wolpert, 1996); bias = error - variance. Unbiased for any number of backbones; a part may be"
        " negative by chance. These are no votes, so they are other numbers than bias and variance elsewhere in"
        f" this report, given a backbone.{few} {captions.INTERVAL}, and new backbones. {captions.paired(evidence)};"
        f" not corrected for the number of tests.{why_doubtful(lines)} {captions.short(evidence)}",
        (METHOD, SPLIT, *beside_reference(SHOWN.values(), evidence)),
        lines,
        answer=_answer(tables),
    )


def _answer(tables: Tables) -> str:
    """What share of the variance over all classes is the backbone's, of the reference."""
    of = tables.backbones
    first = of[(of["group"] == GROUPS[0]) & (of["method"] == of["method"].iloc[0])].set_index("quantity")["estimate"]
    total, backbone = first["variance_over_backbones"], first["backbone_variance"]
    return f"Of a variance of {formatted(total)} over all classes, {formatted(backbone)} is the backbone's."


TOPIC = Topic(measure, sheets={"backbones": (sheet,)}, question=WHY)
