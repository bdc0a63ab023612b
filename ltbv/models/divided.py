"""How do some experts of a stack learn while the others stand still? What experts have for themselves is held apart.

While a stage trains, a module of R*E copies becomes two: the experts that learn, and the others, in evaluation mode and
without a gradient. Afterwards `whole` has the copies together again, in their old places.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ltbv.models.stack import layers, take

MAPS, VECTORS = "maps", "vectors"


class Divided(nn.Module):
    """A module of a stack whose experts `chosen` learn.

    takes, gives   MAPS [B, R*E*C, ...], whatever axes follow (of tokens there is one), or VECTORS [R*E, B, D]
    """

    def __init__(
        self, module: nn.Module, runs: int, experts: int, chosen: Sequence[int], takes: str = MAPS, gives: str = VECTORS
    ):
        super().__init__()
        self.takes, self.gives = takes, gives
        self.runs, self.experts, self.copies = runs, experts, runs * experts
        self.chosen, self.others = sorted(chosen), sorted({*range(experts)} - {*chosen})
        self.learning, self.still = (take(module, self._copies_of(who)) for who in (self.chosen, self.others))
        self._module = (module,)  # in a tuple: no part of this one

    def forward(self, x: Tensor) -> Tensor:
        return self._both(x, "__call__", self.takes, self.gives)

    def maps(self, x: Tensor) -> Tensor:
        """Of a branch that is `Cut`."""
        return self._both(x, "maps", MAPS, MAPS)

    def pool(self, maps: Tensor) -> Tensor:
        """Likewise."""
        return self._both(maps, "pool", MAPS, VECTORS)

    def train(self, mode: bool = True) -> "Divided":
        super().train(mode)
        self.still.eval()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> "Divided":
        self.learning.requires_grad_(requires_grad)
        self.still.requires_grad_(False)
        return self

    @torch.no_grad()
    def whole(self) -> nn.Module:
        """The module that was divided, with what its copies have become."""
        (module,) = self._module
        for part, who in ((self.learning, self.chosen), (self.still, self.others)):
            for layer, own in zip(layers(module), layers(part), strict=True):
                for position, copy in enumerate(self._copies_of(who)):
                    there = layer.copy_state(copy)
                    for name, tensor in own.copy_state(position).items():
                        there[name].copy_(tensor)
        return module

    def _both(self, x: Tensor, what: str, takes: str, gives: str) -> Tensor:
        lanes = self._lanes(x, range(self.experts), takes)
        own, others = (_together([lanes[expert] for expert in who], takes) for who in (self.chosen, self.others))
        found = getattr(self.learning, what)(own)
        with torch.no_grad():
            rest = getattr(self.still, what)(others)
        given = {**self._lanes(found, self.chosen, gives), **self._lanes(rest, self.others, gives)}
        return _together([given[expert] for expert in range(self.experts)], gives)

    def _copies_of(self, experts: Sequence[int]) -> list[int]:
        return [run * self.experts + expert for run in range(self.runs) for expert in experts]

    def _lanes(self, x: Tensor, experts: Sequence[int], kind: str) -> dict[int, Tensor]:
        """Of each expert what its runs have: vectors [R, B, D], maps [B, ..., R, C]."""
        if kind == VECTORS:
            return dict(zip(experts, x.unflatten(0, (self.runs, -1)).unbind(1), strict=True))
        nhwc = x.movedim(1, -1).unflatten(-1, (self.runs, len(experts), -1))
        return dict(zip(experts, nhwc.unbind(-2), strict=True))


def _together(lanes: Sequence[Tensor], kind: str) -> Tensor:
    """The inverse of `_lanes`. Where some are padded in memory (`channels`) and some are not, none is afterwards."""
    width = min(lane.shape[-1] for lane in lanes)
    lanes = [lane[..., :width] for lane in lanes]
    if kind == VECTORS:
        return torch.stack(lanes, 1).flatten(0, 1)
    return torch.stack(lanes, -2).flatten(-3).movedim(-1, 1)
