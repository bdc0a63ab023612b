"""How is one stage trained, for a stack of runs at once? This is the only loop; it knows no method."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from ltbv.data.batches import Feed, Tables
from ltbv.engine.optimise import Optimisers, stage_rate
from ltbv.engine.protocol import Protocol
from ltbv.engine.replay import drive
from ltbv.engine.snapshot import Keeper, restore, take_snapshot
from ltbv.engine.step import Step
from ltbv.methods.base import Moment, Stage
from ltbv.methods.objective import Groups
from ltbv.models.experts import Experts


class History(NamedTuple):
    """Of each run and epoch, [R, epochs]: the mean loss, and the share of training images that were right (NaN where
    the objective does not count them), both as they were seen: augmented, while the weights moved."""

    losses: np.ndarray
    accuracy: np.ndarray


def train(
    stage: Stage,
    network: Experts,
    feed: Feed,
    protocol: Protocol,
    *,
    seed: int,
    runs: tuple[int, ...],
    draws: tuple[int, ...] = (0,),
    groups: Groups | None = None,
    given: tuple[Experts, ...] = (),
    report: Callable[[int], None] = lambda images: None,
    keeper: Keeper | None = None,
) -> History:
    """Train `network` in place to the last epoch.

    draws    what the stage's random draws are keyed by: its depth, and its salt if it has one
    groups   class ids of many, medium and few, for `Moment.groups`
    report   is told how many images (of all runs together) were just trained on
    keeper   keeps snapshots between epochs; training goes on from the last one it has
    """
    step, epochs = prepare(stage, network, protocol, given), stage_epochs(stage, protocol)
    kept = keeper.load() if keeper else None
    done = None if kept is None else restore(kept, network, step.optimisers, len(runs), epochs)
    history = [] if done is None else list(np.moveaxis(done, 2, 0))  # of each epoch [2, R]
    taken = drive(step, feed, protocol.batch, report)
    counts = torch.as_tensor(feed.counts).to(step.device)
    start = Moment(0, epochs, counts, groups or {}, stage_rate(stage, protocol))

    def tables(epoch: int) -> Tables:
        if epoch == epochs:
            return ()
        more = {"batch": protocol.batch, "draws": stage.objective.draws}
        return feed.tables(seed, runs, draws, epoch, epochs, stage.sampler, **more)

    if not history:
        with torch.no_grad():
            stage.objective.begin(network.eval(), feed, given, start)
    ahead = tables(len(history))
    for epoch in range(len(history), epochs):
        now = replace(start, epoch=epoch)
        with torch.no_grad():
            now = replace(now, memory=remembered(stage, network, feed, given, now))
        set_learning(network, stage.learning)
        taken.start(ahead, now)
        ahead = tables(epoch + 1)  # drawn while a GPU is at work
        history.append(torch.stack(taken.told()).numpy())
        if keeper and epoch + 1 < epochs and keeper.is_due():
            keeper.save(take_snapshot(network, step.optimisers, np.stack(history, axis=2)))
    return History(*np.stack(history, axis=2))


def prepare(stage: Stage, network: Experts, protocol: Protocol, given: tuple[Experts, ...]) -> Step:
    """The step of a stage, on the parts of the network that learn."""
    set_learning(network, stage.learning)
    return Step(stage, network, given, Optimisers(stage, network, protocol))


def remembered(
    stage: Stage, network: Experts, feed: Feed, given: tuple[Experts, ...], now: Moment
) -> dict[str, torch.Tensor]:
    """What the objective remembers for an epoch, of a network in evaluation mode; copies, which no step moves."""
    found = stage.objective.each_epoch(network.eval(), feed, given, now)
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def stage_epochs(stage: Stage, protocol: Protocol) -> int:
    """How many epochs a stage lasts: its share of the protocol's, at least one."""
    return max(1, round(stage.epochs * protocol.epochs))


def set_learning(network: Experts, parts: tuple[str, ...]) -> None:
    """Let only `parts` learn; the rest is frozen, its batch norm too."""
    for name in network.names:
        getattr(network, name).requires_grad_(name in parts).train(name in parts)
