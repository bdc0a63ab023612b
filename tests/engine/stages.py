"""What tests of training share: small samples, fresh networks, every stage there is, snapshots."""

from dataclasses import replace

import numpy as np
import torch

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, Dataset, make_ids
from ltbv.data.development import hold_out
from ltbv.engine.protocol import Protocol
from ltbv.engine.snapshot import Keeper
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Stage
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.schedules import Step, Warmup
from ltbv.seeds import generator

CPU = torch.device("cpu")
BACKBONE = Resnet(widths=(4, 8, 8), blocks=1)
PROTOCOL = Protocol(epochs=3, batch=16, learning_rate=Warmup(Step(0.1, 0.01, at=0.6), warmup=2), backbone=BACKBONE)
PLAIN = Stage("representation", Loss(cross_entropy))
COUNTS = [20, 10, 4, 2, 1]
SPLITS = {"many": [0, 1], "medium": [2], "few": [3, 4]}
RUNS = (0, 1, 2)


def sample(run: int, variant: int = 0) -> np.ndarray:
    """Ids [37] of a run."""
    draw = np.random.default_rng((run, variant))
    return np.sort(
        make_ids(np.repeat(np.arange(5), COUNTS), np.concatenate([draw.permutation(40)[:n] for n in COUNTS]))
    )


def fresh(stage: Stage, runs=RUNS, dtype=torch.float64, backbone=BACKBONE):
    network = stage.net.build(backbone, runs=len(runs), channels=2, classes=5, size=(8, 8)).to(dtype)
    for place, run in enumerate(runs):
        draw_run(network, place, len(runs), generator(0, run, "init"))
    return network


def fed(dataset: Dataset, stage: Stage, runs=RUNS, ids=None, *, dtype=torch.float64, device=CPU) -> Feed:
    """The samples of these runs, or `ids` [R, n], cropped and mirrored, less what the stage holds out of them."""
    ids = [sample(run) for run in runs] if ids is None else ids
    parts = [hold_out(own, dataset.pool_sizes, stage.held, seed=0, run=run) for run, own in zip(runs, ids, strict=True)]
    left, held = (np.stack(part) for part in zip(*parts, strict=True))
    return Feed(dataset, left, held, augmentation=Augmentation(pad=1, flip=True), device=device, dtype=dtype)


def nan_weights(network) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.unflatten(0, (3, -1))[1] = float("nan")


def distinct_stages() -> dict[str, Stage]:
    """Each stage of any method once, by the first method that has it; started from weights as drawn."""
    found: dict[Stage, str] = {}
    for method in METHODS.values():
        for stage in method.stages:
            if not stage.given:
                found.setdefault(replace(stage, start=None), f"{method.key}/{stage.name}")
    return {name: stage for stage, name in found.items()}


STAGES = distinct_stages()


class Shelf(Keeper):
    """Keeps every snapshot in memory."""

    def __init__(self):
        self.kept = []

    def load(self):
        return self.kept[-1] if self.kept else None

    def is_due(self):
        return True

    def save(self, arrays):
        self.kept.append({name: values.copy() for name, values in arrays.items()})


class Interrupted(Exception):
    """The process ends here."""
