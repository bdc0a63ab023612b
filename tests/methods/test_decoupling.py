"""tau-norm and cRT: the published values, and what stays untouched."""

import pytest
import torch

from ltbv.methods import METHODS
from ltbv.methods.decoupling import TauNorm
from ltbv.models.experts import Net
from ltbv.models.resnet import Resnet


@pytest.fixture
def stack():
    """Two runs of a small network with five classes and feature vectors of length four."""
    return Net().build(Resnet(widths=(4, 4, 4), blocks=1), runs=2, channels=1, classes=5).double()


def put(stack, weight, bias) -> None:
    with torch.no_grad():
        stack.heads.weight.copy_(torch.as_tensor(weight, dtype=torch.float64))
        stack.heads.bias.copy_(torch.as_tensor(bias, dtype=torch.float64))


def test_tau_norm_matches_the_published_weights(golden, stack):
    found = golden("methods/tau_norm")
    for tau, expected in found["tau"].items():
        put(stack, found["weight"], found["bias"])
        TauNorm(float(tau))(stack, torch.ones(2, 5))
        expected = torch.tensor(expected, dtype=torch.float64).expand(2, -1, -1)
        torch.testing.assert_close(stack.heads.weight.detach(), expected, rtol=2e-6, atol=1e-9)
        assert (stack.heads.bias == 0).all()


def test_tau_1_gives_class_vectors_of_length_1_run_by_run(stack):
    draw = torch.Generator().manual_seed(1)
    put(stack, torch.randn(2, 5, 4, generator=draw, dtype=torch.float64), 1.0)
    before = stack.heads.weight.detach().clone()
    TauNorm()(stack, torch.ones(2, 5))
    torch.testing.assert_close(stack.heads.weight.norm(dim=-1).detach(), torch.ones(2, 5, dtype=torch.float64))
    direction = torch.cosine_similarity(before, stack.heads.weight.detach(), dim=-1)
    torch.testing.assert_close(direction, torch.ones_like(direction))


def test_the_three_share_the_stage_of_cross_entropy():
    ce, tau_norm, crt = (METHODS[key] for key in ("ce", "tau_norm", "crt"))
    assert ce.stages[0] == tau_norm.stages[0] == crt.stages[0]
    assert len(tau_norm.stages) == 1 and len(crt.stages) == 2
    classifier = crt.stages[1]
    assert (classifier.start, classifier.reset, classifier.train) == ("representation", ("heads",), ("heads",))
    assert classifier.sampler == ("class_balanced",)
