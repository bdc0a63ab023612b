"""One of several processes that train stages together; the first writes what has become of the weights.

python one_of_several.py RANK WORLD MEETING-FILE OUTPUT.npz        # tests/engine/test_ranks.py starts them
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.append(str(Path(__file__).parent))
from stages import BACKBONE, CPU, PROTOCOL, SPLITS, Shelf, fresh, sample

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation
from ltbv.engine.cost import noise
from ltbv.engine.ranks import Handed, Team, joined
from ltbv.engine.snapshot import Keeper
from ltbv.engine.train import History, train
from ltbv.methods import METHODS
from ltbv.methods.base import Stage
from ltbv.models.experts import Experts
from ltbv.models.own import own
from ltbv.models.stack import run_state
from ltbv.optimisers import SGD

RUNS = (0, 1)
PLAIN = SGD()
NAMES = ("ce", "cb_ce", "ldam_drw", "ride", "range_loss", "smote", "clipped", "resumed", "taught", "foreign")


def classifier() -> nn.Module:
    """A network of torch's own layers, with running means that are plain ones and without any."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, bias=False),
        nn.BatchNorm2d(6, momentum=None),
        nn.ReLU(),
        nn.Flatten(),
        nn.BatchNorm1d(54, affine=False, track_running_stats=False),
        nn.Linear(54, 10),
        nn.BatchNorm1d(10),
        nn.Linear(10, 5),
    )


def stage_of(name: str) -> Stage:
    if name == "taught":
        return METHODS["ride_2_distil"].stage("experts")
    return METHODS["ldam_drw" if name in ("clipped", "resumed", "foreign") else name].stages[0]


def states(name: str, among: Team | None = None) -> dict[str, np.ndarray]:
    """Weights, statistics and losses after five epochs, deferred weights on in the last: of 37 images, 35 and 2."""
    stage = stage_of(name)
    network = fresh(stage, RUNS, backbone=own("one_of_several:classifier", "") if name == "foreign" else BACKBONE)
    given = tuple(fresh(METHODS["ride_2_distil"].stage(one), RUNS).eval() for one in stage.given)
    keeper: Keeper = Handed(None)
    if name == "resumed" and not (among and among.rank):
        shelf = Shelf()
        trained(stage, fresh(stage, RUNS), shelf)
        keeper = Handed(shelf.kept[1])
    if among and among.rank:  # what it has does not count
        for parameter in (parameter for one in (network, *given) for parameter in one.parameters()):
            parameter.data.fill_(torch.nan)
    if among:
        keeper = among.begin([network, *given], None if among.rank else keeper)
    told = trained(stage, network, keeper, SGD(clip=0.1) if name == "clipped" else PLAIN, given, among)
    found = {f"{name} {run} {key}": of for run in RUNS for key, of in run_state(network, run, len(RUNS)).items()}
    return found | {f"{name} losses": told.losses, f"{name} accuracy": told.accuracy}


def trained(
    stage: Stage,
    network: Experts,
    keeper: Keeper,
    optimiser: SGD = PLAIN,
    given: tuple[Experts, ...] = (),
    among: Team | None = None,
) -> History:
    feed = Feed(
        noise((8, 8, 2), 5, 1, 200)[0],
        np.stack([sample(run) for run in RUNS]),
        augmentation=Augmentation(pad=1, flip=True),
        device=CPU,
        dtype=torch.float64,
        part=among.part if among else slice(None),
    )
    protocol = replace(PROTOCOL, epochs=5, batch=35, optimiser=optimiser)
    return train(
        stage, network, feed, protocol, seed=0, runs=RUNS, groups=SPLITS, given=given, keeper=keeper, among=among
    )


def main(rank: str, world: str, meeting: str, output: str) -> None:
    torch.set_num_threads(1)
    how = {"init_method": f"file://{meeting}", "rank": int(rank), "world_size": int(world)}
    with joined(CPU, **how) as among:
        found = {key: of for name in NAMES for key, of in states(name, among).items()}
        if among.rank == 0:
            np.savez(output, **found)
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], threads  # one that outlives the group may abort the exit


if __name__ == "__main__":
    main(*sys.argv[1:])
