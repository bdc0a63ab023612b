"""VS loss and CDT against the authors' values and by the formula, and the losses that VS is for some settings."""

import math

import pytest
import torch

from ltbv.losses import balanced_softmax, cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss
from ltbv.methods.vs_loss import VectorScaling

FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def batch():
    """Six examples of four classes, one of which the resample lost."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return logits, torch.tensor([0, 0, 1, 3, 3, 1]), torch.tensor([50, 9, 0, 3])


@pytest.mark.parametrize("case", [0, 1])
def test_is_the_authors(golden, case):
    of = golden("methods/cdt_vs")["cases"][case]
    logits = torch.tensor(of["logits"], dtype=torch.float64, requires_grad=True)
    labels, counts = torch.tensor(of["labels"]), torch.tensor(of["counts"])
    loss = VectorScaling(of["gamma"], of["tau"])(logits, labels, counts).mean()
    loss.backward()
    for ours, theirs in ((loss, "loss"), (logits.grad, "gradient")):
        torch.testing.assert_close(ours, torch.tensor(of[theirs], dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_cdt_is_the_first_of_these():
    (stage,) = METHODS["cdt"].stages
    assert stage.objective == Loss(VectorScaling(0.2, 0.0))


@pytest.mark.parametrize(("gamma", "tau"), [(0.05, 0.75), (0.3, 1.0), (0.0, 2.0)])
def test_is_cross_entropy_of_scaled_and_shifted_logits(batch, gamma, tau):
    logits, labels, counts = batch
    losses = VectorScaling(gamma, tau)(*batch)
    for i, y in enumerate(labels.tolist()):
        moved = {
            k: (n / 50) ** gamma * logits[i, k] + tau * math.log(n / 62) for k, n in enumerate(counts.tolist()) if n
        }
        expected = torch.logsumexp(torch.stack(list(moved.values())), 0) - moved[y]
        torch.testing.assert_close(losses[i], expected, **FLOAT64)


def test_is_balanced_softmax_without_scaling_and_cross_entropy_without_either(batch):
    logits, labels, counts = batch
    torch.testing.assert_close(VectorScaling(0.0, 1.0)(*batch), balanced_softmax(*batch), **FLOAT64)
    present = torch.tensor([50, 9, 2, 3])
    torch.testing.assert_close(
        VectorScaling(0.0, 0.0)(logits, labels, present), cross_entropy(logits, labels), **FLOAT64
    )


def test_gradients_with_a_lost_class(batch):
    logits, labels, counts = batch
    assert torch.autograd.gradcheck(lambda z: VectorScaling()(z, labels, counts), logits.requires_grad_())


def test_mapped_over_runs_equals_one_by_one(batch):
    logits, labels, counts = (torch.stack([part, part.flip(0)]) for part in batch)
    labels[1] = torch.tensor([0, 2, 3, 3, 0, 2])
    mapped = torch.vmap(VectorScaling())(logits, labels, counts)
    assert mapped.isfinite().all()
    alone = torch.stack([VectorScaling()(*run) for run in zip(logits, labels, counts, strict=True)])
    torch.testing.assert_close(mapped, alone, **FLOAT64)
