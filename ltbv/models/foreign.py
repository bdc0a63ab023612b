"""How is a network that somebody else wrote a backbone? Whole; or cut, and experts share its front.

`torchvision:resnet18@layer3` is cut before its child `layer3`: a run's experts share what comes before, and each has
`layer3`, `layer4` and the mean of maps for itself. Weights are drawn, or those of a file; the last linear layer is left
out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from ltbv.errors import Refusal
from ltbv.later import later
from ltbv.models.cut import halves, headless, last_linear, way
from ltbv.models.loop import Loop, lent
from ltbv.models.weights import Weights

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Foreign(ABC):
    """A classifier by its name in a package, and the child that it is cut before, '' where it is left whole.

    weights   that it begins with; what is narrowed is drawn all the same
    """

    name: str
    cut: str = later("")
    weights: Weights | None = later(None)

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the name is to be found."""

    @abstractmethod
    def whole(self) -> nn.Module:
        """The classifier, weights drawn from torch's own generator: images [B, 3, H, W] -> logits [B, ...]."""

    def narrowed(self, factor: float) -> nn.Module | None:
        """The same with what follows the cut so many times as wide; None where it cannot be had."""
        del factor
        return None

    def __str__(self) -> str:
        return f"{self.source}:{self.name}" + (f"@{self.cut}" if self.cut else "") + str(self.weights or "")

    def build_shared(self, copies: int, channels: int) -> nn.Module:
        """What comes before the cut; of a whole network nothing, images pass."""
        del channels
        return Loop(copies, self._front, maps=True) if self.cut else nn.Identity()

    def build_branch(self, copies: int, width_factor: float) -> nn.Module:
        """What follows the cut, or `copies` whole networks."""
        if width_factor != 1 and not self.cut:
            raise self._as_wide(width_factor)
        return Loop(copies, _Branch(self, width_factor), colour=not self.cut)

    def features(self, width_factor: float) -> int:
        """D, what the last linear layer takes."""
        if self.cut:
            return _way(self, width_factor)[1]
        return _width(self)

    def map_size(self, size: tuple[int, int]) -> None:
        """It gives features at once."""
        del size

    def _front(self) -> nn.Module:
        network = self._made(1.0)
        end = last_linear(network, str(self))
        return halves(headless(network, str(self)), self.cut, end, _way(self, 1.0)[0])[0]

    def _made(self, factor: float) -> nn.Module:
        network = self.whole() if factor == 1 else self.narrowed(factor)
        if network is None:
            raise self._as_wide(factor)
        if self.weights and factor == 1:
            self.weights.put_into(network, last_linear(network, str(self)))
        return network

    def check_weights(self) -> None:
        """Refuse weights of another network."""
        _fitted(self)

    def _as_wide(self, factor: float) -> Refusal:
        cure = "use Net(width=1.0), or torchvision:resnet18@layer3, whose experts can"
        return Refusal(f"{self} cannot be made {factor:g} times as wide; {cure}")


@dataclass(frozen=True)
class _Branch:
    """Makes what an expert has for itself."""

    of: Foreign
    factor: float

    def __call__(self) -> nn.Module:
        network = self.of._made(self.factor)
        end = last_linear(network, str(self.of))
        network = headless(network, str(self.of))
        return halves(network, self.of.cut, end, _way(self.of, self.factor)[0])[1] if self.of.cut else network


@lru_cache(maxsize=64)
def _way(of: Foreign, factor: float) -> tuple[str, int]:
    """`cut.way` of a backbone at a width, tried once; before any other, that as it is."""
    if factor != 1:
        _way(of, 1.0)
    with CPU, lent(np.random.default_rng(0), CPU):
        network = of._made(factor)
        end = last_linear(network, str(of))
        return way(headless(network, str(of)), of.cut, end, f"{of.source}:{of.name}")


@lru_cache(maxsize=16)
def _fitted(of: Foreign) -> None:
    with CPU, lent(np.random.default_rng(0), CPU):
        of._made(1.0)


@lru_cache(maxsize=64)
def _width(of: Foreign) -> int:
    with CPU, lent(np.random.default_rng(0), CPU):
        network = of.whole()
    last = network.get_submodule(last_linear(network, str(of)))
    assert isinstance(last, nn.Linear)
    return last.in_features
