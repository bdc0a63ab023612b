"""What is one step of training? Gather, objective, backward, update, and the losses added up: `Step`, on any device.

A `Drive` takes steps through an epoch: `Eager` one after the other, `replay.Replayed` as one graph on a GPU.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ltbv.data.batches import Batch, Feed, Tables
from ltbv.engine.device import precision
from ltbv.methods.base import Moment, Stage
from ltbv.models.experts import Experts


class Step:
    """The losses [R] of the epoch so far, times images, are in `total`."""

    def __init__(self, stage: Stage, network: Experts, given: tuple[Experts, ...], optimiser: torch.optim.Optimizer):
        self.stage, self.network, self.given, self.optimiser = stage, network, given, optimiser
        first = optimiser.param_groups[0]["params"][0]
        self.device, self.dtype = first.device, first.dtype
        self.total = torch.zeros(network.runs, device=self.device, dtype=torch.float64)

    def __call__(self, batches: tuple[Batch, ...], now: Moment) -> None:
        with precision(self.device, self.dtype):
            losses = self.stage.losses(self.network, batches, self.given, now)
        self.optimiser.zero_grad(set_to_none=True)
        losses.backward(torch.ones_like(losses))
        self.optimiser.step()
        self.total += losses.detach() * batches[0].labels.shape[1]


class Drive(ABC):
    """Takes a stack through epochs. `report` is told how many images, of all runs, were just trained on."""

    def __init__(self, step: Step, feed: Feed, batch: int, report: Callable[[int], None]):
        self.step, self.feed, self.batch, self.report = step, feed, batch, report

    @abstractmethod
    def start(self, tables: Tables, rate: float, now: Moment) -> None:
        """Begin an epoch: what its tables say, at a learning rate; the device may still be at it on return."""

    def losses(self) -> Tensor:
        """End the epoch: the mean loss of each run, [R] float64 on the CPU."""
        return (self.step.total / self.feed.rows.shape[1]).cpu()


class Eager(Drive):
    """Every operation is launched by itself."""

    def start(self, tables: Tables, rate: float, now: Moment) -> None:
        for group in self.step.optimiser.param_groups:
            group["lr"] = rate
        self.step.total.zero_()
        for batches in self.feed.epoch(tables, self.batch):
            self.step(batches, now)
            self.report(batches[0].labels.numel())
