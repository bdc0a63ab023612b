"""Where may a network that somebody else wrote be cut in two? Where its modules are a chain, which is checked.

`halves(network, "layer3")` is what stands before `layer3` and what follows, of a network whose children are called one
after the other. What a network does between its last children without a module (flatten, the mean of each map or of all
tokens) is tried; a cut holds only if both halves, one after the other, say what the network says, in training too.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ltbv.errors import Refusal, reason, unknown
from ltbv.models.loop import lent

SIDES = (64, 224, 32)  # of images that a network is tried with


class Mean(nn.Module):
    """Over some axes: of each map [B, C, H, W] -> [B, C], of all tokens [B, N, D] -> [B, D]."""

    def __init__(self, *axes: int):
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes)


BETWEEN: dict[str, Callable[[], list[nn.Module]]] = {
    "nothing": list,
    "flatten": lambda: [nn.Flatten()],
    "mean": lambda: [Mean(2, 3)],
    "relu, mean": lambda: [nn.ReLU(), Mean(2, 3)],
    "mean of tokens": lambda: [Mean(1)],
}


def last_linear(network: nn.Module, who: str) -> str:
    """The name of a classifier's last linear layer, whose place a head takes."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise Refusal(f"{who} has no linear layer at its end to be replaced; resnet18 has")
    return linear[-1]


def ends_linear(network: nn.Module) -> bool:
    """Is its last layer with parameters a linear one? Then it is a classifier, and that its head."""
    layers = [part for part in network.modules() if next(part.parameters(recurse=False), None) is not None]
    return bool(layers) and isinstance(layers[-1], nn.Linear)


def headless(network: nn.Module, end: str) -> nn.Module:
    """A classifier without the linear layer `end`: images -> features."""
    network.set_submodule(end, nn.Identity())
    return network


def tried(network: nn.Module, end: str, who: str, sides: Sequence[int]) -> int | None:
    """Which of these sides a classifier takes; None for none. Its weights are spoilt.

    One is refused whose answer is not what the linear layer `end` gives, alone and last, in training as in evaluation;
    and one that says another thing each time, or writes into its images.
    """
    told: list[Tensor] = []
    network.get_submodule(end).register_forward_hook(lambda module, taken, given: told.append(given))
    draws = torch.Generator().manual_seed(0)
    for side in sides:
        images = torch.rand(2, 3, side, side, generator=draws)
        said: list[object] = []
        for training in (False, False, True):
            told.clear()
            try:
                with torch.no_grad(), lent(np.random.default_rng(len(said)), images.device):
                    said.append(network.train(training)(images))
            except (Exception, SystemExit):  # whatever a module says of images that it was not made for
                said.clear()
                break
            mode = "training" if training else "evaluation"
            if not isinstance(said[-1], Tensor):
                raise Refusal(
                    f"{who} gives a {type(said[-1]).__name__} in {mode}; it has to give a tensor, a row of logits for"
                    " each image (an argument may see to it, as aux_logits=False)"
                )
            if len(told) != 1 or not _same(said[-1], told[0]):
                raise Refusal(
                    f"{who} does not end in its last linear layer ({end}), in {mode}: what it gives is not what that"
                    " gives; give a network whose last layer, in its order of modules too, is the classifier"
                )
            if images._version:
                raise Refusal(f"{who} writes into the images that it is given; let it begin with a copy of them")
        if not said:
            continue
        if not _same(said[0], said[1]):
            raise Refusal(
                f"{who} says another thing of the same images each time, in evaluation too; let it forget, or remember,"
                " in training only"
            )
        return side
    return None


def halves(network: nn.Module, at: str, end: str, between: str) -> tuple[nn.Module, nn.Module]:
    """What comes before the child `at` (`layer3`, `features.6`), and the rest; `between` stands before the child that
    has the layer `end`."""
    before, after = _links(network, at.split("."), end.partition(".")[0], BETWEEN[between])
    return nn.Sequential(*before), nn.Sequential(*after)


def places(network: nn.Module) -> list[str]:
    """Where it could be cut, the children and those of its sequences."""
    found = []
    for name, child in network.named_children():
        found.append(name)
        if isinstance(child, nn.Sequential):
            found += [f"{name}.{inner}" for inner, _ in child.named_children()]
    return found


def way(network: nn.Module, at: str, end: str, who: str, side: int) -> tuple[str, int]:
    """What of BETWEEN makes a chain of a headless network, and how many features it gives.

    A network that is none is refused. Its weights are spoilt.
    """
    if at not in places(network):
        raise unknown(f"place to cut {who}", at, places(network))
    why = "its parts are no chain"
    if shared := _in_both(*halves(network, at, end, "nothing")):
        raise Refusal(f"{who} cannot be cut at {at}: {shared} is on both sides; leave out @{at}, or cut elsewhere")
    draws = torch.Generator().manual_seed(0)
    network = network.double()
    with torch.no_grad():
        for weight in network.parameters():  # a block that begins as nothing would hide what is wrong with it
            weight.add_(torch.randn(weight.shape, generator=draws, dtype=weight.dtype), alpha=0.05)
    images = torch.rand(2, 3, side, side, generator=draws, dtype=torch.float64)
    for between in BETWEEN:
        try:
            chain = nn.Sequential(*halves(network, at, end, between))
            if all(_alike(network.train(training), chain.train(training), images) for training in (False, True)):
                return between, network.eval()(images).shape[1]
        except Exception as error:  # whatever a module says of what it was not made for
            why = reason(error) if between == "nothing" else why
    cure = f"leave out @{at}, or take one that can: torchvision:resnet18@layer3"
    raise Refusal(f"{who} cannot be cut at {at} ({why}); {cure}")


def _links(
    module: nn.Module, at: list[str], end: str, between: Callable[[], list[nn.Module]]
) -> tuple[list[nn.Module], list[nn.Module]]:
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    for name, child in module.named_children():
        here = after if after or at == [name] else before
        if name == end:
            here.extend(between())
        if name == at[0] and len(at) > 1:
            within = _links(child, at[1:], "", list)
            before.extend(within[0])
            after.extend(within[1])
        else:
            here.append(child)
    return before, after


@torch.no_grad()
def _alike(network: nn.Module, chain: nn.Module, images: Tensor) -> bool:
    """Do they say the same, and forget the same?"""
    said = []
    for one in (network, chain):
        with lent(np.random.default_rng(0), images.device):
            said.append(one(images))
    whole, both = said
    return whole.dim() == 2 and whole.shape == both.shape and torch.allclose(whole, both, rtol=1e-8, atol=1e-8)


def _same(one: object, other: object) -> bool:
    return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one.nan_to_num(), other.nan_to_num())


def _in_both(before: nn.Module, after: nn.Module) -> str:
    """A weight or buffer of both, by its name in the first; '' where there is none."""
    theirs = {id(value) for value in (*after.parameters(), *after.buffers())}
    own = (*before.named_parameters(), *before.named_buffers())
    return next((name for name, value in own if id(value) in theirs), "")
