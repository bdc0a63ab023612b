"""Weight balancing: the limit of class vectors as published, when it is applied, that it outlives an interruption."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stages import PROTOCOL, RUNS, SPLITS, Interrupted, Shelf, fed, fresh

from ltbv.engine.protocol import CIFAR
from ltbv.engine.terms import stage_decay, stage_rate
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Net
from ltbv.methods.weight_balancing import KeptShort, kept_short, length_limit, softmax_questions
from ltbv.models.parts import COSINE
from ltbv.schedules import value

BEFORE, STAGE = METHODS["weight_balancing"].stages


def test_the_common_protocol_has_its_own_rate_and_the_paper_that_of_the_authors():
    common, paper = (resolve("cifar100-lt", protocol=name) for name in ("common", "paper"))
    method = METHODS["weight_balancing"]
    for study, expected in ((common, [0.1, 0.01]), (paper, [0.01, 0.01])):
        stages = study.form(method).stages
        assert [value(stage_rate(stage, CIFAR), 0, 200) for stage in stages] == expected
        assert [stage_decay(stage, CIFAR) for stage in stages] == [5e-3, 0.1]


def test_class_vectors_are_brought_back_to_the_limit_as_published(golden):
    for case in golden("methods/maxnorm")["cases"]:
        first, later = (
            torch.tensor(case[name], dtype=torch.float64) for name in ("stage1_weight", "weight_after_an_epoch")
        )
        found = length_limit(first, case["thresh"])
        assert found.item() == pytest.approx(case["limit"], abs=1e-9)
        np.testing.assert_allclose(kept_short(later, found), case["projected"], atol=1e-9)


def test_the_loss_asks_of_each_class_whether_it_is_that_one():
    logits = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    asked = F.binary_cross_entropy(logits.softmax(-1), F.one_hot(labels, 4).double(), reduction="none").mean(-1)
    torch.testing.assert_close(softmax_questions(logits, labels), asked)
    sure = torch.tensor([[200.0, 0.0], [200.0, 0.0]], requires_grad=True)
    found = softmax_questions(sure, torch.tensor([0, 1]))
    found.sum().backward()
    assert found[0] == 0 and found[1] > 50 and found.isfinite().all() and sure.grad.isfinite().all()


def test_a_vector_of_no_length_stays():
    weight = torch.zeros(2, 3, 4)
    assert torch.equal(kept_short(weight, length_limit(weight)), weight)


def trained(dataset, stage=STAGE, keeper=None, report=lambda images: None, epochs=1.0):
    before, network = fresh(BEFORE), fresh(BEFORE)
    stage = replace(stage, epochs=epochs, learning_rate=0.5, weight_decay=0.0)
    feed = fed(dataset, stage)
    train(
        stage, network, feed, PROTOCOL, seed=0, runs=RUNS, groups=SPLITS, given=(before,), keeper=keeper, report=report
    )
    return before, network


def test_after_the_last_epoch_no_vector_of_any_run_is_longer_than_its_limit(tiny):
    before, network = trained(tiny)
    bounds = length_limit(before.heads.weight)
    assert len(set(bounds.tolist())) == 3
    found = network.heads.weight.norm(dim=-1)
    assert (found <= bounds[:, None] * (1 + 1e-12)).all() and torch.isclose(found, bounds[:, None]).any()
    free = replace(STAGE, objective=STAGE.objective.loss)
    assert (trained(tiny, free)[1].heads.weight.norm(dim=-1) > bounds[:, None]).any(), "steps take them beyond it"


def test_the_limit_is_that_of_the_first_stage_after_an_interruption_too(tiny):
    _, whole = trained(tiny)
    shelf, heard = Shelf(), []

    def interrupt(images):
        heard.append(images)
        if len(heard) == 8:  # three batches an epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(tiny, keeper=shelf, report=interrupt)
    assert len(shelf.kept) == 2
    _, resumed = trained(tiny, keeper=shelf)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_heads_that_are_not_linear_are_refused():
    with pytest.raises(Refusal, match="keeps vectors of linear heads short"):
        KeptShort(Loss(cross_entropy)).from_given(None, (fresh(replace(BEFORE, net=Net(head=COSINE))),), None)
