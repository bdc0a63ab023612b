"""Which networks of timm can be made narrower behind a cut, and by which argument? A table of one line a family.

What stands before the cut stays as wide as it was; the stages from the cut on have so many times their widths, each
rounded down to what their attention heads divide. RIDE's residual networks come out to the last unit.
"""

from collections.abc import Callable
from math import lcm
from typing import Any

from torch import nn

# The class of a network -> the argument that has a width for each stage.
FAMILIES = {
    "ResNet": "channels",
    "ResNetV2": "channels",
    "ConvNeXt": "dims",
    "MetaNeXt": "dims",
    "PyramidVisionTransformerV2": "embed_dims",
    "DaVit": "embed_dims",
    "SwinTransformer": "embed_dim",
    "SwinTransformerV2": "embed_dim",
}


class Widths(tuple[int, ...]):
    """Of all stages, for constructors that take the first of them and reckon with `int(embed_dim * 2**3)` what a
    network ends with; they take several as they are."""

    def __mul__(self, doubled: Any) -> int:  # type: ignore[override]  # no product of tuples
        del doubled
        return self[-1]


def narrower(network: nn.Module, cut: str, factor: float, make: Callable[..., nn.Module]) -> nn.Module | None:
    """The network, made anew with the widths of the stages from `cut` on times the factor; None where it cannot."""
    argument = FAMILIES.get(type(network).__name__)
    stages = [info for info in getattr(network, "feature_info", ())][-4:]
    names = [info["module"] for info in stages]
    if argument is None or len(stages) < 4:
        return None
    first = next((place for place, name in enumerate(names) if cut == name), None)
    if first is None:
        top = next((place for place, name in enumerate(names) if cut.startswith(f"{name}.")), len(names))
        first = top + 1  # within a stage, that stays whole
    if first >= len(names):
        return None
    widths = [info["num_chs"] // _expansion(network, info["module"]) for info in stages]
    for place in range(first, len(names)):
        heads = _heads(network.get_submodule(names[place]))
        widths[place] = max(int(widths[place] * factor) // heads, 1) * heads
    return make(**{argument: Widths(widths)})


def _expansion(network: nn.Module, stage: str) -> int:
    """How many times the width of a stage what it gives is: bottlenecks put out more."""
    classes = [type(module) for module in network.get_submodule(stage).modules()]
    return next((int(vars(of)["expansion"]) for of in classes if "expansion" in vars(of)), 1)


def _heads(stage: nn.Module) -> int:
    return lcm(*(int(getattr(module, "num_heads", 1)) for module in stage.modules()))
