"""What is one step of training? Gather, objective, backward, update; losses and right answers are added up.

A `Drive` takes steps through an epoch: `Eager` one after the other, `replay.Replayed` as one graph on a GPU.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ltbv.data.batches import Batch, Feed, Tables
from ltbv.engine.device import precision
from ltbv.engine.optimise import Optimisers
from ltbv.methods.base import Moment, Stage
from ltbv.models.experts import Experts


class Step:
    """Of the epoch so far, for each run [R]: `total`, the losses times images, and `right`, how many images were right.

    `right` is NaN where the objective does not count them.
    """

    def __init__(self, stage: Stage, network: Experts, given: tuple[Experts, ...], optimisers: Optimisers):
        self.stage, self.network, self.given, self.optimisers = stage, network, given, optimisers
        own = [place for place, sampler in enumerate(stage.sampler) if not sampler.held]
        self.counted = own[0] if own else 0  # which batch is of training images
        first = optimisers.parameters[0]
        self.device, self.dtype = first.device, first.dtype
        self.total, self.right = torch.zeros(2, network.runs, device=self.device, dtype=torch.float64)

    def __call__(self, batches: tuple[Batch, ...], now: Moment) -> None:
        asked = self.network, batches, self.given, now
        if self.stage.first:
            with precision(self.device, self.dtype):
                losses = self.stage.first_losses(*asked)
            self.optimisers.step(losses, first=True)
        with precision(self.device, self.dtype):
            losses, right = self.stage.losses(*asked)
        self.optimisers.step(losses, first=False)
        self.total += losses.detach() * batches[self.counted].labels.shape[1]
        self.right += float("nan") if right is None else right

    def reset(self) -> None:
        """Begin an epoch."""
        self.total.zero_()
        self.right.zero_()


class Told(NamedTuple):
    """Of an epoch, for each run [R], float64 on the CPU: the mean loss, and the share of images that were right."""

    losses: Tensor
    accuracy: Tensor


class Drive(ABC):
    """Takes a stack through epochs. `report` is told how many images, of all runs, were just trained on."""

    def __init__(self, step: Step, feed: Feed, batch: int, report: Callable[[int], None]):
        self.step, self.feed, self.batch, self.report = step, feed, batch, report

    @abstractmethod
    def start(self, tables: Tables, now: Moment) -> None:
        """Begin an epoch: what its tables say; the device may still be at it on return."""

    def told(self) -> Told:
        """End the epoch."""
        n = self.feed.rows.shape[1]
        return Told((self.step.total / n).cpu(), (self.step.right / n).cpu())


class Eager(Drive):
    """Every operation is launched by itself."""

    def start(self, tables: Tables, now: Moment) -> None:
        self.step.optimisers.set_rates(now.value)
        self.step.reset()
        for batches in self.feed.epoch(tables, self.batch):
            self.step(batches, now)
            self.report(batches[self.step.counted].labels.numel())
