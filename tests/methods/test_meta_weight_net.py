"""Meta-Weight-Net: two published updates with momentum, of both forms; how the weight net is drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_steps import RUNS, Golden, batches, near, tensors

from ltbv.methods import METHODS
from ltbv.methods.base import Net
from ltbv.methods.meta_weight_net import Weigher, WeightNet
from ltbv.optimisers import SGD

FORMS = {"imbalance": METHODS["meta_weight_net"].stages[0], "noise": METHODS["meta_weight_net_noise"].stages[0]}
WEIGHTS = {
    "linear1.weight": "inner_weight",
    "linear1.bias": "inner_bias",
    "linear2.weight": "outer_weight",
    "linear2.bias": "outer_bias",
}


def shaped(module, name: str, value):
    own = getattr(module, WEIGHTS[name])
    return own, torch.as_tensor(value, dtype=torch.float64).reshape(own.shape[1:]).expand_as(own)


@pytest.mark.parametrize("form", FORMS)
def test_two_updates_are_the_published_ones(golden, form):
    for case in golden(f"methods/mwn_update_{form}")["cases"]:
        rule = replace(FORMS[form].own[0][1], learning_rate=case["weight_net_optimiser"]["rate"])
        assert rule.weight_decay == case["weight_net_optimiser"]["weight_decay"]
        net = Net(parts=(Weigher(case["hidden_units"]),))
        stage = replace(FORMS[form], net=net, own=(("weigher", rule),))
        momentum = SGD(momentum=case["momentum"], nesterov=case["nesterov"], weight_decay=case["weight_decay"])
        own = Golden(case, stage, momentum, tensors(case["parameters"]), case["rate"])
        weigher = own.network.weigher
        with torch.no_grad():
            for name, value in case["weight_net"].items():
                weight, values = shaped(weigher, name, value)
                weight.copy_(values)
        assert len(case["steps"]) == 2
        for of, wanted in zip(case["batches"], case["steps"], strict=True):
            asked = own.network, batches(of), (), own.now
            gradient = torch.autograd.grad(stage.objective.before(*asked).sum(), list(weigher.parameters()))
            by_name = dict(zip((name for name, _ in weigher.named_parameters()), gradient, strict=True))
            for name, value in wanted["gradient_of_weight_net"].items():
                near(by_name[WEIGHTS[name]], shaped(weigher, name, value)[1])
            near(
                weigher(torch.tensor([wanted["losses"]] * RUNS, dtype=torch.float64)),
                wanted["first_outputs_of_weight_net"],
            )
            before = own.step.total.clone()
            own.step(asked[1], own.now)
            near((own.step.total - before) / len(of["labels"]), wanted["update_loss"])
            for name, value in wanted["weight_net_after"].items():
                near(*shaped(weigher, name, value))
            own.check(wanted["parameters_after"])


def test_each_run_draws_a_weight_net_of_its_own_within_torchs_bounds():
    layer = WeightNet(2, 100)
    for copy in range(2):
        layer.draw(copy, np.random.default_rng(copy))
    for name, bound in (("inner_weight", 1.0), ("inner_bias", 1.0), ("outer_weight", 0.1), ("outer_bias", 0.1)):
        values = getattr(layer, name).detach()
        assert (values.abs() <= bound).all() and not torch.equal(values[0], values[1])
        assert name == "outer_bias" or values.abs().max() > 0.9 * bound
