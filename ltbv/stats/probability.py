"""Bias and variance of predicted probabilities: Brier score and cross-entropy, per test point.

Each loss has its own main prediction, the one distribution that loses least against all runs: for the Brier score the
mean of the probabilities, for cross-entropy the softmax of the mean logits (their normalised geometric mean). Bias is
the loss of the main prediction, variance the mean loss of the runs against it, and here they add up:

    loss = bias + variance          exactly, at every point

(Heskes, "Bias/variance decompositions for likelihood-based estimators", 1998; Gupta et al., "Ensembles of classifiers:
a bias-variance perspective", TMLR 2022). Averaging logits keeps the cross-entropy bias and lowers the variance.
"""

from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal, unknown
from ltbv.stats.keyed import plain
from ltbv.stats.votes import blocks, check_labels

BLOCK_ELEMENTS = 200_000  # probabilities of one block (runs x points x classes): 1.6 MB in float64
CORRECTIONS = ("jackknife", "scale")


@dataclass(frozen=True, eq=False)
class Brier:
    """Brier score and its parts at each test point, arrays (N,) float64: see `brier`."""

    loss: np.ndarray
    bias2: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """Cross-entropy and its parts at each test point, arrays (N,) float64, in nats: see `cross_entropy`."""

    loss: np.ndarray
    bias: np.ndarray
    variance: np.ndarray

    @property
    def non_finite(self) -> int:
        """Points where a part is infinite or unknown, because some run gave a class probability 0."""
        return int((~np.isfinite(self.loss + self.bias + self.variance)).sum())


def brier(probabilities: np.ndarray, labels: np.ndarray, *, unbiased: bool = True) -> Brier:
    """Brier score of each test point, with e the one-hot label and pbar = mean_r p_r:

        loss = mean_r |p_r - e|^2
        plug-in   bias2 = |pbar - e|^2                     variance = mean_r |p_r - pbar|^2
        unbiased  bias2 - variance/(R - 1)                 variance R/(R - 1)

    A sum over classes, from 0 to 2. The unbiased forms have no error from the number of runs, on average; bias2 may
    then be negative and is not clipped. R = 1: NaN if unbiased.

    probabilities  (R, N, C) float, each row summing to 1
    labels         (N,) int
    """
    probabilities, labels = check_probabilities(probabilities, labels)
    runs, points, classes = probabilities.shape
    parts = np.empty((2, points))
    for block in blocks(points, block_points(runs, classes)):
        terms = BrierTerms.of(probabilities[:, block].astype(np.float64), labels[block])
        parts[:, block] = terms.loss.mean(0), terms.spread.mean(0)
    loss, variance = parts
    if unbiased:
        variance = variance * (runs / (runs - 1) if runs > 1 else np.nan)
    return Brier(loss, loss - variance, variance)


@dataclass(frozen=True, eq=False)
class BrierTerms:
    """What each run adds to the Brier score, arrays (R, n): `loss` |p_r - e|^2 and `spread` |p_r - pbar|^2."""

    loss: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray, *, out: np.ndarray | None = None) -> "BrierTerms":
        """Of `probabilities` (R, n, C), in their own precision; `out`, of their shape, is written over."""
        p_true = true_logits(probabilities, labels)
        loss = np.einsum("rnc,rnc->rn", probabilities, probabilities) - 2 * p_true + 1
        away = np.subtract(probabilities, probabilities.mean(0), out=out)
        return cls(loss.astype(np.float64), np.einsum("rnc,rnc->rn", away, away).astype(np.float64))

    def left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Loss and unbiased variance without each run, (R, n) each; R >= 3.

        The squared distances of all pairs sum to R S, those with run r to R q_r + S, where q_r is the spread of run r
        and S the sum of all spreads.
        """
        runs = len(self.loss)
        total = self.spread.sum(0)
        variance = ((runs - 1) * total - runs * self.spread) / ((runs - 1) * (runs - 2))
        return (self.loss.sum(0) - self.loss) / (runs - 1), variance


def cross_entropy(logits: np.ndarray, labels: np.ndarray, *, correction: str | None = "jackknife") -> CrossEntropy:
    """Cross-entropy of each test point, in nats, with l_r = log sum_k exp z_rk and zbar = mean_r z_r:

        loss     = mean_r (l_r - z_ry)
        bias     = log sum exp zbar - zbar_y
        variance = mean_r l_r - log sum exp zbar = mean_r KL(pbar || p_r) >= 0

    The variance is too low by about 1/R of itself, and the bias too high by as much. `correction` mends both and keeps
    loss = bias + variance:
        'jackknife'  R variance - (R - 1) mean_r variance_(-r): off by less than .5 % at R = 10 in simulation
        'scale'      variance R/(R - 1): exact for Gaussian logits of equal spread, 3 % too high for heavy tails
        None         plug-in

    logits  (R, N, C) float. NaN and +inf are refused, counted and named. -inf is a probability of 0: the parts it
            touches become infinite or NaN, and `non_finite` counts those points; nothing is clipped.
    labels  (N,) int
    R = 1: the corrected parts are NaN.
    """
    if correction is not None and correction not in CORRECTIONS:
        raise unknown("correction", correction, (*CORRECTIONS, "None"))
    logits, labels = check_logits(logits, labels)
    runs, points, classes = logits.shape
    parts = np.empty((2, points))
    for block in blocks(points, block_points(runs, classes)):
        terms = CrossEntropyTerms.of(logits[:, block].astype(np.float64), labels[block])
        variance = terms.variance()
        if correction is not None and runs == 1:
            variance = np.full_like(variance, np.nan)
        elif correction == "jackknife":
            variance = terms.variance_jackknife()
        elif correction == "scale":
            variance = variance * runs / (runs - 1)
        parts[:, block] = terms.loss.mean(0), variance
    loss, variance = parts
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, and counted
        return CrossEntropy(loss, loss - variance, variance)


@dataclass(frozen=True, eq=False)
class CrossEntropyTerms:
    """What each run adds to the cross-entropy of n points.

    loss      (R, n) l_r - z_ry
    log_sum   (R, n) l_r
    main      (n,) log sum exp of the mean logits
    main_out  (R, n) the same without each run; NaN for R = 1
    """

    loss: np.ndarray
    log_sum: np.ndarray
    main: np.ndarray
    main_out: np.ndarray

    @classmethod
    def of(
        cls, logits: np.ndarray, labels: np.ndarray, *, top: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> "CrossEntropyTerms":
        """Of `logits` (R, n, C), in their own precision; the sums over runs and points are in float64.

        top   (R, n) the largest of each row, where these are known; out: of their shape, is written over
        """
        runs = len(logits)
        log_sum = log_sum_exp(logits, top=top, out=out)
        z_true = true_logits(logits, labels)
        any_impossible = bool(np.isneginf(logits.min()))  # a tenth of the time of counting them
        impossible = np.isneginf(logits) if any_impossible else np.zeros((runs, 1, 1), bool)
        finite = np.where(impossible, 0.0, logits) if any_impossible else logits
        total, number = finite.sum(0), impossible.sum(0)

        def main(total: np.ndarray, number: np.ndarray, runs: int) -> np.ndarray:
            mean = total / runs
            of_main = log_sum_exp(np.where(number > 0, -np.inf, mean) if any_impossible else mean)
            return of_main.astype(np.float64)

        main_out = np.full(log_sum.shape, np.nan)
        if runs > 1 and not any_impossible:
            main_out = _without_each(logits, total, out)
        if runs > 1:
            for r in np.flatnonzero(~np.isfinite(main_out).all(1)):
                main_out[r] = main(total - finite[r], number - impossible[r], runs - 1)
        return cls(log_sum.astype(np.float64) - z_true, log_sum.astype(np.float64), main(total, number, runs), main_out)

    def variance(self) -> np.ndarray:
        """Plug-in variance (n,)."""
        return self.log_sum.mean(0) - self.main

    def variance_out(self) -> np.ndarray:
        """Plug-in variance without each run (R, n)."""
        runs = len(self.log_sum)
        return (self.log_sum.sum(0) - self.log_sum) / (runs - 1) - self.main_out

    def variance_jackknife(self) -> np.ndarray:
        """R variance - (R - 1) mean of the variances without each run, (n,)."""
        runs = len(self.log_sum)
        with np.errstate(invalid="ignore"):
            return runs * self.variance() - (runs - 1) * self.variance_out().mean(0)


def _without_each(logits: np.ndarray, total: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """log sum exp of the mean logits without each run (R, n), of finite logits (R, n, C), R >= 2, and their `total`;
    `out` of their shape is written over.

    All are taken from where the largest of the `total` lies, which no one run moves far: twice as fast as `log_sum_exp`
    of each. Where one does, so far that exp overflows or loses digits, it is infinite.
    """
    mean = total / (len(logits) - 1)
    top = mean.max(-1)
    away = np.divide(logits, 1 - len(logits), out=out)
    away += mean - top[:, None]
    with np.errstate(over="ignore"):
        sums = np.einsum("rnc->rn", np.exp(away, out=away)).astype(np.float64)
    sums[sums < np.finfo(away.dtype).tiny / np.finfo(away.dtype).eps] = np.inf
    return np.log(sums) + top


def log_sum_exp(z: np.ndarray, *, top: np.ndarray | None = None, out: np.ndarray | None = None) -> np.ndarray:
    """log sum_k exp z_k over the last axis, without overflow; -inf counts as nothing, all -inf gives -inf.

    top   the largest of each row, where these are known; out: of the shape of z, is written over
    """
    top = z.max(-1) if top is None else top
    shift = np.where(np.isneginf(top), 0.0, top)
    away = np.subtract(z, shift[..., None], out=out)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.exp(away, out=away).sum(-1))


def true_logits(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What `values` (..., n, C) say of the true class, (..., n), by `labels` (n,)."""
    return values[..., np.arange(labels.size), labels]


def block_points(runs: int, classes: int) -> int:
    """How many test points make a block of about `BLOCK_ELEMENTS`."""
    return max(1, BLOCK_ELEMENTS // (runs * classes))


def check_logits(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`logits` (R, N, C) and `labels` (N,), or a Refusal that counts and names what cannot be used."""
    logits, labels = check_shape("logits", logits, labels)
    check_top(logits.max(2))
    return logits, labels


def check_top(top: np.ndarray) -> None:
    """Refuses what cannot be the largest logits (R, n) of each row."""
    refuse_where(np.isnan(top) | np.isposinf(top), "logits hold NaN or +inf")
    refuse_where(np.isneginf(top), "logits are -inf for every class")


def check_probabilities(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`probabilities` (R, N, C) and `labels` (N,), or a Refusal that counts and names what cannot be used."""
    probabilities, labels = check_shape("probabilities", probabilities, labels)
    total = probabilities.sum(2, dtype=np.float64)
    # float16 keeps three digits of each probability
    tolerance = 0.01 if probabilities.dtype == np.float16 else 1e-3
    refuse_where(
        ~(np.abs(total - 1) < tolerance) | ~(probabilities.min(2) >= 0),
        "probabilities are negative, NaN or do not sum to 1 over classes (logits? take their softmax)",
    )
    return probabilities, labels


def check_shape(name: str, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, labels = plain(values, name), check_labels(labels)
    if values.ndim != 3 or values.dtype.kind != "f" or values.shape[0] == 0:
        raise Refusal(f"{name} must be floating point (R, N, C); got {values.dtype} with shape {values.shape}")
    if values.shape[1] != labels.size:
        raise Refusal(f"{name} are for {values.shape[1]} test points and labels for {labels.size}")
    check_labels(labels, values.shape[2])
    return values, labels


def refuse_where(bad: np.ndarray, what: str) -> None:
    """Refuses if any of `bad` (R, N) is True: says how many, where the first is, and in which runs."""
    if bad.any():
        run, point = np.argwhere(bad)[0]
        runs = np.flatnonzero(bad.any(1)).tolist()
        raise Refusal(
            f"{what}: {bad.sum()} of {bad.size} predictions, the first in run {run} at point {point}; runs"
            f" {runs[:10]}{' and more' if len(runs) > 10 else ''}. Leave these runs out or train them again"
        )
