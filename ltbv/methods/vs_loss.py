"""VS loss: classes scaled and shifted by their size (Kini et al., NeurIPS 2021, arXiv 2103.01550).

    cross-entropy of (n_k / n_max)^gamma z_k + tau log pi_k; the network answers with z

gamma = 0 is logit adjustment, tau = 0 the class-dependent temperatures of Ye et al., 2020. gamma = 0.05 and tau = 0.75
are the authors' for CIFAR-100-LT; they chose them there on data that are not the training set. They train as Cao et al.
(LDAM) do.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.published import USUAL, Published
from ltbv.methods.registry import register

SCRIPT = Published("the script of Kini et al. (VS loss, 2021)", ("cifar100-lt",), USUAL)


@dataclass(frozen=True)
class VectorScaling:
    """The loss, [B], of logits [B, C], labels [B], counts [C]; a class without images cannot be the answer."""

    gamma: float = 0.05
    tau: float = 0.75

    def __call__(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        sizes = counts.to(logits.dtype)
        shift = torch.where(counts > 0, self.tau * (sizes / sizes.sum()).log(), -torch.inf)
        return cross_entropy((sizes / sizes.amax()) ** self.gamma * logits + shift, labels)


VS_LOSS = register(
    Method(
        "vs_loss",
        "VS loss",
        stages=(Stage("representation", Loss(VectorScaling())),),
        paper="Kini et al., NeurIPS 2021, arXiv 2103.01550",
        summary="cross-entropy of logits scaled and shifted by class size",
        about=__doc__,
        kind="Loss",
        published=(SCRIPT,),
    )
)
