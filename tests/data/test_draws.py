"""Numbers made of one number: uniform, of no visible relation to each other, the same again."""

import numpy as np
import pytest
import torch
from scipy import stats

from ltbv.data.draws import normal, spread, symmetric_beta

DRAWS = torch.as_tensor(np.random.default_rng(0).random((4, 500)))


def test_the_same_draw_gives_the_same_numbers_and_another_one_others():
    found = spread(DRAWS, 64)
    assert found.shape == (4, 500, 64) and found.dtype == torch.float64
    assert torch.equal(found, spread(DRAWS, 64)) and torch.equal(found[1, 7], spread(DRAWS[1, 7], 64))
    assert torch.equal(spread(DRAWS, 200)[..., :64], found)
    near = spread(DRAWS + 2.0**-50, 64)
    assert (near != found).double().mean() > 0.999


def test_they_are_uniform_and_independent_of_each_other():
    """Within four standard errors of what is expected, over 128,000 numbers; they are always the same ones."""
    found = spread(DRAWS.flatten(), 64)
    n = found.numel()
    assert found.min() >= 0 and found.max() < 1
    assert abs(found.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    shares = torch.histc(found, 64, 0, 1) / n
    assert (shares - 1 / 64).abs().max() < 5 * (1 / 64 / n) ** 0.5
    centred = found - 0.5
    for one, other in (
        (centred[:, 1:], centred[:, :-1]),
        (centred[1:], centred[:-1]),
        (centred, DRAWS.flatten()[:, None] - 0.5),
    ):
        product = one * other
        assert abs(product.mean()) < 4 * (1 / 144 / product.numel()) ** 0.5


def test_numbers_of_a_draw_are_normal():
    """2^20 of them: mean and variance within 5 standard errors, and the shares beyond 1, 2 and 3."""
    found = normal(spread(torch.tensor([0.123], dtype=torch.float64), 2**20))[0].numpy()
    assert abs(found.mean()) < 5 / 2**10 and abs(found.var() - 1) < 5 * 2**0.5 / 2**10
    for bound, share in ((1, 0.317311), (2, 0.045500), (3, 0.0026998)):
        assert abs((np.abs(found) > bound).mean() - share) < 5 * (share / 2**20) ** 0.5
    ends = normal(torch.tensor([0.0, 0.5, 1 - 2.0**-32], dtype=torch.float64))
    assert ends.isfinite().all() and ends[0] == pytest.approx(-ends[2].item()) and abs(ends[1]) < 1e-9


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_a_symmetric_beta_has_the_distribution_function_of_scipy(alpha):
    """Of a lattice of uniform numbers, whose points are as even as can be."""
    n = 400
    even = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    found = symmetric_beta(even[:, None].expand(n, n), even.expand(n, n), alpha).flatten().numpy()
    for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999):
        assert (found <= share).mean() == pytest.approx(stats.beta(alpha, alpha).cdf(share), abs=0.005)


def test_a_symmetric_beta_of_the_ends_of_what_is_drawn_is_a_share():
    ends = torch.tensor([0.0, 0.25, 0.5, 0.75, 1 - 2.0**-53], dtype=torch.float64)
    for alpha in (1e-3, 1.0, 1e3):
        found = symmetric_beta(ends[:, None], ends, alpha)
        assert (found >= 0).all() and (found <= 1).all()
