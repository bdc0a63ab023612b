"""What stands on a stack's branches? A head, and further parts, as values: whoever needs another one writes it.

A method's file defines a `Head` or a `Part` and names it in its `Net`; `Experts` builds it, hands maps, features or
logits through it where it says so, trains it with the rest and keeps it in files. What they build holds copies
(`stack.Layer`), so that R runs are one network.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from ltbv.models.stack import CosineLinear, Linear

BODY = ("stem", "branches", "heads")  # what every network has
PLACES = ("maps", "features", "logits", "")


class Shape(NamedTuple):
    """What heads and parts are built for: E experts a run, features D, classes C, and the size of the last maps.

    size   (H', W') where images have a known size and the backbone has maps; else None
    """

    runs: int
    experts: int
    features: int
    classes: int
    size: tuple[int, int] | None = None

    @property
    def copies(self) -> int:
        """K, of what every expert has for itself."""
        return self.runs * self.experts


class Head(ABC):
    """Makes logits from features: [K, B, D] -> [K, B, C] (K = R*E).

    joint   one head for all experts of a run: [R, E, B, D] -> [R, E', B, C]
    """

    joint: ClassVar[bool] = False

    @abstractmethod
    def build(self, shape: Shape) -> nn.Module:
        """The heads of a stack, weights yet to come."""


@dataclass(frozen=True)
class LinearHead(Head):
    """W f + b (`stack.Linear`)."""

    def build(self, shape: Shape) -> nn.Module:
        return Linear(shape.copies, shape.features, shape.classes)


@dataclass(frozen=True)
class CosineHead(Head):
    """scale * cos(w_k, f) (`stack.CosineLinear`); for LDAM."""

    scale: float = 30.0

    def build(self, shape: Shape) -> nn.Module:
        return CosineLinear(shape.copies, shape.features, shape.classes, self.scale)


class JointLinear(Linear):
    """W [f_1, .., f_E] + b, the features of a run's experts side by side: [R, E, B, D] -> [R, 1, B, C]."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.movedim(1, 2).flatten(2)).unsqueeze(1)


@dataclass(frozen=True)
class JointHead(Head):
    """One linear classifier of a run over the features of all its experts (`JointLinear`)."""

    joint = True

    def build(self, shape: Shape) -> nn.Module:
        return JointLinear(shape.runs, shape.experts * shape.features, shape.classes)


LINEAR, COSINE, JOINT = LinearHead(), CosineHead(), JointHead()


class Part(ABC):
    """A part of its own name, beside stem, branches and heads.

    name      by which stages train it or draw it anew, and objectives find it: `network.NAME`
    at        what passes through it: 'maps' [B, K*C', H', W'] of the branches, before they are averaged; 'features'
              [K, B, D]; 'logits' [K, B, C]; '' nothing: objectives and rules ask it
    chooses   it decides how many experts an image asks
    """

    name: ClassVar[str]
    at: ClassVar[str] = ""
    chooses: ClassVar[bool] = False

    @abstractmethod
    def build(self, shape: Shape) -> nn.Module:
        """The part of a stack, weights yet to come."""

    def answer(self, module: nn.Module, logits: Tensor, features: Tensor) -> None:
        """Do what it does of its own when a network answers, for its cost to be counted; most do nothing."""
        del module, logits, features
