"""How is one stage trained, for a stack of runs at once? This is the only loop; it knows no method."""

from collections.abc import Callable

import numpy as np
import torch

from ltbv.data.batches import Feed, Tables
from ltbv.engine.protocol import Protocol
from ltbv.engine.replay import drive
from ltbv.engine.snapshot import Keeper, restore, take_snapshot
from ltbv.engine.step import Step
from ltbv.methods.base import Moment, Stage
from ltbv.models.experts import PARTS, Experts
from ltbv.schedules import Number, times, value


def train(
    stage: Stage,
    network: Experts,
    feed: Feed,
    protocol: Protocol,
    *,
    seed: int,
    runs: tuple[int, ...],
    position: int = 0,
    given: tuple[Experts, ...] = (),
    report: Callable[[int], None] = lambda images: None,
    keeper: Keeper | None = None,
) -> np.ndarray:
    """Train `network` in place to the last epoch; gives back the mean loss of each run and epoch, [R, epochs].

    position   which stage of its method this is (0 first): part of the key of its random draws
    report     is told how many images (of all runs together) were just trained on
    keeper     keeps snapshots between epochs; training goes on from the last one it has
    """
    step, epochs = prepare(stage, network, protocol, given), stage_epochs(stage, protocol)
    rate = stage_rate(stage, protocol)
    kept = keeper.load() if keeper else None
    done = None if kept is None else restore(kept, network, step.optimiser, len(runs), epochs)
    history = [] if done is None else list(done.T)
    taken = drive(step, feed, protocol.batch, report)
    counts = torch.as_tensor(feed.counts).to(step.device)

    def tables(epoch: int) -> Tables:
        return feed.tables(seed, runs, position, epoch, epochs, stage.sampler) if epoch < epochs else ()

    ahead = tables(len(history))
    for epoch in range(len(history), epochs):
        taken.start(ahead, value(rate, epoch, epochs), Moment(epoch, epochs, counts))
        ahead = tables(epoch + 1)  # drawn while a GPU is at work
        history.append(taken.losses().numpy())
        if keeper and epoch + 1 < epochs and keeper.is_due():
            keeper.save(take_snapshot(network, step.optimiser, np.stack(history, axis=1)))
    return np.stack(history, axis=1)


def prepare(stage: Stage, network: Experts, protocol: Protocol, given: tuple[Experts, ...]) -> Step:
    """The step of a stage: SGD by the protocol, on the parts of the network that learn."""
    optimiser = torch.optim.SGD(
        set_learning(network, stage.train),
        lr=1.0,  # set for each epoch
        momentum=protocol.optimiser.momentum,
        nesterov=protocol.optimiser.nesterov,
        weight_decay=protocol.weight_decay if stage.weight_decay is None else stage.weight_decay,
        fused=True,
    )
    return Step(stage, network, given, optimiser)


def stage_epochs(stage: Stage, protocol: Protocol) -> int:
    """How many epochs a stage lasts: its share of the protocol's, at least one."""
    return max(1, round(stage.epochs * protocol.epochs))


def stage_rate(stage: Stage, protocol: Protocol) -> Number:
    """The learning rate of a stage: its own, in the protocol's proportion, or the protocol's."""
    return protocol.learning_rate if stage.learning_rate is None else times(stage.learning_rate, protocol.scale)


def set_learning(network: Experts, parts: tuple[str, ...]) -> list[torch.nn.Parameter]:
    """Let only `parts` learn; the rest is frozen, its batch norm too. Gives back the parameters that learn."""
    for name in PARTS:
        if (part := getattr(network, name)) is not None:
            part.requires_grad_(name in parts).train(name in parts)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
