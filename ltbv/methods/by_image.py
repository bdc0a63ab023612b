"""How far does each image of a batch pull where development images would? For objectives that weigh images one by one.

    l_i    loss of image i, those of its experts added up
    L_D    mean loss of the development images of a step
    a_i    <grad l_i(theta), grad L_D(theta~)>: above 0 where a step down l_i, from theta, takes L_D down at theta~

A virtual step theta~ = theta - eta grad sum_i w_i l_i(theta) is linear in the w_i, so d L_D(theta~) / d w_i = -eta a_i:
one pass of forward mode for all images of all runs, no second derivative. Batch norm takes the statistics of each batch
in every pass, and the running ones stay as they are.
"""

from functools import partial

import torch
from torch import Tensor

from ltbv.data.batches import Batch
from ltbv.losses import ExampleLoss
from ltbv.methods.objective import added, of_images
from ltbv.models import virtual
from ltbv.models.experts import Experts, Output

# The work of a step, in passes through the network of one batch: forward 1, backward 2, forward mode 2.
PLAIN, HELD, AHEAD, VIRTUAL = 3, 3, 2, 3  # the step itself, the gradient of L_D, the a_i, the virtual step


def image_losses(loss: ExampleLoss, output: Output, labels: Tensor, counts: Tensor) -> Tensor:
    """l [R, B] of logits [R, E, B, C], labels [R, B] and counts [R, C]."""
    return added(torch.vmap(partial(of_images, loss))(logits, labels, counts) for logits in output.logits.unbind(1))


def losses_at(loss: ExampleLoss, network: Experts, at: virtual.Weights, batch: Batch, counts: Tensor) -> Tensor:
    """l [R, B] at other weights than the network's own."""
    return image_losses(loss, virtual.outputs(network, at, batch.images), batch.labels, counts)


def agreement(
    loss: ExampleLoss,
    network: Experts,
    batches: tuple[Batch, ...],
    live: virtual.Weights,
    there: virtual.Weights,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:
    """l and a, [R, B] each, of the first batch; the second is of development images.

    live, there   theta and theta~
    """
    own, held = batches
    towards = virtual.gradient(losses_at(loss, network, there, held, counts).mean(1), there)
    return virtual.slopes(lambda at: losses_at(loss, network, at, own, counts), live, towards)


def to_one(weights: Tensor) -> Tensor:
    """Weights [..., B] of at least 0, divided by their sum; where all are 0 they stay so."""
    total = weights.sum(-1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)
