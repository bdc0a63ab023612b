"""Every stage there is, trained some images at a time: as if all that was asked had been held."""

from dataclasses import replace

import pytest
import torch
from stages import PROTOCOL, SPLITS, STAGES, fed, fresh

from ltbv.engine.cost import check
from ltbv.engine.train import train
from ltbv.errors import Refusal

PARTS = replace(PROTOCOL, micro_batch=6)
RUNS = (0, 1)
AHEAD = [name for name, stage in STAGES.items() if stage.objective.looks_ahead]


def trained(tiny, name, epochs=3):
    stage = STAGES[name]
    network = fresh(stage, RUNS)
    history = train(
        stage, network, fed(tiny, stage, RUNS), replace(PARTS, epochs=epochs), seed=0, runs=RUNS, groups=SPLITS
    )
    assert network.at_once is None
    return [*network.state_dict().values(), torch.as_tensor(history.losses)]


@pytest.mark.parametrize("name", [name for name in STAGES if name not in AHEAD])
def test_asking_again_in_the_backward_pass_changes_nothing(name, tiny, monkeypatch):
    """Weights, buffers and losses against parts of which everything is held."""
    asked, anew = [], trained(tiny, name)
    monkeypatch.setattr("ltbv.models.micro.checkpoint", lambda ask, part, **how: asked.append(1) or ask(part))
    for one, other in zip(anew, trained(tiny, name), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert bool(asked) != name.endswith("/router"), "a router alone needs no gradient of the network"


@pytest.mark.parametrize("name", AHEAD)
def test_steps_that_look_ahead_are_refused(name, tiny):
    """Asked again, the network would have its own weights and not those that were tried."""
    with pytest.raises(Refusal, match="looks from other weights .* and micro_batch is 6: leave out --micro-batch"):
        check(STAGES[name], PARTS, (8, 8, 2), 5)
    with pytest.raises(Refusal, match="a virtual step asks of the whole batch at once, and micro_batch is 6"):
        trained(tiny, name, 5)
