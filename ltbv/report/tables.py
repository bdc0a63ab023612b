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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns

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
BINS = 40
SCALES_APART = 0.3  # of median top probabilities, beyond which softmax scores of two methods do not compare


@dataclass(frozen=True)
class Tables:
    """
    splits             all quantities of the zero-one loss, for all classes and each split
    classes            accuracy, bias and variance of each class; further columns class_name, split, train_count
    hardest_negatives  score of the hardest negative: mean and share above p_true with intervals; quantiles, pooled
                       over runs and points, without
    histogram          its density: method, group, left, right, density
    cautions           lines that a reader must know
    """

    splits: pd.DataFrame
    classes: pd.DataFrame
    hardest_negatives: pd.DataFrame
    histogram: pd.DataFrame
    cautions: tuple[str, ...]


def build(evidence: Evidence) -> Tables:
    """All tables of a report."""
    estimates = {method.key: _estimate(evidence, method) for method in evidence.methods}
    rows = pd.concat([_rows(evidence, method, estimates[method.key]) for method in evidence.methods], ignore_index=True)
    of_group, of_hardest = rows["group"].isin(GROUPS), rows["quantity"].isin(HARDEST)
    means = rows[of_group & of_hardest].replace({"quantity": HARDEST})
    return Tables(
        splits=rows[of_group & ~of_hardest].reset_index(drop=True),
        classes=_describe_classes(evidence, rows[~of_group & rows["quantity"].isin(OF_CLASSES)].reset_index(drop=True)),
        hardest_negatives=pd.concat([means, _quantiles(evidence)], ignore_index=True),
        histogram=_histogram(evidence),
        cautions=(*_pairing(evidence), *_cautions(evidence, estimates), *_scales(evidence), *_unseen_classes(evidence)),
    )


def _groups(evidence: Evidence) -> dict[str | int, np.ndarray]:
    """The groups of the report, and each class as a group of its own."""
    return evidence.groups | {c: np.array([c]) for c in range(len(evidence.class_names))}


def _hardest(method: MethodRuns) -> dict[str, np.ndarray]:
    """What is averaged over runs, by quantity, (R, N)."""
    return {"hardest_negative": method.p_negative, "hardest_above_true": method.p_negative > method.p_true}


def _estimate(evidence: Evidence, method: MethodRuns) -> list[stats.Estimate]:
    return stats.summarize(
        method.predictions, evidence.labels, _groups(evidence), level=LEVEL, per_run=_hardest(method)
    )


def _rows(evidence: Evidence, method: MethodRuns, estimates: list[stats.Estimate]) -> pd.DataFrame:
    """COLUMNS of one method, for every group and quantity."""
    own = pd.DataFrame(
        [(method.key, e.group, e.quantity, e.estimate, e.low, e.high, e.plug_in) for e in estimates],
        columns=list(COLUMNS[:7]),
    )
    differences = []
    if method is not evidence.reference and (runs := evidence.paired_runs(method)):
        ours, reference = method.rows(runs), evidence.reference.rows(runs)
        differences = stats.compare(
            ours.predictions,
            reference.predictions,
            evidence.labels,
            _groups(evidence),
            level=LEVEL,
            per_run=_hardest(ours),
            reference_per_run=_hardest(reference),
        )
    paired = pd.DataFrame(
        [(d.group, d.quantity, d.estimate, d.low, d.high, d.p) for d in differences],
        columns=["group", "quantity", *COLUMNS[7:11]],
    ).astype(dict.fromkeys(COLUMNS[7:11], float))
    rows = own.merge(paired, how="left", on=["group", "quantity"])
    return rows.assign(runs=len(method.runs), points=rows["group"].map(evidence.points))[list(COLUMNS)]


def _describe_classes(evidence: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    ids = rows["group"].astype(int)
    split_of = {int(c): name for name, members in evidence.splits.items() for c in members}
    return rows.assign(
        group=ids,
        class_name=ids.map(lambda c: evidence.class_names[c]),
        split=ids.map(split_of),
        train_count=ids.map(lambda c: int(evidence.train_counts[c])),
    )


def _pooled_scores(evidence: Evidence) -> Iterator[tuple[MethodRuns, str, np.ndarray]]:
    """Hardest-negative scores of all runs and points: of each method and group, flat."""
    for method in evidence.methods:
        for group, classes in evidence.groups.items():
            yield method, group, method.p_negative[:, np.isin(evidence.labels, classes)].ravel()


def _quantiles(evidence: Evidence) -> pd.DataFrame:
    frames = []
    for method, group, scores in _pooled_scores(evidence):
        values = np.quantile(scores, QUANTILES) if scores.size else np.full(len(QUANTILES), np.nan)
        named = pd.DataFrame({"quantity": [f"quantile_{share:g}" for share in QUANTILES], "estimate": values})
        of = {"method": method.key, "group": group, "runs": len(method.runs), "points": evidence.points(group)}
        frames.append(named.assign(**of))
    return pd.concat(frames, ignore_index=True)


def _histogram(evidence: Evidence) -> pd.DataFrame:
    frames = []
    edges = np.linspace(0, 1, BINS + 1)
    for method, group, scores in _pooled_scores(evidence):
        density, _ = np.histogram(scores, edges, density=True) if scores.size else (np.full(BINS, np.nan), edges)
        bins = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density})
        frames.append(bins.assign(method=method.key, group=group))
    return pd.concat(frames, ignore_index=True)[["method", "group", "left", "right", "density"]]


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
    top = [float(np.median(np.maximum(method.p_true, method.p_negative))) for method in evidence.methods]
    return [
        f"hardest negatives of {method.label}: its median top probability is {own:.2f}, that of"
        f" {evidence.reference.label} {top[0]:.2f}; softmax scores on so different scales do not compare, the share"
        " above p_true does."
        for method, own in zip(evidence.methods, top, strict=True)
        if abs(own - top[0]) > SCALES_APART
    ]


def _unseen_classes(evidence: Evidence) -> list[str]:
    unseen = np.flatnonzero(evidence.points_by_class == 0)
    if not unseen.size:
        return []
    names = ", ".join(evidence.class_names[c] for c in unseen[:5]) + (", …" if unseen.size > 5 else "")
    return [f"{unseen.size} classes have no test point and are left out of the means: {names}."]
