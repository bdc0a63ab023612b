"""How does a GPU train without waiting for Python? A step is recorded once, as a CUDA graph, and replayed.

A graph repeats the very operations that were recorded, on the very memory: so the tables of an epoch lie in buffers
that are filled again, the position in the epoch is a counter on the device, and the learning rate a tensor. What the
host decides is part of the graph: the size of the batch (one graph each), and every number that the objective asked of
the `Moment`. When such an answer changes, at the switch of a deferred method, say, the step is recorded again.

What cannot be recorded is trained eagerly, with a line in the log: a network whose members draw from generators of
their own, an objective that reads a value off the device or puts one there.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ltbv.data.batches import Feed, Tables
from ltbv.engine.step import Drive, Eager, Step
from ltbv.errors import reason
from ltbv.methods.base import Moment
from ltbv.models.stack import layers
from ltbv.schedules import Number

WARM_UPS = 2  # steps before a recording: libraries choose their kernels and take their memory in them

Question = Callable[[Moment], Any]
Recorder = Callable[[Callable[[], None]], Callable[[], None]]  # a step -> what repeats it


@dataclass(frozen=True)
class Watched(Moment):
    """A moment that notes what it was asked, and what it said."""

    noted: list[tuple[Question, Any]] = field(default_factory=list, compare=False)

    def value(self, number: Number) -> float:
        answer = Moment(self._unseen("epoch"), self.epochs, self.counts).value(number)
        if callable(number):
            self.noted.append((lambda now: now.value(number), answer))
        return answer

    def _unseen(self, name: str) -> Any:
        return object.__getattribute__(self, name)

    def __getattribute__(self, name: str) -> Any:
        answer = object.__getattribute__(self, name)
        if name == "epoch":
            object.__getattribute__(self, "noted").append((lambda now: now.epoch, answer))
        return answer


class Replayed(Drive):
    """A step is what `record` makes of it; where nothing can be made of it, steps are eager from then on."""

    def __init__(self, step: Step, feed: Feed, batch: int, report: Callable[[int], None], record: Recorder):
        super().__init__(step, feed, batch, report)
        self.record, self.eager = record, Eager(step, feed, batch, report)
        self.sizes = [end - start for start, end in feed.spans(batch)]
        self.position = torch.zeros((), device=step.device, dtype=torch.int64)
        on_gpu = step.device.type == "cuda"  # whose kernel reads the rate where it lies, in float32
        self.rate = torch.ones((), device=step.device, dtype=torch.float32 if on_gpu else torch.float64)
        self.tables: Tables = ()
        self.steps: dict[int, Callable[[], None]] = {}
        self.noted: list[tuple[Question, Any]] = []
        self.gave_up = False

    def start(self, tables: Tables, rate: float, now: Moment) -> None:
        self._fill(tables)
        if not self.gave_up and (not self.steps or any(question(now) != was for question, was in self.noted)):
            self._try_to_record(now)
        if self.gave_up:
            self.eager.start(tables, rate, now)
            return
        self.rate.fill_(rate)
        self.position.zero_()
        self.step.total.zero_()
        for size in self.sizes:
            self.steps[size]()

    def losses(self) -> Tensor:
        found = super().losses()
        if not self.gave_up:
            self.report(self.feed.rows.size)
        return found

    def _fill(self, tables: Tables) -> None:
        if not self.tables:
            self.tables = tuple({name: v.to(self.step.device) for name, v in table.items()} for table in tables)
            return
        for own, new in zip(self.tables, tables, strict=True):
            for name, values in new.items():
                own[name].copy_(values)

    def _try_to_record(self, now: Moment) -> None:
        try:
            self._record(now)
        except torch.OutOfMemoryError:  # eager steps take as much
            raise
        except Exception as error:
            print(f"steps are launched one by one, not recorded: {reason(error)}", file=sys.stderr)
            self.steps.clear()
            self.gave_up = True

    def _record(self, now: Moment) -> None:
        """Record a step for each size of batch; training stands where it stood before."""
        watched = Watched(now.epoch, now.epochs, now.counts)
        self.steps.clear()  # gives its memory back before more is taken
        for group in self.step.optimiser.param_groups:
            group["lr"] = self.rate
        with unchanged(self.step):
            for size in dict.fromkeys(self.sizes):
                self.position.zero_()
                self.steps[size] = self.record(partial(self._once, size, watched))
        self.noted = watched.noted

    def _once(self, size: int, now: Moment) -> None:
        where = self.position + torch.arange(size, device=self.step.device)
        where %= self.feed.rows.shape[1]  # warm-up steps may go round
        self.step(self.feed.batches(self.tables, where), now)
        self.position += size


@contextlib.contextmanager
def unchanged(step: Step) -> Iterator[None]:
    """Put weights, statistics and momenta back as they were, however it ends."""
    before = {name: tensor.clone() for name, tensor in step.network.state_dict().items()}
    state = step.optimiser.state
    moved = {(p, name): t.clone() for p, own in state.items() for name, t in own.items() if torch.is_tensor(t)}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in step.network.state_dict().items():
                tensor.copy_(before[name])
            for parameter, own in state.items():
                for name, tensor in own.items():
                    if (parameter, name) in moved:
                        tensor.copy_(moved[parameter, name])
                    elif torch.is_tensor(tensor):
                        tensor.zero_()  # as before the first step: momentum x 0 + gradient


def cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step on a GPU. What would wait for the device, or for the host, fails."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside), _no_waiting():
        for _ in range(WARM_UPS):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mode calls itself a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def drive(step: Step, feed: Feed, batch: int, report: Callable[[int], None]) -> Drive:
    """What takes these steps: recorded ones on a GPU, if no part of the network has draws of its own."""
    if step.device.type == "cuda" and all(layer.recordable for layer in layers(step.network)):
        return Replayed(step, feed, batch, report, cuda_graph)
    return Eager(step, feed, batch, report)
