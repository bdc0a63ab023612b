"""Calibration error without what chance adds: pairs counted by hand, and none where there is none."""

from itertools import combinations

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.calibration import stable_order


def test_one_bin_by_hand():
    """Gaps .9 - 1, .7 - 1, .8 - 0, of one class: the mean product of the three pairs is (.03 - .08 - .24)/3."""
    squared = stats.squared_calibration_error([[0.9, 0.7, 0.8]], [[True, True, False]], np.zeros(3, int), {"all": [0]})
    assert squared.item() == pytest.approx(-0.29 / 3)
    assert stats.calibration_error(squared).item() == 0
    assert stats.calibration_error(np.array([0.04])).item() == pytest.approx(0.2)


def by_pairs(confidence, right, labels, bins):
    """The formula as it is meant: the weighted mean product of the gaps of two different points of a bin."""
    classes, counts = np.unique(labels, return_counts=True)
    order, total = np.argsort(confidence, kind="stable"), 0.0
    starts = [k * labels.size // bins for k in range(bins + 1)]
    for start, stop in zip(starts[:-1], starts[1:], strict=True):
        at = order[start:stop]
        w = 1 / (classes.size * counts[np.searchsorted(classes, labels[at])])
        g = confidence[at] - right[at]
        pairs = list(combinations(range(at.size), 2))
        mean = sum(w[i] * w[j] * g[i] * g[j] for i, j in pairs) / sum(w[i] * w[j] for i, j in pairs)
        total += w.sum() * mean
    return total


def test_pairs_of_different_points_and_classes_that_count_the_same():
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 2, 3], [40, 25, 5])
    confidence, right = draw.random((2, 70)), draw.random((2, 70)) < 0.6
    groups = {"all": range(4), "tail": [2, 3], "few": [3], "none": [1]}
    ours = stats.squared_calibration_error(confidence, right, labels, groups)
    for g, (ids, bins) in enumerate((([0, 2, 3], 7), ([2, 3], 3), ([3], 1))):
        at = np.isin(labels, ids)
        expected = [by_pairs(c[at], r[at], labels[at], bins) for c, r in zip(confidence, right, strict=True)]
        np.testing.assert_allclose(ours[:, g], expected)
    assert np.isnan(ours[:, 3]).all()


def test_chance_is_no_error():
    """Calibrated, 150 points: the plug-in finds .03 of squared error, the debiased none on average (300 draws)."""
    draw = np.random.default_rng(1)
    confidence = draw.random((300, 150))
    right = draw.random(confidence.shape) < confidence
    squared = stats.squared_calibration_error(confidence, right, np.zeros(150, int), {"all": [0]})[:, 0]
    error = squared.std(ddof=1) / np.sqrt(300)
    assert abs(squared.mean()) < 4 * error and 4 * error < 0.003
    off = stats.squared_calibration_error(0.5 * confidence, right, np.zeros(150, int), {"all": [0]})
    assert off.mean() == pytest.approx(
        0.25 / 3, abs=0.005
    )  # E (c/2)^2, all bins together; within a bin it hardly varies


def test_what_is_no_probability_is_refused():
    labels, groups = np.zeros(2, int), {"all": [0]}
    with pytest.raises(Refusal, match="NaN or no probability"):
        stats.squared_calibration_error([[0.5, 1.1]], [[True, False]], labels, groups)
    with pytest.raises(Refusal, match=r"must both be \(R, N\) with N = 2"):
        stats.squared_calibration_error([[0.5]], [[True]], labels, groups)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_equal_confidences_stay_in_their_order(kind):
    draw = np.random.default_rng(0)
    shares = np.concatenate([draw.integers(0, 9, (3, 50)) / 9, [[0.0, -0.0, 1.0, 1e-40, 5e-324] * 10] * 2]).astype(kind)
    np.testing.assert_array_equal(stable_order(shares), np.argsort(shares, axis=1, kind="stable"))
