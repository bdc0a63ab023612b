"""Splits by training counts, class means, group means."""

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.splits import GroupWeights


def cifar100_lt(head, imbalance=100, classes=100):
    return (head * imbalance ** (-np.arange(classes) / (classes - 1))).astype(int)


def sizes(split):
    return [len(split[name]) for name in ("many", "medium", "few")]


def test_the_usual_profile():
    split = stats.splits(cifar100_lt(500))
    assert list(split) == ["many", "medium", "few"]
    assert sizes(split) == [35, 35, 30]
    np.testing.assert_array_equal(np.concatenate(list(split.values())), np.arange(100))


def test_edges_are_medium_and_absent_classes_few():
    split = stats.splits([101, 100, 20, 19, 0])
    assert {name: ids.tolist() for name, ids in split.items()} == {"many": [0], "medium": [1, 2], "few": [3, 4]}


def test_a_subset_needs_scaled_thresholds():
    assert sizes(stats.splits(cifar100_lt(300))) == [24, 35, 41]
    scaled = stats.scaled(cifar100_lt(300), 500)
    for name, ids in stats.splits(cifar100_lt(500)).items():
        np.testing.assert_array_equal(scaled[name], ids)
    assert sizes(stats.scaled(cifar100_lt(500), 500)) == [35, 35, 30]


def test_class_means():
    values = np.array([1.0, 3.0, 5.0])
    np.testing.assert_array_equal(stats.by_class(values, np.array([0, 0, 2]), 4), [2, np.nan, 5, np.nan])
    rows = stats.by_class(np.stack([values, -values]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(rows, [[2, np.nan, 5], [-2, np.nan, -5]])


def test_groups_leave_out_classes_without_test_points():
    labels = np.array([0, 0, 2])
    weights = GroupWeights.of({"a": [0, 1, 2], "empty": [1], "beyond": [7], "twice": [2, 2], "nothing": []}, labels)
    means = weights.means(np.array([1.0, np.nan, 4.0, *[np.nan] * 5]))
    np.testing.assert_allclose(means, [2.5, np.nan, np.nan, 4, np.nan])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.splits([[1, 2]]), "train_counts must be"),
        (lambda: stats.splits([5, -1]), "none negative"),
        (lambda: stats.splits([5], many=10, few=20), "many=10 must not be below few=20"),
        (lambda: stats.scaled([5], 0), "head=0"),
        (lambda: stats.by_class([1.0, 2.0], np.array([0, 3]), 3), "labels go up to 3, but there are 3 classes"),
        (lambda: stats.by_class([1.0], np.array([0, 1]), 2), "test points must be the last axis"),
        (lambda: GroupWeights.of({}, np.array([0])), "groups is empty"),
        (lambda: GroupWeights.of({"few": [-1]}, np.array([0])), "group 'few' must hold class ids"),
        (lambda: GroupWeights.of({"few": [0.5]}, np.array([0])), "group 'few' must hold class ids"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(Refusal, match=message):
        call()
