"""Which wrong class does a run find most likely, and how likely? The hardest negative of each test point.

A high score says that a run confuses the point with another class, whether or not it happens to be right; in
long-tailed training the tail's hardest negatives are head classes (Wang et al., "Long-tailed recognition by routing
diverse distribution-aware experts", ICLR 2021, figure 1).

A softmax score depends on the scale of the logits: cosine logits within [-1, 1] have nearly flat scores. Compare
methods only if their logits are scaled as in training; the share of scores above `p_true`, which is the error but for
ties, does not depend on the scale.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.probability import block_points, check_logits, log_sum_exp
from ltbv.stats.votes import blocks


@dataclass(frozen=True)
class HardestNegative:
    """Arrays (R, N) of R runs on N test points.

    score   largest softmax probability among the wrong classes
    label   that class (the lowest id on an exact tie)
    p_true  softmax probability of the true class
    """

    score: np.ndarray
    label: np.ndarray
    p_true: np.ndarray


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
