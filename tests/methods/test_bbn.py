"""BBN against the released code's numbers, against two networks by hand, and what its branches see."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ltbv.data.batches import Batch
from ltbv.data.samplers import ByClass, Turn, class_chances
from ltbv.engine.cost import network_cost
from ltbv.methods.base import Moment
from ltbv.methods.bbn import BBN, RATE, alpha, mix
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.schedules import value

(STAGE,) = BBN.stages
CIFAR = Resnet(widths=(16, 32, 64), blocks=5)


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_mixed_logits_loss_and_gradients_are_those_of_the_code(golden):
    found = golden("methods/bbn_mix")
    labels = [torch.tensor(found[f"labels_{branch}"]) for branch in ("cb", "rb")]
    assert len(found["cases"]) > 3
    for case in found["cases"]:
        share = alpha(case["epoch_1based"] - 1, case["epochs"])
        assert share == pytest.approx(case["alpha"], abs=1e-12)
        given = first, second, weight, bias = [
            tensor(found[name]) for name in ("feature_cb", "feature_rb", "weight", "bias")
        ]
        logits = mix(first, second, weight, bias, share)
        loss = share * F.cross_entropy(logits, labels[0]) + (1 - share) * F.cross_entropy(logits, labels[1])
        loss.backward()
        expected = (case["grad_feature_cb"], case["grad_feature_rb"], case["grad_weight"], case["grad_bias"])
        np.testing.assert_allclose(logits.detach(), case["logits"], atol=1e-9)
        assert loss.item() == pytest.approx(case["loss"], abs=1e-9)
        for one, gradient in zip(given, expected, strict=True):
            np.testing.assert_allclose(one.grad, gradient, atol=1e-9)
    halves = mix(*(tensor(found[name]) for name in ("feature_cb", "feature_rb", "weight", "bias")), 0.5)
    np.testing.assert_allclose(halves.detach(), found["test_logits"], atol=1e-9)


def test_rates_and_shares_by_epoch_are_those_of_the_code(golden):
    found = golden("methods/bbn_schedule")
    for epoch, rate, share in zip(found["epochs"], found["learning_rate"], found["alpha"], strict=True):
        assert value(RATE, epoch - 1, 200) == pytest.approx(rate, rel=1e-12)
        assert alpha(epoch - 1, 200) == pytest.approx(share, abs=1e-12)


def test_reversed_images_are_drawn_as_often_as_the_code_draws_them(golden):
    for case in golden("methods/bbn_sampler")["cases"]:
        counts = np.array(case["counts"])
        chances = class_chances(counts, -1.0)
        np.testing.assert_allclose(chances / chances.sum(), case["class_probability"], rtol=1e-12)
    labels = np.repeat(np.arange(4), counts := [50, 10, 0, 1])
    draws = [np.random.default_rng(seed) for seed in range(2)]
    turn = Turn(labels, 0, 1, *draws, neighbours=lambda k: np.empty((0, 0)))
    drawn = np.bincount(labels[ByClass(-1.0).order(turn).positions], minlength=4)
    assert drawn.sum() == 61 and drawn[2] == 0 and drawn[3] > drawn[0], counts


@pytest.mark.parametrize("classes", [10, 100])
def test_the_network_is_that_of_the_code(golden, classes):
    found = golden("methods/bbn_network")
    sizes = {apart: network_cost(STAGE.net, CIFAR, (32, 32, 3), classes, apart) for apart in (False, True)}
    assert sizes[False]["parameters"] == found["parameters"][str(classes)]
    head = 128 * classes
    assert sizes[False]["macs"] - head == found["conv_macs_test"]
    assert sizes[False]["macs_with_norm"] - sizes[False]["macs"] == found["batch_norm_2_per_element_test"]
    assert sizes[True]["macs"] - head == 2 * found["conv_macs_one_branch"]


@pytest.mark.parametrize("classes", [2, 5])
def test_each_branch_sees_its_own_batch_and_an_answer_is_of_both(classes):
    backbone = Resnet(widths=(4, 6, 8), blocks=2)
    network = STAGE.net.build(backbone, runs=2, channels=3, classes=classes).double().eval()
    for run in range(2):
        draw_run(network, run, 2, np.random.default_rng(run))
    one, other = torch.randn(2, 7, 6, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (first, second), apart = (network(x).features for x in (one, other)), network([one, other]).features
    torch.testing.assert_close(apart[:, 0], first[:, 0])
    torch.testing.assert_close(apart[:, 1], second[:, 1])
    heads = network.heads
    for run in range(2):
        by_hand = mix(first[run, 0], first[run, 1], heads.weight[run], heads.bias[run], 0.5)
        torch.testing.assert_close(BBN.predict(network, one).logits[run], by_hand)


def test_the_loss_of_the_network_is_that_of_mixed_logits_and_leaves_the_second_branch_alone_at_first():
    draw = torch.Generator().manual_seed(3)
    network = STAGE.net.build(Resnet(widths=(4, 6, 8), blocks=1), runs=2, channels=3, classes=4).double()
    for run in range(2):
        draw_run(network, run, 2, np.random.default_rng(run))
    batches = tuple(
        Batch(torch.randn(5, 6, 8, 8, dtype=torch.float64, generator=draw), torch.randint(4, (2, 5), generator=draw))
        for _ in range(2)
    )
    for epoch in (0, 3):
        network.zero_grad()
        losses = STAGE.objective(network, batches, (), Moment(epoch, 6, torch.ones(2, 4)))
        losses.sum().backward()
        share, features = alpha(epoch, 6), network([batch.images for batch in batches]).features
        for run in range(2):
            logits = mix(*features[run], network.heads.weight[run], network.heads.bias[run], share)
            one, other = (F.cross_entropy(logits, batch.labels[run]) for batch in batches)
            torch.testing.assert_close(losses[run], share * one + (1 - share) * other)
        first, second = network.branches[0].conv1.weight.grad.unflatten(0, (2, 2)).unbind(1)
        assert first.abs().max() > 0 and (second.abs().max() > 0) == (epoch > 0)
