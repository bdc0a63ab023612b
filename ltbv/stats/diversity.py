"""Are the experts of an ensemble good one by one, or good together? Its cross-entropy as bias, variance and diversity.

Each run has E experts, and answers with the mean of their logits: the softmax of that is the normalised geometric mean
of their probabilities, the combination that belongs to cross-entropy. With z_re the logits of expert e of run r, p_re
their softmax, l = log sum exp, q_r = softmax of mean_e z_re, m_e = mean_r z_re and p_e its softmax, at every test point

    loss      = mean_r -log q_r[y]                                          of the ensemble, y the true class
    bias      = mean_e -log p_e[y]                                          of an expert, its runs averaged
    variance  = mean_re KL(p_e || p_re)  = mean_re l(z_re) - mean_e l(m_e)  of an expert, over runs
    diversity = mean_re KL(q_r || p_re)  = mean_re l(z_re) - mean_r l(mean_e z_re)

    loss = bias + variance - diversity          exactly, for any number of runs and experts

(Wood et al., "A unified theory of diversity in ensemble learning", JMLR 24, 2023, arXiv 2301.03962). Bias + variance is
the mean loss of a single expert, so diversity is what averaging gains over asking one of them; one expert has none.
More of it is no aim in itself: it may be bought with bias or variance.

Never of routed answers, which are the mean of some experts only. In loss and diversity the order of a run's experts
does not count. Bias and variance take expert e of all runs for one expert: its number is arbitrary, since experts share
a stem and start from draws of their own, and the identity holds whatever the numbering. Numbered at random in each run,
bias would lose mean_e KL(p || p_e), p the softmax of the mean of all m_e, and variance gain it. Where experts are drawn
and trained alike, their m_e differ by chance alone: bias and variance are those of any one of them, and diversity is
what averaging takes off the variance.

Loss and diversity are means over runs: nothing to correct. The variance of R runs is too low by about 1/R of itself,
and the bias too high by as much, as in `cross_entropy`. The jackknife of each expert mends both; they add up as before.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.keyed import plain
from ltbv.stats.measured import FEWEST_RUNS, Logits, Measured
from ltbv.stats.probability import CrossEntropyTerms, block_points, check_logits, log_sum_exp, refuse_where
from ltbv.stats.splits import by_class, divide_by_class
from ltbv.stats.votes import blocks, check_labels

EXPERT_PARTS = ("ensemble_loss", "expert_bias", "expert_variance", "diversity")


@dataclass(frozen=True, eq=False)
class Diversity:
    """Cross-entropy of an ensemble and its parts at each test point, arrays (N,) float64, in nats: see `diversity`."""

    loss: np.ndarray
    bias: np.ndarray
    variance: np.ndarray
    diversity: np.ndarray


def diversity(expert_logits: np.ndarray, labels: np.ndarray, *, unbiased: bool = True) -> Diversity:
    """loss = bias + variance - diversity of the mean of experts' logits: the formulas at the head of this file.

    expert_logits  (R, E, N, C) float, each finite; labels (N,) int
    unbiased       bias and variance corrected for the number of runs (jackknife); NaN for R = 1. False: plug-in
    """
    expert_logits, labels = check_expert_logits(expert_logits, labels)
    runs, experts, points, classes = expert_logits.shape
    parts = np.empty((4, points))
    for block in blocks(points, block_points(runs * experts, classes)):
        terms = ExpertTerms.of(expert_logits[:, :, block].astype(np.float64), labels[block])
        loss, gain = terms.loss.mean(0), terms.diversity.mean(0)
        variance = terms.variance_jackknife() if unbiased else terms.variance()
        parts[:, block] = loss, loss + gain - variance, variance, gain
    return Diversity(*parts)


@dataclass(frozen=True, eq=False)
class ExpertTerms:
    """What each run adds to the parts at n points.

    loss       (R, n) of the ensemble
    diversity  (R, n) mean loss of the experts, less that of the ensemble
    members    of each expert: what `cross_entropy` knows of it, its runs as runs
    """

    loss: np.ndarray
    diversity: np.ndarray
    members: tuple[CrossEntropyTerms, ...]

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray) -> "ExpertTerms":
        """Of finite `logits` (R, E, n, C), in their own precision; sums over runs and experts are in float64."""
        members = tuple(CrossEntropyTerms.of(logits[:, e], labels) for e in range(logits.shape[1]))
        mean = logits.mean(1)
        together = log_sum_exp(mean).astype(np.float64)
        loss = together - np.take_along_axis(mean, labels[None, :, None], 2)[..., 0]
        return cls(loss, np.mean([one.log_sum for one in members], 0) - together, members)

    def variance(self) -> np.ndarray:
        """Plug-in variance (n,), mean over experts."""
        return np.mean([one.variance() for one in self.members], 0)

    def variance_jackknife(self) -> np.ndarray:
        """Corrected variance (n,), mean over experts; NaN for one run."""
        return np.mean([one.variance_jackknife() for one in self.members], 0)

    def variance_out(self) -> np.ndarray:
        """Plug-in variance without each run (R, n), mean over experts."""
        return np.mean([one.variance_out() for one in self.members], 0)


def measure_experts(expert_logits: Logits, runs: int, labels: np.ndarray, num_classes: int) -> dict[str, Measured]:
    """EXPERT_PARTS of R runs, as `measure_logits` has those of the whole: corrected by the jackknife, and with a run
    left out by scaling.

    expert_logits  (R, E, N, C) array, or a function that reads those of a slice of test points, (R, E, n, C)
    """
    read: Callable[[slice], np.ndarray] = (
        expert_logits if callable(expert_logits) else lambda block: expert_logits[:, :, block]
    )
    points, (_, experts, _, classes) = labels.size, np.shape(read(slice(0, 1)))
    values = np.empty((len(EXPERT_PARTS), 2, points))  # corrected, plug-in
    leave_out = runs >= FEWEST_RUNS
    sums = np.zeros((len(EXPERT_PARTS), runs, num_classes))
    for block in blocks(points, block_points(runs * experts, classes)):
        kept, here = check_expert_logits(read(block), labels[block])
        if len(kept) != runs:
            raise Refusal(f"expert_logits have {len(kept)} runs and predictions {runs}: give both for the same runs")
        terms = ExpertTerms.of(kept.astype(np.float32 if kept.dtype == np.float16 else np.float64), here)
        nothing = np.full(here.size, np.nan)  # a single run agrees with itself
        loss, gain = terms.loss.mean(0), terms.diversity.mean(0)
        corrected, plug_in = (terms.variance_jackknife(), terms.variance()) if runs > 1 else (nothing, nothing)
        for at, variance in enumerate((corrected, plug_in)):
            values[:, at, block] = loss, loss + gain - variance, variance, gain
        if leave_out:
            loss_out, gain_out = ((of.sum(0) - of) / (runs - 1) for of in (terms.loss, terms.diversity))
            variance_out = terms.variance_out() * (runs - 1) / (runs - 2)
            for total, rows in zip(
                sums, (loss_out, loss_out + gain_out - variance_out, variance_out, gain_out), strict=True
            ):
                for r, row in enumerate(rows):
                    total[r] += np.bincount(here, row, minlength=num_classes)
    counts = np.bincount(labels, minlength=num_classes)
    return {
        name: Measured(of, by_class(plain_of, labels, num_classes), divide_by_class(out, counts) if leave_out else None)
        for name, (of, plain_of), out in zip(EXPERT_PARTS, values, sums, strict=True)
    }


def check_expert_logits(expert_logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`expert_logits` (R, E, N, C) and `labels` (N,), or a Refusal that says what cannot be used."""
    expert_logits, labels = plain(expert_logits, "expert_logits"), check_labels(labels)
    if expert_logits.ndim != 4 or expert_logits.shape[1] == 0:
        raise Refusal(f"expert_logits must be (R, E, N, C) with an expert or more; got shape {expert_logits.shape}")
    for e in range(expert_logits.shape[1]):
        z, _ = check_logits(expert_logits[:, e], labels)
        refuse_where(~np.isfinite(z).all(2), f"logits of expert {e} are -inf")
    return expert_logits, labels
