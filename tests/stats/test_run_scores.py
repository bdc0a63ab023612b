"""Macro-F1, geometric mean and worst class, by hand and as scikit-learn has them."""

import numpy as np
import pytest

from ltbv import stats

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTIONS = np.array([[0, 0, 0, 1, 1, 1, 2, 0], [0, 0, 0, 0, 0, 0, 2, 1]])
GROUPS = {"all": range(3), "rest": [1, 2], "none": [3]}


def test_by_hand():
    """Run 0: T (3, 2, 1), P (4, 3, 1), N (4, 2, 2); run 1: T (4, 0, 1), P (6, 1, 1)."""
    of = stats.run_scores(PREDICTIONS, LABELS, GROUPS)
    assert tuple(of) == stats.RUN_SCORES
    f1 = [[6 / 8, 4 / 5, 2 / 3], [8 / 10, 0, 2 / 3]]
    expected = {
        "accuracy": [[2.25 / 3, 1.5 / 2], [1.5 / 3, 0.5 / 2]],
        "macro_f1": [[sum(f1[0]) / 3, sum(f1[0][1:]) / 2], [sum(f1[1]) / 3, sum(f1[1][1:]) / 2]],
        "geometric_mean": [[(3 / 8) ** (1 / 3), (1 / 2) ** (1 / 2)], [0, 0]],
        "worst_class": [[1 / 2, 1 / 2], [0, 0]],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(of[name][:, :2], values, err_msg=name)
        assert np.isnan(of[name][:, 2]).all()


def test_a_prediction_of_a_class_that_no_group_has_is_a_miss():
    of = stats.run_scores(np.array([[5, 0]]), np.array([0, 0]), {"all": [0]})
    assert [of[name].item() for name in stats.RUN_SCORES] == pytest.approx([1 / 2, 2 / 3, 1 / 2, 1 / 2])


def test_as_scikit_learn_has_macro_f1():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    labels, predictions = draw.integers(0, 6, 300), draw.integers(0, 6, (2, 300))
    ours = stats.run_scores(predictions, labels, {"all": range(6)})["macro_f1"][:, 0]
    np.testing.assert_allclose(ours, [metrics.f1_score(labels, row, average="macro") for row in predictions])
