"""Accuracy under other class frequencies: weights by hand, intervals as `summarize` has them."""

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.splits import GroupWeights
from ltbv.stats.student import quantile

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTIONS = np.array([[0, 0, 0, 0, 1, 0, 0, 1]])  # recalls 1, 1/2, 0
COUNTS = np.array([100, 10, 1])
GROUPS = {"all": range(3), "head": [0], "rest": [1, 2]}


def test_the_example_of_the_docstring():
    priors = stats.long_tailed_priors([100, 10, 1], (4,))
    np.testing.assert_allclose(priors["forward_4"], np.array([4, 2, 1]) / 7)
    np.testing.assert_allclose(priors["backward_4"], np.array([1, 2, 4]) / 7)
    np.testing.assert_allclose(priors["training"], COUNTS / 111)


def test_the_order_is_that_of_the_counts_and_classes_of_one_count_are_alike():
    priors = stats.long_tailed_priors(
        [1, 10, 10, 100], (8,)
    )  # places 3, 1, 2, 0: weights 8^0, 8^(-1/3), 8^(-2/3), 8^-1
    forward = np.array([1 / 8, 3 / 8, 3 / 8, 1])
    np.testing.assert_allclose(priors["forward_8"], forward / forward.sum())
    backward = np.array([1, 3 / 8, 3 / 8, 1 / 8])
    np.testing.assert_allclose(priors["backward_8"], backward / backward.sum())
    for prior in stats.long_tailed_priors([7, 7, 7]).values():
        np.testing.assert_allclose(prior, 1 / 3)
    assert all(prior.tolist() == [1] for prior in stats.long_tailed_priors([5]).values())


def test_accuracies_by_hand():
    record = stats.Record(PREDICTIONS, LABELS)
    under = stats.accuracy_under(record, stats.long_tailed_priors(COUNTS, (4,)))
    np.testing.assert_allclose(under.estimate, [105 / 111, 5 / 7, 2 / 7])
    micro = stats.accuracy_under(record, stats.micro_weights(GROUPS, LABELS))
    np.testing.assert_allclose(micro.estimate, [5 / 8, 1, 1 / 4])


def runs(seed, total=8, points=12):
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), points)
    return np.where(draw.random((total, labels.size)) < 0.7, labels, draw.integers(0, 3, labels.size)), labels


@pytest.mark.parametrize("clusters", [None, np.arange(36) // 2])
def test_where_classes_count_the_same_the_interval_is_that_of_summarize(clusters):
    (ours, labels), (theirs, _) = runs(0), runs(1)
    method, reference = (stats.Record(of, labels, clusters=clusters, shared=np.full(3, 0.1)) for of in (ours, theirs))
    uniform = {"all": np.ones(3)}
    fields = ("estimate", "low", "high", "se", "df")
    (of,) = (e for e in stats.summarize(method, {"all": range(3)}) if e.quantity == "accuracy")
    level = stats.accuracy_under(method, uniform)
    np.testing.assert_allclose([getattr(level, f)[0] for f in fields], [getattr(of, f) for f in fields])
    (of,) = (d for d in stats.compare(method, reference, {"all": range(3)}) if d.quantity == "accuracy")
    apart = stats.accuracy_under(method, uniform, reference)
    np.testing.assert_allclose([getattr(apart, f)[0] for f in fields], [getattr(of, f) for f in fields])


def test_unequal_weights_by_hand():
    """Four runs alike, so only points vary: sd^2 = sum pi_c^2 s^2/N_c, with s^2 = 1/3 in every class of four."""
    labels = np.repeat(np.arange(3), 4)
    predictions = np.tile(np.where(np.arange(12) % 4 < 2, labels, (labels + 1) % 3), (4, 1))
    under = stats.accuracy_under(stats.Record(predictions, labels), {"prior": np.array([4, 2, 1])})
    variances = np.array([4, 2, 1]) ** 2 / 49 / 3 / 4
    np.testing.assert_allclose((under.estimate, under.se), ([1 / 2], [np.sqrt(variances.sum())]))
    df = variances.sum() ** 2 / (variances**2 / 3).sum() + 3
    np.testing.assert_allclose((under.df, under.high), ([df], 0.5 + quantile(0.975, df) * under.se))


def test_classes_without_test_points_are_left_out():
    weights = GroupWeights.weighted({"a": [2, 1, 1, 4], "none": [0, 0, 0, 1]}, LABELS)
    np.testing.assert_allclose(weights.means(np.array([1, 0.5, 0, np.nan])), [2.5 / 4, np.nan])
    with pytest.raises(Refusal, match=r"weights 'a' must be \(3,\)"):
        GroupWeights.weighted({"a": [1, 2]}, LABELS)
    with pytest.raises(Refusal, match="from -1 to 2"):
        GroupWeights.weighted({"a": [1, 2, -1]}, LABELS)
