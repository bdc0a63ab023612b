"""How strongly do wrong classes compete? Tables of the hardest negatives: means, gaps, quantiles, histograms.

Softmax scores depend on the scale of the logits. Where a method's median top probability is far from the reference's,
scores are not compared, unless it is allowed; the share above the true class's score always is.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report.evidence import SPLITS, Evidence, MethodRuns
from ltbv.report.rows import COLUMNS, DIFFERENCE, LEVEL
from ltbv.stats.hardest_negative import SCALES_APART

QUANTITIES = {"hardest_negative": "mean", "hardest_above_true": "share_above_true"}  # of `rows` -> of these tables
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
DISTANCE = "distance_to_reference"
BINS = 40


def table(evidence: Evidence, rows: pd.DataFrame, *, allow_scale: bool) -> pd.DataFrame:
    """COLUMNS: means and shares of `rows`; quantiles and Wasserstein's distance to the reference, without intervals."""
    means = rows.replace({"quantity": QUANTITIES})
    apart = [] if allow_scale else [method.key for method in off_scale(evidence)]
    means.loc[means["method"].isin(apart) & (means["quantity"] == "mean"), list(DIFFERENCE)] = np.nan
    return pd.concat([means, *_quantiles(evidence), *_distances(evidence, apart)], ignore_index=True)


def gaps(evidence: Evidence, *, allow_scale: bool) -> pd.DataFrame:
    """COLUMNS: how much higher mean and share above true are in few than in many."""
    splits = {name: evidence.splits[name] for name in SPLITS}
    apart = [] if allow_scale else [method.key for method in off_scale(evidence)]
    rows = []
    for method in _scored(evidence):
        for quantity, values in _values(method).items():
            own = stats.head_tail_gap(values, evidence.labels, splits, level=LEVEL)
            difference = (np.nan,) * len(DIFFERENCE)
            runs, reference = evidence.paired_runs(method), evidence.reference
            comparable = reference.p_negative is not None and not (quantity == "mean" and method.key in apart)
            if method is not reference and runs and comparable:
                theirs = _values(reference.rows(runs))[quantity]
                ours = _values(method.rows(runs))[quantity]
                of = stats.head_tail_gap(ours, evidence.labels, splits, reference_values=theirs, level=LEVEL)
                difference = (of.estimate, of.low, of.high, np.nan)
            measured = (own.estimate, own.low, own.high, own.plug_in)
            points = evidence.points("many") + evidence.points("few")
            rows.append((method.key, own.group, quantity, *measured, *difference, len(method.runs), points))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def off_scale(evidence: Evidence) -> list[MethodRuns]:
    """Methods whose median top probability is too far from the reference's for their scores to be compared."""
    tops = _tops(evidence)
    reference = tops.get(evidence.reference.key, np.nan)
    return [method for method in _scored(evidence) if abs(tops[method.key] - reference) > SCALES_APART]


def cautions(evidence: Evidence, *, allow_scale: bool) -> list[str]:
    """A line for each method that is off the scale of the reference."""
    tops = _tops(evidence)
    what = "read their differences with care" if allow_scale else "not compared without --allow-scale"
    return [
        f"hardest negatives of {method.label}: its median top probability is {tops[method.key]:.2f}, that of"
        f" {evidence.reference.label} {tops[evidence.reference.key]:.2f}; softmax scores on so different scales:"
        f" {what}. The share above the true class's score does not depend on the scale."
        for method in off_scale(evidence)
    ]


def _tops(evidence: Evidence) -> dict[str, float]:
    scored = _scored(evidence)
    hardest = {m.key: stats.HardestNegative(m.p_negative, m.negatives, m.p_true) for m in scored}
    return stats.check_scales(hardest, allow=True)


def _scored(evidence: Evidence) -> list[MethodRuns]:
    return [method for method in evidence.methods if method.p_negative is not None]


def _values(method: MethodRuns) -> dict[str, np.ndarray]:
    return {"mean": method.p_negative, "share_above_true": method.p_negative > method.p_true}


def _pooled_scores(evidence: Evidence) -> Iterator[tuple[MethodRuns, str, np.ndarray]]:
    """Hardest-negative scores of all runs and points: of each method and group, flat."""
    for method in _scored(evidence):
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


def histogram(evidence: Evidence) -> pd.DataFrame:
    frames = []
    edges = np.linspace(0, 1, BINS + 1)
    for method, group, scores in _pooled_scores(evidence):
        density, _ = np.histogram(scores, edges, density=True) if scores.size else (np.full(BINS, np.nan), edges)
        bins = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density})
        frames.append(bins.assign(method=method.key, group=group))
    columns = ["method", "group", "left", "right", "density"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _distances(evidence: Evidence, apart: list[str]) -> list[pd.DataFrame]:
    """Wasserstein's distance of each method's scores to the reference's, by group."""
    pooled = {(method.key, group): scores for method, group, scores in _pooled_scores(evidence)}
    rows = []
    for (key, group), scores in pooled.items():
        reference = pooled.get((evidence.reference.key, group))
        if key == evidence.reference.key or key in apart or reference is None or not scores.size:
            continue
        distance = stats.score_distance(scores, reference)
        runs = next(len(method.runs) for method in evidence.methods if method.key == key)
        rows.append((key, group, DISTANCE, distance, runs, evidence.points(group)))
    columns = ["method", "group", "quantity", "estimate", "runs", "points"]
    return [pd.DataFrame(rows, columns=columns)] if rows else []
