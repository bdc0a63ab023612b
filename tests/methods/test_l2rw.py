"""L2RW: the published step, and what weights must be whatever the numbers."""

import pytest
import torch
from golden_steps import PLAIN, Golden, batches, near, tensors

from ltbv.methods import METHODS
from ltbv.methods.l2rw import example_weights

STAGE = METHODS["l2rw"].stages[0]


@pytest.mark.parametrize("name", ["l2rw_step", "l2rw_all_zero"])
def test_a_step_is_the_published_one(golden, name):
    for case in golden(f"methods/{name}")["cases"]:
        own = Golden(case, STAGE, PLAIN, tensors(case["parameters"]), case["virtual_rate"])
        found = STAGE.losses(own.network, batches(case), (), own.now)
        near(found.losses, case["weighted_loss"])
        own.fill(tensors(case["parameters"]))
        own.step(batches(case), own.now)
        own.check(case["parameters_after_plain_sgd_step"])


def test_weights_are_the_published_ones_at_any_rate(golden):
    for case in (case for name in ("l2rw_step", "l2rw_all_zero") for case in golden(f"methods/{name}")["cases"]):
        gradient = torch.tensor(case["gradient_of_eps"], dtype=torch.float64)
        for rate in (1.0, case["virtual_rate"]):
            near(example_weights(-gradient / rate), case["weights"])


def test_weights_are_shares_of_what_agrees():
    alignment = torch.tensor([[3.0, -2.0, 1.0], [-1.0, -1.0, 0.0]], dtype=torch.float64)
    assert example_weights(alignment).tolist() == [[0.75, 0.0, 0.25], [0.0, 0.0, 0.0]]
    assert example_weights(alignment[0]).tolist() == [0.75, 0.0, 0.25]
