"""DisAlign: a trained classifier's logits are scaled and shifted by class, where an image asks for it (Zhang et al.,
"Distribution alignment", CVPR 2021, arXiv 2103.16370).

    z'_k = c (s_k z_k + o_k) + (1 - c) z_k,   c = sigmoid(v . f + v0), one number an image

on CE's network, of which nothing changes: s (1 at first), o (0), v (0.1) and v0 are trained alone, by cross-entropy
with classes weighted by w_k ~ n_k^-rho, summing to C, and divided by the sum of the batch's weights. rho = 1.2 and
images as often as they are: the authors' for ImageNet-LT. They never ran CIFAR; a tenth of the epochs and the learning
rate, 0.01 with a cosine, are ours. At their 0.1 v runs off until c is 0 on every image, and CE's answers stay: the
training loss of two runs on glyphs-lt ended at 1.27 and 0.98, with 0.01 at 0.86 and 0.68.

The formula is the paper's and that of their code for segmentation. Their code for classification has z' = (1 + c s_k)
z_k + c o_k, `Alignment(form="added")`, under which all logits are longer from the start.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ltbv.data.batches import Batch
from ltbv.errors import unknown
from ltbv.losses import cross_entropy, inverse_power, weighted_mean
from ltbv.methods.base import Answer, Losses, Method, Moment, Objective, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.objective import added, right
from ltbv.methods.registry import register
from ltbv.models.experts import Experts
from ltbv.models.parts import Part, Shape
from ltbv.models.stack import Layer
from ltbv.schedules import Cosine

FORMS = ("between", "added")


def aligned(logits: Tensor, confidence: Tensor, scale: Tensor, offset: Tensor, form: str = "between") -> Tensor:
    """c (s z + o) + (1 - c) z, or (`form="added"`) (1 + c s) z + c o; [..., B, C].

    logits [..., B, C], confidence c [..., B, 1], scale s and offset o [..., 1, C]. Zhang et al., 2021.
    """
    moved = confidence * (scale * logits + offset)
    return moved + ((1 - confidence) * logits if form == "between" else logits)


class Aligning(Layer):
    """Aligned logits [K, B, C] from logits [K, B, C] and features [K, B, D]."""

    def __init__(self, copies: int, inputs: int, classes: int, form: str):
        super().__init__()
        self.copies, self.form = copies, form
        self.scale, self.offset = nn.Parameter(torch.ones(copies, classes)), nn.Parameter(torch.zeros(copies, classes))
        self.weight, self.bias = nn.Parameter(torch.zeros(copies, inputs)), nn.Parameter(torch.zeros(copies, 1))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        for parameter, start in ((self.scale, 1.0), (self.offset, 0.0), (self.weight, 0.1)):
            self._fill(parameter, copy, start)
        self._fill(self.bias, copy, generator.uniform(-1, 1, 1) / math.sqrt(self.weight.shape[1]))

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        confidence = torch.sigmoid(torch.baddbmm(self.bias.unsqueeze(1), features, self.weight.unsqueeze(2)))
        return aligned(logits, confidence, self.scale.unsqueeze(1), self.offset.unsqueeze(1), self.form)


@dataclass(frozen=True)
class Alignment(Part):
    """s, o, v and v0; `form` is 'between' (paper) or 'added' (their code for classification)."""

    form: str = "between"

    name = "alignment"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise unknown("form of alignment", self.form, FORMS)

    def build(self, shape: Shape) -> Aligning:
        return Aligning(shape.copies, shape.features, shape.classes, self.form)

    def answer(self, module: nn.Module, logits: Tensor, features: Tensor) -> None:
        module(logits.flatten(0, 1), features.flatten(0, 1))


def _aligned(network: Experts, images: Tensor) -> Tensor:
    """Logits [R, E, B, C]."""
    output, alignment = network(images), network.alignment
    assert isinstance(alignment, Aligning)
    found = alignment(output.logits.flatten(0, 1), output.features.flatten(0, 1))
    return found.unflatten(0, output.logits.shape[:2])


def with_alignment(network: Experts, images: Tensor) -> Answer:
    """The mean of the experts' aligned logits."""
    return Answer(_aligned(network, images).mean(1))


@dataclass(frozen=True)
class Weighted(Objective):
    """Cross-entropy of aligned logits, classes weighted by n_k^-rho, of each expert, added up."""

    rho: float = 1.2

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches

        def of_run(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
            weights = inverse_power(counts, self.rho)
            return added(weighted_mean(cross_entropy(of, labels), labels, weights) for of in logits)

        logits = _aligned(network, batch.images)
        return Losses(torch.vmap(of_run)(logits, batch.labels, now.counts), right(logits, batch.labels))


DISALIGN = register(
    Method(
        "disalign",
        "DisAlign",
        stages=(
            REPRESENTATION,
            Stage(
                "alignment",
                Weighted(),
                net=REPRESENTATION.net.plus(Alignment()),
                start=REPRESENTATION.name,
                train=("alignment",),
                epochs=0.1,
                learning_rate=Cosine(0.01),
            ),
        ),
        predict=with_alignment,
        paper="Zhang et al., CVPR 2021, arXiv 2103.16370",
        summary="CE's network, its logits scaled and shifted by class where an image asks for it",
        about=__doc__,
        kind="Decoupling",
        adds_to="ce",
        unpublished="its authors have none for CIFAR",
    )
)
