"""How a correction moves with the number of runs tells what it has left."""

import numpy as np
import pytest
from brute_force import left, points, study

from ltbv import stats
from ltbv.stats.fewer import FewerRuns
from ltbv.stats.measured import measure_votes
from ltbv.stats.splits import by_class


@pytest.mark.parametrize("runs", [4, 5, 6, 7, 8, 9, 12])
def test_all_subsets_of_few_runs(runs):
    predictions, labels = study(runs, 2, seed=runs)
    measured = measure_votes(predictions, labels, 6)
    for name, values in zip(("bias", "variance"), points(left, predictions, labels), strict=True):
        (found,) = measured[name].left
        np.testing.assert_allclose(found, by_class(values, labels, 6), atol=1e-12)


@pytest.mark.parametrize("runs", [13, 16, 20, 40])
def test_more_runs_are_drawn_each_as_often_and_nearly_say_the_same(runs):
    fewer = FewerRuns.of(runs, seed=0)
    for words, size in ((fewer.halves, fewer.half_size), (fewer.quarters, runs // 4)):
        members = np.array([[int(word[r // 32]) >> r % 32 & 1 for r in range(runs)] for word in words])
        assert (members.sum(1) == size).all()
        assert np.ptp(members.sum(0)) <= (0 if runs % (2 * size) == 0 else 0.5 * len(words))
    predictions, labels = study(runs, 300)
    ones, others = (measure_votes(predictions, labels, 6, seed=seed) for seed in (0, 1))
    for name in ("bias", "variance"):
        assert abs(ones[name].left[0] - others[name].left[0]).mean() < 0.01
    same = measure_votes(predictions, labels, 6, seed=0)
    assert all((same[name].left[0] == ones[name].left[0]).all() for name in ("bias", "variance"))


def alike(draw, runs, power):
    """Votes of points that are all alike: the true label has .63 of them, or that share sharpened; labels."""
    labels = np.repeat(np.arange(12), 40)
    shares = np.array([0.63, 0.0925, 0.0925, 0.0925, 0.0925]) ** power
    votes = draw.choice(5, (runs, labels.size), p=shares / shares.sum())
    return np.where(votes == 0, labels, (labels + votes) % 12), labels


def test_two_methods_of_one_bias_and_other_variance_are_not_told_apart_by_their_bias():
    """Every main prediction of both is right: the bias of both is 0. The correction of one is still far from done."""
    covered = {"level": 0, "difference": 0}
    for seed in range(30):
        draw = np.random.default_rng(seed)
        records = [stats.Record(*alike(draw, 10, power)) for power in (1.6, 1.0)]
        groups = {"all": range(12)}
        difference = next(row for row in stats.compare(*records, groups) if row.quantity == "bias")
        level = next(row for row in stats.summarize(records[1], groups) if row.quantity == "bias")
        covered["difference"] += difference.low <= 0 <= difference.high
        covered["level"] += level.low <= 0 <= level.high
    assert min(covered.values()) >= 26, covered  # of 30; with a constant share left they were 0 and 6


def test_where_nothing_is_near_a_tie_little_is_added():
    predictions, labels = study(10, 200, noise=0.15, drift=0.05)
    for row in stats.summarize(stats.Record(predictions, labels), {"all": range(6)}):
        if row.quantity in ("bias", "variance"):
            (one,) = measure_votes(predictions, labels, 6)[row.quantity].left
            assert abs(one.mean()) < 0.5 * row.se
