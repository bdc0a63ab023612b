"""What shape has every classifier here? A shared stem, one branch and one head for each expert.

A plain classifier has one expert of full width; RIDE (Wang et al., 2021) has several of three quarters the width; an
ensemble is several experts that share nothing. `Net` is the specification, a value; `Net.build` makes the stack of R.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ltbv.errors import Refusal
from ltbv.later import later
from ltbv.models.channels import narrow
from ltbv.models.divided import MAPS, VECTORS, Divided
from ltbv.models.micro import in_parts
from ltbv.models.parts import BODY, LINEAR, PLACES, Head, Part, Shape
from ltbv.models.stack import fan_out, take

NARROWED = 0.75  # how wide several experts are, as a share of one


class Backbone(Hashable, Protocol):
    """A network cut in two, a value. In a stack of it, `copies` of runs or experts lie side by side in the channels."""

    def build_shared(self, copies: int, channels: int) -> nn.Module:
        """What the experts of a run share: images [B, copies*channels, H, W] -> maps."""

    def build_branch(self, copies: int, width_factor: float) -> nn.Module:
        """What each expert has: maps -> features [copies, B, D] (or more of them, padded). Parts may stand within it if
        it is `Cut`."""

    def features(self, width_factor: float) -> int:
        """D."""

    def map_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """(H', W') of the last maps for images of (H, W); None where there are none to be had."""


@runtime_checkable
class Cut(Protocol):
    """A branch in two pieces: `pool` of `maps` is what it does."""

    def maps(self, x: Tensor) -> Tensor:
        """The last maps, [B, copies*C', H', W']."""

    def pool(self, maps: Tensor) -> Tensor:
        """Their features, [copies, B, D]."""


@runtime_checkable
class Sharing(Protocol):
    """A branch whose experts can sometimes be given one map of a run together."""

    def shares(self, x: Tensor) -> bool:
        """Can they be given this one, [B, R*C, H, W]?"""


@runtime_checkable
class Wide(Protocol):
    """A backbone that says how wide several experts are on it, where a `Net` leaves that open."""

    expert_width: float


@runtime_checkable
class Ending(Protocol):
    """A backbone whose experts may part later than where it parts them."""

    def ending(self, blocks: int) -> Backbone:
        """The same, of which each expert has for itself no more than these last blocks."""


class Output(NamedTuple):
    """logits [R, E, B, C] as heads (and what stands after them) give them, features [R, E, B, D] before the heads."""

    logits: Tensor
    features: Tensor


class Experts(nn.Module):
    """R networks of E experts each. Images [B, R*channels, H, W] -> Output.

    Parts: `stem`, of a run's experts together, or with a copy for each where they are `apart`; `branches`; `heads`; and
    the `parts` of the `Net`, each by its name. `features` is D; what a branch gives may be padded (`fused`).
    `at_once` is how many images are asked of together where a gradient is wanted; None: all (`micro`).
    """

    at_once: int | None = None

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
        joint: bool = False,
        parts: Sequence[tuple[Part, nn.Module]] = (),
    ):
        super().__init__()
        self.runs, self.experts, self.features, self.apart, self.joint = runs, experts, features, apart, joint
        self.stem, self.branches, self.heads = stem, branches, heads
        for part, module in parts:
            self.add_module(part.name, module)
        self.parts = tuple(part for part, _ in parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all its parts."""
        return (*BODY, *(part.name for part in self.parts))

    def forward(self, images: Tensor | Sequence[Tensor]) -> Output:
        """images: one batch for all experts, or one for each expert; a shared stem then sees one after the other."""
        n = len(images if isinstance(images, Tensor) else images[0])
        if self.at_once and n > self.at_once and torch.is_grad_enabled():
            return Output(*in_parts(self, self._said, images, self.at_once))
        return self._said(images)

    def _said(self, images: Tensor | Sequence[Tensor]) -> Output:
        shape = (self.runs, self.experts)
        features = self._features(self._maps(images))[..., : self.features]
        features = self._through("features", features)
        logits = self.heads(features.unflatten(0, shape) if self.joint else features)
        if not self.joint:
            logits = self._through("logits", logits).unflatten(0, shape)
        return Output(logits, features.unflatten(0, shape))

    def _maps(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """For each expert what its branch takes: [B, R*E*C, H, W]; [B, R*C, H, W] where branches are `Sharing` it."""
        if isinstance(images, Tensor):
            own = self.runs, self.experts
            if self.apart:
                return self.stem(fan_out(images, *own))
            maps = self.stem(images)
            is_shared = isinstance(self.branches, Sharing) and self.branches.shares(maps)
            return maps if is_shared else fan_out(maps, *own)
        if len(images) != self.experts:
            raise Refusal(f"{len(images)} batches for {self.experts} experts; give one for all, or one for each")
        if self.apart:
            return self.stem(interleaved(images, self.runs))
        return interleaved([self.stem(batch) for batch in images], self.runs)

    def _features(self, maps: Tensor) -> Tensor:
        """[R*E, B, D], or more where they are padded."""
        if not any(part.at == "maps" for part in self.parts):
            return self.branches(maps)
        assert isinstance(self.branches, Cut), "`Net.build` refuses another"
        maps = self.branches.maps(maps)
        if self.features is not None:  # without what is padded in memory
            maps = narrow(maps, self.runs * self.experts, self.features)
        return self.branches.pool(self._through("maps", maps))

    def _through(self, place: str, values: Tensor) -> Tensor:
        for part in self.parts:
            if part.at == place:
                values = getattr(self, part.name)(values)
        return values

    def divide(self, names: Sequence[str], chosen: Sequence[int]) -> None:
        """Let of these parts only the `chosen` experts learn, until `join`: what an expert has for itself is `Divided`.

        A stem that a run's experts share, and parts that stand aside, stay whole.
        """
        passes = {"branches": (MAPS, VECTORS), "heads": (VECTORS, VECTORS)}
        passes |= {part.name: ((MAPS,) * 2 if part.at == "maps" else (VECTORS,) * 2) for part in self.parts if part.at}
        passes |= {"stem": (MAPS, MAPS)} if self.apart else {}
        for name in passes.keys() & {*names}:
            setattr(self, name, Divided(getattr(self, name), self.runs, self.experts, chosen, *passes[name]))

    def join(self) -> None:
        """All experts together again, as they have become."""
        for name, module in list(self.named_children()):
            if isinstance(module, Divided):
                setattr(self, name, module.whole())

    def stem_of(self, run: int) -> nn.Module:
        """The stem that a run's experts share, for looking at; nothing where they are apart."""
        return nn.Identity() if self.apart else take(self.stem, [run])

    def expert_of(self, run: int, expert: int) -> "Experts":
        """One expert of one run as a network of its own that takes what the run's stem gives, for looking at."""
        if self.joint:
            raise Refusal("experts with one head for all of them cannot be asked one by one; give each its own")
        copy = [run * self.experts + expert]
        stem = take(self.stem, copy) if self.apart else nn.Identity()
        parts = [(part, take(getattr(self, part.name), copy)) for part in self.parts if part.at]
        return Experts(
            1, 1, stem, take(self.branches, copy), take(self.heads, copy), features=self.features, parts=parts
        )


def interleaved(batches: Sequence[Tensor], runs: int) -> Tensor:
    """E maps [B, R*C, H, W], one for each expert, as one: [B, R*E*C, H, W], expert e of run r at r*E + e."""
    nhwc = torch.stack([batch.movedim(1, -1).unflatten(-1, (runs, -1)) for batch in batches], dim=-2)
    return nhwc.flatten(-3).movedim(-1, 1)


@dataclass(frozen=True)
class Net:
    """How many experts, how wide, which head, what beside.

    experts     E
    width       factor on the widths of the branches; None: 1 for one expert, for several what the backbone says
                (`Wide`), else 3/4 (RIDE's `reduce_dimension`)
    head        LINEAR, COSINE, JOINT, or a `Head` of one's own
    apart       experts share nothing, the stem neither: an ensemble
    parts       further parts, each a `Part`, in the order in which values pass them
    own_blocks  how many blocks, the last ones, an expert has for itself; None: where the backbone parts them
    """

    experts: int = 1
    width: float | None = None
    head: Head = LINEAR
    apart: bool = False
    parts: tuple[Part, ...] = ()
    own_blocks: int | None = later(None)

    def __post_init__(self) -> None:
        if self.experts < 1:
            raise Refusal(f"a network of {self.experts} experts; give 1 or more")
        if not isinstance(self.head, Head):
            raise Refusal(f"a network with the head {self.head!r}; give a Head of models.parts: LINEAR, COSINE")
        if self.width is not None and not self.width > 0:
            raise Refusal(f"a network {self.width!r} times as wide; give a width above 0")
        for part in self.parts:
            if not isinstance(part, Part) or part.at not in PLACES:
                raise Refusal(f"a network with the part {part!r}; give a Part that stands at one of {PLACES}")
        if len({*self.names}) < len(self.names):
            raise Refusal(f"a network with two parts of one name: {', '.join(self.names)}; give each its own")
        if self.head.joint and any(part.at == "logits" for part in self.parts):
            raise Refusal("a network with one head for all experts and a part at their logits; let the head do both")
        if self.chooses and self.experts == 1:
            raise Refusal("a part chooses among experts, and there is one; give Net(experts=2) or more")

    def factor(self, backbone: Backbone) -> float:
        """The factor on the widths of the branches."""
        if self.width is not None or self.experts == 1:
            return 1.0 if self.width is None else self.width
        return backbone.expert_width if isinstance(backbone, Wide) else NARROWED

    @property
    def names(self) -> tuple[str, ...]:
        """Of all its parts."""
        return (*BODY, *(part.name for part in self.parts))

    @property
    def chooses(self) -> bool:
        """Does a part decide how many experts an image asks?"""
        return any(part.chooses for part in self.parts)

    def plus(self, *parts: Part) -> "Net":
        """The same with further parts."""
        return replace(self, parts=(*self.parts, *parts))

    def build(
        self, backbone: Backbone, *, runs: int, channels: int, classes: int, size: tuple[int, int] | None = None
    ) -> Experts:
        """A stack of `runs` networks for images of `size` (H, W); weights are zero until drawn or loaded."""
        if self.own_blocks is not None:
            if not isinstance(backbone, Ending):
                raise Refusal(
                    f"{backbone} has no blocks, of which each expert is to have {self.own_blocks}; take a Resnet"
                )
            backbone = backbone.ending(self.own_blocks)
        factor = self.factor(backbone)
        copies, features = runs * self.experts, backbone.features(factor)
        shape = Shape(runs, self.experts, features, classes, size and backbone.map_size(size))
        branches = backbone.build_branch(copies, factor)
        if any(part.at == "maps" for part in self.parts) and not isinstance(branches, Cut):
            raise Refusal(f"{backbone} gives features and no maps, which a part of the network stands on; take another")
        return Experts(
            runs,
            self.experts,
            backbone.build_shared(copies if self.apart else runs, channels),
            branches,
            self.head.build(shape),
            features=features,
            apart=self.apart,
            joint=self.head.joint,
            parts=[(part, part.build(shape)) for part in self.parts],
        )
