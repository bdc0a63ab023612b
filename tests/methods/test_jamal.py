"""Jamal et al.: class weights of the talk, the published step on three losses, the phase before it."""

from dataclasses import replace

import pytest
import torch
from golden_steps import PLAIN, Golden, batches, near, tensors

from ltbv.errors import Refusal
from ltbv.losses import cross_entropy, focal
from ltbv.methods import METHODS
from ltbv.methods.base import Loss
from ltbv.methods.jamal import Conditional, class_weights


def case_stage(case):
    """The method's stage, late in training, with the constants of a golden case."""
    stage = METHODS[f"jamal_{case['loss']}"].stages[0]
    objective = replace(stage.objective, at=0.0, tau=case["tau"], reduction=case["virtual_loss_reduction"])
    if case.get("gamma", 1.0) != 1.0:
        objective = replace(objective, loss=lambda z, y, n: focal(z, y, n, gamma=case["gamma"]))
    return replace(stage, objective=objective)


@pytest.mark.parametrize("loss", ["ce", "focal", "ldam"])
def test_a_step_is_the_published_one(golden, loss):
    for case in golden(f"methods/jamal_step_{loss}")["cases"]:
        stage = case_stage(case)
        own = Golden(case, stage, PLAIN, tensors(case["parameters"]), case["virtual_rate"])
        near(class_weights(own.now.counts), case["class_weights"])
        by_class = torch.tensor(case["class_weights"], dtype=torch.float64)[case["labels"]]
        near(stage.objective.weights(own.network, batches(case), own.now), case["weights"])
        eps = stage.objective.weights(own.network, batches(case), own.now) - by_class
        near(eps / -case["tau"], case["gradient_of_eps"])
        near(stage.losses(own.network, batches(case), (), own.now).losses, case["update_loss"])
        other = case["gradient_of_eps_if_the_virtual_loss_is"]
        elsewhere = replace(stage.objective, reduction=other["reduction"])
        near((elsewhere.weights(own.network, batches(case), own.now) - by_class) / -case["tau"], other["value"])
        own.fill(tensors(case["parameters"]))
        own.step(batches(case), own.now)
        own.check(case["parameters_after_plain_sgd_step"])


def test_class_weights_are_the_published_ones_and_those_of_the_talk(golden):
    file = golden("methods/jamal_class_weights")
    for case in file["cases"].values():
        near(class_weights(torch.tensor(case["counts"])), case["weights"])
    of = file["with_beta_of_the_text"]
    near(class_weights(torch.tensor(of["counts"]), of["beta"]), of["weights"])
    found = class_weights(torch.tensor(file["cases"]["cifar10_IF10"]["counts"]))
    right = [k for k in range(10) if k not in file["misprinted_positions"]]
    assert [round(found[k].item(), 4) for k in right] == [file["printed"][k] for k in right]
    lost = class_weights(torch.tensor([[10, 0, 5], [1, 1, 1]]))
    assert lost[0, 1] == 0 and lost.sum(1).tolist() == pytest.approx([3, 3]) and lost[1].tolist() == [1, 1, 1]


def test_until_its_share_is_done_it_is_plain_training(golden):
    (case, *_) = golden("methods/jamal_step_ce")["cases"]
    stage = METHODS["jamal_ce"].stages[0]
    own = Golden(case, stage, PLAIN, tensors(case["parameters"]), 0.1)
    for epoch, plain in ((0, True), (7, True), (8, False), (9, False)):
        now = replace(own.now, epoch=epoch, epochs=10)
        found = stage.losses(own.network, batches(case), (), now).losses
        mean = Loss(cross_entropy)(own.network, batches(case)[:1], (), now).losses
        assert torch.allclose(found, mean) == plain


def test_a_virtual_loss_is_a_sum_or_a_mean():
    with pytest.raises(Refusal, match="unknown reduction of a virtual loss 'median'"):
        Conditional(reduction="median")
