"""OLTR: a memory of class centroids speaks where a feature vector knows too little (Liu et al., CVPR 2019, arXiv
1904.05160).

CE's network goes on for 0.3 of the epochs, class-balanced, with three further parts:

    attention  x + s m on the last maps x: m = W_m softmax(theta' phi) g over positions; theta, phi, g 1 x 1
               convolutions to half the channels, W_m zero at first; s = softmax over positions of a linear layer of
               the whole map
    centroids  m_k, class means of all training images' features, plain, when the stage begins; then learnt
    embedding  o = softmax(CE's head), memory = sum_k o_k m_k, e = tanh(W_s f + b_s)
               v = gamma (f + e memory), gamma = 10 / min_k |f - m_k|
               z_k = 16 |v| / (1 + |v|) cos(v, w_k), which answers

    loss  CE(z, y) + 0.01 [ sum_i |f_i - m_y|^2 / (2 B) + 0.01 max(0, 10 - sum_i sum_{k != y_i} |f_i - m_k|^2 / (B C)) ]

Centroids move by the loss's last term only. There we follow the code, whose gradient of the first sum for them is
divided by 1 + the class's images in the batch; squared distances and a hinge on their mean are the code's too (the
paper has one hinge). Rates are its: 0.01, of head and embedding 0.1, each a tenth after 1/3 and 2/3.

No code for CIFAR was released, so the port is ours: the same for other networks and lengths, sampling as of all
class-balanced methods here (there four of a class in a row), Nesterov as in the common protocol, no further linear
layer before the head. A class without images in a run has no centroid: it is never near, and not in o. The attention's
linear layer has (H W)^2 C weights, in ResNet-32 more than half of the network's.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbv.data.batches import Batch, Feed
from ltbv.data.samplers import CLASS_BALANCED
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods.base import Answer, Losses, Method, Moment, Objective, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.objective import right
from ltbv.methods.registry import register
from ltbv.models.experts import Experts
from ltbv.models.parts import Part, Shape
from ltbv.models.stack import NEVER, Layer, Linear
from ltbv.optimisers import SGD
from ltbv.schedules import Drops

BLOCK = 250  # images at once
NEAREST = 1e-12  # a smaller distance counts as this


def centroid_loss(
    features: Tensor,
    labels: Tensor,
    centroids: Tensor,
    margin: float = 10.0,
    repel: float = 0.01,
    missing: Tensor | None = None,
) -> Tensor:
    """sum_i |f_i - m_y|^2 / (2 B) + repel max(0, margin - sum_i sum_{k != y_i} |f_i - m_k|^2 / (B C)); scalar.

    features [B, D], labels [B], centroids [C, D]; `missing` [C] is 1 for classes without a centroid, left out of C too.
    The gradient for the centroids is the released code's: of the first sum divided by 1 + b_k, b_k images of class k in
    the batch.
    """
    size, there = len(labels), torch.ones_like(centroids[:, 0]) if missing is None else 1 - missing
    own = centroids[labels]
    alike = (labels.unsqueeze(0) == labels.unsqueeze(1)).sum(1)
    attract = (features - own.detach()).square().sum() / (2 * size)
    of_centroids = ((features.detach() - own).square().sum(-1) / (1 + alike)).sum() / (2 * size)
    attract = attract + of_centroids - of_centroids.detach()
    known = centroids * there.unsqueeze(1)
    across = (features.sum(0) * known.sum(0)).sum()
    pairs = there.sum() * features.square().sum() + size * known.square().sum() - 2 * across
    others = (pairs - (features - own).square().sum()) / (size * there.sum())
    return attract + repel * F.relu(margin - others)


def squashed_cosine(features: Tensor, weight: Tensor, scale: float = 16.0) -> Tensor:
    """scale |f| / (1 + |f|) cos(f, w_k): [..., B, C] from features [..., B, D] and weight [..., C, D]; 0 of f = 0."""
    length = features.norm(dim=-1, keepdim=True)
    return scale * (features / (1 + length)) @ F.normalize(weight, dim=-1).transpose(-1, -2)


def recalled(features: Tensor, guess: Tensor, selector: Tensor, centroids: Tensor, missing: Tensor) -> Tensor:
    """gamma (f + tanh(selector) * sum_k softmax(guess)_k m_k), gamma = 10 / min_k |f - m_k|: [..., B, D].

    features, selector [..., B, D], guess [..., B, C] logits, centroids [..., C, D], of which `missing` [..., C] (1) are
    none.
    """
    none = missing.unsqueeze(-2) > 0
    memory = F.softmax(guess.masked_fill(none, NEVER), -1) @ centroids
    apart = torch.cdist(features, centroids, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = apart.masked_fill(none, torch.inf).amin(-1, keepdim=True).clamp(min=NEAREST)
    return 10 / nearest * (features + torch.tanh(selector) * memory)


class MapAttention(Layer):
    """x + s m of the last maps: [B, K*C, H, W] -> the same shape. Formulas in the module's docstring."""

    def __init__(self, copies: int, channels: int, size: tuple[int, int]):
        super().__init__()
        self.copies, half, positions = copies, max(channels // 2, 1), size[0] * size[1]
        for name in ("theta", "phi", "g"):
            self.register_parameter(name, nn.Parameter(torch.zeros(copies, half, channels)))
            self.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(copies, half)))
        self.mask = nn.Parameter(torch.zeros(copies, channels, half))
        self.spatial = nn.Parameter(torch.zeros(copies, positions, channels * positions))
        self.spatial_bias = nn.Parameter(torch.zeros(copies, positions))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        for name in ("theta", "phi", "g", "spatial"):
            outputs, inputs = getattr(self, name).shape[1:]
            weight = generator.standard_normal((outputs, inputs)) * math.sqrt(2 / inputs)
            self._fill(getattr(self, name), copy, weight)
            self._fill(getattr(self, f"{name}_bias"), copy, generator.uniform(-1, 1, outputs) / math.sqrt(inputs))
        self._fill(self.mask, copy, 0.0)

    def forward(self, maps: Tensor) -> Tensor:
        size = maps.shape[2:]
        x = maps.unflatten(1, (self.copies, -1)).flatten(3).transpose(0, 1)  # [K, B, C, P]
        theta, phi, g = (
            getattr(self, name).unsqueeze(1) @ x + getattr(self, f"{name}_bias")[:, None, :, None]
            for name in ("theta", "phi", "g")
        )
        related = F.softmax(theta.transpose(2, 3) @ phi, -1) @ g.transpose(2, 3)  # [K, B, P, C/2]
        mask = self.mask.unsqueeze(1) @ related.transpose(2, 3)
        where = torch.baddbmm(self.spatial_bias.unsqueeze(1), x.flatten(2), self.spatial.transpose(1, 2))
        y = x + F.softmax(where, -1).unsqueeze(2) * mask
        return y.transpose(0, 1).flatten(1, 2).unflatten(-1, size)


class SquashedCosine(Layer):
    """`squashed_cosine`: [K, B, D] -> [K, B, C]. Weights uniform within 1 / sqrt(D)."""

    def __init__(self, copies: int, inputs: int, outputs: int):
        super().__init__()
        self.copies, self.weight = copies, nn.Parameter(torch.zeros(copies, outputs, inputs))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        shape = self.weight.shape[1:]
        self._fill(self.weight, copy, generator.uniform(-1, 1, shape) / math.sqrt(shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        return squashed_cosine(x, self.weight)


class MemoryEmbedding(nn.Module):
    """Logits [K, B, C] from features [K, B, D], a guess [K, B, C] and the centroids, which get no gradient."""

    def __init__(self, copies: int, inputs: int, classes: int):
        super().__init__()
        self.selector, self.classifier = Linear(copies, inputs, inputs), SquashedCosine(copies, inputs, classes)

    def forward(self, features: Tensor, guess: Tensor, centroids: Tensor, missing: Tensor) -> Tensor:
        return self.classifier(recalled(features, guess, self.selector(features), centroids.detach(), missing))


class CentroidMemory(Layer):
    """m_k in `weight` [K, C, D]; `missing` [K, C] is 1 where a run has no images of a class."""

    missing: Tensor

    def __init__(self, copies: int, inputs: int, classes: int):
        super().__init__()
        self.copies, self.weight = copies, nn.Parameter(torch.zeros(copies, classes, inputs))
        self.register_buffer("missing", torch.zeros(copies, classes))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        del generator
        self._fill(self.weight, copy, 0.0)
        self._fill(self.missing, copy, 0.0)


@dataclass(frozen=True)
class Modulation(Part):
    """Attention on the last maps."""

    name = "attention"
    at = "maps"

    def build(self, shape: Shape) -> MapAttention:
        if shape.size is None:
            raise Refusal("attention over the last maps needs to know their size, which this backbone does not tell")
        return MapAttention(shape.copies, shape.features, shape.size)


@dataclass(frozen=True)
class Memory(Part):
    """The centroids."""

    name = "centroids"

    def build(self, shape: Shape) -> CentroidMemory:
        return CentroidMemory(shape.copies, shape.features, shape.classes)


@dataclass(frozen=True)
class Embedding(Part):
    """What makes logits of features, of the head's guess and of the centroids."""

    name = "embedding"

    def build(self, shape: Shape) -> MemoryEmbedding:
        return MemoryEmbedding(shape.copies, shape.features, shape.classes)

    def answer(self, module: nn.Module, logits: Tensor, features: Tensor) -> None:
        guess, seen = logits.flatten(0, 1), features.flatten(0, 1)
        module(seen, guess, seen.new_zeros(len(seen), guess.shape[2], seen.shape[2]), guess.new_zeros(guess.shape[::2]))


def _embedded(network: Experts, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [R, B, C] and features [R, B, D]."""
    output, centroids, embedding = network(images), _centroids(network), network.embedding
    assert isinstance(embedding, MemoryEmbedding)
    features = output.features[:, 0]
    return embedding(features, output.logits[:, 0], centroids.weight, centroids.missing), features


def _centroids(network: Experts) -> CentroidMemory:
    assert isinstance(network.centroids, CentroidMemory)
    return network.centroids


def with_memory(network: Experts, images: Tensor) -> Answer:
    """What the embedding says."""
    return Answer(_embedded(network, images)[0])


@dataclass(frozen=True)
class Remembering(Objective):
    """Cross-entropy of the embedding's logits, + weight * `centroid_loss`."""

    weight: float = 0.01
    margin: float = 10.0
    repel: float = 0.01

    def begin(self, network: Experts, feed: Feed, given: tuple[Experts, ...], now: Moment) -> None:
        centroids, counts = _centroids(network), now.counts.unsqueeze(-1)
        sums = torch.zeros_like(centroids.weight)
        for batch in feed.plain(BLOCK):
            members = F.one_hot(batch.labels, sums.shape[1]).to(sums.dtype)
            sums += members.transpose(1, 2) @ network(batch.images).features[:, 0]
        centroids.weight.copy_(sums / counts.clamp(min=1))
        centroids.missing.copy_(now.counts == 0)

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        logits, features = _embedded(network, batch.images)

        def of_run(logits: Tensor, features: Tensor, labels: Tensor, centroids: Tensor, missing: Tensor) -> Tensor:
            discriminative = centroid_loss(features, labels, centroids, self.margin, self.repel, missing)
            return cross_entropy(logits, labels).mean() + self.weight * discriminative

        centroids = _centroids(network)
        losses = torch.vmap(of_run)(logits, features, batch.labels, centroids.weight, centroids.missing)
        return Losses(losses, right(logits.unsqueeze(1), batch.labels))


def _dropping(start: float) -> Drops:
    """A tenth after each third."""
    return Drops(start, at=(1 / 3, 2 / 3), factors=(0.1, 0.01))


FASTER = SGD(learning_rate=_dropping(0.1))

OLTR = register(
    Method(
        "oltr",
        "OLTR",
        stages=(
            REPRESENTATION,
            Stage(
                "memory",
                Remembering(),
                net=REPRESENTATION.net.plus(Modulation(), Memory(), Embedding()),
                start=REPRESENTATION.name,
                sampler=(CLASS_BALANCED,),
                epochs=0.3,
                learning_rate=_dropping(0.01),
                own=(("heads", FASTER), ("embedding", FASTER)),
            ),
        ),
        predict=with_memory,
        paper="Liu et al., CVPR 2019, arXiv 1904.05160",
        summary="CE's network goes on with attention on maps and a memory of class centroids",
        about=__doc__,
        kind="Decoupling",
        adds_to="ce",
        unpublished="the released code has none for CIFAR",
    )
)
