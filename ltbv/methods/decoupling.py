"""Decoupling: train the representation as usual, then mend the classifier (Kang et al., ICLR 2020, arXiv 1910.09217).

tau-norm divides each class vector by its norm to the power tau and drops the bias, without any training; tau = 1 here:
choosing it needs data that are neither training nor test. cRT draws the classifier anew and trains it alone with
class-balanced sampling. The authors' code lets the frozen network's batch-norm statistics go on adapting during cRT; we
freeze them with the rest, as RIDE's re-implementation does. The length of cRT on CIFAR is unpublished: a tenth of the
representation's epochs, learning rate 0.1 with a cosine, is ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import CLASS_BALANCED, Loss, Method, Stage, register
from ltbv.methods.baseline import REPRESENTATION
from ltbv.models.experts import Experts
from ltbv.schedules import Cosine

PAPER = "Kang et al., ICLR 2020, arXiv 1910.09217"


@dataclass(frozen=True)
class TauNorm:
    """w_k <- w_k / |w_k|^tau, bias <- 0, in each head of each run."""

    tau: float = 1.0

    def __call__(self, network: Experts, counts: Tensor) -> None:
        del counts
        with torch.no_grad():
            weight = network.heads.weight
            weight /= weight.norm(dim=-1, keepdim=True) ** self.tau
            network.heads.bias.zero_()


TAU_NORM = register(
    Method(
        "tau_norm",
        "tau-norm",
        stages=(REPRESENTATION,),
        posthoc=TauNorm(),
        paper=PAPER,
        summary="CE's network, class vectors brought to equal length",
    )
)

CRT = register(
    Method(
        "crt",
        "cRT",
        stages=(
            REPRESENTATION,
            Stage(
                "classifier",
                Loss(cross_entropy),
                start="representation",
                reset=("heads",),
                train=("heads",),
                sampler=(CLASS_BALANCED,),
                epochs=0.1,
                learning_rate=Cosine(0.1),
            ),
        ),
        paper=PAPER,
        summary="CE's network, classifier trained anew with class-balanced sampling",
    )
)
