"""The rank of the true class, by hand, and as sorting has it."""

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal


def test_by_hand():
    logits = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1], [2, 2, 2], [2, 2, 2], [-np.inf, 0, -np.inf]], float)
    assert stats.true_class_ranks(logits, np.array([0, 1, 2, 0, 2, 2])).tolist() == [0, 1, 2, 0, 2, 2]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_it_is_the_place_in_a_stable_sort(kind, monkeypatch):
    draw = np.random.default_rng(0)
    logits, labels = draw.integers(-5, 5, (200, 9)).astype(kind), draw.integers(0, 9, 200)
    order = np.argsort(-logits, axis=1, kind="stable")
    expected = (order == labels[:, None]).argmax(1)
    np.testing.assert_array_equal(stats.true_class_ranks(logits, labels), expected)
    monkeypatch.setattr("ltbv.stats.ranks.BLOCK_ELEMENTS", 70)
    np.testing.assert_array_equal(stats.true_class_ranks(logits, labels), expected)
    assert ((logits.argmax(1) == labels) == (expected == 0)).all()


def test_what_has_no_rank_is_refused():
    with pytest.raises(Refusal, match="logits are NaN at 1 of the points 0 to 1"):
        stats.true_class_ranks(np.array([[0.0, np.nan], [0, 1]]), np.array([0, 0]))
    with pytest.raises(Refusal, match=r"N = 3; got float64 of shape \(2, 2\)"):
        stats.true_class_ranks(np.zeros((2, 2)), np.zeros(3, int))
