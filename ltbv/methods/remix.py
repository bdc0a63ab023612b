"""Remix: images laid over each other as by mixup, but the label leans to the rarer class (Chou et al., ECCV 2020
workshop, arXiv 2007.03943).

    x = lambda x_a + (1 - lambda) x_b,  loss s l(z, a) + (1 - s) l(z, b),  lambda ~ Beta(1, 1), one a batch
    s = 0 where n_a >= kappa n_b and lambda < tau;  1 where n_b >= kappa n_a and 1 - lambda < tau;  lambda elsewhere

kappa = 3, tau = 0.5. The authors' repository is not to be had. Bag of Tricks multiplies the label weights of images by
the mean loss of the batch, so that no image's weight meets its own loss; here they are of one image. Its number for
long-tailed CIFAR-100 is of 400 epochs, as `--protocol paper` trains.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Moment, Stage
from ltbv.methods.mixup import TWICE
from ltbv.methods.partnered import Blend, Pairs, Partnered, all_over, check_alpha, one_a_batch
from ltbv.methods.registry import register


def leaning(own: Tensor, first: Tensor, second: Tensor, kappa: float = 3.0, tau: float = 0.5) -> Tensor:
    """Label weights of the images' own labels, from lambda and the training images of both their classes, which
    broadcast."""
    to_other = (first >= kappa * second) & (own < tau)
    to_own = (second >= kappa * first) & (1 - own < tau)
    return torch.where(to_other, 0.0, torch.where(to_own, 1.0, own))


@dataclass(frozen=True)
class Remix(Blend):
    """As mixup, the label weights `leaning` to the class that has `kappa` times fewer images."""

    alpha: float = 1.0
    kappa: float = 3.0
    tau: float = 0.5

    def __post_init__(self) -> None:
        check_alpha(self.alpha, "remix")

    def __call__(self, pairs: Pairs, draws: Tensor, now: Moment) -> tuple[Tensor, Tensor]:
        own = one_a_batch(draws, self.alpha)
        first, second = (now.counts.gather(1, labels) for labels in (pairs.own, pairs.other))
        return all_over(pairs, own), leaning(own, first, second, self.kappa, self.tau)


REMIX = register(
    Method(
        "remix",
        "Remix",
        stages=(Stage("representation", Partnered(Loss(cross_entropy), Remix())),),
        paper="Chou et al., ECCV 2020 workshop, arXiv 2007.03943",
        summary="mixup whose labels lean to the rarer of two classes",
        about=__doc__,
        kind="Mixing",
        adds_to="mixup",
        published=(TWICE,),
    )
)
