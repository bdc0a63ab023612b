"""What does a stage minimise? An `Objective`: from batches and the network to the loss of each run.

Most methods need no more than `Loss(a loss of one run)`, or terms that add up (`Sum`). One that looks at several
batches, at development images, or at the network with other weights is an `Objective` of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ltbv.answers import shaped, untouched
from ltbv.data.batches import Batch, Feed
from ltbv.errors import Refusal, unknown
from ltbv.guest import place
from ltbv.losses import ExampleLoss, effective_number, weighted_mean
from ltbv.models.experts import Experts, Output
from ltbv.schedules import Number, value

Groups = Mapping[str, Sequence[int] | np.ndarray]  # name -> class ids


@dataclass(frozen=True)
class Moment:
    """Where training stands.

    epoch, epochs   the epoch, from 0, of how many of the stage
    counts          [R, C] images of each class in each run's sample
    groups          class ids of many, medium and few, by the study's nominal counts; thirds of the classes where fewer
                    than two of these have any; read-only
    learning_rate   of the stage: `dial` it for what holds now (`rate`)
    memory          what `Objective.each_epoch` and `from_given` gave
    """

    epoch: int
    epochs: int
    counts: Tensor
    groups: Groups = field(default_factory=dict)
    learning_rate: Number = 0.0
    memory: Mapping[str, Tensor] = field(default_factory=dict)

    def value(self, number: Number) -> float:
        """What a number or schedule says now. Python may branch on it: on a GPU a step is recorded anew when it
        changes, so it is for what changes seldom."""
        return value(number, self.epoch, self.epochs)

    def dial(self, number: Number) -> Tensor:
        """The same as a tensor without axes: for what changes with every epoch."""
        return torch.full((), value(number, self.epoch, self.epochs), dtype=torch.float64, device=self.counts.device)

    @property
    def told(self) -> dict[str, Tensor]:
        """All tensors in it, by name."""
        return {"counts": self.counts, **{f"memory of {name}": tensor for name, tensor in self.memory.items()}}

    @property
    def rate(self) -> Tensor:
        """The learning rate that holds now."""
        return self.dial(self.learning_rate)


class Losses(NamedTuple):
    """Of each run: the loss [R], and how many images of the batch it had right [R]; None where nobody counted."""

    losses: Tensor
    right: Tensor | None = None


class Objective(ABC):
    """What a stage minimises. The engine adds the losses of the runs up, so no run feels another.

    On a GPU a step is recorded and repeated, and what Python does in it happens once: so nothing is counted or kept
    from call to call, and nothing drawn; a number that changes is asked of the `Moment`, random numbers of the batch.

    draws       how many numbers, uniform within [0, 1), each image of a batch brings along: `Batch.draws`
    batch_each  every expert sees a batch of its own
    beyond_head what it does that means nothing where features are frozen, '' for most: 'makes images', 'moves features'
    looks_ahead it looks from other weights than those that learn, at the whole batch at once
    """

    draws = 0
    batch_each = False
    beyond_head = ""
    looks_ahead = False

    def work(self) -> Number:
        """How many times the work of a plain step, forward and backward on one batch, a step takes; for costs."""
        return 1.0

    def begin(self, network: Experts, feed: Feed, given: tuple[Experts, ...], now: Moment) -> None:
        """Once, before the first step: what is set from plain training images (class means), in place, no gradient."""
        return

    def from_given(self, feed: Feed, given: tuple[Experts, ...], now: Moment) -> Mapping[str, Tensor]:
        """Once, also where a stage resumes: what holds for all of it, from `given` alone; in `Moment.memory` too."""
        return {}

    def each_epoch(self, network: Experts, feed: Feed, given: tuple[Experts, ...], now: Moment) -> Mapping[str, Tensor]:
        """At the start of each epoch: what holds for all of it, from weights alone; `Moment.memory` in the steps."""
        return {}

    def after_epoch(self, network: Experts, now: Moment) -> None:
        """At the end of each epoch, the last one too: what is set in weights, in place, no gradient."""
        return

    def before(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        """A loss [R] for the parts of `Stage.first` alone, which take their step before the others."""
        raise NotImplementedError(f"{type(self).__name__} has no loss for parts that step first; give it `before`")

    @abstractmethod
    def __call__(
        self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment
    ) -> Tensor | Losses:
        """The loss of each run, [R]; as `Losses`, with how many images were right."""


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

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        with torch.no_grad():
            others = tuple(other(batch.images) for other in given)
        output = network(batch.images)
        return Losses(self.of_output(output, batch.labels, now, others), right(output.logits, batch.labels))

    def of_output(self, output: Output, labels: Tensor, now: Moment, others: tuple[Output, ...] = ()) -> Tensor:
        """The loss of each run, [R], of what its network and `others` say of a batch, labels [R, B]."""

        def of_run(output: tuple[Any, ...], others: tuple[Any, ...], labels: Tensor, counts: Tensor) -> Tensor:
            found = self.of_run(Output(*output), labels, counts, now, tuple(Output(*other) for other in others))
            who = f"of_run of {place(self)}"
            return shaped(found, (), who, "one number for the run, a scalar", output[0], wide=True)

        with untouched(called(self), {"logits": output.logits, "features": output.features}):
            return torch.vmap(of_run)(tuple(output), tuple(map(tuple, others)), labels, now.counts)


@torch.no_grad()
def right(logits: Tensor, labels: Tensor) -> Tensor:
    """How many images of a batch the mean of the experts' logits has right: [R, E, B, C], [R, B] -> [R]."""
    return hits(logits, labels).sum(-1)


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images the mean of the experts' logits has right: [R, E, B, C], [R, B] -> [R, B].

    Ties at the top count as right, but where all classes are equal: a network that says nothing has none.
    """
    whole = logits[:, 0] if logits.shape[1] == 1 else logits.mean(1)
    own = whole.gather(-1, labels[..., None])[..., 0]
    return (own >= whole.amax(-1)) & (own > whole.amin(-1))  # an argmax takes four times as long


def of_images(loss: ExampleLoss, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """What a loss says of each image of a run, [B], of logits [B, C]: a mean would count for every image alike."""
    found = loss(logits, labels, counts)
    return shaped(found, tuple(labels.shape), f"the loss {place(loss)}", "a number an image, [B]", logits)


def added(terms: Iterable[Tensor]) -> Tensor:
    """One or more, added up in this order."""
    return reduce(add, terms)


@dataclass(frozen=True)
class Loss(OutputObjective):
    """A loss weighted by class, w = effective_number(beta): of each expert's logits, added up.

        sum_i w_{y_i} l_i / sum_i w_{y_i}     (`by="weights"`), or
        sum_i w_{y_i} l_i / B                 (`by="batch"`, as in Cui et al., 2019)

    loss   (logits [B, C], labels [B], counts [C]) -> [B]
    beta   0 gives every class the weight 1; `Step(0, 0.9999, at=0.8)` is deferred re-weighting (DRW, Cao et al., 2019)
    """

    loss: ExampleLoss
    beta: Number = 0.0
    by: str = "weights"

    def __post_init__(self) -> None:
        if self.by not in ("weights", "batch"):
            raise unknown("divisor of a loss", self.by, ("weights", "batch"))

    def weighted(self, logits: Tensor, labels: Tensor, counts: Tensor, times: Tensor) -> Tensor:
        """The loss of a run's whole sample, scalar: image i is in it `times` [B] times; logits [B, C] of one expert."""
        weights = effective_number(counts, value(self.beta, 0, 1)).to(logits.dtype)[labels] * times
        total = weights.sum() if self.by == "weights" else times.sum()
        return (weights * self._each(logits, labels, counts)).sum() / total

    def _each(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """What the loss says of each image, [B]."""
        return of_images(self.loss, logits, labels, counts)

    def of_run(
        self,
        output: Output,
        labels: Tensor,
        counts: Tensor,
        now: Moment,
        given: tuple[Output, ...] = (),
        shares: Tensor | None = None,
    ) -> Tensor:
        """`shares` [B]: how much of the loss of each image counts, in the sum above the line alone."""
        weights = effective_number(counts, now.value(self.beta))
        each = (self._each(logits, labels, counts) for logits in output.logits)
        return added(weighted_mean(losses, labels, weights, self.by, shares) for losses in each)

    def of_labels(
        self, network: Experts, output: Output, labels: Tensor, now: Moment, draws: Tensor, shares: Tensor
    ) -> Tensor:
        """The loss of each run, [R], of one of the labels of its images, [R, B] as `shares`, which is how much of it
        counts."""
        del network, draws

        def of_run(output: tuple[Any, ...], labels: Tensor, counts: Tensor, shares: Tensor) -> Tensor:
            return self.of_run(Output(*output), labels, counts, now, shares=shares)

        return torch.vmap(of_run)(tuple(output), labels, now.counts, shares)


HOOKS = ("begin", "from_given", "each_epoch", "after_epoch", "before", "draws", "batch_each", "work")


def refuse_hooks(term: Objective, who: str, *, but: Sequence[str] = ()) -> None:
    """Refuse an objective that has more than a loss of outputs, for those who ask nothing else (`but` these) of it."""
    for hook in HOOKS:
        if hook not in but and getattr(type(term), hook) is not getattr(Objective, hook):
            raise Refusal(f"{type(term).__name__} has `{hook}`, which {who} does not ask; write one objective")


@dataclass(frozen=True)
class Sum(OutputObjective):
    """Objectives of one batch, added up in this order."""

    terms: tuple[OutputObjective, ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise Refusal("a sum of no objectives; give a tuple of one or more, such as (Loss(cross_entropy),)")
        for term in self.terms:
            refuse_hooks(term, "a Sum of terms")

    @property
    def beyond_head(self) -> str:  # type: ignore[override]  # asked of the terms, set by none
        return next((term.beyond_head for term in self.terms if term.beyond_head), "")

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        return added(term.of_run(output, labels, counts, now, given) for term in self.terms)


def called(objective: Objective) -> str:
    """Who is to blame for what an objective gives: the functions of others that it is made of."""
    if isinstance(objective, Loss):
        return f"the loss {place(objective.loss)}"
    within = objective.terms if isinstance(objective, Sum) else tuple(vars(objective).values())
    parts = [called(part) for part in within if isinstance(part, Objective)]
    others = [place(part) for part in within if callable(part) and not isinstance(part, Objective)]
    parts += [name for name in others if not name.startswith("ltbv.")]
    if parts:
        return f"{place(objective)} of {' and '.join(parts)}"
    return f"of_run of {place(objective)}" if isinstance(objective, OutputObjective) else place(objective)
