"""In which order does a run see its images in one epoch? A sampler is a value, one for each batch that a stage wants.

An epoch is always n images long, whatever the sampler, so that methods are compared at equal cost. `ByClass(power)` is
the family of the literature: a class is drawn with probability ~ n_k^power, then its next image, so 1 is the data's own
distribution, 1/2 square-root, 0 class-balanced, -1 reversed sampling.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from ltbv.data.blends import blended
from ltbv.errors import Refusal, unknown
from ltbv.schedules import Number, reached, value


class Turn(NamedTuple):
    """One epoch of one run.

    labels      [n] of the run's images
    epoch       of how many `epochs` of the stage
    draw        draws that are new in every epoch, and
    fixed       draws that are the same in every epoch of the stage
    neighbours  k -> [n, k] positions of the k nearest images of the same class, in pixels; fewer are repeated, and an
                image alone in its class is its own
    held        [m] labels of the run's development images
    spans       where each batch of the epoch starts and ends
    groups      class ids by name: many, medium and few
    """

    labels: np.ndarray
    epoch: int
    epochs: int
    draw: np.random.Generator
    fixed: np.random.Generator
    neighbours: Callable[[int], np.ndarray]
    held: np.ndarray = np.zeros(0, np.int64)
    spans: Sequence[tuple[int, int]] = ()
    groups: Mapping[str, Sequence[int] | np.ndarray] = {}


class Order(NamedTuple):
    """positions [n] in the run's images, in order; `more`: what else the sampler says of each, name -> [n]."""

    positions: np.ndarray
    more: Mapping[str, np.ndarray] = {}


class Sampler(ABC):
    """What makes an order of n images, with a `Turn`.

    held    the positions are in the development images, as many for each batch as for any other
    whole   it asks for `Turn.neighbours`, which are told by whole images: none is seen in parts
    """

    held: ClassVar[bool] = False
    whole: ClassVar[bool] = False

    def of_epoch(self, epoch: int, epochs: int) -> "Sampler":
        """The sampler that makes the order of this epoch: itself, unless it is made of others."""
        return self

    @abstractmethod
    def order(self, turn: Turn) -> Order:
        """The order of one epoch."""

    def compose(self, images: Tensor, more: Mapping[str, Tensor], look: Callable[[Tensor], Tensor]) -> Tensor:
        """What the network sees, from the images [B, R*channels, H, W] of a batch; as they are, unless overridden.

        more   the `Order.more` of the batch, name -> [R, B]
        look   positions [R, B] -> those images of the runs, cropped and mirrored as the batch's own are
        """
        return images


@dataclass(frozen=True)
class Instance(Sampler):
    """Every image once, shuffled: classes appear as often as they are long."""

    def order(self, turn: Turn) -> Order:
        return Order(turn.draw.permutation(len(turn.labels)))


@dataclass(frozen=True)
class ByClass(Sampler):
    """Draw a class with probability ~ n_k^power among those present, then its next image in shuffled order.

    power 0 is class-balanced (Kang et al., 2020), 1/2 square-root (Mahajan et al., 2018), -1 reversed (Zhou et al.,
    BBN, 2020). At 1 classes come as often as in `Instance`, on average: they are drawn, so an epoch misses some images.
    """

    power: Number = 0.0

    def order(self, turn: Turn) -> Order:
        chances = class_chances(np.bincount(turn.labels), value(self.power, turn.epoch, turn.epochs))
        return Order(by_class(turn.labels, chances, turn.draw))


@dataclass(frozen=True)
class Deferred(Sampler):
    """One sampler until the share `at` of the stage is done, another from then on (DRS, Cao et al., 2019)."""

    before: Sampler
    after: Sampler
    at: float

    @property
    def whole(self) -> bool:  # type: ignore[override]  # asked of both, set by none
        return self.before.whole or self.after.whole

    def of_epoch(self, epoch: int, epochs: int) -> Sampler:
        return (self.after if reached(self.at, epoch, epochs) else self.before).of_epoch(epoch, epochs)

    def order(self, turn: Turn) -> Order:
        return self.of_epoch(turn.epoch, turn.epochs).order(turn)


@dataclass(frozen=True)
class Progressive(Sampler):
    """From the data's distribution to a balanced one: p_k = (1 - t) n_k/n + t/C, t = epoch / (epochs - 1).

    Progressively-balanced sampling of Kang et al., 2020 (there t = epoch / epochs counts from 0, so that the last epoch
    is almost balanced; here it is).
    """

    def order(self, turn: Turn) -> Order:
        counts = np.bincount(turn.labels)
        t = turn.epoch / max(turn.epochs - 1, 1)
        chances = (1 - t) * counts / counts.sum() + t * (counts > 0) / np.count_nonzero(counts)
        return Order(by_class(turn.labels, chances, turn.draw))


@dataclass(frozen=True)
class Oversampling(Sampler):
    """Random over-sampling: each class is repeated up to the size of the largest, and n of those images are drawn.

    Drawn without replacement in an epoch, so an image of the largest class comes at most once, one of a class of n_k
    at most n_max/n_k times (rounded up).
    """

    def order(self, turn: Turn) -> Order:
        repeated = of_each_class(turn.labels, np.bincount(turn.labels).max(), turn.draw)
        return Order(turn.draw.permutation(repeated)[: len(turn.labels)])


@dataclass(frozen=True)
class Undersampling(Sampler):
    """Random under-sampling: each class keeps as many images as the smallest has, the same ones in every epoch.

    They are repeated to n images, so that training takes as many steps as without.
    """

    def order(self, turn: Turn) -> Order:
        counts = np.bincount(turn.labels)
        kept = of_each_class(turn.labels, counts[counts > 0].min(), turn.fixed)
        return Order(again_and_again(kept, len(turn.labels), turn.draw))


@dataclass(frozen=True)
class OfGroup(Sampler):
    """Images of one group of classes, `many`, `medium` or `few`, shuffled, again and again up to n.

    Of a group without images in a run, all images of the run.
    """

    group: str

    def order(self, turn: Turn) -> Order:
        if self.group not in turn.groups:
            raise unknown("group of classes", self.group, turn.groups)
        members = np.flatnonzero(np.isin(turn.labels, turn.groups[self.group]))
        kept = members if members.size else np.arange(len(turn.labels))
        return Order(again_and_again(kept, len(turn.labels), turn.draw))


@dataclass(frozen=True)
class Smote(Sampler):
    """Synthetic minority over-sampling of images: x + u (x' - x), x' among the nearest of x's class, u uniform on [0,
    1).

    Classes are drawn alike; of class k's images the share n_k / n_max is real, the rest synthetic, as in a set where
    each class is filled up to the largest. Neighbours are near in pixels; both images get the same crop and flip.
    Chawla et al., JAIR 2002 (there once before training; here anew in each epoch).
    """

    neighbours: int = 5

    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise Refusal(f"SMOTE with {self.neighbours} neighbours; give 1 or more")

    def order(self, turn: Turn) -> Order:
        counts = np.bincount(turn.labels)
        positions = by_class(turn.labels, (counts > 0).astype(float), turn.draw)
        synthetic = turn.draw.random(len(positions)) >= counts[turn.labels[positions]] / counts.max()
        nearest = turn.neighbours(self.neighbours)[positions]
        partners = nearest[np.arange(len(positions)), turn.draw.integers(nearest.shape[1], size=len(positions))]
        shares = np.where(synthetic, turn.draw.random(len(positions)), 0.0)
        return Order(positions, {"partners": partners, "shares": shares})

    def compose(self, images: Tensor, more: Mapping[str, Tensor], look: Callable[[Tensor], Tensor]) -> Tensor:
        return blended(images, look(more["partners"]), more["shares"])


@dataclass(frozen=True)
class Held(Sampler):
    """Development images (`Stage.held`): each batch as many as any other has, but no image twice in a batch.

    They are gone through in shuffled order again and again; where what is left of a round is too short for a batch, the
    next begins. With fewer images than a batch, every batch is all of them.
    """

    held: ClassVar[bool] = True

    def order(self, turn: Turn) -> Order:
        size = min(max(end - start for start, end in turn.spans), len(turn.held))
        whole = len(turn.held) // size
        rounds = -(-len(turn.spans) // whole)
        batches = [turn.draw.permutation(len(turn.held))[: whole * size] for _ in range(rounds)]
        return Order(np.concatenate(batches)[: len(turn.spans) * size])


def class_chances(counts: np.ndarray, power: float) -> np.ndarray:
    """n_k^power, [C], from the images of each class [C], to which chances are in proportion; 0 for a class without."""
    return np.where(counts > 0, np.maximum(counts, 1) ** power, 0.0)


def by_class(labels: np.ndarray, chances: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Positions [n]: a class drawn ~ `chances` [C], then its next image in shuffled order, from the start again."""
    counts = np.bincount(labels)
    drawn = draw.choice(len(counts), size=len(labels), p=chances / chances.sum())
    shuffled, starts = shuffled_by_class(labels, draw)
    grouped = np.argsort(drawn, kind="stable")
    first = np.searchsorted(drawn[grouped], np.arange(len(counts)))
    turn = np.empty_like(drawn)
    turn[grouped] = np.arange(len(drawn)) - first[drawn[grouped]]  # how often the class came before
    return shuffled[starts[drawn] + turn % counts[drawn]]


def again_and_again(positions: np.ndarray, size: int, draw: np.random.Generator) -> np.ndarray:
    """`size` of the positions: all of them in shuffled order, then all in another one."""
    rounds = -(-size // len(positions))
    return np.concatenate([draw.permutation(positions) for _ in range(rounds)])[:size]


def of_each_class(labels: np.ndarray, size: int, draw: np.random.Generator) -> np.ndarray:
    """Positions of `size` images of each class that is there, shuffled; a smaller class begins again."""
    counts = np.bincount(labels)
    shuffled, starts = shuffled_by_class(labels, draw)
    return np.concatenate([shuffled[starts[k] + np.arange(size) % counts[k]] for k in np.flatnonzero(counts)])


def shuffled_by_class(labels: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions [n] class after class, shuffled within each; where each class begins [C]."""
    shuffled = draw.permutation(len(labels))
    shuffled = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    return shuffled, np.cumsum(counts) - counts


def nearest_of_class(read: Callable[[np.ndarray], np.ndarray], labels: np.ndarray, k: int) -> np.ndarray:
    """[n, k] positions of the k images of the same class that are nearest in squared distance of their pixels.

    A class with fewer others repeats them, nearest first; an image alone in its class is its own neighbour.

    read   positions [m] -> pixels [m, ...]; asked of one class after the other, so that no more are held at a time
    """
    nearest = np.empty((len(labels), k), np.intp)
    for members in (np.flatnonzero(labels == c) for c in np.unique(labels)):
        values = read(members).reshape(len(members), -1).astype(np.float32) / 255
        squares = (values**2).sum(1)
        distances = squares[:, None] + squares - 2 * values @ values.T
        np.fill_diagonal(distances, np.inf)
        order = np.argsort(distances, axis=1, kind="stable")[:, : max(len(members) - 1, 1)]
        nearest[members] = members[order[:, np.arange(k) % order.shape[1]]]
    return nearest


INSTANCE, CLASS_BALANCED = Instance(), ByClass(0.0)
