"""How is one stage trained, for a stack of runs at once? This is the only loop; it knows no method."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from ltbv.data.batches import Feed
from ltbv.data.undrawn import undrawn
from ltbv.engine.opening import Opened
from ltbv.engine.optimum import to_optimum
from ltbv.engine.protocol import Protocol
from ltbv.engine.ranks import Team
from ltbv.engine.replay import drive
from ltbv.engine.snapshot import Keeper, restore, take_snapshot
from ltbv.engine.step import Eager
from ltbv.engine.terms import stage_decay, stage_epochs
from ltbv.methods.base import Stage
from ltbv.methods.objective import Groups
from ltbv.models.experts import Experts
from ltbv.optimisers import LBFGS

__all__ = ["History", "stage_epochs", "train"]


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
    after_epoch: Callable[[int, int, np.ndarray, np.ndarray], None] = lambda *found: None,
    keeper: Keeper | None = None,
    among: Team | None = None,
) -> History:
    """Train `network` in place to the last epoch.

    draws    what the stage's random draws are keyed by: its depth, and its salt if it has one
    groups   class ids of many, medium and few, for `Moment.groups`
    report   is told how many images (of all runs together) were just trained on
    after_epoch is told which epoch is over, from 1, of how many, and its mean losses and accuracy, [R] each
    keeper   keeps snapshots between epochs; training goes on from the last one it has
    among    the processes that train it, whose `Feed` gives each its part of a batch
    """
    if isinstance(protocol.optimiser, LBFGS):
        found = to_optimum(stage, network, feed, protocol.optimiser, stage_decay(stage, protocol))
        report(feed.rows.size)
        after_epoch(1, 1, *(of[:, 0] for of in found))
        return History(*found)
    opened = Opened(stage, network, feed, protocol, given=given, groups=groups, among=among)
    step, epochs = opened.step, opened.epochs
    kept = keeper.load() if keeper else None
    done = None if kept is None else restore(kept, network, step.optimisers, len(runs), epochs)
    history = [] if done is None else list(np.moveaxis(done, 2, 0))  # of each epoch [2, R]
    taken = (Eager if among else drive)(step, feed, opened.protocol.batch, report)
    if not history:
        opened.begin()
    ahead = opened.tables(seed, runs, draws, len(history))
    for epoch in range(len(history), epochs):
        now = opened.moment(epoch)
        with undrawn(stage.code):
            taken.start(ahead, now)
            if epoch + 1 < epochs:
                ahead = opened.tables(seed, runs, draws, epoch + 1)  # drawn while a GPU is at work
            history.append(torch.stack(taken.told()).numpy())
        opened.end(now)
        after_epoch(epoch + 1, epochs, *history[-1])
        if keeper and epoch + 1 < epochs and keeper.is_due():
            keeper.save(take_snapshot(network, step.optimisers, np.stack(history, axis=2)))
    opened.close()
    return History(*np.stack(history, axis=2))
