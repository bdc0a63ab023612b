"""What do the scores of one run amount to? The prediction, the true class's probability and the hardest negative.

Scores are looked at in blocks, in float32 (float64 where they are stored so): a table of points x classes never exists.
Axes: N test points, n of them in a block, C classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.rows import LOGITS, PROBS

TOLERANCE, TOLERANCE_FLOAT16 = 1e-3, 1e-2  # of the sum of probabilities; as in `stats.probability`


@dataclass(frozen=True)
class Judged:
    """Arrays (N,) of one run; see `MethodRuns`. `ties` of the highest score are counted where scores are float16.

    kind  what the scores were taken for, 'logits' or 'probs'
    """

    predictions: np.ndarray
    p_true: np.ndarray
    p_negative: np.ndarray
    negatives: np.ndarray
    kind: str
    ties: int = 0

    def take(self, rows: np.ndarray) -> "Judged":
        """The same of some rows, in the order given."""
        arrays = (self.predictions, self.p_true, self.p_negative, self.negatives)
        return Judged(*(values[rows] for values in arrays), self.kind, self.ties)


def judge(blocks: Iterable[np.ndarray], labels: np.ndarray, num_classes: int, kind: str | None, where: str) -> Judged:
    """What consecutive blocks (n, C) of scores say of points with true `labels` (N,).

    kind   'logits', 'probs', or None: probabilities if all values of the first block are within 0 and 1
    where  what to call the scores in a refusal
    """
    small = np.uint16 if num_classes <= 2**16 else np.uint32
    predictions, negatives = np.empty(labels.size, small), np.empty(labels.size, small)
    p_true, p_negative = np.empty(labels.size, np.float32), np.empty(labels.size, np.float32)
    ties = start = 0
    told = kind
    for block in blocks:
        if block.shape[1] != num_classes:
            raise Refusal(f"{where} has scores of {block.shape[1]} classes, but there are {num_classes}")
        told = told or (PROBS if block.min() >= 0 and block.max() <= 1 else LOGITS)
        here = slice(start, start + len(block))
        if here.stop > labels.size:
            raise Refusal(f"{where} has more rows of scores than its {labels.size} test points")
        z = block.astype(np.float64 if block.dtype.itemsize > 4 else np.float32)  # a copy, changed below
        points, own = np.arange(len(z)), labels[here]
        if told == PROBS:
            _check_probabilities(z, block.dtype, start, f"{where}, taken for probabilities," if kind is None else where)
        true = z[points, own]
        z[points, own] = -np.inf
        negative = z.argmax(1)
        negative[negative == own] = 1  # every other class is -inf, and the masked one stood first
        rival = z[points, negative]
        top = np.maximum(true, rival)
        if block.dtype == np.float16:
            ties += int(np.count_nonzero(np.count_nonzero(z == top[:, None], axis=1) + (true == top) > 1))
        if told == LOGITS:
            _check_top(top, start, where)
            total = _shares(z, top, true)
            own_score, rival_score = (np.exp(_minus(score, top)) / total for score in (true, rival))
        else:
            own_score, rival_score = true, rival
        negatives[here] = negative
        # a tie goes to the lower class, as in argmax
        predictions[here] = np.where(true == rival, np.minimum(own, negative), np.where(true > rival, own, negative))
        p_true[here], p_negative[here] = own_score.clip(0, 1), rival_score.clip(0, 1)
        start = here.stop
    if start < labels.size:
        raise Refusal(f"{where} has scores of {start} test points, but there are {labels.size}")
    return Judged(predictions, p_true, p_negative, negatives, told, ties)


def _shares(z: np.ndarray, top: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Sum of exp(z - top) over all classes (n,); in place, the true class being masked in `z` (n, C)."""
    with np.errstate(over="ignore", under="ignore"):  # logits near the largest float32 lie infinitely far apart
        z -= top[:, None]
        np.exp(z, out=z)
    return z.sum(1) + np.exp(_minus(true, top))


def _minus(score: np.ndarray, top: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return score - top


def _check_top(top: np.ndarray, start: int, where: str) -> None:
    _refuse_row(np.isnan(top) | np.isposinf(top), start, f"{where} has logits that are NaN or +inf")
    _refuse_row(np.isneginf(top), start, f"{where} has logits that are -inf for every class")


def _check_probabilities(p: np.ndarray, stored_as: np.dtype, start: int, where: str) -> None:
    tolerance = TOLERANCE_FLOAT16 if stored_as == np.float16 else TOLERANCE
    total = p.sum(1)
    _refuse_row(np.isnan(total), start, f"{where} has probabilities that are NaN")
    _refuse_row(p.min(1) < 0, start, f"{where} has negative probabilities")
    off = ~(np.abs(total - 1) < tolerance)
    if off.any():
        cure = "give logits under that name"
        _refuse_row(off, start, f"{where} has probabilities that sum to {total[off][0]:.4g}, not 1 ({cure}),")


def _refuse_row(bad: np.ndarray, start: int, what: str) -> None:
    if bad.any():
        raise Refusal(f"{what} in row {start + int(bad.argmax())} (from 0)")
