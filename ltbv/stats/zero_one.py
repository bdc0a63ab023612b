"""What are bias and variance of a classifier under the zero-one loss? Per test point, from the labels of R runs.

The *main prediction* of a point is the label most runs voted for. Bias is the loss of the main prediction, variance how
often a run departs from it (Domingos, "A unified bias-variance decomposition", ICML 2000; James, "Variance and bias for
general loss functions", Machine Learning 2003). A departure hurts where the main prediction is right and may help where
it is wrong, so the terms do not simply add up. What does hold, exactly, at every point and in every mean, is

    error = bias + unbiased variance - hits          (two classes: hits = biased variance)

The plug-in values are off at any affordable number of runs: at R = 10 the variance is too low by up to .06, the bias
mostly too high, by up to .08. `variance_mid` and `bias_half_sample` bring that down to .007 and .02 at most
(reports/coverage, reports/truth). Where votes are near uniform or most points near a tie no correction is that good
(B_half stays up to .08 off): `cautions` names such groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from ltbv.errors import Refusal, unknown
from ltbv.stats.keyed import plain
from ltbv.stats.splits import Groups, GroupWeights, by_class
from ltbv.stats.votes import TIES, Ballots, blocks, check_labels, check_predictions, check_ties, subset_words

MAX_SUBSETS = 1000  # all half-subsets of runs are used up to here (R = 12)
DRAWN_PAIRS = 50  # beyond, this many pairs of complementary halves


@dataclass(frozen=True, eq=False)
class KohaviWolpert:
    """Decomposition quadratic in vote shares at each test point, arrays (N,) float64: see `kohavi_wolpert`."""

    error: np.ndarray
    bias2: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class ZeroOne:
    """Zero-one decomposition at each test point, arrays (N,) float64: see `zero_one`."""

    error: np.ndarray
    bias: np.ndarray
    variance: np.ndarray
    unbiased_variance: np.ndarray
    biased_variance: np.ndarray
    hits: np.ndarray
    net_variance: np.ndarray
    variance_loo: np.ndarray
    variance_mid: np.ndarray
    main_weight_true: np.ndarray


def zero_one(
    predictions: np.ndarray, labels: np.ndarray, *, ties: str = "fractional", probabilities: np.ndarray | None = None
) -> ZeroOne:
    """Zero-one bias and variance of each test point.

    With n_k runs voting for label k, n1 = max n_k, the t labels with n1 votes, and the true label y:

        w_y  = 1/t if y is one of the t, else 0     main_weight_true: the share of the main prediction that is right
        error = 1 - n_y/R                           bias = 1 - w_y             variance V = 1 - n1/R
        unbiased_variance = w_y V                   biased_variance = (1 - w_y) V
        hits = (1 - w_y) n_y/R                      net_variance = error - bias
        variance_loo = mean_r [h_r differs from the main prediction of the other R - 1 runs]
                     = V + (n1/R) kappa,  kappa = 1 if t > 1; s/(s+1) if s labels have n1 - 1 votes; else 0
        variance_mid = (V + variance_loo) / 2

    error = bias + unbiased_variance - hits, and V = unbiased_variance + biased_variance. In expectation V is too low
    and variance_loo too high; their errors nearly cancel in variance_mid. Compare plug-in values at equal R only.

    predictions    (R, N) int, the label each run gives each point
    labels         (N,) int. Label noise counts as bias: it cannot be told apart from labels alone
    ties           'fractional': tied labels share the main prediction (does not depend on how classes are numbered)
                   'lowest': the lowest class id wins (favours head classes when classes are sorted by size)
                   'prob': the highest mean probability wins, remaining ties are shared; needs `probabilities`
    probabilities  (R, N, C), for 'prob' only

    The tie rule moves bias, hits and the two parts of V; V itself, variance_loo and variance_mid (always fractional) do
    not depend on it. R = 1: a run agrees with itself, so V = 0 says nothing; variance_loo and variance_mid are NaN, and
    `summarize` gives no part of the variance.

    Example: votes 2, 2, 1 with y = 2 give error 1/3, bias 0, V 1/3, variance_loo 2/3, hits 0.
    """
    predictions, labels = check_predictions(predictions, labels)
    runs, points = predictions.shape
    if ties not in (*TIES, "prob"):
        raise unknown("tie rule", ties, (*TIES, "prob"))
    if (probabilities is not None) != (ties == "prob"):
        raise Refusal(
            f"ties={ties!r} with probabilities {'given' if probabilities is not None else 'missing'}:"
            " ties='prob' needs probabilities (R, N, C), the other rules take none"
        )
    everyone = subset_words(np.arange(runs), runs)
    error, variance, loo, weight = (np.empty(points) for _ in range(4))
    for block in blocks(points):
        ballots = Ballots.of(predictions[:, block], labels[block])
        place = ballots.order + block.start
        tally = ballots.tally(everyone)
        error[place] = 1.0 - ballots.true_votes(everyone) / runs
        variance[place] = tally.variance(runs)
        loo[place] = tally.variance_loo(runs)
        if ties != "prob":
            weight[place] = ballots.main_weight_true(everyone, ties)
    if probabilities is not None:
        weight = _weight_by_probability(predictions, labels, probabilities)
    return ZeroOne(
        error=error,
        bias=1.0 - weight,
        variance=variance,
        unbiased_variance=weight * variance,
        biased_variance=(1.0 - weight) * variance,
        hits=(1.0 - weight) * (1.0 - error),
        net_variance=error - (1.0 - weight),
        variance_loo=loo,
        variance_mid=(variance + loo) / 2,
        main_weight_true=weight,
    )


def _weight_by_probability(predictions: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """w_y (N,) when the highest mean probability decides among the labels with most votes."""
    probabilities = plain(probabilities, "probabilities")
    runs, points = predictions.shape
    if probabilities.ndim != 3 or probabilities.shape[:2] != (runs, points):
        raise Refusal(f"probabilities must be (R, N, C) = ({runs}, {points}, classes); got {probabilities.shape}")
    classes = probabilities.shape[2]
    check_labels(labels, classes)
    if predictions.max() >= classes:
        raise Refusal(f"predictions go up to {predictions.max()}, but probabilities have {classes} classes")
    weight = np.empty(points)
    rows = np.arange(points)
    for block in blocks(points, max(1, 2_000_000 // classes)):
        votes = np.zeros((block.stop - block.start, classes), np.int32)
        for run in predictions[:, block]:
            votes[rows[: len(votes)], run] += 1
        mean = probabilities[:, block].mean(0, dtype=np.float64)
        score = np.where(votes == votes.max(1, keepdims=True), mean, -np.inf)
        best = score == score.max(1, keepdims=True)
        weight[block] = best[rows[: len(votes)], labels[block]] / best.sum(1)
    return weight


def half_subsets(runs: int, seed: int = 0) -> np.ndarray:
    """Subsets of m = max(R // 2, 2) runs, as rows (S, m) of run numbers, for `bias_half_sample`.

    All of them if there are at most 1000 (R <= 12), else 50 pairs of complementary halves drawn with `seed`. With odd R
    the two halves of a pair leave one run out.
    """
    half = max(runs // 2, 2)
    if comb(runs, half) <= MAX_SUBSETS:
        return np.array(list(combinations(range(runs), half)), int).reshape(-1, half)
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    drawn = np.stack([generator.permutation(runs)[: 2 * half] for _ in range(DRAWN_PAIRS)])
    return np.sort(drawn.reshape(-1, half), axis=1)


def bias_half_sample(
    predictions: np.ndarray,
    labels: np.ndarray,
    groups: Groups | None = None,
    *,
    ties: str = "fractional",
    seed: int = 0,
) -> np.ndarray:
    """Bias, corrected for the finite number of runs by extrapolation from half of them:

        B_half = (R B_R - m B_m) / (R - m),   m = max(R // 2, 2)

    B_R is the plug-in bias and B_m its mean over subsets of m runs (`half_subsets`). If the plug-in is off by about
    a/R, as it is in the mean over many points, the term cancels. A value of one point means little on its own and may
    leave [0, 1]; nothing is clipped. What remains at R = 10 is at most .02 where votes are not near uniform or
    near a tie, and the plug-in is off by up to .08.

    predictions  (R, N) int
    labels       (N,) int
    groups       None for point values (N,); or G groups of class ids (a sequence, or a dict name -> class ids) for the
                 mean over classes of their class means, (G,); NaN for a group without test points
    seed         of the draw of halves where R > 12

    R < 3: NaN.
    """
    check_ties(ties)
    predictions, labels = check_predictions(predictions, labels)
    runs = len(predictions)
    if runs < 3:
        values = np.full(labels.size, np.nan)
    else:
        everyone, halves = subset_words(np.arange(runs), runs), half_subsets(runs, seed)
        values = np.empty(labels.size)
        for block in blocks(labels.size):
            ballots = Ballots.of(predictions[:, block], labels[block])
            full = ballots.main_weight_true(everyone, ties)
            half = np.zeros(full.size)
            for runs_in_half in halves:
                half += ballots.main_weight_true(subset_words(runs_in_half, runs), ties)
            values[ballots.order + block.start] = extrapolate(1 - full, 1 - half / len(halves), runs, halves.shape[1])
    if groups is None:
        return values
    if not isinstance(groups, Mapping):
        groups = {str(g): ids for g, ids in enumerate(groups)}
    weights = GroupWeights.of(groups, labels)
    return weights.means(by_class(values, labels, weights.num_classes))


def extrapolate(bias_full: np.ndarray, bias_half: np.ndarray, runs: int, half: int) -> np.ndarray:
    """(R B_R - m B_m) / (R - m): see `bias_half_sample`."""
    return (runs * bias_full - half * bias_half) / (runs - half)


def kohavi_wolpert(predictions: np.ndarray, labels: np.ndarray, *, unbiased: bool = True) -> KohaviWolpert:
    """Bias and variance quadratic in the vote shares p_k = n_k/R: error = bias2 + variance, exactly.

        plug-in   bias2 = 1/2 sum_k (1[k = y] - p_k)^2             variance = 1/2 (1 - sum_k p_k^2)
        unbiased  bias2 - 1/2 (1 - sum_k p_k^2) / (R - 1)          variance R/(R - 1) = 1/2 P(two runs differ)

    The unbiased forms have no error from the number of runs, on average, for any R >= 2; bias2 may then be negative
    and is not clipped. Half the Brier score of one-hot votes. R = 1: NaN if unbiased.

    predictions (R, N) int; labels (N,) int. Kohavi and Wolpert, "Bias plus variance decomposition for zero-one loss
    functions", ICML 1996.
    """
    predictions, labels = check_predictions(predictions, labels)
    runs, points = predictions.shape
    everyone = subset_words(np.arange(runs), runs)
    error, variance = np.empty(points), np.empty(points)
    for block in blocks(points):
        ballots = Ballots.of(predictions[:, block], labels[block])
        place = ballots.order + block.start
        error[place] = 1.0 - ballots.true_votes(everyone) / runs
        tally = ballots.tally(everyone)
        variance[place] = tally.half_disagreement(runs) if unbiased else 0.5 - tally.squares / (2 * runs**2)
    return KohaviWolpert(error, error - variance, variance)
