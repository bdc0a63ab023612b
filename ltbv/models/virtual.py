"""What would a network say with other weights? Losses at weights that are not its own, and slopes along a direction.

For objectives that take a virtual step: R runs at once, because the losses of runs do not mix. Nothing of the network
moves: batch norm takes the statistics of the batch, as in training, and the running ones are those of a copy. Nothing
is rounded to half precision, not on a GPU either: differences of losses are small.

    live = virtual.weights(network)
    step = torch.autograd.grad(loss(virtual.outputs(network, live, images)).sum(), live.values())
    there = {name: (w - rate * d).detach().requires_grad_() for (name, w), d in zip(live.items(), step)}

`slopes` is the derivative of a function of the weights along a direction, for all its values in one pass (forward
mode): d l_i(w + t u) / dt at t = 0 for every image i. A weighted sum of losses is linear in the weights of the images,
so what an example's weight does to a development loss after one virtual step needs no second derivative: it is
- rate * slope of that example along the development loss's gradient.
"""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call, jvp

from ltbv.errors import Refusal
from ltbv.models.experts import Experts, Output
from ltbv.models.stack import by_run, lengths, of_owner

Weights = Mapping[str, Tensor]


def weights(network: Experts) -> dict[str, Tensor]:
    """The weights that learn and that outputs depend on, by name: leaves, so that gradients stop at them."""
    aside = {part.name for part in network.parts if not part.at}
    learn = ((name, p) for name, p in network.named_parameters() if p.requires_grad)
    return {name: p.detach().requires_grad_() for name, p in learn if name.split(".")[0] not in aside}


def outputs(network: Experts, at: Weights, images: Tensor) -> Output:
    """What the network says of images [B, R*channels, H, W] with these weights in the place of its own."""
    if network.at_once:  # asked again in the backward pass it would have its own weights
        raise Refusal(
            f"a virtual step asks of the whole batch at once, and micro_batch is {network.at_once}: leave out"
            " --micro-batch, or the method"
        )
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with torch.autocast(images.device.type, enabled=False):
        return functional_call(network, {**at, **buffers}, (images,))


def stepped(at: Weights, losses: Tensor, rate: float | Tensor) -> dict[str, Tensor]:
    """Weights one plain step of gradient descent on: w - rate * d losses.sum() / dw; leaves again."""
    gradient = torch.autograd.grad(losses.sum(), list(at.values()))
    moved = zip(at.items(), gradient, strict=True)
    return {name: (w.detach() - rate * d.to(w.dtype)).requires_grad_() for (name, w), d in moved}


def gradient(losses: Tensor, at: Weights) -> dict[str, Tensor]:
    """d losses.sum() / dw, by name."""
    return dict(zip(at, torch.autograd.grad(losses.sum(), list(at.values())), strict=True))


def ascended(network: Experts, up: Weights, radius: float) -> dict[str, Tensor]:
    """The network's own weights w + radius g / |g|, |g| the length of a run's g over all its weights: [R] lengths.

    Not leaves: what is said at them has its gradient in the network's parameters. Where g is 0 nothing moves; weights
    without a g stay their own.
    """
    named, owner = dict(network.named_parameters()), {id(p): run for p, run in by_run(network, network.runs)}
    owned = {name: (g.detach(), owner[id(named[name])]) for name, g in up.items()}
    device = next(iter(named.values())).device
    factors = radius / lengths(owned.values(), network.runs, device).clamp(min=1e-12)
    return {name: named[name] + of_owner(factors, g, run).to(g.dtype) * g for name, (g, run) in owned.items()}


def uphill(network: Experts, losses: Tensor) -> dict[str, Tensor]:
    """d losses.sum() / dw at the network's own weights, by name, of those that learn and that it depends on.

    What the losses were made of is kept, for a backward pass of their rest.
    """
    learn = {name: p for name, p in network.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(losses.sum(), list(learn.values()), retain_graph=True, allow_unused=True)
    return {name: g for name, g in zip(learn, found, strict=True) if g is not None}


def slopes(of: Callable[[Weights], Tensor], at: Weights, along: Weights) -> tuple[Tensor, Tensor]:
    """of(at), and its derivative along a direction: d of(at + t along) / dt at t = 0, of the same shape."""
    still = {name: value.detach() for name, value in at.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script")  # which torch's forward mode still uses itself
        found = jvp(of, (still,), ({name: along[name].detach() for name in still},))
    return found[0], found[1]
