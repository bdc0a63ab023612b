"""How does a GPU train without waiting for Python? A step is recorded once, as a CUDA graph, and replayed.

A graph repeats the very operations that were recorded, on the very memory: so the tables of an epoch lie in buffers
that are filled again, the position in the epoch is a counter on the device, and learning rates and dials are tensors.
What the host decides is part of the graph: the size of the batch (one graph each), and every value that the objective
asked of the `Moment`. When such an answer changes, at the switch of a deferred method, say, the step is recorded again.

What cannot be recorded is trained eagerly, with a line in the log: a network whose members draw from generators of
their own, an objective that reads a value off the device or puts one there. One that draws from the host's generators
is not recorded either, and `train` refuses it. What cannot be seen from here is an objective that keeps count of its
calls, or has a generator of its own: `Objective` forbids it.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ltbv.data.batches import Feed, Tables
from ltbv.data.undrawn import undrawn
from ltbv.engine.step import Drive, Eager, Step, Told
from ltbv.errors import reason
from ltbv.methods.base import Moment
from ltbv.models.stack import layers
from ltbv.schedules import Number, value

WARM_UPS = 2  # steps before a recording: libraries choose their kernels and take their memory in them

Question = Callable[[Moment], Any]
Recorder = Callable[[Callable[[], None]], Callable[[], None]]  # a step -> what repeats it


class Dials:
    """Numbers that change by epoch, as tensors that stay where they are and are filled again."""

    def __init__(self, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype, self.closed = device, dtype, False
        self.known: list[tuple[Number, Tensor]] = []

    def of(self, number: Number, now: Moment) -> Tensor:
        """The tensor of a number; a new one says what holds now."""
        for known, tensor in self.known:
            if known is number or known == number:
                return tensor
        if self.closed:  # made now it would be a constant of the recording
            raise RuntimeError("the objective dials a number that it makes anew in each call; make it once, outside")
        self.known.append((number, torch.full((), Moment.value(now, number), dtype=self.dtype, device=self.device)))
        return self.known[-1][1]

    def fill(self, now: Moment) -> None:
        """What holds in the steps that follow."""
        for number, tensor in self.known:
            tensor.fill_(Moment.value(now, number))


@dataclass(frozen=True, kw_only=True)
class Watched(Moment):
    """A moment that notes what it was asked, and what it said."""

    dials: Dials = field(compare=False)
    noted: list[tuple[Question, Any]] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, now: Moment, dials: Dials, memory: Mapping[str, Tensor]) -> "Watched":
        """The same moment, watched."""
        return cls(now.epoch, now.epochs, now.counts, now.groups, now.learning_rate, memory, dials=dials)

    def value(self, number: Number) -> float:
        answer = value(number, object.__getattribute__(self, "epoch"), self.epochs)
        if callable(number):
            self.noted.append((lambda now: now.value(number), answer))
        return answer

    def dial(self, number: Number) -> Tensor:
        return self.dials.of(number, Moment(object.__getattribute__(self, "epoch"), self.epochs, self.counts))

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
        self.rates = Dials(step.device, torch.float32 if on_gpu else torch.float64)
        self.dials = Dials(step.device, torch.float64)
        self.tables: Tables = ()
        self.memory: dict[str, Tensor] = {}
        self.steps: dict[int, Callable[[], None]] = {}
        self.watched: Watched | None = None  # kept: a graph reads its counts where they lie
        self.calls = 0  # of the step that is being recorded
        self.gave_up = False

    def start(self, tables: Tables, now: Moment) -> None:
        if not self.gave_up:
            self._fill(tables, now.memory)
            self.rates.fill(now)
            self.dials.fill(now)
            if not self.steps or self._is_stale(now):
                self._try_to_record(now)
        if self.gave_up:
            self.eager.start(tables, now)
            return
        self.position.zero_()
        self.step.reset()
        for size in self.sizes:
            self.steps[size]()

    def told(self) -> Told:
        found = super().told()
        if not self.gave_up:
            self.report(self.feed.rows.size)
        return found

    def _fill(self, tables: Tables, memory: Mapping[str, Tensor]) -> None:
        """Into the buffers that the graph reads; new ones, and a new recording, where there is something new."""
        if (_form(self.tables), _form_of(self.memory)) != (_form(tables), _form_of(memory)):
            self.steps.clear()
            self.tables = tuple(table.to(self.step.device, copy=True) for table in tables)
            self.memory = {name: values.clone() for name, values in memory.items()}
            return
        for own, new in zip(self.tables, tables, strict=True):
            for name, values in new.columns.items():
                own.columns[name].copy_(values)
        for name, values in memory.items():
            self.memory[name].copy_(values)

    def _is_stale(self, now: Moment) -> bool:
        watched = self.watched
        if watched is None or now.counts is not watched.counts or now.epochs != watched.epochs:
            return True
        return any(question(now) != was for question, was in watched.noted)

    def _try_to_record(self, now: Moment) -> None:
        try:
            self._record(now)
        except torch.OutOfMemoryError:  # a smaller stack that is recorded is faster than this one launched by hand
            raise
        except Exception as error:
            print(f"steps are launched one by one, not recorded: {reason(error)}", file=sys.stderr)
            self.steps.clear()
            self.gave_up = True

    def _record(self, now: Moment) -> None:
        """Record a step for each size of batch; training stands where it stood before."""
        self.watched = Watched.of(now, self.dials, self.memory)
        self.steps.clear()  # gives its memory back before more is taken
        self.step.optimisers.set_rates(lambda rate: self.rates.of(rate, now))
        with unchanged(self.step), undrawn(self.step.stage.code):
            for size in dict.fromkeys(self.sizes):
                self.position.zero_()
                self.dials.closed, self.calls = False, 0
                self.steps[size] = self.record(partial(self._once, size, self.watched))

    def _once(self, size: int, now: Moment) -> None:
        self.dials.closed = self.calls >= WARM_UPS  # what is new after them is new every time
        self.calls += 1
        self.step(self.feed.batches(self.tables, self.position, size, self.batch), now)
        self.position += size


@contextlib.contextmanager
def unchanged(step: Step) -> Iterator[None]:
    """Put weights, buffers and momenta back as they were, however it ends."""
    own = [*step.network.parameters(), *step.network.buffers()]
    before = [tensor.detach().clone() for tensor in own]
    states = [optimiser.state for optimiser in step.optimisers]
    moved = {
        (parameter, name): tensor.clone()
        for state in states
        for parameter, of_parameter in state.items()
        for name, tensor in of_parameter.items()
        if torch.is_tensor(tensor)
    }
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, was in zip(own, before, strict=True):
                tensor.copy_(was)
            for parameter, of_parameter in ((p, of) for state in states for p, of in state.items()):
                for name, tensor in of_parameter.items():
                    if (parameter, name) in moved:
                        tensor.copy_(moved[parameter, name])
                    elif torch.is_tensor(tensor):
                        tensor.zero_()  # as before the first step: momentum x 0 + gradient


def _form(tables: Tables) -> list[tuple[object, ...]]:
    return [(table.sampler, _form_of(table.columns)) for table in tables]


def _form_of(values: Mapping[str, Tensor]) -> dict[str, tuple[object, ...]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in values.items()}


_FAILED: list[str] = []  # recordings that broke off in this process: what they leave behind is not built on


def cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step on a GPU. What would wait for the device, or for the host, fails."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(aside), _no_waiting():
            for _ in range(WARM_UPS):
                step()
    finally:
        torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(aside), warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*CUDA Graph is empty")
            with torch.cuda.graph(graph, stream=aside):
                step()
    except Exception as error:
        _FAILED.append(reason(error))
        raise
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
    can_be = feed.reader.resident and all(layer.recordable for layer in layers(step.network))
    if step.device.type == "cuda" and not _FAILED and can_be:
        return Replayed(step, feed, batch, report, cuda_graph)
    return Eager(step, feed, batch, report)
