"""Which of the nine claims of a method hold? {error, bias, variance} x {many, medium, few} against the reference.

A claim holds where its difference is told from 0 after Holm's correction for the nine, by the interval's t and, for
error and variance, by the exact sign-flip test too, where it was done: that the two methods differ at all. None is
made where a caution stands at what it rests on: a bias that cannot be relied on (`stats.no_bias_claim`), votes that
are near uniform, runs that are copies. Where runs have failed, a claim of error or variance must hold without them, and
whatever share of new runs may fail (`stats.fallen`); runs whose training collapsed (`report.training`) are among these,
however accurate. Beside it stands what the study could have seen at all.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report import training
from ltbv.report.evidence import GROUPS, SPLITS, Evidence, MethodRuns
from ltbv.report.rows import record
from ltbv.stats.doubts import FEW_AGREE
from ltbv.stats.measured import FEWEST_RUNS

COLUMNS = (
    "method",
    "group",
    "quantity",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "holds",
    "no_claim",
    "detectable",
    "pairing_gain",
    "low_fallen",
    "high_fallen",
    "sign_flip_p",
    "sign_flip_p_holm",
)
QUANTITIES = ("error", "bias", "variance")
FLIPPED = ("error", "variance")  # the sign-flip test tells *any* difference of the methods, also from the bias's column
ALPHA = 0.05
WORSE, COLLAPSED = "far less accurate than the others", "whose training collapsed"  # why a run fell
FEWEST_FLIPPED = 9  # runs, for nine claims
QUICK = 35_000_000  # ways to swap x (test points + OVERHEAD) x methods: some 5 seconds of one core
OVERHEAD = 3000  # test points that take as long as what a way costs, however few there are


def claims(
    differences: Mapping[str, Sequence[stats.Difference]],
    flips: pd.DataFrame,
    estimates: Mapping[str, Sequence[stats.Estimate]],
    evidence: Evidence,
    doubts: Mapping[str, Mapping[tuple[str, str], str]] | None = None,
) -> pd.DataFrame:
    """COLUMNS, nine rows for each method but the reference.

    `holds` is 'lower' or 'higher', else empty; `no_claim` says why a difference is no claim whatever its p (a caution
    stands at it: `doubts`, as `barred` gives them, or runs that fell), else empty; `detectable` is the smallest true
    difference that four of five such studies find before Holm's correction; low_fallen, high_fallen are how far the
    interval reaches if more runs fell or none, empty where none did; sign_flip_* are empty without the exact test, and
    for the bias.
    """
    doubtful = barred(estimates, evidence) if doubts is None else doubts
    without = {
        method.key: _without_fallen(evidence, method) if differences[method.key] else {}
        for method in evidence.methods[1:]
    }
    rows = [
        (
            *(key, d.group, d.quantity, d.estimate, d.low, d.high, d.p, d.p_holm, ""),
            doubtful[key].get(at, "") or _of_fallen(d, left, named),
            *(d.detectable, d.pairing_gain),
            *((left.low, left.high) if left else (np.nan, np.nan)),
        )
        for key, of_method in differences.items()
        for d in of_method
        if d.group in SPLITS and d.quantity in QUANTITIES
        for at in [(d.group, d.quantity)]
        for left, named in [without[key].get(at, (None, ()))]
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-2])).merge(flips, how="left", on=["method", "group", "quantity"])
    told = (table.p_holm <= ALPHA) & ~(table.sign_flip_p_holm > ALPHA) & (table.no_claim == "")
    return table.assign(holds=np.where(told, np.where(table.difference < 0, "lower", "higher"), ""))


def barred(
    estimates: Mapping[str, Sequence[stats.Estimate]], evidence: Evidence
) -> dict[str, dict[tuple[str, str], str]]:
    """The cautions that stand at single numbers: method -> (group, quantity) -> why it is not to be trusted, and
    nothing claimed of it; a caution on the reference stands at all methods. Claims, verdicts and the grid read this.

    Quantities are error, bias and variance; groups are those of the estimates. Of the reference: its own cautions.
    """
    reference = evidence.reference
    of_reference = estimates[reference.key]
    copies = {method.key: _of_copies(evidence, method) for method in evidence.methods}
    found = {}
    for method in evidence.methods:
        runs = method.runs if method is reference else evidence.paired_runs(method)
        votes = _of_votes(_runs_each(method, runs), estimates[method.key], of_reference)
        found[method.key] = votes | copies[reference.key] | copies[method.key]
    return found


def _runs_each(method: MethodRuns, runs: Sequence[int]) -> int:
    """How many runs bias and variance are corrected for: of each backbone where there are several, else all."""
    of = method.rows(runs).backbones
    return len(runs) if of is None else int(np.bincount(of)[np.unique(of)].min())


def _draws(method: MethodRuns, runs: Sequence[int]) -> int:
    """How many may be swapped by themselves: backbones where there are several, else runs."""
    of = method.rows(runs).backbones
    return len(runs) if of is None else len(np.unique(of))


def _of_votes(runs: int, *sides: Sequence[stats.Estimate]) -> dict[tuple[str, str], str]:
    """(group, quantity) -> why it is no claim: a bias that cannot be relied on, a variance that is a bracket only."""
    found = {(group, "bias"): why for group, why in stats.no_bias_claim(runs, *sides).items()}
    if runs < FEWEST_RUNS:  # one run has no variance at all, two or three hardly show it
        hardly = f"{runs} run{'s are' if runs != 1 else ' is'} fewer than {FEWEST_RUNS}, and hardly show how runs vary"
        found |= {(one.group, "variance"): hardly for side in sides for one in side}
    return found | {
        (one.group, "variance"): "votes are near uniform"
        for side in sides
        for one in side
        if one.quantity == "variance_low" and one.estimate > 1 - FEW_AGREE
    }


def _of_copies(evidence: Evidence, side: MethodRuns) -> dict[tuple[str, str], str]:
    """(group, quantity) -> why it is no claim, where runs of a method are copies."""
    same = len(side.predictions) - len({row.tobytes() for row in side.predictions})
    why = f"{same} of {len(side.predictions)} runs of {side.label} predict what another one does"
    return {(group, quantity): why for group in GROUPS for quantity in QUANTITIES} if same else {}


def _without_fallen(
    evidence: Evidence, method: MethodRuns
) -> dict[tuple[str, str], tuple[stats.Difference | None, list[tuple[str, str]]]]:
    """(group, quantity) -> the difference without runs that fell there, and which they are."""
    sides = method, evidence.reference
    ours, theirs = (record(evidence, side) for side in sides)
    collapsed = training.collapsed_runs(evidence, method), training.collapsed_runs(evidence, evidence.reference)
    fallen = []
    for side, of, failed in zip(sides, (ours, theirs), collapsed, strict=True):
        inaccurate = stats.fallen_runs(of, evidence.groups)
        runs = inaccurate | {run: list(evidence.groups) for run in side.runs if run in failed}
        fallen += [(f"run {run} of {side.label}", COLLAPSED if run in failed else WORSE, runs[run]) for run in runs]
    return {
        (group, quantity): (left, [(run, why) for run, why, groups in fallen if group in groups])
        for (group, quantity), left in stats.without_fallen(ours, theirs, evidence.groups, collapsed).items()
    }


def _of_fallen(difference: stats.Difference, left: stats.Difference | None, named: Sequence[tuple[str, str]]) -> str:
    """Why a difference is no claim where runs fell: it is told from 0 with them alone, or without them alone."""
    of_kind = {kind: [run for run, why in named if why == kind] for kind in (WORSE, COLLAPSED)}
    who = ", and ".join(f"{', '.join(runs)}, {kind}" for kind, runs in of_kind.items() if runs)
    if named and difference.p_holm <= ALPHA and not stats.stands(difference, left, ALPHA):
        return f"it may not hold if more runs are like {who}, or none"
    if named and not difference.p_holm <= ALPHA and left is not None and left.p_holm <= ALPHA:
        return f"it holds only without {who}"
    return ""


def flippable(evidence: Evidence) -> list[MethodRuns]:
    """Methods with enough runs beside the reference for the exact test."""
    return [method for method in evidence.methods[1:] if _draws(method, evidence.paired_runs(method)) >= FEWEST_FLIPPED]


def is_quick(evidence: Evidence) -> bool:
    """Would the exact test of all methods take a few seconds only?"""
    ways = sum(2.0 ** (min(_draws(method, evidence.paired_runs(method)), 15) - 1) for method in flippable(evidence))
    return ways * (evidence.labels.size + OVERHEAD) <= QUICK


def flips(evidence: Evidence, records: Mapping[str, stats.Record], *, wanted: bool) -> pd.DataFrame:
    """The exact sign-flip test of every method that has the runs for it, of FLIPPED; no rows if it is not wanted."""
    groups = {split: evidence.splits[split] for split in SPLITS}
    rows = []
    for method in flippable(evidence) if wanted else ():
        for flip in stats.sign_flip(records[method.key], records[evidence.reference.key], groups):
            if flip.quantity in FLIPPED:
                rows.append((method.key, flip.group, flip.quantity, flip.p, flip.p_holm))
    columns = ["method", "group", "quantity", *COLUMNS[-2:]]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(COLUMNS[-2:], np.float64))
