"""What shape has every classifier here? A shared stem, one branch and one head for each expert.

A plain classifier has one expert of full width; RIDE (Wang et al., 2021) has several of three quarters the width; an
ensemble is several experts that share nothing. `Net` is the specification, a value; `Net.build` makes the stack of R.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from ltbv.errors import Refusal, unknown
from ltbv.models.resnet import Resnet
from ltbv.models.router import Router
from ltbv.models.stack import CosineLinear, Linear, Scale, fan_out, take

HEADS = {"linear": Linear, "cosine": CosineLinear}
PARTS = ("stem", "branches", "heads", "scales", "router")


class Output(NamedTuple):
    """logits [R, E, B, C] as heads (and scales) give them, features [R, E, B, D] before the heads."""

    logits: Tensor
    features: Tensor


class Experts(nn.Module):
    """R networks of E experts each. Images [B, R*channels, H, W] -> Output.

    Parts: `stem`, of a run's experts together, or with a copy for each where they are `apart`; `branches`; `heads`; and
    where the `Net` has them, `scales` on the logits and a `router`. `features` is D; maps that are padded in memory
    (`fused`) have more.
    """

    def __init__(
        self,
        runs: int,
        experts: int,
        stem: nn.Module,
        branches: nn.Module,
        heads: nn.Module,
        *,
        features: int | None = None,
        apart: bool = False,
        scales: nn.Module | None = None,
        router: Router | None = None,
    ):
        super().__init__()
        self.runs, self.experts, self.features, self.apart = runs, experts, features, apart
        self.stem, self.branches, self.heads, self.scales, self.router = stem, branches, heads, scales, router

    def forward(self, images: Tensor) -> Output:
        own = self.experts
        maps = self.stem(fan_out(images, self.runs, own)) if self.apart else fan_out(self.stem(images), self.runs, own)
        maps = self.branches(maps)
        features = maps.mean((2, 3)).unflatten(1, (self.runs * own, -1))[..., : self.features].transpose(0, 1)
        logits = self.heads(features)
        if self.scales is not None:
            logits = self.scales(logits)
        shape = (self.runs, own)
        return Output(logits.unflatten(0, shape), features.unflatten(0, shape))

    def stem_of(self, run: int) -> nn.Module:
        """The stem that a run's experts share, for looking at; nothing where they are apart."""
        return nn.Identity() if self.apart else take(self.stem, [run])

    def expert_of(self, run: int, expert: int) -> "Experts":
        """One expert of one run as a network of its own that takes what the run's stem gives, for looking at."""
        copy = [run * self.experts + expert]
        stem = take(self.stem, copy) if self.apart else nn.Identity()
        scales = None if self.scales is None else take(self.scales, copy)
        branch, head = take(self.branches, copy), take(self.heads, copy)
        return Experts(1, 1, stem, branch, head, features=self.features, scales=scales)


@dataclass(frozen=True)
class Net:
    """How many experts, how wide, which head.

    experts   E
    width     factor on the widths of the branches; None: 1 for one expert, 3/4 for several (RIDE's `reduce_dimension`)
    head      linear, or cosine (for LDAM)
    apart     experts share nothing, the stem neither: an ensemble
    scales    the logits of each class times a factor of its own (LWS)
    router    the k of a `Router` between the experts; 0: none
    """

    experts: int = 1
    width: float | None = None
    head: str = "linear"
    apart: bool = False
    scales: bool = False
    router: int = 0

    def __post_init__(self) -> None:
        if self.experts < 1:
            raise Refusal(f"a network of {self.experts} experts; give 1 or more")
        if self.head not in HEADS:
            raise unknown("head", self.head, HEADS)
        if self.width is not None and not self.width > 0:
            raise Refusal(f"a network {self.width!r} times as wide; give a width above 0")
        if self.router < 0:
            raise Refusal(f"a router that looks at {self.router} logits; give 1 or more, or 0 for none")
        if self.router and self.experts == 1:
            raise Refusal("a router chooses among experts, and there is one; give Net(experts=2) or more")

    @property
    def factor(self) -> float:
        """The factor on the widths of the branches."""
        return self.width if self.width is not None else (1.0 if self.experts == 1 else 0.75)

    @property
    def parts(self) -> tuple[str, ...]:
        """Those of PARTS that it has."""
        return (*PARTS[:3], *(["scales"] if self.scales else []), *(["router"] if self.router else []))

    def build(self, backbone: Resnet, *, runs: int, channels: int, classes: int) -> Experts:
        """A stack of `runs` networks; weights are zero until drawn or loaded."""
        copies, features = runs * self.experts, backbone.features(self.factor)
        return Experts(
            runs,
            self.experts,
            backbone.build_shared(copies if self.apart else runs, channels),
            backbone.build_branch(copies, self.factor),
            HEADS[self.head](copies, features, classes),
            features=features,
            apart=self.apart,
            scales=Scale(copies, classes) if self.scales else None,
            router=Router(runs, self.experts - 1, features, classes, self.router) if self.router else None,
        )
