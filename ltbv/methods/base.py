"""What is a method? A value: stages of training, then perhaps a change of the head, then a rule that makes predictions.

Read this first; a method's own file is then a few lines. `ce` is

    Method("ce", "CE", stages=(Stage("representation", Loss(cross_entropy)),))

and every other method differs from it only where it names something: another loss, more experts, a schedule, a second
stage that starts from the first. The loop in `engine/train` has no branch on a method.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor

from ltbv.answers import followed, shaped, untouched
from ltbv.data.batches import Batch, Feed
from ltbv.data.samplers import INSTANCE, Sampler
from ltbv.data.views import Views
from ltbv.errors import Refusal, unknown
from ltbv.guest import place
from ltbv.later import later
from ltbv.methods.objective import Loss, Losses, Moment, Objective, OutputObjective, Sum, called
from ltbv.methods.published import Published, Terms
from ltbv.models.experts import Experts, Net, Output
from ltbv.optimisers import Optimiser
from ltbv.schedules import Number

__all__ = [
    "Adapting",
    "Answer",
    "Batch",
    "Loss",
    "Losses",
    "Method",
    "Moment",
    "Net",
    "Objective",
    "Output",
    "OutputObjective",
    "Rule",
    "Stage",
    "Sum",
    "mean",
]


@dataclass(frozen=True)
class Stage:
    """One training: what is minimised, in which network, from where, on what.

    name           of the stage, for other stages to refer to
    objective      what is minimised
    net            the network
    start          name of an earlier stage of the method whose weights it takes
    reset          parts (stem, branches, heads, or further ones of the net) drawn anew after that
    train          parts that learn, None: all; the others are frozen, their batch norm too
    experts        which experts learn, of those parts that each has for itself (branches, heads, and parts that values
                   pass), None: all; the others stand still and are asked without a gradient. An objective sees all, so
                   the loss that is told holds theirs too
    terms          epochs, batch, optimiser, augmentation, … of its own; `--protocol paper` fills in what is published
    sampler        one for each batch that the objective wants: `data/samplers`
    given          names of earlier stages whose networks the objective may consult
    epochs         share of the protocol's epochs
    learning_rate  instead of the protocol's, and
    weight_decay   likewise
    own            (part, its optimiser) for parts that have one to themselves
    first          parts that take their step before the others, on `Objective.before`
    held           development images of each class: drawn from the pool outside the sample, which gives up what the
                   pool lacks; for the sampler `Held`
    with_held      they are trained on too, as images of the sample, and counted with it
    salt           sets the stage's draws apart from those of another of the same depth (how many stages it starts from,
                   one on the other), with which it would share them: two networks of one method that are to differ
    """

    name: str
    objective: Objective
    net: Net = Net()
    start: str | None = None
    reset: tuple[str, ...] = ()
    train: tuple[str, ...] | None = None
    sampler: tuple[Sampler, ...] = (INSTANCE,)
    given: tuple[str, ...] = ()
    epochs: float = 1.0
    learning_rate: Number | None = None
    weight_decay: float | None = None
    own: tuple[tuple[str, Optimiser], ...] = ()
    first: tuple[str, ...] = ()
    held: int = 0
    with_held: bool = later(False)
    salt: int = 0
    experts: tuple[int, ...] | None = later(None)
    terms: Terms | None = later(None)

    @property
    def learning(self) -> tuple[str, ...]:
        """The parts that learn."""
        return self.net.names if self.train is None else self.train

    def losses(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        """What the objective gives, [R] each."""
        who = called(self.objective)
        with untouched(who, _handed(batches, now)):
            found = self.objective(network, batches, given, now)
        losses, right = found if isinstance(found, Losses) else (found, None)
        counted = right if right is None else shaped(right, (network.runs,), who, "how many a run has right, [R]")
        return Losses(_of_runs(losses, network, who), counted)

    def first_losses(
        self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment
    ) -> Tensor:
        """What it gives for the parts that step first, [R]."""
        who = f"`before` of {called(self.objective)}"
        with untouched(who, _handed(batches, now)):
            found = self.objective.before(network, batches, given, now)
        return _of_runs(found, network, who)

    @property
    def code(self) -> str:
        """Whose functions a step calls: the objective's, and those that are not ours of heads, parts and samplers."""
        made = [*(("the head", self.net.head), *(("the part", part) for part in self.net.parts))]
        made += [("compose of the sampler", one) for one in self.sampler if type(one).compose is not Sampler.compose]
        others = [f"{kind} {place(one)}" for kind, one in made if not place(one).startswith("ltbv.")]
        return " or ".join([called(self.objective), *others])

    @property
    def stands_on(self) -> tuple[str, ...]:
        """Names of the stages that it starts from or consults."""
        return (*filter(None, [self.start]), *self.given)


def _handed(batches: tuple[Batch, ...], now: Moment) -> dict[str, Tensor | None]:
    """What an objective is given beside the network, by name."""
    found: dict[str, Tensor | None] = {**now.told}
    for number, batch in enumerate(batches):
        own = {"images": batch.images, "labels": batch.labels, "positions": batch.positions, "draws": batch.draws}
        found |= {f"{name} of batch {number}" if number else name: tensor for name, tensor in own.items()}
    return found


def _of_runs(found: object, network: Experts, who: str) -> Tensor:
    """A loss of each run that weights can follow."""
    like = next(network.parameters())
    return followed(shaped(found, (network.runs,), who, "a number a run, [R]", like, wide=True), who)


class Answer(NamedTuple):
    """logits [R, B, C]; experts_used [R, B], how many experts were asked, or None where all always are; expert_logits
    [R, E, B, C] of several experts where `logits` are their plain mean, else None: so of no routed answer."""

    logits: Tensor
    experts_used: Tensor | None = None
    expert_logits: Tensor | None = None


Rule = Callable[[Experts, Tensor], Answer]  # (network, images [B, R*channels, H, W]) -> Answer


def mean(network: Experts, images: Tensor) -> Answer:
    """The mean of the experts' logits."""
    logits = network(images).logits
    return Answer(logits.mean(1), expert_logits=logits if logits.shape[1] > 1 else None)


class Adapting(ABC):
    """A rule that comes of the unlabelled test images, all at once: a method that has one says so wherever it stands,
    for other methods do not see them."""

    @abstractmethod
    def rule(self, network: Experts, views: Views) -> Rule:
        """How the network answers, having seen random views of the test images; it stays as it is, without gradient."""


@dataclass(frozen=True)
class Method:
    """key for commands and files, label for tables and figures, stages, and what follows them.

    posthoc   changes the trained network in place, without training: (network, feed) -> None; `feed` has the counts
              [R, C] and, by `plain`, the training images of each run
    predict   how the network answers: a `Rule`, or one that is `Adapting` to the unlabelled test images
    paper     where it comes from
    summary   one line
    about     formulas, hyper-parameters, where paper and code differ and which is followed here
    adds_to   key of the method that it adds something to
    family    methods of one family differ in their number of experts only
    kind      a word or two for methods of its sort, under which tables of many methods show it
    published   with what its authors trained it, for `--protocol paper`; or
    unpublished   why there is nothing to train it with there, to be said after a colon
    """

    key: str
    label: str
    stages: tuple[Stage, ...]
    posthoc: Callable[[Experts, Feed], None] | None = None
    predict: Rule | Adapting = mean
    paper: str = ""
    summary: str = field(default="", compare=False)
    about: str = field(default="", compare=False, repr=False)
    adds_to: str = field(default="", compare=False)
    family: str = field(default="", compare=False)
    kind: str = field(default="", compare=False)
    published: tuple[Published, ...] = field(default=(), compare=False, repr=False)
    unpublished: str = field(default="", compare=False, repr=False)

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
            for name in (*stage.reset, *stage.learning, *stage.first, *(part for part, _ in stage.own)):
                if name not in stage.net.names:
                    raise unknown(f"part in stage {stage.name!r} of method {self.key!r}", name, stage.net.names)
            if not stage.learning:
                raise Refusal(
                    f"method {self.key!r}: stage {stage.name!r} trains nothing; leave out `train`, or name parts"
                )
            if stage.experts is not None:
                _check_experts(self.key, stage)
            if stage.reset and not stage.start:
                raise Refusal(
                    f"method {self.key!r}: stage {stage.name!r} draws {', '.join(stage.reset)} anew; that takes a stage"
                    " to start from"
                )
            if not set(stage.first) <= set(stage.learning) or set(stage.first) == set(stage.learning):
                raise Refusal(
                    f"method {self.key!r}: stage {stage.name!r} steps {', '.join(stage.first)} first; name some of the"
                    f" parts that learn, not all: {', '.join(stage.learning)}"
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
            owned = [part for part, _ in stage.own]
            if len({*owned}) < len(owned) or not {*owned} <= {*stage.learning}:
                raise Refusal(
                    f"method {self.key!r}: stage {stage.name!r} has an optimiser of its own for {', '.join(owned)};"
                    f" name parts that learn, each once: {', '.join(stage.learning)}"
                )
            for name in stage.stands_on:
                below = self.stage(name)
                if below.held < stage.held or (below.with_held and not stage.with_held and stage.held):
                    raise Refusal(
                        f"method {self.key!r}: stage {stage.name!r} holds out {stage.held} images a class, which stage"
                        f" {name!r}, on which it stands, is trained on; give it held={stage.held} too"
                        + (", without with_held" if below.with_held else "")
                    )
            if stage.held < 0 or (stage.with_held or any(s.held for s in stage.sampler)) > bool(stage.held):
                said = f"holds out {stage.held} images a class; give held=10, for example"
                raise Refusal(f"method {self.key!r}: stage {stage.name!r} {said}")
            if stage.start:
                earlier = self.stage(stage.start).net
                if not (_same_body(earlier, stage.net) and set(earlier.names) <= set(stage.net.names)):
                    raise Refusal(
                        f"method {self.key!r}: stage {stage.name!r} starts from {stage.start!r}, whose network is"
                        f" another one: {earlier} and {stage.net}"
                    )

    @property
    def development(self) -> int:
        """Development images of each class that it looks at, beside its training images."""
        return max(stage.held for stage in self.stages)

    @property
    def sees_test(self) -> bool:
        """Does it adapt to the unlabelled test images?"""
        return isinstance(self.predict, Adapting)

    @property
    def title(self) -> str:
        """Its label; where it looks at development images, or at the unlabelled test images, it says so, for other
        methods do not have them."""
        seen = [*([f"{self.development} dev"] if self.development else []), *(["sees test"] if self.sees_test else [])]
        return f"{self.label} ({', '.join(seen)})" if seen else self.label

    def with_development(self, per_class: int | None) -> "Method":
        """The same with so many development images of each class, in all stages that hold some out; None: as it is."""
        if per_class is None or not self.development:
            return self
        stages = (replace(stage, held=per_class) if stage.held else stage for stage in self.stages)
        return replace(self, stages=tuple(stages))

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise Refusal(f"method {self.key!r} has no stage {name!r}; it has: {', '.join(s.name for s in self.stages)}")

    def depth(self, stage: Stage) -> int:
        """How many stages a stage starts from, one on the other."""
        return 1 + self.depth(self.stage(stage.start)) if stage.start else 0

    def needed(self, stage: Stage | None = None) -> list[Stage]:
        """A stage (the last) and all that it stands on, earlier ones first."""
        stage = stage or self.stages[-1]
        before = [self.stage(name) for name in stage.stands_on]
        return list(dict.fromkeys([*(earlier for one in before for earlier in self.needed(one)), stage]))


def _check_experts(key: str, stage: Stage) -> None:
    """Refuse a choice of experts that is none."""
    who, named = f"method {key!r}: stage {stage.name!r}", stage.experts
    every = range(stage.net.experts)
    some = isinstance(named, tuple) and 0 < len({*named}) == len(named) < len(every) and {*named} <= {*every}
    if not some:
        cure = f"some of {', '.join(map(str, every))}, each once" if len(every) > 1 else "a net of several"
        raise Refusal(f"{who} trains the experts {named!r}; name {cure}, or leave it out: all learn")
    if stage.net.head.joint and "heads" in stage.learning:
        raise Refusal(f"{who} trains some experts, and one head for all of them; leave the heads out of `train`")
    own = ("branches", "heads", *(part.name for part in stage.net.parts if part.at), *["stem"] * stage.net.apart)
    if drawn := [part for part in stage.reset if part in own]:
        said = f"{who} draws {', '.join(drawn)} anew, of experts that stand still too"
        raise Refusal(f"{said}; leave out `reset`, or let all experts learn")
    if not {*own} & {*stage.learning}:
        said = f"{who} trains some experts, and of what experts have for themselves nothing learns"
        raise Refusal(f"{said}; leave `experts` out, or train {', '.join(own)}")


def _same_body(one: Net, other: Net) -> bool:
    """Do two networks differ in their further parts at most?"""
    return replace(one, parts=()) == replace(other, parts=())
