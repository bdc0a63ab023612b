"""What do the predictions say? Tidy tables, a row for each method, group of classes and quantity.

Every estimate, interval and test comes from `ltbv.stats`; here they are asked for and put side by side. The columns of
most tables are those of `rows`, where they are explained.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ltbv.report import claims as of_claims
from ltbv.report import hardest, routing
from ltbv.report.additions import additions
from ltbv.report.cautions import cautions
from ltbv.report.confusion import flows, pairs
from ltbv.report.cost import costs
from ltbv.report.evidence import GROUPS, SHOWN, Evidence
from ltbv.report.families import families
from ltbv.report.rows import COLUMNS, DIFFERENCE, LEVEL, bins, compare, estimate, record, rows
from ltbv.report.verdict import MARGIN, Verdict, check_margin, verdicts

__all__ = ["COLUMNS", "LEVEL", "Tables", "build"]


@dataclass(frozen=True)
class Tables:
    """
    splits             all quantities of the zero-one loss, for all classes and each split
    classes            accuracy, bias and variance of each class; further columns class_name, split, train_count
    hardest_negatives  score of the hardest negative: mean and share above p_true with intervals; quantiles, pooled
                       over runs and points, and the distance to the reference, without. No rows where no
                       probabilities are known
    gaps               the same, few - many
    histogram          its density: method, group, left, right, density
    curves             accuracy, bias and variance of bins of like classes: method, quantity, first, last (places
                       in the order by count), estimate, low, high, and the difference from the reference
    profile            class by class, most training images first: group, class_name, split, train_count, pool_size,
                       shared (by two runs, 0-1)
    claims             the nine claims of each method: see `claims`
    flows, pairs       where hardest negatives lead: see `confusion`; no rows where their classes are not known
    costs              see `cost`
    experts, usage     experts asked for a test point, by split, and how often exactly 1, 2, …; no rows where no method
                       chooses
    routed_costs       MACs that were spent on a test point then
    additions          a method and what it is built on: see `additions`
    families           methods that differ in their number of experts: see `families`
    verdicts           a method in words
    cautions           lines that a reader must know
    """

    splits: pd.DataFrame
    classes: pd.DataFrame
    hardest_negatives: pd.DataFrame
    gaps: pd.DataFrame
    histogram: pd.DataFrame
    curves: pd.DataFrame
    profile: pd.DataFrame
    claims: pd.DataFrame
    flows: pd.DataFrame
    pairs: pd.DataFrame
    costs: pd.DataFrame
    experts: pd.DataFrame
    usage: pd.DataFrame
    routed_costs: pd.DataFrame
    additions: pd.DataFrame
    families: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    cautions: tuple[str, ...]


def build(
    evidence: Evidence, *, margin: float = MARGIN, exact: bool | None = None, allow_scale: bool = False
) -> Tables:
    """All tables of a report.

    margin       of accuracy: how much worse the head may be and still count as kept
    exact        the exact sign-flip test too; None: where it takes a few seconds only
    allow_scale  compare softmax scores of methods whose logits are on different scales
    """
    check_margin(margin)
    records = {method.key: record(evidence, method) for method in evidence.methods}
    reference, *others = evidence.names
    estimates = {key: estimate(evidence, of) for key, of in records.items()}
    differences = {key: compare(evidence, records[key], records[reference]) for key in others}
    everything = pd.concat(
        [rows(evidence, method, estimates[method.key], differences.get(method.key, ())) for method in evidence.methods],
        ignore_index=True,
    )
    group, quantity = everything["group"], everything["quantity"]
    of_bin, of_group = group.isin(bins(evidence)), group.isin(GROUPS)
    of_hardest, of_routing = quantity.isin(hardest.QUANTITIES), routing.is_of_routing(quantity)
    of_class = ~of_bin & ~of_group & quantity.isin(SHOWN)
    splits = everything[of_group & ~of_hardest & ~of_routing].reset_index(drop=True)
    scales = hardest.Scales.of(evidence, allow_scale=allow_scale)
    described, histogram = hardest.describe(evidence, scales)
    routed = everything[of_group & of_routing]
    flip = of_claims.is_quick(evidence) if exact is None else exact
    flips = of_claims.flips(evidence, records, wanted=flip)
    claims = of_claims.claims(differences, flips, estimates, evidence)
    return Tables(
        splits=splits,
        classes=_describe_classes(evidence, everything[of_class].reset_index(drop=True)),
        hardest_negatives=hardest.table(everything[of_group & of_hardest], scales, described),
        gaps=hardest.gaps(evidence, scales),
        histogram=histogram,
        curves=_curves(everything[of_bin]),
        profile=_profile(evidence),
        claims=claims,
        flows=flows(evidence),
        pairs=pairs(evidence, LEVEL),
        costs=costs(evidence),
        experts=routing.experts(routed),
        usage=routing.usage(routed),
        routed_costs=routing.routed_costs(routed, evidence),
        additions=additions(evidence, records, estimates),
        families=families(evidence, splits),
        verdicts=verdicts(evidence, splits, claims, margin),
        cautions=cautions(evidence, records, estimates, scales, flipped=flip),
    )


def _curves(rows: pd.DataFrame) -> pd.DataFrame:
    shown = rows[rows["quantity"].isin(SHOWN)]
    places = shown["group"].str.split(" ")
    columns = shown[["method", "quantity", "estimate", "low", "high", *DIFFERENCE]]
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


def _describe_classes(evidence: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    ids = rows["group"].astype(int)
    return rows.assign(
        group=ids,
        class_name=ids.map(lambda c: evidence.class_names[c]),
        split=ids.map(evidence.split_of),
        train_count=ids.map(lambda c: int(evidence.train_counts[c])),
    )
