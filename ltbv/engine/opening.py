"""What has to stand before a stage's first step, and what is told of each epoch? A stage, opened on its network.

`train` goes through all epochs of one, `cost` times the first: both open it here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from ltbv.answers import untouched
from ltbv.data.batches import Feed, Tables
from ltbv.data.undrawn import undrawn
from ltbv.engine.optimise import Optimisers
from ltbv.engine.protocol import Protocol
from ltbv.engine.ranks import SharedStep, Team, share_norms
from ltbv.engine.step import Step
from ltbv.engine.terms import of_stage, stage_epochs, stage_rate
from ltbv.errors import Refusal
from ltbv.guest import place
from ltbv.methods.base import Moment, Stage
from ltbv.methods.objective import Groups
from ltbv.models.experts import Experts


class Opened:
    """A stage whose parts that learn, and experts that stand still, are settled; `step` is what its drive takes.

    given    networks that the objective consults
    protocol   of the study; afterwards, that of the stage
    groups   class ids of many, medium and few, for `Moment.groups`
    among    the processes that train it, each a part of every batch
    """

    def __init__(
        self,
        stage: Stage,
        network: Experts,
        feed: Feed,
        protocol: Protocol,
        *,
        given: tuple[Experts, ...] = (),
        groups: Groups | None = None,
        among: Team | None = None,
    ):
        self.stage, self.network, self.feed, self.given = stage, network, feed, given
        self.protocol = of_stage(stage, protocol)
        self.epochs = stage_epochs(stage, protocol)
        if stage.experts is not None:
            network.divide(stage.learning, stage.experts)
        self.set_learning()
        network.at_once = self.protocol.micro_batch
        optimisers = Optimisers(stage, network, self.protocol)
        if among:
            share_norms(network)
            self.step: Step = SharedStep(stage, network, given, optimisers, among)
        else:
            self.step = Step(stage, network, given, optimisers)
        counts = torch.tensor(feed.counts, device=self.step.device)  # of this stage alone: others go by the feed's
        self.start = Moment(0, self.epochs, counts, groups or {}, stage_rate(stage, protocol))
        with self._asked("from_given", self.start):
            found = stage.objective.from_given(feed, given, self.start)
        self.start = replace(self.start, memory=_copied(found, stage, "from_given"))

    def tables(self, seed: int, runs: tuple[int, ...], draws: tuple[int, ...], epoch: int) -> Tables:
        """What an epoch needs of every image: `Feed.tables`."""
        return self.feed.tables(
            seed,
            runs,
            draws,
            epoch,
            self.epochs,
            self.stage.sampler,
            batch=self.protocol.batch,
            draws=self.stage.objective.draws,
            groups=self.start.groups,
        )

    def begin(self) -> None:
        """What the objective sets once, of a network in evaluation mode."""
        with self._asked("begin", self.start):
            self.stage.objective.begin(self.network.eval(), self.feed, self.given, self.start)

    def moment(self, epoch: int) -> Moment:
        """What holds in an epoch, which may then be trained."""
        now = replace(self.start, epoch=epoch)
        with self._asked("each_epoch", now):
            found = self.stage.objective.each_epoch(self.network.eval(), self.feed, self.given, now)
        self.set_learning()
        return replace(now, memory={**now.memory, **_copied(found, self.stage, "each_epoch")})

    def end(self, now: Moment) -> None:
        """What the objective sets in weights when an epoch has been trained."""
        with self._asked("after_epoch", now):
            self.stage.objective.after_epoch(self.network, now)

    @contextmanager
    def _asked(self, hook: str, now: Moment) -> Iterator[None]:
        """For what an objective does between steps: without a gradient, without draws, and what it was told stays."""
        who = f"{hook} of {place(self.stage.objective)}"
        with torch.no_grad(), undrawn(who), untouched(who, now.told):
            yield

    def set_learning(self) -> None:
        """Let only the stage's parts learn; the rest is frozen, its batch norm too."""
        for name in self.network.names:
            learns = name in self.stage.learning
            getattr(self.network, name).requires_grad_(learns).train(learns)

    def close(self) -> None:
        """The experts of the network together again, and all images asked of at once."""
        self.network.join()
        self.network.at_once = None


def _copied(found: Mapping[str, Tensor], stage: Stage, hook: str) -> dict[str, Tensor]:
    """What is remembered, as no step moves it."""
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        said = f"{hook} of {place(stage.objective)} gave a {type(found).__name__}"
        raise Refusal(f"{said}; it has to give a dict of tensors by name, {{}} for none")
    return {name: tensor.detach().clone() for name, tensor in found.items()}
