"""What do the predictions say? Tidy tables, a row for each method, group of classes and quantity.

Every estimate, interval and test comes from `ltbv.stats`; here they are asked for and put side by side. Columns:

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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report import claims as of_claims
from ltbv.report.cost import costs
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns
from ltbv.report.verdict import MARGIN, Verdict, verdicts

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
OF_CLASSES = ("accuracy", "bias", "variance")
HARDEST = {"hardest_negative": "mean", "hardest_above_true": "share_above_true"}
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
LEVEL = 0.95  # of every interval
BINS, BINS_OF_CLASSES = 40, 20
SCALES_APART = 0.3  # of median top probabilities, beyond which softmax scores of two methods do not compare


EXPERTS = "experts_used"


@dataclass(frozen=True)
class Tables:
    """
    splits             all quantities of the zero-one loss, for all classes and each split
    classes            accuracy, bias and variance of each class; further columns class_name, split, train_count
    hardest_negatives  score of the hardest negative: mean and share above p_true with intervals; quantiles, pooled
                       over runs and points, without. No rows where no probabilities are known
    histogram          its density: method, group, left, right, density
    curves             accuracy, bias and variance of bins of like classes: method, quantity, first, last (places
                       in the order by count), estimate, low, high
    profile            class by class, most training images first: group, class_name, split, train_count, pool_size,
                       shared (by two runs, 0-1)
    claims             the nine claims of each method: see `claims`
    costs              see `cost`
    experts            experts asked for a test point, by split; no rows where no method chooses
    verdicts           a method in words
    cautions           lines that a reader must know
    """

    splits: pd.DataFrame
    classes: pd.DataFrame
    hardest_negatives: pd.DataFrame
    histogram: pd.DataFrame
    curves: pd.DataFrame
    profile: pd.DataFrame
    claims: pd.DataFrame
    costs: pd.DataFrame
    experts: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    cautions: tuple[str, ...]


def build(evidence: Evidence, *, margin: float = MARGIN, exact: bool | None = None) -> Tables:
    """All tables of a report.

    margin  of accuracy: how much worse the head may be and still count as kept
    exact   the exact sign-flip test too; None: where it takes a few seconds only
    """
    estimates = {method.key: _estimate(evidence, method) for method in evidence.methods}
    differences = {method.key: _compare(evidence, method) for method in evidence.methods[1:]}
    rows = pd.concat(
        [
            _rows(evidence, method, estimates[method.key], differences.get(method.key, ()))
            for method in evidence.methods
        ],
        ignore_index=True,
    )
    bins = _bins(evidence)
    of_bin = rows["group"].isin(bins)
    curves = _curves(rows[of_bin])
    rows = rows[~of_bin]
    of_group, of_hardest = rows["group"].isin(GROUPS), rows["quantity"].isin(HARDEST)
    of_experts = rows["quantity"] == EXPERTS
    means = rows[of_group & of_hardest].replace({"quantity": HARDEST})
    splits = rows[of_group & ~of_hardest & ~of_experts].reset_index(drop=True)
    flip = of_claims.is_quick(evidence) if exact is None else exact
    claims = of_claims.claims(evidence, differences, of_claims.flips(evidence, wanted=flip))
    return Tables(
        splits=splits,
        classes=_describe_classes(evidence, rows[~of_group & rows["quantity"].isin(OF_CLASSES)].reset_index(drop=True)),
        hardest_negatives=pd.concat([means, *_quantiles(evidence)], ignore_index=True),
        histogram=_histogram(evidence),
        curves=curves,
        profile=_profile(evidence),
        claims=claims,
        costs=costs(evidence),
        experts=rows[of_group & of_experts].reset_index(drop=True),
        verdicts=verdicts(evidence, splits, claims, margin),
        cautions=(
            *_pairing(evidence),
            *_cautions(evidence, estimates),
            *_scales(evidence),
            *_unseen_classes(evidence),
            *_not_flipped(evidence, done=flip),
            *evidence.setting.notes,
        ),
    )


def _bins(evidence: Evidence) -> dict[str, list[int]]:
    """Classes of neighbouring counts, at most BINS_OF_CLASSES bins of about equal size; names begin with 'bin'."""
    ids = evidence.by_count
    parts = np.array_split(np.arange(len(ids)), min(BINS_OF_CLASSES, len(ids)))
    return {f"bin {part[0]} {part[-1]}": [ids[place] for place in part] for part in parts}


def _curves(rows: pd.DataFrame) -> pd.DataFrame:
    shown = rows[rows["quantity"].isin(OF_CLASSES)]
    places = shown["group"].str.split(" ")
    columns = shown[["method", "quantity", "estimate", "low", "high"]]
    return columns.assign(first=places.str[1].astype(int), last=places.str[2].astype(int)).reset_index(drop=True)


def _profile(evidence: Evidence) -> pd.DataFrame:
    ids, of = evidence.by_count, evidence.setting
    pools = np.full(len(ids), np.nan) if of.pool_sizes is None else np.asarray(of.pool_sizes, float)
    return pd.DataFrame(
        {
            "group": ids,
            "class_name": [evidence.class_names[c] for c in ids],
            "split": [evidence.split_of[c] for c in ids],
            "train_count": np.asarray(evidence.train_counts)[ids],
            "pool_size": pools[ids],
            "shared": of.shared[ids],
        }
    )


def _groups(evidence: Evidence) -> dict[str | int, np.ndarray]:
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


def _estimate(evidence: Evidence, method: MethodRuns) -> list[stats.Estimate]:
    return stats.summarize(
        method.predictions,
        evidence.labels,
        _groups(evidence) | _bins(evidence),
        level=LEVEL,
        per_run=_per_run(method),
    )


def _compare(evidence: Evidence, method: MethodRuns) -> list[stats.Difference]:
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
        _groups(evidence),
        level=LEVEL,
        per_run={name: of_ours[name] for name in of_ours if name in common},
        reference_per_run={name: of_reference[name] for name in of_ours if name in common},
    )


def _rows(
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
        columns=["group", "quantity", *COLUMNS[7:11]],
    ).astype(dict.fromkeys(COLUMNS[7:11], float))
    rows = own.merge(paired, how="left", on=["group", "quantity"])
    groups = _groups(evidence) | _bins(evidence)
    points = {group: int(evidence.points_by_class[ids].sum()) for group, ids in groups.items()}
    return rows.assign(runs=len(method.runs), points=rows["group"].map(points))[list(COLUMNS)]


def _describe_classes(evidence: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    ids = rows["group"].astype(int)
    return rows.assign(
        group=ids,
        class_name=ids.map(lambda c: evidence.class_names[c]),
        split=ids.map(evidence.split_of),
        train_count=ids.map(lambda c: int(evidence.train_counts[c])),
    )


def _pooled_scores(evidence: Evidence) -> Iterator[tuple[MethodRuns, str, np.ndarray]]:
    """Hardest-negative scores of all runs and points: of each method and group, flat."""
    for method in evidence.methods:
        if method.p_negative is None:
            continue
        for group, classes in evidence.groups.items():
            yield method, group, method.p_negative[:, np.isin(evidence.labels, classes)].ravel()


def _quantiles(evidence: Evidence) -> list[pd.DataFrame]:
    frames = []
    for method, group, scores in _pooled_scores(evidence):
        values = np.quantile(scores, QUANTILES) if scores.size else np.full(len(QUANTILES), np.nan)
        named = pd.DataFrame({"quantity": [f"quantile_{share:g}" for share in QUANTILES], "estimate": values})
        of = {"method": method.key, "group": group, "runs": len(method.runs), "points": evidence.points(group)}
        frames.append(named.assign(**of))
    return frames


def _histogram(evidence: Evidence) -> pd.DataFrame:
    frames = []
    edges = np.linspace(0, 1, BINS + 1)
    for method, group, scores in _pooled_scores(evidence):
        density, _ = np.histogram(scores, edges, density=True) if scores.size else (np.full(BINS, np.nan), edges)
        bins = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density})
        frames.append(bins.assign(method=method.key, group=group))
    columns = ["method", "group", "left", "right", "density"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _pairing(evidence: Evidence) -> list[str]:
    """Which differences rest on fewer runs than the estimates beside them."""
    lines = []
    for method in evidence.methods[1:]:
        common = evidence.paired_runs(method)
        if not common:
            lines.append(f"{method.label} and {evidence.reference.label} have no run in common: no differences.")
        elif not len(common) == len(method.runs) == len(evidence.reference.runs):
            lines.append(
                f"{method.label} has {len(method.runs)} runs and {evidence.reference.label}"
                f" {len(evidence.reference.runs)}: differences use the {len(common)} that both have."
            )
    return lines


def _cautions(evidence: Evidence, estimates: dict[str, list[stats.Estimate]]) -> list[str]:
    """`stats.cautions` of every method, each line once, with the methods that it is about."""
    about: dict[str, list[str]] = {}
    for method in evidence.methods:
        of_groups = [one for one in estimates[method.key] if one.group in GROUPS]
        for line in stats.cautions(
            of_groups, len(method.runs), scheme=evidence.setting.scheme, train_counts=evidence.train_counts
        ):
            about.setdefault(line, []).append(method.label)
    return [
        line if len(labels) == len(evidence.methods) else f"{', '.join(labels)}: {line}"
        for line, labels in about.items()
    ]


def _scales(evidence: Evidence) -> list[str]:
    """Hardest-negative scores depend on the scale of the logits: which methods are too far from the reference?"""
    if evidence.reference.p_negative is None:
        return []
    scored = [method for method in evidence.methods if method.p_negative is not None]
    top = [float(np.median(np.maximum(method.p_true, method.p_negative))) for method in scored]
    return [
        f"hardest negatives of {method.label}: its median top probability is {own:.2f}, that of"
        f" {evidence.reference.label} {top[0]:.2f}; softmax scores on so different scales do not compare, the share"
        " above p_true does."
        for method, own in zip(scored, top, strict=True)
        if abs(own - top[0]) > SCALES_APART
    ]


def _unseen_classes(evidence: Evidence) -> list[str]:
    unseen = np.flatnonzero(evidence.points_by_class == 0)
    if not unseen.size:
        return []
    names = ", ".join(evidence.class_names[c] for c in unseen[:5]) + (", …" if unseen.size > 5 else "")
    return [f"{unseen.size} classes have no test point and are left out of the means: {names}."]


def _not_flipped(evidence: Evidence, *, done: bool) -> list[str]:
    few = [method.label for method in evidence.methods[1:] if method not in of_claims.flippable(evidence)]
    lines = (
        []
        if done or len(few) == len(evidence.methods) - 1
        else ["the exact sign-flip test would take minutes and was left out; it is done with --exact."]
    )
    if few:
        lines.append(f"{', '.join(few)}: no exact sign-flip test, it needs {of_claims.FEWEST_FLIPPED} paired runs.")
    return lines
