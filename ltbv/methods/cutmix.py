"""CutMix: a box of another image is pasted into an image, labels by area (Yun et al., ICCV 2019, arXiv 1905.04899).

    a box about a uniform centre with sides sqrt(1 - lambda) of the image's, clipped; lambda ~ Beta(1, 1), one a batch
    loss s l(z, a) + (1 - s) l(z, b),  s the share of the image that is left

Half of the batches get boxes, as in the authors' script for CIFAR; the other half are plain. Sides are whole and even,
and all images of a batch have the box at one place, as in their code. On long-tailed CIFAR nobody released a recipe of
CutMix by itself: `cmo` is the method that long-tailed work builds on it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Moment, Stage
from ltbv.methods.partnered import Blend, Pairs, Partnered, check_alpha, in_a_box, one_a_batch
from ltbv.methods.registry import register
from ltbv.schedules import Number


@dataclass(frozen=True)
class Cutmix(Blend):
    """In a batch, with the chance `chance`, a box of the partner at one place in each image."""

    alpha: float = 1.0
    chance: Number = 0.5

    draws = 5
    beyond_head = "pastes boxes of images"

    def __post_init__(self) -> None:
        check_alpha(self.alpha, "CutMix")

    def __call__(self, pairs: Pairs, draws: Tensor, now: Moment) -> tuple[Tensor, Tensor]:
        of_batch = draws[:, :1]  # [R, 1, 5]
        shares = 1 - one_a_batch(draws, self.alpha)
        shares = torch.where(of_batch[..., 2] < now.dial(self.chance), shares, 0.0)
        return in_a_box(pairs, shares.expand_as(pairs.own), of_batch[..., 3:5].expand(*pairs.own.shape, 2))


CUTMIX = register(
    Method(
        "cutmix",
        "CutMix",
        stages=(Stage("representation", Partnered(Loss(cross_entropy), Cutmix())),),
        paper="Yun et al., ICCV 2019, arXiv 1905.04899",
        summary="cross-entropy, a box of another image pasted into an image, labels by area",
        about=__doc__,
        kind="Mixing",
        adds_to="ce",
        unpublished="its authors' are for balanced data; cmo is CutMix as it was published for long tails",
    )
)
