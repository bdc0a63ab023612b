"""Where do the errors flow? From each true class to its hardest negatives, weighted by how likely these seem.

    F[c, k] = mean over the test points of class c and over runs of 1[hardest negative is k] score

is the probability mass that class c loses to class k, its strongest rival, on average. In long-tailed training it flows
from the tail to the head. `confusion_flow` adds it up between splits, beside what would flow if every wrong class were
as likely to be the rival; `confusion_pairs` names the pairs of classes that lose most.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.hardest_negative import HardestNegative
from ltbv.stats.measured import FEWEST_RUNS
from ltbv.stats.splits import ClassIds, GroupWeights
from ltbv.stats.student import quantile
from ltbv.stats.votes import check_labels


@dataclass(frozen=True, eq=False)
class ConfusionFlow:
    """Flow between S splits, arrays (S, S): rows are splits of the true class, columns of its hardest negative.

    splits    names of rows and columns
    mass      mean over the row's classes of sum of F[c, k] over the column's classes k
    expected  the same if all C - 1 wrong classes were equally likely: the row's sum, shared by number of classes
    ratio     mass / expected: above 1, more flows there than its number of classes explains

    A row without test points is NaN.
    """

    splits: tuple[str, ...]
    mass: np.ndarray
    expected: np.ndarray
    ratio: np.ndarray


@dataclass(frozen=True)
class ConfusionPair:
    """F of one pair of classes with its interval over runs; NaN for R < 4."""

    true: int
    negative: int
    mass: float
    low: float
    high: float
    se: float


def confusion_flow(hardest: HardestNegative, labels: np.ndarray, splits: Mapping[str, ClassIds]) -> ConfusionFlow:
    """Flow of hardest-negative mass between splits: `ConfusionFlow`.

    hardest  of R runs on N points
    labels   (N,) int
    splits   name -> class ids; together every class once, as `ltbv.stats.splits` gives them
    """
    labels = _check(hardest, labels)
    names, members = tuple(splits), [np.asarray(ids, int) for ids in splits.values()]
    classes = sum(ids.size for ids in members)
    if sorted(np.concatenate(members).tolist()) != list(range(classes)):
        raise Refusal("splits must hold every class from 0 once: a flow between overlapping splits counts mass twice")
    highest = max(int(labels.max()), int(hardest.label.max()))
    if highest >= classes:
        raise Refusal(f"splits hold {classes} classes, but labels or hardest negatives go up to {highest}")
    split_of = np.empty(classes, int)
    for s, ids in enumerate(members):
        split_of[ids] = s

    # Class means first: (C, S) mass of each class to each split.
    place = labels * len(names) + split_of[hardest.label]
    sums = np.bincount(place.ravel(), hardest.score.ravel(), minlength=classes * len(names)).reshape(classes, -1)
    weights = GroupWeights.of(splits, labels)
    counts = weights.counts[:, None] * len(hardest.score)
    of_class = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    mass = weights.means(of_class.T).T
    sizes = np.array([ids.size for ids in members])
    share = (sizes - np.eye(len(names))) / (classes - 1)
    expected = mass.sum(1, keepdims=True) * share
    ratio = np.divide(mass, expected, out=np.full(mass.shape, np.nan), where=expected > 0)
    return ConfusionFlow(names, mass, expected, ratio)


def confusion_pairs(
    hardest: HardestNegative, labels: np.ndarray, tail: np.ndarray, *, top: int = 20, level: float = 0.95
) -> list[ConfusionPair]:
    """The pairs (tail class -> negative class) that lose most, largest F first.

    hardest  of R runs on N points
    labels   (N,) int
    tail     true classes to look at, for example splits["few"]
    top      how many pairs
    level    of the interval mean +- t(R - 1) sd / sqrt(R) over runs, with the test points held fixed. The pairs are the
             largest of many, so their masses are a little too high: an interval holds for a pair named beforehand.
    """
    labels = _check(hardest, labels)
    runs = len(hardest.score)
    points = np.flatnonzero(np.isin(labels, tail))
    classes = 1 + max(int(labels.max()), int(hardest.label.max()))
    pair = labels[points].astype(np.int64) * classes + hardest.label[:, points]  # (R, n)
    score = hardest.score[:, points]
    pairs, place = np.unique(pair, return_inverse=True)
    if not pairs.size:
        return []
    place = place.reshape(pair.shape)
    counts = np.bincount(labels, minlength=classes)[pairs // classes]
    mass = np.bincount(place.ravel(), score.ravel()) / (counts * runs)
    order = np.lexsort((pairs, -mass))[:top]
    # Of the pairs shown alone, the mass of each run (R, top); all others fall into a last column.
    column = np.full(pairs.size, order.size)
    column[order] = np.arange(order.size)
    of_run = np.stack(
        [
            np.bincount(column[place_of_run], score_of_run, minlength=order.size + 1)[:-1] / counts[order]
            for place_of_run, score_of_run in zip(place, score, strict=True)
        ]
    )
    se = of_run.std(0, ddof=1) / np.sqrt(runs) if runs >= FEWEST_RUNS else np.full(order.size, np.nan)
    reach = quantile((1 + level) / 2, np.float64(runs - 1)) * se
    return [
        ConfusionPair(int(pairs[p] // classes), int(pairs[p] % classes), float(m), float(m - r), float(m + r), float(s))
        for p, m, r, s in zip(order, mass[order], reach, se, strict=True)
    ]


def _check(hardest: HardestNegative, labels: np.ndarray) -> np.ndarray:
    labels = check_labels(labels)
    if hardest.score.shape[1:] != labels.shape:
        raise Refusal(f"hardest negatives are {hardest.score.shape}, (runs, points), and labels {labels.shape}")
    return labels
