"""LADE against the authors' values, its gradient, and what a lost class does to it."""

import pytest
import torch

from ltbv.losses import balanced_softmax
from ltbv.methods.base import Moment
from ltbv.methods.lade import Disentangled, log_prior, regulariser
from ltbv.models.experts import Output

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def objective(logits, labels, counts, **chosen):
    """Of one expert."""
    return Disentangled(**chosen).of_run(Output(logits[None], logits[None]), labels, counts, Moment(0, 1, counts))


@pytest.mark.parametrize("case", [0, 1])
def test_is_the_authors(golden, case):
    of = golden("methods/lade")["cases"][case]
    logits = torch.tensor(of["logits"], dtype=torch.float64, requires_grad=True)
    labels, counts = torch.tensor(of["labels"]), torch.tensor(of["counts"])
    lader = regulariser(logits, labels, counts, of["remine_lambda"])
    torch.testing.assert_close(lader.item(), of["lader"], **EXACT)
    loss = objective(logits, labels, counts, weight=of["alpha"], penalty=of["remine_lambda"])
    torch.testing.assert_close(loss.item(), of["loss"], **EXACT)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor(of["gradient"], dtype=torch.float64), **EXACT)


@pytest.fixture
def batch():
    """Six images of four classes, of which the sample lost one."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return logits, torch.tensor([0, 0, 1, 3, 3, 1]), torch.tensor([50, 9, 0, 3])


def test_without_the_regulariser_it_is_balanced_softmax(batch):
    logits, labels, _ = batch
    counts = torch.tensor([50, 9, 2, 3])
    expected = balanced_softmax(logits, labels, counts).mean()
    torch.testing.assert_close(objective(logits, labels, counts, weight=0.0), expected, rtol=1e-7, atol=0)


def test_a_lost_class_weighs_nothing_in_the_regulariser(batch):
    logits, labels, counts = batch
    other = logits.clone()
    other[:, 2] += 3
    torch.testing.assert_close(regulariser(logits, labels, counts), regulariser(other, labels, counts))
    assert log_prior(counts)[2] == pytest.approx(-20.7, abs=0.1)
    assert torch.autograd.gradcheck(lambda z: objective(z, labels, counts), logits.requires_grad_())


def test_class_sums_are_over_the_batch_of_one_run(batch):
    logits, labels, counts = (torch.stack([part, part.flip(0)]) for part in batch)
    labels[1] = torch.tensor([0, 2, 3, 3, 0, 2])
    mapped = torch.vmap(objective)(logits, labels, counts)
    alone = torch.stack([objective(*run) for run in zip(logits, labels, counts, strict=True)])
    torch.testing.assert_close(mapped, alone, **EXACT)
