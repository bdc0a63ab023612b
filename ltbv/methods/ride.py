"""RIDE, stage one: several diverse experts that share their first layers (Wang et al., ICLR 2021, arXiv 2010.01809).

Three experts of three quarters the width, each with a cosine head, each with its own LDAM-DRW loss (the losses are
summed, not averaged), and a diversity term that rewards experts for disagreeing, more so on rare classes; predictions
are the mean of the experts' logits.

Paper and released code differ in the diversity term, and both forms are here:

    pairwise (paper, eq. 3-4)   1 / (E - 1) sum_{j != i} KL(p_i || p_j)
                                T_k = T (psi_k + 1 - max psi)
    mean (released code)        Tbar^2 KL(pbar || p_i), pbar = softmax of the mean logits, no gradient through pbar
                                T_k = T psi_k / max psi, Tbar their mean

    with p_i = softmax(z_i / T_k) class by class and psi_k = gamma C n_k / n + 1 - gamma.

The temperatures and the class weights hold from the switch epoch (80 % of training) on, as in the code; before it
T_k = T. A diversity weight of 0 means no diversity term (in the released code it silently means another loss).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.errors import unknown
from ltbv.losses import effective_number, ldam, weighted_mean
from ltbv.methods.base import Method, Moment, OutputObjective, Stage, register
from ltbv.models.experts import Net, Output
from ltbv.schedules import Step

BETA = 0.9999


def ride_loss(
    expert_logits: Tensor,
    labels: Tensor,
    counts: Tensor,
    *,
    reweighted: bool,
    diversity: str = "mean",
    diversity_weight: float = 0.45,
    gamma: float = 0.05,
    temperature: float = 1.0,
    max_margin: float = 0.5,
    scale: float = 30.0,
) -> Tensor:
    """sum_i [ LDAM(z_i) - diversity_weight * D_i ] for one run; scalar.

    expert_logits [E, B, C] as the cosine heads give them (already times `scale`), labels [B], counts [C]. `reweighted`:
    class weights (effective number, beta 0.9999) and class temperatures are on. A positive `diversity_weight` rewards
    diversity. Formulas in the module's docstring; Wang et al., 2021.
    """
    if diversity not in DIVERSITIES:
        raise unknown("form of diversity", diversity, DIVERSITIES)
    weights = effective_number(counts, BETA if reweighted else 0.0)
    total = sum(weighted_mean(ldam(z, labels, counts, max_margin, scale), labels, weights) for z in expert_logits)
    if diversity_weight == 0 or len(expert_logits) == 1:
        return total
    return total - diversity_weight * DIVERSITIES[diversity](expert_logits, counts, reweighted, gamma, temperature)


def class_share(counts: Tensor, gamma: float) -> Tensor:
    """psi_k = gamma C n_k / n + 1 - gamma; [C] float64, mean 1, larger for larger classes."""
    counts = counts.double()
    return gamma * counts.shape[-1] * counts / counts.sum(-1, keepdim=True) + 1 - gamma


def mean_diversity(logits: Tensor, counts: Tensor, reweighted: bool, gamma: float, temperature: float) -> Tensor:
    """sum_i Tbar^2 KL(pbar || p_i), mean over the batch; scalar."""
    share = class_share(counts, gamma)
    per_class = temperature * (share / share.amax() if reweighted else torch.ones_like(share)).to(logits.dtype)
    consensus = torch.log_softmax(logits.mean(0) / per_class, -1).detach()
    divergence = consensus.exp() * (consensus - torch.log_softmax(logits / per_class, -1))
    return per_class.mean() ** 2 * divergence.sum(-1).mean(-1).sum()


def pairwise_diversity(logits: Tensor, counts: Tensor, reweighted: bool, gamma: float, temperature: float) -> Tensor:
    """sum_i 1 / (E - 1) sum_{j != i} KL(p_i || p_j), mean over the batch; scalar."""
    share = class_share(counts, gamma)
    per_class = temperature * (share + 1 - share.amax() if reweighted else torch.ones_like(share)).to(logits.dtype)
    log_p = torch.log_softmax(logits / per_class, -1)
    divergence = log_p.exp().unsqueeze(1) * (log_p.unsqueeze(1) - log_p.unsqueeze(0))  # [E, E, B, C], 0 where i = j
    return divergence.sum(-1).mean(-1).sum() / (len(logits) - 1)


DIVERSITIES = {"mean": mean_diversity, "pairwise": pairwise_diversity}


@dataclass(frozen=True)
class RideObjective(OutputObjective):
    """`ride_loss` with its switch epoch."""

    diversity: str = "mean"
    diversity_weight: float = 0.45
    gamma: float = 0.05
    switch: float = 0.8

    def of_run(self, output: Output, labels: Tensor, counts: Tensor, now: Moment) -> Tensor:
        return ride_loss(
            output.logits,
            labels,
            counts,
            reweighted=bool(now.value(Step(0, 1, at=self.switch))),
            diversity=self.diversity,
            diversity_weight=self.diversity_weight,
            gamma=self.gamma,
        )


RIDE = register(
    Method(
        "ride",
        "RIDE (3 experts)",
        stages=(Stage("experts", RideObjective(), net=Net(experts=3, head="cosine")),),
        paper="Wang et al., ICLR 2021, arXiv 2010.01809",
        summary="three diverse LDAM-DRW experts that share their first layers; mean of their logits",
    )
)
