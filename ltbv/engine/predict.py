"""What does a trained stack say of the test set? Logits of every run, and the few numbers that statistics need."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ltbv.data.batches import Pictures
from ltbv.engine.device import precision
from ltbv.models.experts import Experts


@torch.no_grad()
def predict(network: Experts, test: Pictures, combine: Callable[[Tensor], Tensor], *, block: int = 250) -> np.ndarray:
    """Float32 logits [R, N, C] of the combined experts; `combine` maps [R, E, B, C] to [R, B, C]."""
    network.eval()
    pieces = []
    for start in range(0, len(test.pixels), block):
        with precision(test.pixels.device, next(network.parameters()).dtype):
            output = network(test.block(slice(start, start + block), network.runs))
        pieces.append(combine(output.logits.float()).cpu())
    return torch.cat(pieces, 1).numpy()


def record(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of one run, from its float32 logits [N, C] and the test labels [N].

    label      uint16/32, argmax before any cast (float16 makes false ties)
    p_true     softmax probability of the true class
    negative   the class other than the true one with the largest probability, and
    p_negative that probability: the hardest negative
    lse        log sum exp of the logits
    sum_p2     sum of squared probabilities
    logits     float16, or float32 where one is too large for that
    """
    points = np.arange(len(labels))
    wide = logits.astype(np.float64)
    lse = np.logaddexp.reduce(wide, axis=1)
    probability = np.exp(wide - lse[:, None])
    others = logits.copy()
    others[points, labels] = -np.inf
    negative = others.argmax(1)
    small = np.uint16 if logits.shape[1] <= 2**16 else np.uint32
    return {
        "label": logits.argmax(1).astype(small),
        "p_true": probability[points, labels].astype(np.float32),
        "negative": negative.astype(small),
        "p_negative": probability[points, negative].astype(np.float32),
        "lse": lse.astype(np.float32),
        "sum_p2": (probability**2).sum(1).astype(np.float32),
        "logits": logits.astype(np.float16 if np.abs(logits).max() < np.finfo(np.float16).max else np.float32),
    }
