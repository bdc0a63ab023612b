"""How is an image trained on that has a partner in it, and two labels? `Partnered`, by a `Blend`.

    sum_i [ s_i w_{a_i} l(z_i, a_i) / W_a + (1 - s_i) w_{b_i} l(z_i, b_i) / W_b ]

a_i is the image's own label, b_i its partner's, s_i the label weight that the blend says; w are the loss's class
weights and W_a, W_b their sums over the batch, or its size, as `Loss` has it. A loss that is another objective says
itself how a label with a share counts (`OfLabels`). The partner is the image at the same
place of the stage's second batch, or, with one batch, another one of it, in an order drawn anew for each batch.

What is drawn comes with the images (`Objective.draws`), after their order, crops and flips: these are those of the same
stage without partners. Training accuracy counts s_i where the answer is a_i, 1 - s_i where it is b_i.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ltbv.answers import shaped
from ltbv.data.batches import Batch
from ltbv.data.blends import blended, boxes, pasted, reordered
from ltbv.data.draws import symmetric_beta
from ltbv.errors import Refusal
from ltbv.guest import place
from ltbv.methods.base import Loss, Losses, Moment, Objective
from ltbv.methods.objective import hits, refuse_hooks
from ltbv.models.experts import Experts, Output


class Pairs(NamedTuple):
    """Images [B, R*channels, H, W] and their partners, which are as many; the labels of both, [R, B] each."""

    images: Tensor
    partners: Tensor
    own: Tensor
    other: Tensor


class Blend(ABC):
    """How partners come into images: what the network sees [B, R*channels, H, W], and the label weights [R, B].

    draws         uniform numbers that it takes for each image, [R, B, draws]
    beyond_head   `Objective.beyond_head`
    """

    draws = 2
    beyond_head = ""

    @abstractmethod
    def __call__(self, pairs: Pairs, draws: Tensor, now: Moment) -> tuple[Tensor, Tensor]:
        """The images and their own labels' weights."""


class OfLabels(Protocol):
    """An objective that can be asked of one label of images that have several."""

    draws: int

    def of_labels(
        self, network: Experts, output: Output, labels: Tensor, now: Moment, draws: Tensor, shares: Tensor
    ) -> Tensor:
        """The loss of each run, [R], of labels [R, B] of which `shares` [R, B] count, with `draws` [R, B, draws] of
        their own."""


@dataclass(frozen=True)
class Partnered(Objective):
    """A loss of images with partners, which both have a say; see the module."""

    loss: OfLabels
    blend: Blend

    def __post_init__(self) -> None:
        assert isinstance(self.loss, Objective)
        own = () if isinstance(self.loss, Loss) else ("draws",)  # which a `Loss` would not look at
        refuse_hooks(self.loss, "an objective of partners", but=own)

    @property
    def draws(self) -> int:  # type: ignore[override]  # asked of the blend and of the loss, set by none
        return 1 + self.blend.draws + 2 * self.loss.draws

    @property
    def beyond_head(self) -> str:  # type: ignore[override]  # asked of the blend, set by none
        return self.blend.beyond_head

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        draws = batches[0].draws
        assert draws is not None
        pairs = paired(batches, draws[..., 0])
        blends, *of_loss = draws[..., 1:].split([self.blend.draws, self.loss.draws, self.loss.draws], -1)
        images, shares = self._blended(pairs, blends, now)
        output = network(images)
        weights = shares.to(output.logits.dtype)
        first = self.loss.of_labels(network, output, pairs.own, now, of_loss[0], weights)
        losses = first + self.loss.of_labels(network, output, pairs.other, now, of_loss[1], 1 - weights)
        with torch.no_grad():
            counted = shares * hits(output.logits, pairs.own) + (1 - shares) * hits(output.logits, pairs.other)
        return Losses(losses, counted.sum(-1))

    def _blended(self, pairs: Pairs, draws: Tensor, now: Moment) -> tuple[Tensor, Tensor]:
        """What the blend gives, if it is images and a share of each."""
        who, found = f"the blend {place(self.blend)}", self.blend(pairs, draws, now)
        if not isinstance(found, tuple) or len(found) != 2:
            raise Refusal(f"{who} gave a {type(found).__name__}; it has to give images and their own labels' weights")
        images = shaped(found[0], tuple(pairs.images.shape), who, "images as it was given", pairs.images)
        wanted = "a weight for each own label, [R, B]"
        return images, shaped(found[1], tuple(pairs.own.shape), who, wanted, images, wide=True)


def paired(batches: tuple[Batch, ...], draws: Tensor) -> Pairs:
    """Each image of the first batch beside that of the second; of one batch, beside another, by draws [R, B]."""
    if len(batches) > 2:
        raise Refusal(f"partners of {len(batches)} batches; give the stage one sampler, or one more for the partners")
    own = batches[0]
    if len(batches) == 2:
        return Pairs(own.images, batches[1].images, own.labels, batches[1].labels)
    places = draws.argsort(1)
    return Pairs(own.images, reordered(own.images, places), own.labels, own.labels.gather(1, places))


def one_a_batch(draws: Tensor, alpha: float) -> Tensor:
    """lambda ~ Beta(alpha, alpha), the same for all images of a batch: [R, 1], of draws [R, B, 2 or more]."""
    return symmetric_beta(draws[:, :1, 0], draws[:, :1, 1], alpha)


def check_alpha(alpha: float, who: str) -> None:
    """Refuse what no Beta distribution has."""
    if not alpha > 0:
        raise Refusal(f"{who} with alpha {alpha!r}; give a number above 0")


def all_over(pairs: Pairs, own: Tensor) -> Tensor:
    """own x + (1 - own) x', own [R, 1], in every pixel."""
    return blended(pairs.images, pairs.partners, (1 - own).expand_as(pairs.own))


def in_a_box(pairs: Pairs, shares: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Images with a box of their partners, of `shares` [R, B] of the area before it is clipped, about `centres`
    [R, B, 2] within [0, 1); and what is left of each, [R, B]."""
    inside = boxes(shares, centres, *pairs.images.shape[-2:])
    return pasted(pairs.images, pairs.partners, inside), 1 - inside.double().mean((-2, -1))
