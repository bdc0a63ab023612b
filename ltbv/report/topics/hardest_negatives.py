"""How strongly do wrong classes compete? Tables of the hardest negatives: means, gaps, quantiles, histograms.

Softmax scores depend on the scale of the logits. Where a method's median top probability is far from the reference's,
scores are not compared, unless it is allowed; the share above the true class's score always is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ltbv import stats
from ltbv.report import captions
from ltbv.report.evidence import GROUPS, SPLITS, Evidence, MethodRuns, Scores
from ltbv.report.measured import Measured
from ltbv.report.questions import CONFUSED
from ltbv.report.rows import COLUMNS, DIFFERENCE, LEVEL, record
from ltbv.report.sheet import (
    METHOD,
    SPLIT,
    Cell,
    Column,
    Sheet,
    beside_reference,
    difference,
    estimate,
    indexed,
    number,
    word,
)
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic
from ltbv.stats.hardest_negative import SCALES_APART

QUANTITIES = {"hardest_negative": "mean", "hardest_above_true": "share_above_true"}  # of `rows` -> of these tables
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
DISTANCE = "distance_to_reference"
BINS = 40
HISTOGRAM = ("method", "group", "left", "right", "density")


@dataclass(frozen=True)
class Scales:
    """Median top probability of each method whose scores are known (`medians`, by key), and what follows from it.

    off         keys of methods too far from the reference for their softmax scores to be compared
    compared    whether they are compared nevertheless
    """

    medians: dict[str, float]
    off: tuple[str, ...]
    compared: bool

    @classmethod
    def of(cls, evidence: Evidence, *, allow_scale: bool) -> "Scales":
        medians = stats.check_scales({method.key: of for method, of in _scored(evidence)}, allow=True)
        reference = medians.get(evidence.reference.key, np.nan)
        off = tuple(key for key, median in medians.items() if abs(median - reference) > SCALES_APART)
        return cls(medians, off, allow_scale)

    @property
    def apart(self) -> tuple[str, ...]:
        """Keys of methods whose scores are not compared with those of the reference."""
        return () if self.compared else self.off


def values(method: MethodRuns) -> dict[str, np.ndarray]:
    """(R, N) of QUANTITIES, where scores are known."""
    found = _values(method)
    return {quantity: found[name] for quantity, name in QUANTITIES.items()} if found else {}


def measure(measured: Measured) -> Finding:
    """
    hardest_negatives  score of the hardest negative: mean and share above p_true with intervals; quantiles, pooled over
                       runs and points, and the distance to the reference, without. No rows where no probabilities are
                       known
    gaps               the same, few - many; no rows where the splits are not known
    histogram          its density: HISTOGRAM
    """
    evidence = measured.evidence
    scales = Scales.of(evidence, allow_scale=measured.allow_scale)
    described, histogram = describe(evidence, scales)
    return Finding(
        {
            "hardest_negatives": table(measured.of(QUANTITIES), scales, described),
            "gaps": gaps(evidence, scales),
            "histogram": histogram,
        },
        tuple(cautions(evidence, scales)),
    )


def table(rows: pd.DataFrame, scales: Scales, described: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS: means and shares of `rows`; quantiles and distances as `described`, without intervals."""
    means = rows.replace({"quantity": QUANTITIES})
    means.loc[means["method"].isin(scales.apart) & (means["quantity"] == "mean"), list(DIFFERENCE)] = np.nan
    return pd.concat([means, *([described] if len(described) else [])], ignore_index=True)


def gaps(evidence: Evidence, scales: Scales) -> pd.DataFrame:
    """COLUMNS: how much higher mean and share above true are in few than in many."""
    splits = {name: evidence.splits[name] for name in SPLITS}
    rows = []

    def gap(values: np.ndarray, runs: MethodRuns, theirs: np.ndarray | None = None) -> stats.Estimate:
        of = record(evidence, runs)
        return stats.head_tail_gap(
            values,
            evidence.labels,
            splits,
            reference_values=theirs,
            clusters=of.clusters,
            widening=of.widening(),
            level=LEVEL,
        )

    for method in evidence.methods if evidence.train_counts is not None else ():
        runs = [] if method is evidence.reference else evidence.paired_runs(method)
        ours, theirs = method.rows(runs), _values(evidence.reference.rows(runs))
        for quantity, values in _values(method).items():
            own = gap(values, method)
            difference: tuple[float, ...] = (np.nan,) * len(DIFFERENCE)
            if runs and quantity in theirs and not (quantity == "mean" and method.key in scales.apart):
                of = gap(_values(ours)[quantity], ours, theirs[quantity])
                difference = (of.estimate, of.low, of.high, np.nan)
            measured = (own.estimate, own.low, own.high, own.plug_in)
            points = evidence.points("many") + evidence.points("few")
            rows.append((method.key, own.group, quantity, *measured, *difference, len(method.runs), points))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def cautions(evidence: Evidence, scales: Scales) -> list[str]:
    """A line for each method that is off the scale of the reference."""
    what = "read their differences with care" if scales.compared else "not compared without --allow-scale"
    reference = evidence.reference
    return [
        f"hardest negatives of {evidence.names[key]}: its median top probability is {scales.medians[key]:.2f}, that of"
        f" {reference.label} {scales.medians[reference.key]:.2f}; softmax scores on so different scales:"
        f" {what}. The share above the true class's score does not depend on the scale."
        for key in scales.off
    ]


def _scored(evidence: Evidence) -> list[tuple[MethodRuns, Scores]]:
    return [(method, scores) for method in evidence.methods if (scores := method.scores) is not None]


def _values(method: MethodRuns) -> dict[str, np.ndarray]:
    if (of := method.scores) is None:
        return {}
    return {"mean": of.score, "share_above_true": of.above_true}


def describe(evidence: Evidence, scales: Scales) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of the scores of all runs and points of a group, pooled: quantiles and Wasserstein's distance to the reference
    (method, group, quantity, estimate, runs, points), and the histogram (HISTOGRAM)."""
    members = {group: np.flatnonzero(np.isin(evidence.labels, ids)) for group, ids in evidence.groups.items()}
    edges = np.linspace(0, 1, BINS + 1)
    of_reference: dict[str, np.ndarray] = {}
    rows, bins = [], []
    for method, of_method in _scored(evidence):
        for group, at in members.items():
            scores = of_method.score[:, at].ravel()
            if method is evidence.reference:
                of_reference[group] = scores
            values = np.quantile(scores, QUANTILES) if scores.size else np.full(len(QUANTILES), np.nan)
            found = {f"quantile_{share:g}": value for share, value in zip(QUANTILES, values, strict=True)}
            if group in of_reference and scores.size and method.key not in (evidence.reference.key, *scales.apart):
                found[DISTANCE] = stats.score_distance(scores, of_reference[group])
            of = (len(method.runs), evidence.points(group))
            rows += [(method.key, group, quantity, value, *of) for quantity, value in found.items()]
            density, _ = np.histogram(scores, edges, density=True) if scores.size else (np.full(BINS, np.nan), edges)
            bins += [(method.key, group, *bin) for bin in zip(edges[:-1], edges[1:], density, strict=True)]
    described = ["method", "group", "quantity", "estimate", "runs", "points"]
    return pd.DataFrame(rows, columns=described), pd.DataFrame(bins, columns=list(HISTOGRAM))


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """How strongly wrong classes compete."""
    names, rows, minus = evidence.names, indexed(tables.hardest_negatives), f"- {evidence.reference.label}"
    shown = ("mean", "share_above_true")
    lines = []
    for method in dict.fromkeys(tables.hardest_negatives["method"]):
        for place, group in enumerate(GROUPS):
            cells = [rows[method, group, quantity] for quantity in shown]
            quantiles = (rows[method, group, f"quantile_{share:g}"]["estimate"] for share in QUANTILES)
            lines.append(
                (
                    word(names[method]),
                    word(group, place),
                    *(estimate(cell, "") for cell in cells),
                    *(difference(cell, "") for cell in cells),
                    _apart(rows, method, group),
                    *(number(value) for value in quantiles),
                )
            )
    return Sheet(
        "hardest_negatives",
        "Hardest negatives: the largest softmax score of a wrong class",
        f"Mean over runs and test points; {captions.INTERVAL}. {captions.paired(evidence)}. Quantiles are pooled over"
        f" runs and points; so is the distance to {evidence.reference.label} (Wasserstein: how far scores would have to"
        " move to be distributed alike). The share above the true class's score does not depend on the scale of the"
        f" logits. {captions.short(evidence)}",
        (
            METHOD,
            SPLIT,
            *beside_reference(("mean", "share above true"), evidence),
            Column("distance", minus),
            *(Column(f"{share:g}", "quantile") for share in QUANTILES),
        ),
        tuple(lines),
    )


def gaps_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """How much more the tail is confused than the head."""
    rows = indexed(tables.gaps, "method", "quantity")
    shown = ("mean", "share_above_true")
    return Sheet(
        "gaps",
        "Hardest negatives: how much higher in the tail than in the head",
        f"Few minus many; {captions.INTERVAL}. {captions.paired(evidence)}. {captions.short(evidence)}",
        (Column("method", numeric=False), *beside_reference(("mean", "share above true"), evidence)),
        tuple(
            (
                word(evidence.names[method]),
                *(estimate(rows[method, quantity], "") for quantity in shown),
                *(difference(rows[method, quantity], "") for quantity in shown),
            )
            for method in dict.fromkeys(tables.gaps["method"])
        ),
    )


def _apart(rows: Mapping[tuple[str, str, str], Mapping[str, Any]], method: str, group: str) -> Cell:
    at = (method, group, DISTANCE)
    return number(rows[at]["estimate"]) if at in rows else Cell()


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing | None:
    """Histograms of each split; of many methods, quantiles."""
    from ltbv.report import figures, lines

    if evidence.train_counts is None:
        return None
    reference = evidence.reference
    if lines.are_many(looks):
        figure, data = lines.hardest_negatives(tables.hardest_negatives, looks), tables.hardest_negatives
        caption = "mean, median, and quantiles of the scores. Further left, the strongest wrong class gets less."
    else:
        figure, data = figures.hardest_negatives(tables.histogram, tables.hardest_negatives, looks), tables.histogram
        known = reference.scores is not None
        over = f"each method in colour over {reference.label} in grey" if known else captions.methods(evidence)
        caption = f"{over}. Further left, the strongest wrong class gets less."
    return Drawing(
        "hardest_negatives",
        figure,
        data,
        f"Hardest negatives by split: {caption}",
        f"{_finding(tables, evidence)} Means and quantiles are in the table of hardest negatives.",
    )


def _finding(tables: Tables, evidence: Evidence) -> str:
    """The mean score in the tail: of the reference, the lowest and the highest."""
    own = tables.hardest_negatives
    own = own[(own["quantity"] == "mean") & (own["group"] == evidence.ends[1])].set_index("method")["estimate"].dropna()
    if own.empty:
        return f"No score is known in {evidence.ends[1]}."
    named = dict.fromkeys((evidence.reference.key, own.idxmin(), own.idxmax()))
    words = [f"{evidence.names[key]} {own[key]:.3f}" for key in named if key in own]
    return f"Mean of the largest softmax score of a wrong class, in {evidence.ends[1]}: {', '.join(words)}."


def answer(tables: Tables, evidence: Evidence) -> str:
    """Which share of the score of the tail's hardest negatives goes to the head's classes: with the reference, and
    where it is least, of methods whose scores may be compared."""
    if evidence.reference.p_negative is None:
        return "Not known: the scores of wrong classes are not."
    if not len(tables.flows):
        return "Not known by split: training images, or which classes the hardest negatives are, are not known."
    head, tail = evidence.ends
    of_few = tables.flows[tables.flows["true"] == tail].pivot(index="method", columns="negative", values="mass")
    share = (of_few[head] / of_few[list(SPLITS)].sum(axis=1)).dropna()
    reference, scored = evidence.reference, set(of_few.index)
    if reference.key not in share:
        return f"Not known: there are no {tail}-shot test images, or nothing is lost to wrong classes."
    compared = tables.hardest_negatives.loc[tables.hardest_negatives["quantity"] == DISTANCE, "method"].unique()
    others = share[share.index.isin(compared)]
    said = f"Of the score that {tail}-shot images give their strongest wrong class, {head}-shot classes take"
    said += f" {100 * share[reference.key]:.0f} % with {reference.label}"
    if len(others):
        least = "least with " if len(evidence.methods) > 2 else "with "
        said += f", {least}{evidence.names[others.idxmin()]}: {100 * others.min():.0f} %"
    apart = len(scored - set(compared) - {reference.key})
    return f"{said}{f' ({apart} not compared)' if apart else ''}."


TOPIC = Topic(
    measure,
    sheets={"hardest_negatives": (sheet,), "gaps": (gaps_sheet,)},
    figures={"histogram": draw},
    values=values,
    inner=("histogram",),
    question=CONFUSED,
    answer=answer,
)
