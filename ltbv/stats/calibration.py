"""Is a run as often right as it believes? The calibration error of its confidence, without the part that is chance.

Points of a group are put into bins of equal numbers by the confidence of the predicted class; with g_i = confidence of
point i minus 1 if it is right, and weights w_i under which classes count the same, 1/(C N_c):

    plug-in    sum_b W_b (sum_{i in b} w_i g_i / W_b)^2                      W_b = sum_{i in b} w_i
    debiased   sum_b W_b ((sum w_i g_i)^2 - sum w_i^2 g_i^2) / (W_b^2 - sum w_i^2)

The plug-in squares the noise of each bin and so finds an error where there is none, the more the fewer points a split
has: the many and the few would not compare. The debiased takes pairs of different points only, so that noise has mean
0; with equal weights it is the bin's squared mean gap minus s^2/n (Kumar, Liang and Ma, "Verified uncertainty
calibration", NeurIPS 2019, whose s^2 is that of being right within the bin). It may be negative, and is then no error.
What is shown is sqrt(max(0, mean over runs)), the root mean square gap between confidence and accuracy: not below the
common ECE, which is the mean absolute gap, but for its bias.

Few bins hide what varies within them, so the value is a lower bound of the true error, as with every binned one. The
interval is that of `over_runs`, for new runs on these test images.
"""

from collections.abc import Mapping

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.splits import ClassIds, GroupWeights

BINS = 15
LEAST = 10  # test points of a bin


def squared_calibration_error(
    confidence: np.ndarray, right: np.ndarray, labels: np.ndarray, groups: Mapping[str, ClassIds], bins: int = BINS
) -> np.ndarray:
    """Debiased squared calibration error of each run and group, (R, G); NaN for a group of fewer than two points.

    confidence  (R, N) of the predicted class, 0 to 1
    right       (R, N) bool: is it the true class?
    labels      (N,) int; groups: name -> class ids
    bins        of each group and run; fewer where a bin would hold less than ten points
    """
    given, right = np.asarray(confidence), np.asarray(right, bool)
    confidence = given.astype(np.float64, copy=False)
    if confidence.shape != right.shape or confidence.ndim != 2 or confidence.shape[1] != labels.size:
        raise Refusal(
            f"confidence {confidence.shape} and right {right.shape} must both be (R, N) with N = {labels.size}"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise Refusal("confidence is NaN or no probability: give that of the predicted class, from 0 to 1")
    weights = GroupWeights.of(groups, labels)
    order = stable_order(given)
    gaps, classes = np.take_along_axis(confidence - right, order, 1), labels[order]
    found = np.full((len(confidence), len(groups)), np.nan)
    for g, ids in enumerate(np.split(weights.members, np.cumsum(weights.sizes)[:-1])):
        points = int(weights.counts[ids].sum())
        if points < 2:
            continue
        of_class = np.zeros(weights.num_classes)
        of_class[ids] = 1 / (ids.size * weights.counts[ids])
        inside = (of_class > 0)[classes]
        number = max(1, min(bins, points // LEAST))
        starts = np.arange(number) * points // number
        w = of_class[classes[inside]].reshape(-1, points)
        wg = w * gaps[inside].reshape(-1, points)
        total, of_gaps, squares, of_squares = (np.add.reduceat(terms, starts, axis=1) for terms in (w, wg, w**2, wg**2))
        found[:, g] = (total * (of_gaps**2 - of_squares) / (total**2 - squares)).sum(1)
    return found


def calibration_error(squared: np.ndarray) -> np.ndarray:
    """sqrt(max(0, mean over runs of the squared one)), of any shape."""
    return np.sqrt(np.maximum(squared, 0))


def stable_order(shares: np.ndarray) -> np.ndarray:
    """Places of each row of `shares` (R, N), none negative, in ascending order, equal ones as they stand.

    Of float32 the bits are in the order of the numbers. With the place behind them no two keys are alike, and numpy
    sorts whole numbers faster than it sorts stably by argument.
    """
    if shares.dtype != np.float32 or shares.shape[1] > 2**32:
        return np.argsort(shares, axis=1, kind="stable")
    keys = (shares + np.float32(0)).view(np.uint32).astype(np.uint64) << np.uint64(32)  # -0 is 0
    keys |= np.arange(shares.shape[1], dtype=np.uint64)
    keys.sort(axis=1)
    return (keys & np.uint64(2**32 - 1)).astype(np.intp)
