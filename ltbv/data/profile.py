"""How many training images does each class get? The long-tailed profiles of LDAM-DRW (arXiv:1906.07413), exactly."""

import contextlib
import math

import numpy as np

from ltbv.errors import Refusal, unknown

OWN = "own"
KINDS = {
    "exp": "counts fall geometrically from head to head / imbalance",
    "step": "the first half of the classes has head images, the rest head / imbalance",
}


LARGEST_HEAD = 2**31 - 1


def own_counts(pool_sizes: np.ndarray, head: int | None = None) -> np.ndarray:
    """Counts [C] int64 of a training set as long-tailed as its data are: all images, or scaled to a head.

    n_k = max(1, floor(head * N_k / N_max)), N_k the images that there are of class k
    """
    pool_sizes = np.asarray(pool_sizes, np.int64)
    if head is None or head == pool_sizes.max():
        return pool_sizes
    if not 1 <= head <= pool_sizes.max():
        raise Refusal(f"head is {head}; the largest class of these data has {pool_sizes.max()} images, so 1 to that")
    return np.maximum(1, head * pool_sizes // pool_sizes.max())


def allowed_imbalance(num_classes: int, head: int, imbalance: float, kind: str) -> float:
    """`imbalance`, or the highest whole number below it that leaves every class an image."""
    lower = (float(one) for one in (head, head - 1) if one >= 1)  # 49 * (1 / 49) is less than 1
    for one in (imbalance, *lower):
        with contextlib.suppress(Refusal):
            long_tail_counts(num_classes, head, one, kind)
            return one
    return imbalance


def long_tail_counts(num_classes: int, head: int, imbalance: float, kind: str = "exp") -> np.ndarray:
    """Counts [C] int64 of a long-tailed training set whose class 0 has `head` images.

    exp:  n_k = int(head * (1 / imbalance) ** (k / (C - 1)))
    step: n_k = head for k < C // 2, else int(head / imbalance)

    Rounding down is part of the definition: CIFAR-100 at imbalance 200 has a real ratio of 250 (500 : 2).
    """
    if kind not in KINDS:
        raise unknown("profile", kind, (*KINDS, OWN))
    if num_classes < 2:
        raise Refusal(f"a long tail needs at least 2 classes, not {num_classes}")
    if not 1 <= head <= LARGEST_HEAD:
        raise Refusal(f"head is {head}; the largest class needs at least 1 image and has at most {LARGEST_HEAD:,}")
    if not (math.isfinite(imbalance) and imbalance >= 1):
        raise Refusal(f"imbalance is {imbalance:g}; it is head / tail, so 1 (balanced) or more")

    # The factor 1 / imbalance first, then the power, then the product: the authors' order of rounding.
    factor = 1 / imbalance
    if kind == "exp":
        counts = [int(head * factor ** (k / (num_classes - 1))) for k in range(num_classes)]
    else:
        counts = [int(head if k < num_classes // 2 else head * factor) for k in range(num_classes)]
    if counts[-1] < 1:
        raise Refusal(
            f"head {head} with imbalance {imbalance:g} leaves {counts.count(0)} of {num_classes} classes empty;"
            f" choose an imbalance below {head} or a larger head"
        )
    return np.array(counts, np.int64)
