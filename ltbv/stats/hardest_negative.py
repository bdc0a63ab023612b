"""Which wrong class does a run find most likely, and how likely? The hardest negative of each test point.

A high score says that a run confuses the point with another class, whether or not it happens to be right; in
long-tailed training the tail's hardest negatives are head classes (Wang et al., "Long-tailed recognition by routing
diverse distribution-aware experts", ICLR 2021, figure 1).

A softmax score depends on the scale of the logits: cosine logits within [-1, 1] have nearly flat scores. Compare
methods only if their logits are scaled as in training (`check_scales`); the share of scores above `p_true`, which is
the error but for ties, does not depend on the scale.

Means over classes get their intervals from `summarize` and `compare`, as `per_run` values; here are the gap between
tail and head, and the distance of two whole distributions. Which classes are confused with which: `confusion`.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.intervals import Estimate, Options
from ltbv.stats.keyed import plain
from ltbv.stats.probability import block_points, check_logits, log_sum_exp
from ltbv.stats.splits import ClassIds, GroupWeights
from ltbv.stats.values import mean_of_values
from ltbv.stats.votes import blocks, check_labels

BINS = 200  # of scores between 0 and 1: a distance is then off by .005 at most
SCALES_APART = 0.3  # of median top probabilities, beyond which scores of two methods do not compare


class Scored(Protocol):
    """Arrays (R, N): the largest softmax probability among the wrong classes, and that of the true one."""

    @property
    def score(self) -> np.ndarray: ...

    @property
    def p_true(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class HardestNegative:
    """Arrays (R, N) of R runs on N test points.

    score   largest softmax probability among the wrong classes
    label   that class (the lowest id on an exact tie)
    p_true  softmax probability of the true class
    """

    score: np.ndarray
    label: np.ndarray
    p_true: np.ndarray

    @property
    def above_true(self) -> np.ndarray:
        """(R, N) bool: a wrong class is more likely than the true one. Whatever the scale of the logits."""
        return self.score > self.p_true


def hardest_negative(logits: np.ndarray, labels: np.ndarray) -> HardestNegative:
    """Hardest negative of each run and point: score = max_{k != y} softmax(z)_k, label = its class.

    logits  (R, N, C) float, C >= 2. -inf is a probability of 0; NaN and +inf have no softmax and are refused, counted
            and named. float16 logits near 20 are 1/64 apart, so their ties may be false: a warning counts them. Take
            labels and hardest negatives from float32 logits, before any cast.
    labels  (N,) int
    Computed in float64, a block of points at a time.
    """
    logits, labels = check_logits(logits, labels)
    runs, points, classes = logits.shape
    if classes < 2:
        raise Refusal("logits have one class: a hardest negative needs two or more")
    score, p_true = np.empty((runs, points)), np.empty((runs, points))
    label = np.empty((runs, points), np.int64)
    ties = 0
    for block in blocks(points, block_points(runs, classes)):
        z = logits[:, block].astype(np.float64)
        true = np.broadcast_to(labels[None, block, None], (runs, z.shape[1], 1))
        log_sum = log_sum_exp(z)
        p_true[:, block] = np.exp(np.take_along_axis(z, true, 2)[..., 0] - log_sum)
        # The true class is left out, not masked with -inf: a wrong class may be -inf itself.
        others = np.arange(classes - 1)[None, :] + (np.arange(classes - 1)[None, :] >= labels[block, None])
        wrong = np.take_along_axis(z, np.broadcast_to(others, (runs, *others.shape)), 2)
        hardest = wrong.max(2)
        label[:, block] = np.take_along_axis(others[None], wrong.argmax(2)[..., None], 2)[..., 0]
        score[:, block] = np.exp(hardest - log_sum)
        if logits.dtype == np.float16:
            ties += int(((wrong == hardest[..., None]).sum(2) > 1).sum())
    if ties:
        warnings.warn(
            f"float16 logits: {ties} of {runs * points} hardest negatives are tied, perhaps by rounding"
            " alone; take them from float32 logits",
            stacklevel=2,
        )
    return HardestNegative(score, label, p_true)


def head_tail_gap(
    values: np.ndarray,
    labels: np.ndarray,
    splits: Mapping[str, ClassIds],
    *,
    reference_values: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    widening: float = 1.0,
    target: str = "population",
    level: float = 0.95,
) -> Estimate:
    """How much higher a value is in the tail than in the head: mean over 'few' - mean over 'many', with its interval.

    values            (R, N) of each run at each point: hardest-negative scores, `above_true`, ...
    labels            (N,) int
    splits            name -> class ids, with 'many' and 'few'
    reference_values  (R, N), runs and points paired with `values`: the gap then is that of values - reference_values
    clusters          (N,) numbers from 0, as `Record.clusters`
    widening          of the spread over runs that share training images: `Record.widening`
    target, level     as in `summarize`, whose interval this is

    NaN where a split has no test point; low, high, se, df also for R < 4.
    """
    if missing := {"many", "few"} - splits.keys():
        raise Refusal(f"splits lack {sorted(missing)}: a head-tail gap needs 'many' and 'few'; got {sorted(splits)}")
    labels, name = check_labels(labels), "few - many"
    of = mean_of_values(
        values,
        labels,
        GroupWeights.gap(name, splits["few"], splits["many"], labels),
        reference_values=reference_values,
        clusters=clusters,
        widening=widening,
        options=Options(target=target, level=level),
    )
    return Estimate(name, "head_tail_gap", **of.row(0))


def score_distance(scores: np.ndarray, reference_scores: np.ndarray, *, bins: int = BINS) -> float:
    """How far apart two distributions of scores are: Wasserstein's distance, the area between their two CDFs.

    It is the mean distance that scores would have to move for one distribution to become the other, between 0 and 1.
    Runs and points are pooled into `bins` equal bins of [0, 1], so it is off by 1/bins at most. A number to describe
    with: R runs of one point are no R independent points, and a p-value computed as if they were is wrong.

    scores, reference_scores  arrays of any shape, within [0, 1]; their sizes may differ
    """
    shares = []
    for name, of in (("scores", scores), ("reference_scores", reference_scores)):
        of = plain(of, name)
        if of.size == 0 or not (of.min() >= 0 and of.max() <= 1):
            raise Refusal(f"{name} must be probabilities, one or more and all within [0, 1]")
        counts, _ = np.histogram(of, bins, (0, 1))
        shares.append(counts.cumsum() / of.size)
    return float(np.abs(shares[0] - shares[1]).mean())


def check_scales(methods: Mapping[str, Scored], *, allow: bool = False) -> dict[str, float]:
    """Median top probability of each method; refuses methods whose scores are not on one scale.

    Two methods more than .3 apart in the median (over runs and points) of the largest probability have logits of
    different scale rather than different confidence. `allow` compares them nevertheless.
    """
    medians = {name: float(np.median(np.maximum(one.p_true, one.score))) for name, one in methods.items()}
    for (one, median), (other, another) in combinations(medians.items(), 2):
        if abs(median - another) > SCALES_APART and not allow:
            raise Refusal(
                f"the median top probability of {one} is {median:.2f} and that of {other} {another:.2f}: scores on so"
                " different scales do not compare. Give the logits as scaled in training, compare the share above the"
                " true class instead (above_true), or pass allow=True"
            )
    return medians
