"""What do the scores of one run amount to? The prediction, the true class's probability and the hardest negative.

Scores are looked at in blocks, in float32 (float64 where they are stored so): a table of points x classes never exists.
Axes: N test points, n of them in a block, C classes.
"""

from collections.abc import Iterable

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.digits import ROUNDED, coarseness, is_rounded
from ltbv.report.elsewhere.rows import LOGITS, PROBS, Judged
from ltbv.stats.ranks import count

TOLERANCE, TOLERANCE_FLOAT16 = 1e-3, 1e-2  # of the sum of probabilities; as in `stats.probability`

ROUNDING = 4  # last bits by which a score may be below the highest and count as that: exp and sums round


def judge(
    blocks: Iterable[np.ndarray],
    labels: np.ndarray,
    num_classes: int,
    kind: str | None,
    where: str,
    said: np.ndarray | None = None,
) -> Judged:
    """What consecutive blocks (n, C) of scores say of points with true `labels` (N,).

    kind   'logits', 'probs', or None: probabilities if all values of the first block are within 0 and 1
    where  what to call the scores in a refusal
    said   class ids (N,) that are told beside the scores: is the score of each the highest, or one of those?
    """
    small = np.uint16 if num_classes <= 2**16 else np.uint32
    predictions, negatives = np.empty(labels.size, small), np.empty(labels.size, small)
    p_true, p_negative, sum_p2 = (np.empty(labels.size, np.float32) for _ in range(3))
    ranks = np.empty(labels.size, np.min_scalar_type(num_classes))
    tied, differs, start = np.zeros(labels.size, bool), np.zeros(labels.size, bool), 0
    told, coarse, off_by = kind, "", 0.0
    for block in blocks:
        if block.shape[1] != num_classes:
            raise Refusal(f"{where} has scores of {block.shape[1]} classes, but there are {num_classes}")
        if told is None:
            told = PROBS if block.min() >= 0 and block.max() <= 1 else LOGITS
            _refuse_percent(block, where)
        here = slice(start, start + len(block))
        if here.stop > labels.size:
            raise Refusal(f"{where} has more rows of scores than its {labels.size} test points")
        z: np.ndarray = block.astype(np.float64 if block.dtype.itemsize > 4 else np.float32)  # a copy, changed below
        points, own = np.arange(len(z)), labels[here]
        coarse = coarse or coarseness(z, block.dtype)
        if told == PROBS:
            named = f"{where}, taken for probabilities," if kind is None else where
            off_by = max(off_by, _check_probabilities(z, coarse, start, named))
        true = z[points, own]
        of_said = None if said is None else z[points, said[here]]
        z[points, own] = -np.inf
        negative = z.argmax(1)
        negative[negative == own] = 1  # every other class is -inf, and the masked one stood first
        rival = z[points, negative]
        top = np.maximum(true, rival)
        if coarse:
            tied[here] = np.count_nonzero(z == top[:, None], axis=1) + (true == top) > 1
        ranks[here] = _ranks(z, true, own)
        if of_said is not None:
            differs[here] = of_said < top - ROUNDING * np.finfo(z.dtype).eps * np.abs(top)
        if told == LOGITS:
            _check_top(top, start, where)
            own_score, rival_score, squares = _shares(z, top, true, rival)
        else:
            own_score, rival_score = true, rival
            z[points, own] = 0
            squares = np.einsum("nc,nc->n", z, z)
        sum_p2[here] = (squares + own_score**2).clip(0, 1)
        negatives[here] = negative
        # a tie goes to the lower class, as in argmax
        predictions[here] = np.where(true == rival, np.minimum(own, negative), np.where(true > rival, own, negative))
        p_true[here], p_negative[here] = own_score.clip(0, 1), rival_score.clip(0, 1)
        start = here.stop
    if told is None or start < labels.size:
        raise Refusal(f"{where} has scores of {start} test points, but there are {labels.size}")
    return Judged(
        predictions,
        p_true,
        p_negative,
        negatives,
        told,
        differs,
        tied,
        ROUNDED if off_by else coarse,
        off_by,
        sum_p2=sum_p2,
        ranks=ranks,
    )


def differing(judged: Judged, true: np.ndarray) -> np.ndarray:
    """At which points (n,) does the prediction in a file contradict its p_true and p_negative?"""
    right, said = judged.predictions == true, judged.negatives
    another = np.zeros(true.size, bool) if said is None else ~right & (judged.predictions != said)
    return np.where(right, judged.p_true < judged.p_negative, judged.p_negative < judged.p_true) | another


def _ranks(z: np.ndarray, true: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How many classes are above the true one, whose place in `z` (n, C) is masked: see `stats.true_class_ranks`."""
    above, at_least = (count(compare(z, true[:, None])) for compare in (np.greater, np.greater_equal))
    for row in np.flatnonzero(at_least > above):
        above[row] += (z[row, : own[row]] == true[row]).sum()
    return above


def _shares(
    z: np.ndarray, top: np.ndarray, true: np.ndarray, rival: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Softmax of the true class and of its rival, (n,) each, and the sum of squares of that of all classes but the true
    one, which is masked in the logits `z` (n, C); these are changed in place."""
    with np.errstate(over="ignore", under="ignore"):  # logits near the largest float32 lie infinitely far apart
        z -= top[:, None]
        np.exp(z, out=z)
    total = z.sum(1) + np.exp(_minus(true, top))
    own_score, rival_score = (np.exp(_minus(score, top)) / total for score in (true, rival))
    return own_score, rival_score, np.einsum("nc,nc->n", z, z) / total**2


def _minus(score: np.ndarray, top: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return score - top


def _check_top(top: np.ndarray, start: int, where: str) -> None:
    _refuse_row(np.isnan(top) | np.isposinf(top), start, f"{where} has logits that are NaN or +inf")
    _refuse_row(np.isneginf(top), start, f"{where} has logits that are -inf for every class")


def _refuse_percent(block: np.ndarray, where: str) -> None:
    """What nobody has named and sums to 100 is neither logits nor probabilities."""
    with np.errstate(over="ignore", invalid="ignore"):
        percent = block.min() >= 0 and (np.abs(block.sum(1, dtype=np.float64) - 100) < 2).all()
    if percent and block.shape[1] > 1:
        raise Refusal(f"{where} has scores that sum to 100 in each row, like percentages; divide them by 100")


def _check_probabilities(p: np.ndarray, coarse: str, start: int, where: str) -> float:
    """Refuses what are no probabilities; gives back how far from 1 the sums are that rounding explains, if any are."""
    tolerance = TOLERANCE_FLOAT16 if coarse and coarse != ROUNDED else TOLERANCE
    total = p.sum(1)
    _refuse_row(np.isnan(total), start, f"{where} has probabilities that are NaN")
    _refuse_row(p.min(1) < 0, start, f"{where} has negative probabilities")
    off = ~(np.abs(total - 1) < tolerance)
    if not off.any():
        return 0.0
    wrong = off.copy()
    wrong[off] = ~is_rounded(p[off], tolerance)
    if wrong.any():
        cure = next(
            (f"divide them by {whole}" for whole in (100, 255) if (np.abs(total / whole - 1) < 0.02).all()),
            "each row must, but for rounding",
        )
        _refuse_row(wrong, start, f"{where} has probabilities that sum to {total[wrong][0]:.4g}, not 1 ({cure}),")
    return float(np.abs(total - 1).max())


def _refuse_row(bad: np.ndarray, start: int, what: str) -> None:
    if bad.any():
        raise Refusal(f"{what} in row {start + int(bad.argmax())} (from 0)")
