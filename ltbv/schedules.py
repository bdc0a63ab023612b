"""How does a number change during a stage? Whatever is a number may be a schedule: learning rate, beta, weight.

A schedule is called with (epoch, epochs), epoch counted from 0, and gives the number that holds for that whole epoch.
Positions are shares of the stage (0-1), so a recipe means the same at 20 epochs as at 200.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ltbv.later import later

Schedule = Callable[[int, int], float]
Number = float | Schedule


def value(number: Number, epoch: int, epochs: int) -> float:
    """The number that holds in `epoch`: the number itself, or what its schedule says."""
    return float(number(epoch, epochs)) if callable(number) else float(number)


def reached(at: float, epoch: int, epochs: int) -> bool:
    """Is the share `at` of the stage done when `epoch` begins?"""
    return epoch >= at * epochs


@dataclass(frozen=True)
class Step:
    """`before` until the share `at` of the stage is done, `after` from then on. "Deferred" re-weighting is this."""

    before: float
    after: float
    at: float

    def __call__(self, epoch: int, epochs: int) -> float:
        return self.after if reached(self.at, epoch, epochs) else self.before


@dataclass(frozen=True)
class Drops:
    """`start`, times the last of `factors` whose share in `at` is reached (factors of the start, not chained)."""

    start: float
    at: tuple[float, ...]
    factors: tuple[float, ...]

    def __call__(self, epoch: int, epochs: int) -> float:
        shares = zip(self.at, self.factors, strict=True)
        past = [factor for share, factor in shares if reached(share, epoch, epochs)]
        return self.start * (past[-1] if past else 1.0)


@dataclass(frozen=True)
class Cosine:
    """start * (1 + cos(pi * epoch / epochs)) / 2 (Loshchilov and Hutter, 2017), without restarts."""

    start: float

    def __call__(self, epoch: int, epochs: int) -> float:
        return self.start * (1 + math.cos(math.pi * epoch / epochs)) / 2


@dataclass(frozen=True)
class Warmup:
    """`then`, scaled by (epoch + 1) / warmup during the first `warmup` epochs (a number of epochs, not a share).

    first   the scale of the first epoch, from which it grows evenly to 1 when the warm-up is over:
            first + (1 - first) epoch / warmup
    """

    then: Number
    warmup: int
    first: float | None = later(None)

    def __call__(self, epoch: int, epochs: int) -> float:
        grown = (epoch + 1) / self.warmup if self.first is None else self._from(self.first, epoch)
        return value(self.then, epoch, epochs) * min(1.0, grown)

    def _from(self, first: float, epoch: int) -> float:
        return first + (1 - first) * epoch / self.warmup


@dataclass(frozen=True)
class Times:
    """`number` times a factor, in every epoch."""

    number: Number
    factor: float

    def __call__(self, epoch: int, epochs: int) -> float:
        return value(self.number, epoch, epochs) * self.factor


def times(number: Number, factor: float) -> Number:
    """The same; by 1, the number as it is."""
    return number if factor == 1 else Times(number, factor)


def highest(number: Number, epochs: int) -> float:
    """The largest value of a schedule that lasts so many epochs."""
    return max(value(number, epoch, epochs) for epoch in range(epochs))
