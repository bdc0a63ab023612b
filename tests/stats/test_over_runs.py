"""Intervals of numbers that a run has as a whole: of a mean the usual one, of a function the jackknife's."""

import numpy as np
from scipy import stats as distributions

from ltbv.stats import OverRuns

VALUES = np.array([[0.1, 0.5], [0.2, 0.5], [0.4, 0.5], [0.5, 0.5]])


def test_a_mean_has_the_interval_of_students_t():
    of = OverRuns.of(VALUES).intervals(level=0.9)
    low, high = distributions.t.interval(0.9, 3, VALUES[:, 0].mean(), distributions.sem(VALUES[:, 0]))
    np.testing.assert_allclose((of.estimate, of.low, of.high), [[0.3, 0.5], [low, np.nan], [high, np.nan]])
    assert of.df[0] == 3 and np.isnan(of.se[1])  # runs that are alike say nothing of others
    wide = OverRuns.of(VALUES).intervals(widening=4.0, level=0.9)
    np.testing.assert_allclose(wide.se[0], 2 * of.se[0])


def test_a_function_of_the_mean_by_hand():
    """Squares of the means without a run, (11, 10, 8, 7)/30: (121, 100, 64, 49)/900, mean 83.5/900."""
    of = OverRuns.of(VALUES, np.square).intervals()
    squares = (37.5**2 + 16.5**2 + 19.5**2 + 34.5**2) / 900**2
    np.testing.assert_allclose((of.estimate[0], of.se[0]), (0.09, np.sqrt(3 / 4 * squares)))


def test_both_of_a_difference_lose_the_same_run():
    shifted = OverRuns.of(VALUES + 0.1) - OverRuns.of(VALUES)
    np.testing.assert_allclose(shifted.whole, 0.1)
    assert np.isnan(shifted.intervals().low).all()
    one = OverRuns.of(VALUES[:1])
    assert np.isnan((one - one).intervals().low).all() and one.whole.tolist() == [0.1, 0.5]
    assert np.isnan(OverRuns.of(VALUES[:3]).intervals().low).all()
