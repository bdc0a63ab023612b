"""LADE: the label distribution is taken out of the logits, and what is left is held to the same scale for each class
(Hong et al., CVPR 2021, arXiv 2012.00321).

    loss   mean CE(z + log pi, y) + alpha R,   pi_k = n_k / n, alpha = 0.1
    R      -sum_k pi_k (a_k - b_k - lambda b_k^2),   lambda = 0.01
    a_k    mean of z_k over the batch's images of class k, 0 if there are none
    b_k    log of the mean over the whole batch of exp(z_k - log pi_k - log C)

and the network answers with z. The first term is balanced softmax; R is the bound of Donsker and Varadhan on the
divergence of class k's images from all images, with a penalty on its normaliser. Code and formula as released: a class
that is not in the batch pays its b_k, 1e-9 is added within the logarithms (log pi_k of a class without images is -21),
and 1e-8 to the number of images in a_k.

alpha and lambda are the README's for CIFAR-100-LT. Published settings are those of its configuration, whose networks
have 128 features (ours 64).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import Method, Moment, Output, OutputObjective, Stage
from ltbv.methods.objective import added
from ltbv.methods.published import CROPS, Published, Terms
from ltbv.methods.registry import register
from ltbv.optimisers import SGD
from ltbv.schedules import Drops, Warmup

RATE = Warmup(Drops(0.2, at=(0.6, 0.8), factors=(0.01, 0.0001)), warmup=5)
CODE = Published(
    "the configurations of Hong et al. (LADE, 2021)",
    ("cifar100-lt",),
    Terms(200, 256, RATE, 5e-4, SGD(nesterov=False), CROPS),
)


def log_prior(counts: Tensor) -> Tensor:
    """log(n_k / n + 1e-9), [C] float64, of counts [C]."""
    return (counts.double() / counts.sum(-1, keepdim=True) + 1e-9).log()


def regulariser(logits: Tensor, labels: Tensor, counts: Tensor, penalty: float = 0.01) -> Tensor:
    """-sum_k pi_k (a_k - b_k - penalty b_k^2), scalar, of logits [B, C], labels [B], counts [C]; Hong et al., 2021."""
    size, classes = logits.shape
    members = F.one_hot(labels, classes).to(logits.dtype)
    own = (members * logits).sum(0) / (members.sum(0) + 1e-8)
    shift = math.log(1 / classes + 1e-9) - math.log(size) - log_prior(counts)
    every = torch.logsumexp(logits + shift.to(logits.dtype), 0)
    prior = (counts.double() / counts.sum()).to(logits.dtype)
    return -(prior * (own - every - penalty * every.square())).sum()


@dataclass(frozen=True)
class Disentangled(OutputObjective):
    """mean CE(z + log pi, y) + weight * `regulariser`, of each expert, added up."""

    weight: float = 0.1
    penalty: float = 0.01

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        shift = log_prior(counts).to(output.logits.dtype)
        return added(
            cross_entropy(logits + shift, labels).mean()
            + self.weight * regulariser(logits, labels, counts, self.penalty)
            for logits in output.logits
        )


LADE = register(
    Method(
        "lade",
        "LADE",
        stages=(Stage("representation", Disentangled()),),
        paper="Hong et al., CVPR 2021, arXiv 2012.00321",
        summary="balanced softmax, and a bound that holds each class's logits to one scale",
        about=__doc__,
        kind="Loss",
        adds_to="balanced_softmax",
        published=(CODE,),
    )
)
