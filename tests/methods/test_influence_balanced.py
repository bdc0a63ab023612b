"""Influence-balanced loss against the authors' values: factor, gradients into logits and features, and its start."""

import pytest
import torch

from ltbv.engine.protocol import CIFAR
from ltbv.engine.terms import stage_rate
from ltbv.losses import cross_entropy, effective_number, inverse_power
from ltbv.methods import METHODS
from ltbv.methods.base import Moment
from ltbv.methods.influence_balanced import InfluenceBalanced, influence_balanced
from ltbv.models.experts import Output
from ltbv.schedules import value

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("case", [0, 1])
def test_is_the_authors_and_so_are_its_gradients(golden, case):
    of = golden("methods/ib")["cases"][case]
    logits, features = (tensor(of[name]).requires_grad_() for name in ("logits", "features"))
    labels, counts = torch.tensor(of["labels"]), torch.tensor(of["counts"])
    rule = {"inverse": inverse_power, "cb0.9999": lambda counts: effective_number(counts, 0.9999)}
    weights = rule[of["class_weight_rule"]](counts)
    torch.testing.assert_close(weights, tensor(of["class_weights"]), **EXACT)
    gamma = of.get("gamma", 0.0)
    weighted = weights[labels] * cross_entropy(logits, labels)
    plain = influence_balanced(logits, features, labels, weights, of["alpha"])
    torch.testing.assert_close(plain / weighted, tensor(of["factor"]), **EXACT)
    objective = InfluenceBalanced(gamma, of["alpha"], weights=lambda counts: weights)
    loss = objective.of_run(Output(logits[None], features[None]), labels, counts, Moment(1, 2, counts))
    torch.testing.assert_close(loss, tensor(of["loss"]), **EXACT)
    found = torch.autograd.grad(loss, (logits, features))
    for name, ours in zip(("gradient_logits_code", "gradient_features_code"), found, strict=True):
        torch.testing.assert_close(ours, tensor(of[name]), **EXACT)


def test_it_is_cross_entropy_until_half_of_the_stage():
    draw = torch.Generator().manual_seed(0)
    logits, features = (torch.randn(1, 5, size, generator=draw, dtype=torch.float64) for size in (3, 4))
    labels, counts = torch.tensor([0, 1, 2, 0, 0]), torch.tensor([9, 3, 1])

    def at(epoch):
        now = Moment(epoch, 200, counts)
        return InfluenceBalanced().of_run(Output(logits, features), labels, counts, now).item()

    assert at(0) == at(99) == pytest.approx(cross_entropy(logits[0], labels).mean().item())
    expected = influence_balanced(logits[0], features[0], labels, inverse_power(counts)).mean()
    assert at(100) == at(199) == pytest.approx(expected.item())
    (stage,) = METHODS["ib"].stages
    rates = [value(stage_rate(stage, CIFAR), epoch, 200) for epoch in (4, 99, 100, 160, 180)]
    assert rates == pytest.approx([0.1, 0.1, 1e-3, 1e-5, 1e-7])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_a_solved_image_keeps_a_loss_and_a_finite_gradient(gamma):
    logits = torch.tensor([[60.0, 0.0, 0.0], [200.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    features = torch.ones(2, 4, dtype=torch.float64, requires_grad=True)
    losses = influence_balanced(logits, features, torch.tensor([0, 0]), torch.ones(3, dtype=torch.float64), gamma=gamma)
    losses.sum().backward()
    assert losses.isfinite().all() and logits.grad.isfinite().all() and features.grad.isfinite().all()
