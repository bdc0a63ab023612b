"""What must a reader know before trusting the tables? Lines that stand under them."""

from collections.abc import Sequence

import numpy as np

from ltbv import stats
from ltbv.report import claims
from ltbv.report.evidence import GROUPS, Evidence


def cautions(
    evidence: Evidence,
    records: dict[str, stats.Record],
    estimates: dict[str, list[stats.Estimate]],
    said: Sequence[str],
    *,
    flipped: bool,
) -> tuple[str, ...]:
    """All of them. `said` are those of the topics, `flipped` says whether the exact test was done."""
    return (
        *_pairing(evidence),
        *_of_statistics(evidence, records, estimates),
        *said,
        *_unseen_classes(evidence),
        *_not_flipped(evidence, done=flipped),
        *evidence.setting.notes,
    )


def _pairing(evidence: Evidence) -> list[str]:
    """Which differences rest on fewer runs than the estimates beside them."""
    lines = []
    for method in evidence.methods[1:]:
        common = evidence.paired_runs(method)
        if not common:
            lines.append(f"{method.label} and {evidence.reference.label} have no run in common: no differences.")
        elif not len(common) == len(method.runs) == len(evidence.reference.runs):
            runs = f"{len(method.runs)} run{'s' * (len(method.runs) != 1)}"
            lines.append(
                f"{method.label} has {runs} and {evidence.reference.label} {len(evidence.reference.runs)}:"
                f" differences use the {len(common)} that both have."
            )
    return lines


def _of_statistics(
    evidence: Evidence, records: dict[str, stats.Record], estimates: dict[str, list[stats.Estimate]]
) -> list[str]:
    """`stats.cautions` of every method, each line once, with the methods that it is about."""
    about: dict[str, list[str]] = {}
    for method in evidence.methods:
        of_groups = [one for one in estimates[method.key] if one.group in GROUPS]
        for line in stats.cautions(records[method.key], of_groups, evidence.groups):
            about.setdefault(line, []).append(method.label)
    return [
        line if len(labels) == len(evidence.methods) else f"{', '.join(labels)}: {line}"
        for line, labels in about.items()
    ]


def _unseen_classes(evidence: Evidence) -> list[str]:
    unseen = np.flatnonzero(evidence.points_by_class == 0)
    if not unseen.size:
        return []
    names = ", ".join(evidence.class_names[c] for c in unseen[:5]) + (", …" if unseen.size > 5 else "")
    have = "class has" if unseen.size == 1 else "classes have"
    left = "is" if unseen.size == 1 else "are"
    return [f"{unseen.size} {have} no test point and {left} left out of the means: {names}."]


def _not_flipped(evidence: Evidence, *, done: bool) -> list[str]:
    few = [method.label for method in evidence.methods[1:] if method not in claims.flippable(evidence)]
    lines = (
        []
        if done or len(few) == len(evidence.methods) - 1
        else ["the exact sign-flip test would take minutes and was left out; it is done with --exact."]
    )
    if few:
        what = "backbones" if evidence.setting.backbones else "paired runs"
        lines.append(f"{', '.join(few)}: no exact sign-flip test, it needs {claims.FEWEST_FLIPPED} {what}.")
    return lines
