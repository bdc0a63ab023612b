"""ImbSAM: sharpness-aware steps for the classes of few images alone (Zhou et al., ICCV 2023, arXiv 2308.07815).

    step on  d L_H(w) / dw + d L_T(w + e) / dw,  e = rho d L_T(w) / |d L_T(w)|,  rho = 0.05
    L_H = sum over images of other classes CE / B,  L_T = factor * sum over images of tail classes CE / B

Tail classes are those of few images, the group that reports call `few`: in the authors' settings those of less than 20
of 500, here in that proportion. Where no class is of few images, at small imbalance, it is plain cross-entropy.

In the released code `factor` is 2, which we follow, for its numbers are the published ones; as far as we know the paper
has 1. So the tail's images count twice, which alone is a re-weighting. Batch norm, momentum, weight decay and precision
are as in `sam`. The loss that is told is L_H(w) + L_T(w + e). A step takes 2.7 times the work of a plain one: two
passes forward, three back. `--protocol paper` has what the released script has, for a ResNet-34: a weight decay of 1e-3
among it, where others who train that network have 5e-3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.data.batches import Batch, Feed
from ltbv.losses import ExampleLoss, cross_entropy
from ltbv.methods.base import Losses, Method, Moment, Objective, Stage
from ltbv.methods.by_image import image_losses
from ltbv.methods.objective import right
from ltbv.methods.published import CROPS, Published, Terms
from ltbv.methods.registry import register
from ltbv.methods.sam import check_radius
from ltbv.models import virtual
from ltbv.models.experts import Experts
from ltbv.optimisers import SGD
from ltbv.schedules import Cosine

SCRIPT = Published(
    "the script of Zhou et al. (ImbSAM, 2023), which trains a ResNet-34",
    ("cifar100-lt",),
    Terms(200, 64, Cosine(0.01), 1e-3, SGD(nesterov=False), CROPS),
)


@dataclass(frozen=True)
class TailAscent(Objective):
    """The loss of tail classes at the weights `radius` up its gradient, that of others where the network stands."""

    loss: ExampleLoss = cross_entropy
    radius: float = 0.05
    factor: float = 2.0

    looks_ahead = True

    def __post_init__(self) -> None:
        check_radius(self.radius)

    def work(self) -> float:
        return (2 * 1 + 3 * 2) / 3  # forward 1, backward 2; a plain step is 3

    def from_given(self, feed: Feed, given: tuple[Experts, ...], now: Moment) -> Mapping[str, Tensor]:
        tail = torch.zeros(now.counts.shape[1], dtype=torch.bool)
        tail[torch.tensor(now.groups.get("few", ()), dtype=torch.long)] = True
        return {"tail": tail.to(now.counts.device)}

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        is_tail = now.memory["tail"][batch.labels]
        output = network(batch.images)
        losses = image_losses(self.loss, output, batch.labels, now.counts)
        head = torch.where(is_tail, 0.0, losses).mean(1)
        up = virtual.uphill(network, self.of_tail(losses, is_tail))
        there = virtual.outputs(network, virtual.ascended(network, up, self.radius), batch.images)
        moved = image_losses(self.loss, there, batch.labels, now.counts)
        return Losses(head + self.of_tail(moved, is_tail), right(output.logits, batch.labels))

    def of_tail(self, losses: Tensor, is_tail: Tensor) -> Tensor:
        """L_T of each run, [R], of the losses of images [R, B]."""
        return self.factor * torch.where(is_tail, losses, 0.0).mean(1)


IMB_SAM = register(
    Method(
        "imb_sam",
        "ImbSAM",
        stages=(Stage("representation", TailAscent()),),
        paper="Zhou et al., ICCV 2023, arXiv 2308.07815",
        summary="cross-entropy, sharpness-aware steps for the classes of few images alone",
        about=__doc__,
        kind="Steps",
        adds_to="ce",
        published=(SCRIPT,),
    )
)
