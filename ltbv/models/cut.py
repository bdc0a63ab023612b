"""Where may a network that somebody else wrote be cut in two? Where its modules are a chain, which is checked.

`halves(network, "layer3")` is what stands before `layer3` and what follows, of a network whose children are called one
after the other. What a network does between its last children without a module (flatten, or the mean of each map) is
tried; a cut holds only if both halves, one after the other, say what the network says, in training too.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ltbv.errors import Refusal, reason, unknown
from ltbv.models.loop import lent

SIDE = 64  # of the images that a cut is tried with; what a study's images are is tried by `engine.cost.check`


class Mean(nn.Module):
    """Of each map: [B, C, H, W] -> [B, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


BETWEEN: dict[str, Callable[[], list[nn.Module]]] = {
    "nothing": list,
    "flatten": lambda: [nn.Flatten()],
    "mean": lambda: [Mean()],
    "relu, mean": lambda: [nn.ReLU(), Mean()],
}


def last_linear(network: nn.Module, who: str) -> str:
    """The name of a classifier's last linear layer, whose place a head takes."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise Refusal(f"{who} has no linear layer at its end to be replaced; resnet18 has")
    return linear[-1]


def headless(network: nn.Module, who: str) -> nn.Module:
    """A classifier without its last linear layer: images -> features."""
    network.set_submodule(last_linear(network, who), nn.Identity())
    return network


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


def way(network: nn.Module, at: str, end: str, who: str) -> tuple[str, int]:
    """What of BETWEEN makes a chain of a headless network, and how many features it gives.

    A network that is none is refused. Its weights are spoilt.
    """
    if at not in places(network):
        raise unknown(f"place to cut {who}", at, places(network))
    why = "its parts are no chain"
    draws = torch.Generator().manual_seed(0)
    network = network.double()
    with torch.no_grad():
        for weight in network.parameters():  # a block that begins as nothing would hide what is wrong with it
            weight.add_(torch.randn(weight.shape, generator=draws, dtype=weight.dtype), alpha=0.05)
    images = torch.rand(2, 3, SIDE, SIDE, generator=draws, dtype=torch.float64)
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
