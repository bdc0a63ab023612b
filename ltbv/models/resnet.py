"""Which backbone? The residual networks for small images of He et al. (2016), split where experts part ways.

`Resnet(widths=(16, 32, 64), blocks=5)` is ResNet-32 for CIFAR. The stem and the first stages are shared by the experts
of a run; the later stages are a branch, one for each expert.
"""

import re
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ltbv.errors import Refusal
from ltbv.later import later
from ltbv.models import fused
from ltbv.models.channels import widen
from ltbv.models.stack import Conv, Norm, conv_norm_add_relu, conv_norm_relu, fan_out, is_fused, pad_shortcut


class Block(nn.Module):
    """conv - norm - relu - conv - norm, plus the shortcut, then relu; of a map and its twin, which are equal."""

    def __init__(self, copies: int, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.copies, self.inputs, self.outputs, self.stride = copies, inputs, outputs, stride
        self.conv1 = Conv(copies, inputs, outputs, stride=stride)
        self.norm1 = Norm(copies, outputs)
        self.conv2 = Conv(copies, outputs, outputs)
        self.norm2 = Norm(copies, outputs)

    def forward(self, x: Tensor, twin: Tensor) -> tuple[Tensor, Tensor]:
        y = conv_norm_relu(self.conv1, self.norm1, x)
        return conv_norm_add_relu(self.conv2, self.norm2, y, self.shortcut(twin))

    def shortcut(self, x: Tensor) -> Tensor:
        """The block's input as it is added to what the block computes; fanned out here if it is shared by experts."""
        if x.shape[1] < self.copies * self.inputs:
            runs = x.shape[1] // self.inputs
            y = pad_shortcut(x, runs, self.inputs, self.outputs, self.stride)
            return fan_out(widen(y, runs, self.outputs), runs, self.copies // runs)
        if self.stride == 1 and self.inputs == self.outputs:
            return x
        return pad_shortcut(x, self.copies, self.inputs, self.outputs, self.stride)


class Stem(nn.Sequential):
    """First convolution, norm and relu: [B, R*channels, H, W] -> [B, R*width, H, W]."""

    def __init__(self, copies: int, channels: int, width: int):
        super().__init__(Conv(copies, channels, width), Norm(copies, width))

    def forward(self, x: Tensor, twin: Tensor | None = None) -> tuple[Tensor, Tensor]:
        del twin
        conv, norm = self
        assert isinstance(conv, Conv) and isinstance(norm, Norm)
        y = conv_norm_relu(conv, norm, x)
        return y, y


class Stages(nn.Sequential):
    """Stem and blocks, one after the other; each hands its map on twice, for convolutions and for the shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        twin = x
        for part in self:
            x, twin = part(x, twin)
        return x


class Branch(Stages):
    """Blocks, and the mean over each map: [B, K*C, H, W] -> features [K, B, D], or more where maps are padded."""

    def __init__(self, copies: int, *blocks: nn.Module):
        super().__init__(*blocks)
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.maps(x))

    def shares(self, x: Tensor) -> bool:
        """Can the experts of a run be given one map [B, R*C, H, W] together, so that none is made for each?"""
        first = self[0]
        assert isinstance(first, Block)
        return is_fused(first.conv1, first.norm1, x) and fused.shares(first.conv1.weight, first.stride)

    def maps(self, x: Tensor) -> Tensor:
        """The last maps."""
        return super().forward(x)

    def pool(self, maps: Tensor) -> Tensor:
        """Their means."""
        return maps.mean((2, 3)).unflatten(1, (self.copies, -1)).transpose(0, 1)


@dataclass(frozen=True)
class Resnet:
    """Three-stage residual network, depth 6 * blocks + 2; stages after the first halve the image.

    widths   channels of the stages
    blocks   blocks a stage
    shared   how many stages the experts of a run share (the stem always)
    own      how many blocks, the last ones, each expert has for itself, instead of all after the shared stages
    """

    widths: tuple[int, ...] = (16, 32, 64)
    blocks: int = 5
    shared: int = 1
    own: int | None = later(None)

    def build_shared(self, copies: int, channels: int) -> nn.Module:
        """Stem and shared blocks."""
        return Stages(Stem(copies, channels, self.widths[0]), *self._between(copies, 0, self._parting, 1.0))

    def build_branch(self, copies: int, width_factor: float) -> nn.Module:
        """The blocks after the shared ones, widths times `width_factor`."""
        return Branch(copies, *self._between(copies, self._parting, self._depth, width_factor))

    def ending(self, blocks: int) -> "Resnet":
        """The same, of which each expert has for itself no more than these last blocks."""
        if not 0 < blocks <= self._depth:
            raise Refusal(f"experts with {blocks} blocks of their own, of {self._depth} in {self}; give 1 or more")
        return replace(self, own=blocks)

    def features(self, width_factor: float) -> int:
        """D, the length of a feature vector."""
        return int(self.widths[-1] * width_factor)

    def map_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H', W') of the last maps for images of (H, W): halved, rounded up, at each stage but the first."""
        halvings = 2 ** (len(self.widths) - 1)
        return -(-size[0] // halvings), -(-size[1] // halvings)

    @property
    def _depth(self) -> int:
        """Blocks, of all stages."""
        return len(self.widths) * self.blocks

    @property
    def _parting(self) -> int:
        """How many blocks experts share."""
        return self.shared * self.blocks if self.own is None else self._depth - self.own

    def _between(self, copies: int, first: int, end: int, width_factor: float) -> list[nn.Module]:
        """The blocks from `first` to before `end`, widths times a factor; what the first takes has its full width."""
        inputs, blocks = self.widths[max(first - 1, 0) // self.blocks], list[nn.Module]()
        for place in range(first, end):
            stage, position = divmod(place, self.blocks)
            outputs = int(self.widths[stage] * width_factor)
            blocks.append(Block(copies, inputs, outputs, stride=2 if stage > 0 and position == 0 else 1))
            inputs = outputs
        return blocks


SMALL = "cifar:"  # before the names of these networks, as torchvision's resnet50 is another


def of_depth(name: str) -> Resnet:
    """`cifar:resnet20`, `cifar:resnet32`, `cifar:resnet56`, …: depth 6 n + 2, n blocks in each of three stages."""
    found = re.fullmatch(f"{SMALL}resnet([0-9]{{1,4}})", name)
    depth = int(found[1]) if found else 0
    if depth < 8 or depth % 6 != 2:
        below = max((depth - 2) // 6, 1) * 6 + 2 if found else 20
        raise Refusal(
            f"network {name!r}: residual networks for small images are 6 n + 2 layers deep; give"
            f" {SMALL}resnet{below} or {SMALL}resnet{below + 6}"
        )
    return Resnet(widths=(16, 32, 64), blocks=(depth - 2) // 6)
