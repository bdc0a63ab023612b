"""How often a run beats a run: counted by hand, with the interval of Clopper and Pearson."""

import numpy as np
import pytest
from scipy import stats as distributions

from ltbv import stats
from ltbv.errors import Refusal

OURS = np.array([[0.5, 0.1], [0.6, 0.2], [0.7, 0.3], [0.8, 0.1 + 0.2], [0.9, np.nan]])
THEIRS = np.array([[0.4, 0.1], [0.6, 0.2], [0.8, 0.3], [0.7, 0.3], [0.5, 0.3]])


def exact(won, total):
    interval = distributions.binomtest(won, total).proportion_ci(0.95, "exact")
    return interval.low, interval.high


def test_by_hand():
    """Won 3, lost 1, tied 1 of 5: the lower end is that of 3 won, the upper of 4."""
    of = stats.wins(OURS, THEIRS)
    np.testing.assert_allclose((of.estimate[0], of.ties[0]), (0.7, 0.2))
    np.testing.assert_allclose((of.low[0], of.high[0]), (exact(3, 5)[0], exact(4, 5)[1]))
    assert np.isnan([of.estimate[1], of.low[1], of.high[1], of.ties[1]]).all()
    all_tied = stats.wins(OURS[:4, 1:], THEIRS[:4, 1:])  # .1 + .2 is .3
    assert (all_tied.estimate, all_tied.ties, all_tied.low, all_tied.high) == (0.5, 1, 0, 1)


def test_always_and_never():
    ones, zeros = np.ones((10, 1)), np.zeros((10, 1))
    always, never = stats.wins(ones, zeros), stats.wins(zeros, ones)
    np.testing.assert_allclose((always.estimate, always.low, always.high), ([1], [exact(10, 10)[0]], [1]))
    np.testing.assert_allclose((never.estimate, never.low, never.high), ([0], [0], [exact(0, 10)[1]]))


def test_few_runs_have_no_interval_and_other_shapes_are_refused():
    assert np.isnan(stats.wins(OURS[:3], THEIRS[:3]).low).all()
    with pytest.raises(Refusal, match=r"got \(5, 2\) and \(4, 2\)"):
        stats.wins(OURS, THEIRS[:4])


def test_the_interval_covers():
    """Of every number of wins and ties of ten pairs, by their exact probabilities: at least 95 %, whatever is true."""
    for win, tie in ((0.5, 0.0), (0.4, 0.2), (0.8, 0.15), (0.02, 0.9), (0.95, 0.0)):
        truth, covered = win + tie / 2, 0.0
        for won in range(11):
            for tied in range(11 - won):
                ours = np.repeat([1.0, 0.5, 0.0], [won, tied, 10 - won - tied])[:, None]
                of = stats.wins(ours, np.full((10, 1), 0.5))
                if of.low <= truth <= of.high:
                    split = (won, tied, 10 - won - tied)
                    covered += distributions.multinomial.pmf(split, 10, (win, tie, 1 - win - tie))
        assert covered >= 0.95
