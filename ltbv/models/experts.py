"""What shape has every classifier here? A shared stem, one branch and one head for each expert.

A plain classifier has one expert of full width; RIDE (Wang et al., 2021) has several of three quarters the width. `Net`
is the specification, a value; `Net.build` makes the stack of R of them.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from ltbv.models.resnet import Resnet
from ltbv.models.stack import CosineLinear, Linear, fan_out

HEADS = {"linear": Linear, "cosine": CosineLinear}
PARTS = ("stem", "branches", "heads")


class Output(NamedTuple):
    """logits [R, E, B, C] as the heads give them, features [R, E, B, D] before the heads."""

    logits: Tensor
    features: Tensor


class Experts(nn.Module):
    """R networks of E experts each; parts `stem`, `branches`, `heads`. Images [B, R*channels, H, W] -> Output."""

    def __init__(self, runs: int, experts: int, stem: nn.Module, branches: nn.Module, heads: nn.Module):
        super().__init__()
        self.runs, self.experts = runs, experts
        self.stem, self.branches, self.heads = stem, branches, heads

    def forward(self, images: Tensor) -> Output:
        maps = self.branches(fan_out(self.stem(images), self.runs, self.experts))
        features = maps.mean((2, 3)).unflatten(1, (self.runs * self.experts, -1)).transpose(0, 1)
        logits = self.heads(features)
        shape = (self.runs, self.experts)
        return Output(logits.unflatten(0, shape), features.unflatten(0, shape))


@dataclass(frozen=True)
class Net:
    """How many experts, how wide, which head.

    experts   E
    width     factor on the widths of the branches; None: 1 for one expert, 3/4 for several (RIDE's `reduce_dimension`)
    head      linear, or cosine (for LDAM)
    """

    experts: int = 1
    width: float | None = None
    head: str = "linear"

    def build(self, backbone: Resnet, *, runs: int, channels: int, classes: int) -> Experts:
        """A stack of `runs` networks; weights are zero until drawn or loaded."""
        width = self.width if self.width is not None else (1.0 if self.experts == 1 else 0.75)
        copies = runs * self.experts
        return Experts(
            runs,
            self.experts,
            backbone.build_shared(runs, channels),
            backbone.build_branch(copies, width),
            HEADS[self.head](copies, backbone.features(width), classes),
        )
