"""On a GPU, where there is one: recorded and fused steps train as plain ones do, twice to the same bytes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stages import PLAIN, PROTOCOL, RUNS, SPLITS, STAGES, fed, fresh

from ltbv.data.dataset import Augmentation
from ltbv.engine import train as engine
from ltbv.engine.replay import Replayed, drive
from ltbv.engine.step import Eager
from ltbv.engine.train import train
from ltbv.models import fused
from ltbv.models.resnet import Resnet

CROPS = Augmentation(pad=1, flip=True)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def trained(dataset, stage, way: str, dtype=torch.float32, runs=RUNS):
    """Losses [R, epochs], and weights."""
    device = torch.device("cuda")
    network = fresh(stage, runs, dtype).to(device)
    feed = fed(dataset, stage, runs, dtype=dtype, device=device)
    made, way_of_steps = [], Eager if way == "eager" else drive
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "drive", lambda *given: made.append(way_of_steps(*given)) or made[0])
        if way != "fused":
            patch.setattr(fused, "serves", lambda weight, x: False)
        losses, _ = train(
            stage, network, feed, replace(PROTOCOL, backbone=Resnet((4, 8, 8), 1)), seed=0, runs=runs, groups=SPLITS
        )
    assert way == "eager" or (isinstance(made[0], Replayed) and not made[0].gave_up)
    return losses, {name: tensor.cpu() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_stage_is_recorded_and_starts_as_plain_steps_do(tiny, stage):
    """The first epoch, before rounding has grown: bfloat16 keeps three digits."""
    plain, found = (trained(tiny, stage, way)[0] for way in ("eager", "fused"))
    np.testing.assert_allclose(found[:, 0], plain[:, 0], rtol=0.05, atol=0.02)


@pytest.mark.parametrize("stage", [PLAIN, STAGES["ride/experts"]], ids=["plain", "ride"])
def test_two_trainings_give_the_same_bytes(tiny, stage):
    (losses, weights), (again, others) = (trained(tiny, stage, "fused") for _ in range(2))
    assert losses.tobytes() == again.tobytes()
    assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_in_float64_a_stack_is_its_runs_one_by_one(tiny, stage):
    together = trained(tiny, stage, "recorded", torch.float64)[0]
    for place, run in enumerate(RUNS):
        alone = trained(tiny, stage, "recorded", torch.float64, (run,))[0]
        np.testing.assert_allclose(alone[0], together[place], rtol=1e-6)
