"""What is a method? A value: stages of training, then perhaps a change of the head, then a rule that makes predictions.

Read this first; a method's own file is then a few lines. `ce` is

    Method("ce", "CE", stages=(Stage("representation", Loss(cross_entropy)),))

and every other method differs from it only where it names something: another loss, more experts, a schedule, a second
stage that starts from the first. The loop in `engine/train` has no branch on a method.
"""

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ltbv.data.batches import Batch
from ltbv.data.samplers import SAMPLERS
from ltbv.errors import Refusal, reason, unknown
from ltbv.losses import effective_number, weighted_mean
from ltbv.models.experts import PARTS, Experts, Net, Output
from ltbv.schedules import Number, value

INSTANCE, CLASS_BALANCED = "instance", "class_balanced"


@dataclass(frozen=True)
class Moment:
    """Where training stands: the epoch, of how many, and the counts [R, C] of each run's sample."""

    epoch: int
    epochs: int
    counts: Tensor

    def value(self, number: Number) -> float:
        """What a number or schedule says now."""
        return value(number, self.epoch, self.epochs)


class Objective(ABC):
    """What a stage minimises. The engine adds the losses of the runs up, so no run feels another."""

    @abstractmethod
    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        """The loss of each run, [R]."""


class OutputObjective(Objective):
    """An objective that needs no more than the outputs of one batch: write it for one run, it is mapped over runs."""

    @abstractmethod
    def of_run(self, output: Output, labels: Tensor, counts: Tensor, now: Moment) -> Tensor:
        """Scalar, from logits [E, B, C] and features [E, B, D] of one run, labels [B], counts [C].

        It runs under `torch.vmap`: pure, no `.item()`, no branch on a tensor's values.
        """

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        del given
        (batch,) = batches
        output = network(batch.images)
        return torch.vmap(lambda *run: self.of_run(Output(*run[:2]), *run[2:], now))(*output, batch.labels, now.counts)


@dataclass(frozen=True)
class Loss(OutputObjective):
    """A loss of the mean logits, weighted by class: sum_i w_{y_i} l_i / sum_i w_{y_i}, w = effective_number(beta).

    `beta=Step(0, 0.9999, at=0.8)` is deferred re-weighting (DRW, Cao et al., 2019).
    """

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    beta: Number = 0.0

    def of_run(self, output: Output, labels: Tensor, counts: Tensor, now: Moment) -> Tensor:
        losses = self.loss(output.logits.mean(0), labels, counts)
        return weighted_mean(losses, labels, effective_number(counts, now.value(self.beta)))


@dataclass(frozen=True)
class Stage:
    """One training: what is minimised, in which network, from where, on what.

    name           of the stage, for other stages to refer to
    objective      what is minimised
    net            the network
    start          name of an earlier stage of the method whose weights it takes
    reset          parts (stem, branches, heads) drawn anew after that
    train          parts that learn; the others are frozen, their batch norm too
    sampler        one for each batch that the objective wants
    given          names of earlier stages whose networks the objective may consult
    epochs         share of the protocol's epochs
    learning_rate  instead of the protocol's
    """

    name: str
    objective: Objective
    net: Net = Net()
    start: str | None = None
    reset: tuple[str, ...] = ()
    train: tuple[str, ...] = PARTS
    sampler: tuple[str, ...] = (INSTANCE,)
    given: tuple[str, ...] = ()
    epochs: float = 1.0
    learning_rate: Number | None = None


def mean(logits: Tensor) -> Tensor:
    """Mean over experts: [R, E, B, C] -> [R, B, C]."""
    return logits.mean(1)


@dataclass(frozen=True)
class Method:
    """key for commands and files, label for tables and figures, stages, and what follows them.

    posthoc   changes the trained network in place, without training: (network, counts [R, C]) -> None
    predict   logits [R, E, B, C] -> logits [R, B, C]
    paper     where it comes from
    """

    key: str
    label: str
    stages: tuple[Stage, ...]
    posthoc: Callable[[Experts, Tensor], None] | None = None
    predict: Callable[[Tensor], Tensor] = mean
    paper: str = ""
    summary: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-]", self.key):
            raise Refusal(f"method key {self.key!r}: it names files, so letters, digits, '_', '-' and '.' only")
        if not self.stages:
            raise Refusal(f"method {self.key!r} has no stages; it needs at least one")
        for stage in self.stages:
            for name in (*filter(None, [stage.start]), *stage.given):
                if self.stages.index(self.stage(name)) >= self.stages.index(stage):
                    raise Refusal(
                        f"method {self.key!r}: stage {stage.name!r} stands on {name!r}, which is not before it"
                    )
            for name in (*stage.reset, *stage.train):
                if name not in PARTS:
                    raise unknown(f"part in stage {stage.name!r} of method {self.key!r}", name, PARTS)
            for name in stage.sampler:
                if name not in SAMPLERS:
                    raise unknown(f"sampler in stage {stage.name!r} of method {self.key!r}", name, SAMPLERS)

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise Refusal(f"method {self.key!r} has no stage {name!r}; it has: {', '.join(s.name for s in self.stages)}")

    def needed(self, stage: Stage | None = None) -> list[Stage]:
        """A stage (the last) and all that it stands on, earlier ones first."""
        stage = stage or self.stages[-1]
        before = [self.stage(name) for name in (*filter(None, [stage.start]), *stage.given)]
        return list(dict.fromkeys([*(earlier for one in before for earlier in self.needed(one)), stage]))


METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Make a method known by its key; gives it back, so that it can be assigned in the same line."""
    if METHODS.get(method.key, method) != method:
        raise Refusal(f"method key {method.key!r} is taken by {METHODS[method.key].label!r}; choose another key")
    METHODS[method.key] = method
    return method


def find(name: str) -> Method:
    """The method of that key, or `package.module:name` from one's own code."""
    if ":" not in name:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
        return METHODS[name]
    module, _, attribute = name.partition(":")
    try:
        method = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # importing runs whatever the module holds
        cure = "give package.module:name of a Method"
        raise Refusal(f"method {name!r} cannot be imported ({reason(error)}); {cure}") from error
    if not isinstance(method, Method):
        raise Refusal(f"{name!r} is a {type(method).__name__}, not a Method; give package.module:name of a Method")
    if METHODS.get(method.key, method) != method:
        raise Refusal(
            f"method {name!r} has the key {method.key!r} of a known method that it is not; choose another key"
        )
    return method
