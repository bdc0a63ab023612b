"""Is the true class among the k most likely ones? How many classes a run ranks above it, for top-k accuracy.

    rank_i = #{c: z_ic > z_iy} + #{c < y: z_ic = z_iy}          top-k accuracy = share of points with rank < k

so that ties go to the lowest class id, as with argmax. Logits kept as float16 may tie where they did not: top-1 of them
is not quite the accuracy.
"""

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.probability import true_logits
from ltbv.stats.votes import blocks, check_labels

BLOCK_ELEMENTS = 200_000  # logits of one block: in float32 they fit into a processor's cache


def true_class_ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of the true class at each point, 0 where it is first: (N,) of one run's logits or probabilities (N, C)."""
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.dtype.kind != "f" or len(logits) != np.size(labels):
        raise Refusal(
            f"logits must be floating point (N, C) with N = {np.size(labels)}; got {logits.dtype} of shape"
            f" {logits.shape}"
        )
    labels = check_labels(labels, logits.shape[1])
    ranks = np.empty(labels.size, np.min_scalar_type(logits.shape[1]))
    for block in blocks(labels.size, max(1, BLOCK_ELEMENTS // logits.shape[1])):
        z = logits[block]
        z = z.astype(np.float32) if z.dtype == np.float16 else z  # float16 is compared one by one
        ranks[block] = ranks_of(z, labels[block])
        if bad := int(np.isnan(z.max(1)).sum()):  # the largest of a row is NaN where one is
            raise Refusal(f"logits are NaN at {bad} of the points {block.start} to {block.stop - 1}")
    return ranks


def ranks_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of the true class, (..., n) of logits (..., n, C) and labels (n,); means nothing where a row has NaN."""
    true = true_logits(logits, labels)[..., None]
    equal = logits == true
    ranks = count(logits > true)
    tied = np.nonzero(count(equal) != 1)  # 0 where the true one is NaN
    below = np.arange(logits.shape[-1]) < labels[tied[-1], None]
    ranks[tied] += (equal[tied] & below).sum(1).astype(ranks.dtype)
    return ranks


def count(which: np.ndarray) -> np.ndarray:
    """How many of each row of `which` (..., C) are True, (...); a tenth of the time of `which.sum(-1)`."""
    return np.einsum("...c->...", which.view(np.uint8), dtype=np.uint32)
