"""How is one stage trained, for a stack of runs at once? This is the only loop; it knows no method."""

from collections.abc import Callable

import numpy as np
import torch

from ltbv.data.batches import Feed
from ltbv.engine.device import precision
from ltbv.engine.protocol import Protocol
from ltbv.engine.snapshot import Keeper, restore, take_snapshot
from ltbv.methods.base import Moment, Stage
from ltbv.models.experts import PARTS, Experts
from ltbv.schedules import value


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
    learning = set_learning(network, stage.train)
    device = learning[0].device
    epochs = stage_epochs(stage, protocol)
    rate = stage.learning_rate if stage.learning_rate is not None else protocol.learning_rate
    optimiser = torch.optim.SGD(
        learning,
        lr=1.0,  # set for each epoch below
        momentum=protocol.momentum,
        nesterov=protocol.nesterov,
        weight_decay=protocol.weight_decay,
        fused=True,
    )
    counts = torch.as_tensor(feed.counts).to(device)
    kept = keeper.load() if keeper else None
    done = None if kept is None else restore(kept, network, optimiser, len(runs), epochs)
    history = [] if done is None else list(done.T)
    for epoch in range(len(history), epochs):
        for group in optimiser.param_groups:
            group["lr"] = value(rate, epoch, epochs)
        now = Moment(epoch, epochs, counts)
        total, seen = torch.zeros(len(runs), device=device, dtype=torch.float64), 0
        for batches in feed.epoch(seed, runs, position, epoch, epochs, protocol.batch, stage.sampler):
            with precision(device, learning[0].dtype):
                losses = stage.losses(network, batches, given, now)
            optimiser.zero_grad(set_to_none=True)
            losses.backward(torch.ones_like(losses))
            optimiser.step()
            size = batches[0].labels.shape[1]
            total += losses.detach() * size
            seen += size
            report(size * len(runs))
        history.append((total / seen).cpu().numpy())
        if keeper and epoch + 1 < epochs and keeper.is_due():
            keeper.save(take_snapshot(network, optimiser, np.stack(history, axis=1)))
    return np.stack(history, axis=1)


def stage_epochs(stage: Stage, protocol: Protocol) -> int:
    """How many epochs a stage lasts: its share of the protocol's, at least one."""
    return max(1, round(stage.epochs * protocol.epochs))


def set_learning(network: Experts, parts: tuple[str, ...]) -> list[torch.nn.Parameter]:
    """Let only `parts` learn; the rest is frozen, its batch norm too. Gives back the parameters that learn."""
    for name in PARTS:
        if (part := getattr(network, name)) is not None:
            part.requires_grad_(name in parts).train(name in parts)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
