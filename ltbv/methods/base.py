"""What is a method? A value: stages of training, then perhaps a change of the head, then a rule that makes predictions.

Read this first; a method's own file is then a few lines. `ce` is

    Method("ce", "CE", stages=(Stage("representation", Loss(cross_entropy)),))

and every other method differs from it only where it names something: another loss, more experts, a schedule, a second
stage that starts from the first. The loop in `engine/train` has no branch on a method.
"""

import importlib
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

import torch
from torch import Tensor

from ltbv.data.batches import Batch, Feed
from ltbv.data.samplers import INSTANCE, Sampler
from ltbv.errors import Refusal, reason, unknown
from ltbv.guest import guest
from ltbv.losses import effective_number, weighted_mean
from ltbv.models.experts import PARTS, Experts, Net, Output
from ltbv.schedules import Number, value

ENTRY_POINTS = "ltbv.methods"  # group of entry points by which other packages bring methods


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
    """What a stage minimises. The engine adds the losses of the runs up, so no run feels another.

    On a GPU a step is recorded and repeated, and what Python does in it happens once: so nothing is counted or kept
    from call to call, and nothing drawn; a number that changes is asked of the `Moment`.
    """

    @abstractmethod
    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        """The loss of each run, [R]."""


class OutputObjective(Objective):
    """An objective that needs no more than outputs for one batch: write it for one run, it is mapped over runs."""

    @abstractmethod
    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        """Scalar, from logits [E, B, C] and features [E, B, D] of one run, labels [B], counts [C].

        `given` holds what the networks of the stage's `given` say of the same images, without gradient. It runs under
        `torch.vmap`: pure, no `.item()`, no branch on a tensor's values.
        """

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        (batch,) = batches
        with torch.no_grad():
            others = tuple(other(batch.images) for other in given)

        def of_run(output: tuple, others: tuple, labels: Tensor, counts: Tensor) -> Tensor:
            found = self.of_run(Output(*output), labels, counts, now, tuple(Output(*other) for other in others))
            return _shaped(found, (), f"of_run of {type(self).__name__}", "one number for the run, a scalar")

        outputs = tuple(network(batch.images)), tuple(map(tuple, others))
        return torch.vmap(of_run)(*outputs, batch.labels, now.counts)


def _shaped(found: object, shape: tuple[int, ...], who: str, wanted: str) -> Tensor:
    """What user code gave, if it is a tensor of this shape: another one would be spread over it, and add up wrongly."""
    if not isinstance(found, Tensor):
        raise Refusal(f"{who} gave a {type(found).__name__}; it has to give a tensor, {wanted}")
    if tuple(found.shape) != tuple(shape):
        raise Refusal(f"{who} gave the shape {tuple(found.shape)}; it has to give {wanted}, here {tuple(shape)}")
    return found


@dataclass(frozen=True)
class Loss(OutputObjective):
    """A loss weighted by class, w = effective_number(beta): of each expert's logits, added up.

        sum_i w_{y_i} l_i / sum_i w_{y_i}     (`by="weights"`), or
        sum_i w_{y_i} l_i / B                 (`by="batch"`, as in Cui et al., 2019)

    loss   (logits [B, C], labels [B], counts [C]) -> [B]
    beta   0 gives every class the weight 1; `Step(0, 0.9999, at=0.8)` is deferred re-weighting (DRW, Cao et al., 2019)
    """

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    beta: Number = 0.0
    by: str = "weights"

    def __post_init__(self) -> None:
        if self.by not in ("weights", "batch"):
            raise unknown("divisor of a loss", self.by, ("weights", "batch"))

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        weights = effective_number(counts, now.value(self.beta))
        name = f"the loss {getattr(self.loss, '__name__', type(self.loss).__name__)}"
        each = (
            _shaped(self.loss(logits, labels, counts), labels.shape, name, "a number an image, [B]")
            for logits in output.logits
        )
        return sum(weighted_mean(losses, labels, weights, self.by) for losses in each)


@dataclass(frozen=True)
class Stage:
    """One training: what is minimised, in which network, from where, on what.

    name           of the stage, for other stages to refer to
    objective      what is minimised
    net            the network
    start          name of an earlier stage of the method whose weights it takes
    reset          parts (stem, branches, heads) drawn anew after that
    train          parts that learn; the others are frozen, their batch norm too
    sampler        one for each batch that the objective wants: `data/samplers`
    given          names of earlier stages whose networks the objective may consult
    epochs         share of the protocol's epochs
    learning_rate  instead of the protocol's, and
    weight_decay   likewise
    """

    name: str
    objective: Objective
    net: Net = Net()
    start: str | None = None
    reset: tuple[str, ...] = ()
    train: tuple[str, ...] = PARTS
    sampler: tuple[Sampler, ...] = (INSTANCE,)
    given: tuple[str, ...] = ()
    epochs: float = 1.0
    learning_rate: Number | None = None
    weight_decay: float | None = None

    def losses(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        """What the objective gives, [R]."""
        found = self.objective(network, batches, given, now)
        return _shaped(found, (network.runs,), f"{type(self.objective).__name__}", "a number a run, [R]")

    @property
    def stands_on(self) -> tuple[str, ...]:
        """Names of the stages that it starts from or consults."""
        return (*filter(None, [self.start]), *self.given)


class Answer(NamedTuple):
    """logits [R, B, C]; experts_used [R, B], how many experts were asked, or None where all always are."""

    logits: Tensor
    experts_used: Tensor | None = None


Rule = Callable[[Experts, Tensor], Answer]  # (network, images [B, R*channels, H, W]) -> Answer


def mean(network: Experts, images: Tensor) -> Answer:
    """The mean of the experts' logits."""
    return Answer(network(images).logits.mean(1))


@dataclass(frozen=True)
class Method:
    """key for commands and files, label for tables and figures, stages, and what follows them.

    posthoc   changes the trained network in place, without training: (network, feed) -> None; `feed` has the counts
              [R, C] and, by `plain`, the training images of each run
    predict   how the network answers: a `Rule`
    paper     where it comes from
    summary   one line
    about     formulas, hyper-parameters, where paper and code differ and which is followed here
    adds_to   key of the method that it adds something to
    family    methods of one family differ in their number of experts only
    kind      a word or two for methods of its sort, under which tables of many methods show it
    """

    key: str
    label: str
    stages: tuple[Stage, ...]
    posthoc: Callable[[Experts, Feed], None] | None = None
    predict: Rule = mean
    paper: str = ""
    summary: str = field(default="", compare=False)
    about: str = field(default="", compare=False, repr=False)
    adds_to: str = field(default="", compare=False)
    family: str = field(default="", compare=False)
    kind: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{0,99}[A-Za-z0-9_-]", self.key):
            allowed = "at most 100 letters, digits, '_', '-' and '.'"
            raise Refusal(f"method key {self.key!r}: it names files, so {allowed}")
        if not isinstance(self.stages, tuple) or not self.stages:
            raise Refusal(f"method {self.key!r} has stages {self.stages!r}; give a tuple of one Stage or more")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise Refusal(f"method {self.key!r} has two stages of one name: {', '.join(names)}; give each its own")
        for stage in self.stages:
            for name in stage.stands_on:
                if self.stages.index(self.stage(name)) >= self.stages.index(stage):
                    raise Refusal(
                        f"method {self.key!r}: stage {stage.name!r} stands on {name!r}, which is not before it"
                    )
            for name in (*stage.reset, *stage.train):
                if name not in PARTS:
                    raise unknown(f"part in stage {stage.name!r} of method {self.key!r}", name, PARTS)
            if not set(stage.train) & set(stage.net.parts):
                raise Refusal(
                    f"method {self.key!r}: stage {stage.name!r} trains {', '.join(stage.train) or 'nothing'}, which its"
                    f" network does not have; it has {', '.join(stage.net.parts)}"
                )
            if stage.reset and not (stage.start and set(stage.reset) <= set(stage.net.parts)):
                raise Refusal(
                    f"method {self.key!r}: stage {stage.name!r} draws {', '.join(stage.reset)} anew; that takes a stage"
                    f" to start from, and parts of its network: {', '.join(stage.net.parts)}"
                )
            if not isinstance(stage.sampler, tuple) or not stage.sampler:
                raise Refusal(
                    f"method {self.key!r}: stage {stage.name!r} has the sampler {stage.sampler!r}; give a tuple of one"
                    " Sampler or more, such as (CLASS_BALANCED,)"
                )
            for sampler in stage.sampler:
                if not isinstance(sampler, Sampler):
                    raise Refusal(
                        f"method {self.key!r}: stage {stage.name!r} has the sampler {sampler!r}; give a Sampler,"
                        " such as Instance() or ByClass(0.0) of ltbv.data.samplers"
                    )
            if stage.start:
                earlier = self.stage(stage.start).net
                if not (_same_body(earlier, stage.net) and set(earlier.parts) <= set(stage.net.parts)):
                    raise Refusal(
                        f"method {self.key!r}: stage {stage.name!r} starts from {stage.start!r}, whose network is"
                        f" another one: {earlier} and {stage.net}"
                    )

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise Refusal(f"method {self.key!r} has no stage {name!r}; it has: {', '.join(s.name for s in self.stages)}")

    def needed(self, stage: Stage | None = None) -> list[Stage]:
        """A stage (the last) and all that it stands on, earlier ones first."""
        stage = stage or self.stages[-1]
        before = [self.stage(name) for name in stage.stands_on]
        return list(dict.fromkeys([*(earlier for one in before for earlier in self.needed(one)), stage]))


def _same_body(one: Net, other: Net) -> bool:
    """Do two networks differ in their additions, scales and router, at most?"""
    return replace(one, scales=False, router=0) == replace(other, scales=False, router=0)


METHODS: dict[str, Method] = {}
HOMES: dict[str, str] = {}  # the module that registered a method, by key


def register(method: Method | Callable[[], Method]) -> Method:
    """Make a method known by its key; gives it back, so that it can be assigned in the same line.

    As a decorator it takes a function without arguments that makes the method, and puts the method in its place. A
    module may register its own key again: a cell of a notebook that is run twice.
    """
    home = sys._getframe(1).f_globals.get("__name__", "")
    method = method if isinstance(method, Method) else method()
    if not isinstance(method, Method):
        raise Refusal(f"register was given a {type(method).__name__}; give a Method, or a function that makes one")
    if METHODS.get(method.key, method) != method and home != HOMES[method.key]:
        raise Refusal(f"method key {method.key!r} is taken by {METHODS[method.key].label!r}; choose another key")
    METHODS[method.key] = method
    HOMES.setdefault(method.key, home)
    return method


def brought() -> dict[str, EntryPoint]:
    """Methods of other packages, by name: entry points of the group `ltbv.methods`, not yet imported."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def claims(name: str) -> list[str]:
    """What other packages, which need not agree, bring under a name."""
    return sorted({point.value for point in entry_points(group=ENTRY_POINTS, name=name)})


def hidden() -> dict[str, str]:
    """Where other packages bring a method under the name of one of ours, which stands: how theirs is asked for."""
    return {name: ", ".join(claims(name)) for name in brought() if HOMES.get(name, "").startswith("ltbv.")}


def is_importable(name: str) -> bool:
    """Does another process find a method of this name?"""
    return ":" in name or name in brought() or HOMES.get(name, "").startswith("ltbv.")


def find(name: str) -> Method:
    """The method of that key, one that an installed package brings, or `package.module:name` from one's own code."""
    if name in METHODS:
        return METHODS[name]
    where = name if ":" in name else getattr(brought().get(name), "value", "")
    if not where:
        raise unknown("method", name, (*METHODS, *brought()))
    if where != name and len(values := claims(name)) > 1:
        raise Refusal(f"method {name!r} is brought by several packages; give the one you mean: {', '.join(values)}")
    module, _, attribute = where.partition(":")
    try:
        with guest():
            method = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # importing runs whatever the module holds
        cure = "give package.module:name of a Method"
        raise Refusal(f"method {name!r} cannot be imported ({reason(error)}); {cure}") from error
    if not isinstance(method, Method):
        raise Refusal(f"{name!r} is a {type(method).__name__}, not a Method; give package.module:name of a Method")
    if METHODS.get(method.key, method) != method:
        raise Refusal(
            f"method {name!r} has the key {method.key!r} of a known method that it is not; choose another key"
        )
    return method
