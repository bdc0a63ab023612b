"""Meta-Weight-Net: a small network gives each image a weight from its loss, and learns to from development images (Shu
et al., NeurIPS 2019, arXiv 1902.07379).

    v_i = V(l_i) = sigmoid(W2 relu(W1 l_i + b1) + b2)                        1 - 100 - 1, one for each run

    theta~ = theta - eta grad_theta sum_i v_i l_i / sum_j v_j                a virtual step at the current rate
    V steps on the mean loss of development images at theta~                 SGD, rate 1e-5, Nesterov, decay 5e-4
    theta steps on sum_i v_i l_i / sum_j v_j                                 with the new V, no gradient through it

The authors have two repositories. `meta_weight_net` follows that of class imbalance: weights sum to 1, and the virtual
step is differentiated through the loss that V reads. `meta_weight_net_noise` follows that of noisy labels: the weights
are v_i / B, V reads the loss without gradient, and steps by Adam, rate 1e-3, decay 1e-4. Both here move the network by
the protocol's optimiser (theirs drop Nesterov for noisy labels), and length, batch and schedule are the protocol's: 100
epochs with drops at 80 and 90 in theirs, where the virtual rate drops an epoch later than the optimiser's; ours drops
with it. The last epoch answers, theirs is the best on the test set.

At a rate of 1e-5 V moves little in a training, so what it was drawn as (a weight that rises with the loss, or falls)
decides much: expect runs to differ. It is drawn uniform within [-1, 1] and [-0.1, 0.1]. Development images are
supervision that other methods do not have: held out of the pool, never trained on; `ce_with_dev` is the comparison at
equal images.

A step takes 3.7 times a plain one's work, by its passes; measured 4.0 to 4.8 times CE's processor time (the network of
glyphs-lt, five runs at once).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ltbv.data.batches import Batch
from ltbv.data.development import PER_CLASS
from ltbv.data.samplers import INSTANCE, Held
from ltbv.losses import ExampleLoss, cross_entropy
from ltbv.methods.base import Losses, Method, Moment, Objective, Stage
from ltbv.methods.by_image import AHEAD, HELD, PLAIN, VIRTUAL, agreement, image_losses, losses_at, to_one
from ltbv.methods.objective import right
from ltbv.methods.published import CIFAR, CROPS, Published, Terms
from ltbv.methods.registry import register
from ltbv.models import virtual
from ltbv.models.experts import Experts, Net
from ltbv.models.parts import Part, Shape
from ltbv.models.stack import Layer
from ltbv.optimisers import SGD, Adam, Optimiser
from ltbv.schedules import Drops

TERMS = Terms(100, 100, Drops(0.1, at=(0.8, 0.9), factors=(0.1, 0.01)), 5e-4, SGD(), CROPS)
SHU = Published("the script of Shu et al. (2019) for class imbalance", CIFAR, TERMS)


class WeightNet(Layer):
    """sigmoid(W2 relu(W1 l + b1) + b2) of each loss: [R, B] -> [R, B], a network for each run.

    Drawn as PyTorch draws linear layers: uniform within 1 / sqrt(inputs), weights and biases alike.
    """

    def __init__(self, copies: int, hidden: int):
        super().__init__()
        self.copies = copies
        self.inner_weight, self.inner_bias = (nn.Parameter(torch.zeros(copies, hidden)) for _ in range(2))
        self.outer_weight = nn.Parameter(torch.zeros(copies, hidden))
        self.outer_bias = nn.Parameter(torch.zeros(copies))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        hidden = self.inner_weight.shape[1]
        for parameter, inputs in (
            (self.inner_weight, 1),
            (self.inner_bias, 1),
            (self.outer_weight, hidden),
            (self.outer_bias, hidden),
        ):
            self._fill(parameter, copy, generator.uniform(-1, 1, parameter.shape[1:]) / math.sqrt(inputs))

    def forward(self, losses: Tensor) -> Tensor:
        # no product of matrices, which a GPU would round to half precision
        inner = torch.relu(losses.unsqueeze(-1) * self.inner_weight.unsqueeze(1) + self.inner_bias.unsqueeze(1))
        return torch.sigmoid((inner * self.outer_weight.unsqueeze(1)).sum(-1) + self.outer_bias.unsqueeze(1))


@dataclass(frozen=True)
class Weigher(Part):
    """V, which nothing passes through: the objective asks it."""

    name = "weigher"
    hidden: int = 100

    def build(self, shape: Shape) -> nn.Module:
        return WeightNet(shape.runs, self.hidden)


@dataclass(frozen=True)
class WeighedByNet(Objective):
    """sum_i w_i l_i of the first batch, w from the part `weigher`, which learns from the second, development images.

    normalised   weights are divided by their sum, and V's own slope in l_i is part of the virtual step; else they are
                 divided by the size of the batch, and it is not
    """

    looks_ahead = True
    loss: ExampleLoss = cross_entropy
    normalised: bool = True

    def work(self) -> float:
        return (PLAIN + VIRTUAL + HELD + AHEAD) / PLAIN

    def before(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        """[R], whose gradient in V is that of the development images' mean loss at theta~."""
        live = virtual.weights(network)
        losses = losses_at(self.loss, network, live, batches[0], now.counts)
        there = virtual.stepped(live, self._total(network, losses), now.rate)
        losses, slopes = agreement(self.loss, network, batches, live, there, now.counts)
        losses = losses.detach().requires_grad_()
        (pull,) = torch.autograd.grad(self._total(network, losses).sum(), losses, create_graph=True)
        return -now.rate * (pull * slopes).sum(1)

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        output, labels = network(batches[0].images), batches[0].labels
        losses = image_losses(self.loss, output, labels, now.counts)
        weights = self._weights(network, losses.detach()).detach()
        return Losses((weights * losses).sum(1), right(output.logits, labels))

    def _weights(self, network: Experts, losses: Tensor) -> Tensor:
        weigher: nn.Module = getattr(network, Weigher.name)
        weights = weigher(losses)
        return to_one(weights) if self.normalised else weights / losses.shape[1]

    def _total(self, network: Experts, losses: Tensor) -> Tensor:
        """The weighted loss [R] that the virtual step goes down."""
        return (self._weights(network, losses if self.normalised else losses.detach()) * losses).sum(1)


def weighing(objective: WeighedByNet, rule: Optimiser) -> Stage:
    """The one stage, V moved by a rule of its own before the network moves."""
    return Stage(
        "representation",
        objective,
        net=Net(parts=(Weigher(),)),
        sampler=(INSTANCE, Held()),
        held=PER_CLASS,
        own=((Weigher.name, rule),),
        first=(Weigher.name,),
    )


for _key, _label, _stage, _how, _published, _unpublished in (
    (
        "meta_weight_net",
        "Meta-Weight-Net",
        weighing(WeighedByNet(), SGD(learning_rate=1e-5, weight_decay=5e-4)),
        "weights that sum to 1",
        (SHU,),
        "",
    ),
    (
        "meta_weight_net_noise",
        "Meta-Weight-Net, noise form",
        weighing(WeighedByNet(normalised=False), Adam(learning_rate=1e-3, weight_decay=1e-4)),
        "weights that are divided by the batch",
        (),
        "its authors' are for noisy labels; meta_weight_net has theirs for long tails",
    ),
):
    register(
        Method(
            _key,
            _label,
            stages=(_stage,),
            paper="Shu et al., NeurIPS 2019, arXiv 1902.07379",
            summary=f"a small network weighs images by their loss, {_how}; it learns from development images",
            about=__doc__,
            kind="Development",
            adds_to="ce",
            published=_published,
            unpublished=_unpublished,
        )
    )
