"""How is a network that somebody else wrote a backbone? Whole; or cut, and experts share its front.

`torchvision:resnet18@layer3` is cut before its child `layer3`: a run's experts share what comes before, and each has
`layer3`, `layer4` and the mean of maps for itself. Weights are drawn, or those of a file; the last linear layer is left
out.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from inspect import signature
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from ltbv.errors import Refusal, reason
from ltbv.guest import aside
from ltbv.later import later
from ltbv.models.cut import SIDES, halves, headless, last_linear, places, tried, way
from ltbv.models.experts import NARROWED
from ltbv.models.loop import Loop, lent
from ltbv.models.named import FILE, PRETRAINED, Arguments, spelt
from ltbv.models.shapes import of_shapes
from ltbv.models.weights import State, Weights

CPU = torch.device("cpu")
SIZED = ("img_size", "image_size", "input_size")  # what packages call the size of images that a network is made for
STAGES = ("layer3", "stages.2", "layers.2", "features.4")  # where stages that experts could have begin


@dataclass(frozen=True)
class Foreign(ABC):
    """A classifier by its name in a package, and the child that it is cut before, '' where it is left whole.

    weights     that it begins with; what is narrowed is drawn all the same
    arguments   that it is made with
    expert_width   of the branches of several experts, as a share of the network's, where a method leaves that open
    """

    name: str
    cut: str = later("")
    weights: Weights | None = later(None)
    arguments: Arguments = later(())
    expert_width: float = later(NARROWED)

    own_arguments: ClassVar[frozenset[str]] = frozenset()  # which nobody else may choose

    def __post_init__(self) -> None:
        for key, _ in self.arguments:
            if key in self.own_arguments:
                raise Refusal(f"network {self}: {key} is not for a study to choose; leave it out{self._cure()}")

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the name is to be found."""

    @property
    def sides(self) -> tuple[int, ...]:
        """Of images that it is tried with, the first that it takes; what a study's are, `engine.cost.check` tries."""
        return SIDES

    @abstractmethod
    def whole(self) -> nn.Module:
        """The classifier, weights drawn from torch's own generator: images [B, 3, H, W] -> logits [B, ...]."""

    def narrowed(self, factor: float) -> nn.Module | None:
        """The same with what follows the cut so many times as wide; None where it cannot be had."""
        del factor
        return None

    def downloaded(self, tag: str) -> Path:
        """The file of trained weights that its package has of it, where these have a name, of that name."""
        raise Refusal(f"{self}{PRETRAINED}: {self.source} has no weights to be downloaded; give {self}{FILE}FILE")

    def takes(self) -> list[str]:
        """Arguments that it can be made with, as far as they can be told."""
        return [*signature(type(replace(self, arguments=()).whole()).__init__).parameters][1:]

    def end(self, network: nn.Module) -> str:
        """The name of its last linear layer, whose place a head takes."""
        return last_linear(network, str(self))

    def renamed(self, state: State) -> State | None:
        """What its package makes of a file's weights that are called otherwise; None where it makes nothing of them."""
        del state
        return None

    def made(self, factor: float = 1.0) -> nn.Module:
        """A network with its weights: those of the file, where there is one and it is as wide as they are, or drawn."""
        try:
            network = self.whole() if factor == 1 else self.narrowed(factor)
        except Refusal:
            raise
        except Exception as error:  # whatever a package says of arguments that it does not take
            if not self.arguments:
                raise
            raise Refusal(f"network {self} cannot be made ({reason(error)}){self._cure()}") from error
        if network is None:
            raise self._as_wide(factor)
        if self.weights and factor == 1:
            self.weights.put_into(network, self.end(network), lambda state: _renamed(self))
        return network

    def fitting(self, size: tuple[int, int]) -> str:
        """What to ask for in its place, for images of (H, W) that it does not take."""
        allowed, square = self._allowed(), size[0] == size[1]
        for argument in (key for key in SIZED if key in allowed):
            for value in (size[0], size) if square else (size,):
                told = {**dict(self.arguments), argument: value}
                other = replace(self, arguments=tuple(sorted(told.items())), weights=None)
                if other.answers(size):
                    return f"give --network {other}"
        if side := _side(self):
            return f"it takes images of {side} x {side}; give such, or another network"
        return "give other arguments, or another network" if self.arguments else "give another network"

    def check(self) -> None:
        """Refuse arguments that it does not take, and weights of another network."""
        if self.arguments or self.weights:
            _fitted(self)

    def check_on(self, size: tuple[int, int]) -> None:
        """Refuse what is no classifier of images of (H, W); of packages that is known."""
        del size

    def answers(self, size: tuple[int, int]) -> bool:
        """Does it take images of (H, W)?"""
        return _takes(self, size)

    def __str__(self) -> str:
        cut = f"@{self.cut}" if self.cut else ""
        return f"{self.source}:{self.name}{spelt(self.arguments)}{cut}{self.weights or ''}"

    def build_shared(self, copies: int, channels: int) -> nn.Module:
        """What comes before the cut; of a whole network nothing, images pass."""
        del channels
        return Loop(copies, self._front, maps=True) if self.cut else nn.Identity()

    def build_branch(self, copies: int, width_factor: float) -> nn.Module:
        """What follows the cut, or `copies` whole networks."""
        if width_factor != 1 and not self.cut:
            raise self._as_wide(width_factor)
        gives = self.features(width_factor)
        return Loop(copies, _Branch(self, width_factor), colour=not self.cut, features=gives)

    def features(self, width_factor: float) -> int:
        """D, what the last linear layer takes."""
        if self.cut:
            return _way(self, width_factor)[1]
        return _width(self)

    def map_size(self, size: tuple[int, int]) -> None:
        """It gives features at once."""
        del size

    def _front(self) -> nn.Module:
        return _halves(self, 1.0)[0]

    def _as_wide(self, factor: float) -> Refusal:
        other = next((f"{one}" for one in self._elsewhere() if _narrows(one, factor)), "torchvision:resnet18@layer3")
        cure = f"use Net(width=1.0), or {other}, whose experts can"
        return Refusal(f"{self} cannot be made {factor:g} times as wide; {cure}")

    def _elsewhere(self) -> list["Foreign"]:
        """The same, cut where stages begin."""
        return [replace(self, cut=at) for at in STAGES if at != self.cut]

    def _allowed(self) -> list[str]:
        """Arguments that a study may choose."""
        try:
            with warnings.catch_warnings(action="ignore"):  # of a network that is made to be looked at
                return [name for name in self.takes() if name not in self.own_arguments]
        except (TypeError, ValueError):  # of what is built in
            return []

    def _cure(self) -> str:
        known = [name for name in self._allowed() if name not in dict(self.arguments)]
        return f"; there is: {', '.join(known)}" if known else "; it takes no arguments"


@dataclass(frozen=True)
class _Branch:
    """Makes what an expert has for itself."""

    of: Foreign
    factor: float

    def __call__(self) -> nn.Module:
        if self.of.cut:
            return _halves(self.of, self.factor)[1]
        network = self.of.made(self.factor)
        return headless(network, self.of.end(network))


def _halves(of: Foreign, factor: float) -> tuple[nn.Module, nn.Module]:
    return _parted(of, factor, _way(of, factor)[0])


def _parted(of: Foreign, factor: float, between: str) -> tuple[nn.Module, nn.Module]:
    network = of.made(factor)
    end = of.end(network)
    return halves(headless(network, end), of.cut, end, between)


@lru_cache(maxsize=64)
def _way(of: Foreign, factor: float) -> tuple[str, int]:
    """`cut.way` of a backbone at a width, tried once; before any other, that as it is.

    One that takes no side that it is tried with is made for another, of which its last layer says how many features
    there are.
    """
    if factor != 1:
        _way(of, 1.0)
    with aside(), CPU, lent(np.random.default_rng(0), CPU):
        network = of.made(factor)
        end, side = of.end(network), _side(of) or of.sides[0]
        found = way(headless(network, end), of.cut, end, f"{of.source}:{of.name}", side)
        if factor != 1:
            stems = [of_shapes(partial(_parted, of, width, found[0]))[0].state_dict() for width in (1.0, factor)]
            shapes = [{name: value.shape for name, value in stem.items()} for stem in stems]
            if shapes[0] != shapes[1]:  # what experts share would be of another width than what they take
                raise of._as_wide(factor)
    if factor == 1 and _side(of) is None:
        return found[0], _width(of)
    return found


@lru_cache(maxsize=64)
def _side(of: Foreign) -> int | None:
    """Of images that it is tried with, where it takes any of these; a network that a head cannot end is refused."""
    with aside(), CPU, lent(np.random.default_rng(0), CPU):
        network = of.whole()
        return tried(network, of.end(network), str(of), of.sides)


def _narrows(of: Foreign, factor: float) -> bool:
    """Has it such a place to cut at, and can what follows be made so many times as wide?"""
    with lent(np.random.default_rng(0), CPU):
        return of.cut in places(of_shapes(of.whole)) and of_shapes(lambda: of.narrowed(factor)) is not None


@lru_cache(maxsize=64)
def _takes(of: Foreign, size: tuple[int, int]) -> bool:
    """Can it be made, and does it take images of (H, W)?"""
    try:
        with aside(), CPU, torch.no_grad(), lent(np.random.default_rng(0), CPU):
            of.whole().eval()(torch.zeros(1, 3, *size))
    except (Exception, SystemExit):  # whatever a package says of what it does not take
        return False
    return True


@lru_cache(maxsize=16)
def _fitted(of: Foreign) -> None:
    with aside(), CPU, lent(np.random.default_rng(0), CPU):
        of.made()


@lru_cache(maxsize=1)
def _renamed(of: Foreign) -> State | None:
    """Once for all copies."""
    assert of.weights is not None
    with aside(), CPU, lent(np.random.default_rng(0), CPU):
        return of.renamed(of.weights.state())


@lru_cache(maxsize=64)
def _width(of: Foreign) -> int:
    _side(of)
    network = of_shapes(of.whole)
    last = network.get_submodule(of.end(network))
    assert isinstance(last, nn.Linear)
    return last.in_features
