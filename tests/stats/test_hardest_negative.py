"""Hardest negatives: golden values, the built-in check against the error, and ties that rounding made."""

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal


def test_golden_probabilities(golden):
    file = golden("statistics/case_e_probs_r3_n4_c3")
    ours = stats.hardest_negative(np.log(np.array(file["probs_RxNxC"])), np.array(file["labels"]))
    rows = file["per_point"]
    np.testing.assert_allclose(ours.score.T, [row["hardneg_score_per_run"] for row in rows], atol=1e-10)
    np.testing.assert_array_equal(ours.label.T, [row["hardneg_class_per_run"] for row in rows])
    np.testing.assert_allclose(ours.p_true.mean(0), [row["p_true_mean"] for row in rows], atol=1e-10)


def test_golden_logits(golden):
    file = golden("statistics/case_f_logits_r6_n10_c5")
    ours = stats.hardest_negative(np.array(file["logits_RxNxC"]), np.array(file["labels"]))
    rows = file["per_point_prob"]
    np.testing.assert_allclose(ours.score.T, [row["hardneg_score_per_run"] for row in rows], atol=1e-10)
    np.testing.assert_array_equal(ours.label.T, [row["hardneg_class_per_run"] for row in rows])


def test_a_score_above_the_true_one_is_an_error():
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(3, 200, 7)).astype(np.float32), generator.integers(0, 7, 200)
    ours = stats.hardest_negative(logits, labels)
    np.testing.assert_array_equal(ours.score > ours.p_true, logits.argmax(2) != labels)
    assert (ours.label != labels).all()


def test_blocks_change_nothing(monkeypatch):
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(3, 20, 4)), generator.integers(0, 4, 20)
    whole = stats.hardest_negative(logits, labels)
    monkeypatch.setattr("ltbv.stats.probability.BLOCK_ELEMENTS", 1)
    for field in ("score", "label", "p_true"):
        np.testing.assert_array_equal(getattr(stats.hardest_negative(logits, labels), field), getattr(whole, field))


def test_only_the_true_class_possible():
    logits = np.full((1, 2, 3), -np.inf)
    labels = np.array([0, 2])
    logits[0, [0, 1], labels] = 0.0
    ours = stats.hardest_negative(logits, labels)
    np.testing.assert_array_equal(ours.score, 0)
    np.testing.assert_array_equal(ours.label, [[1, 0]])
    np.testing.assert_array_equal(ours.p_true, 1)


def test_float16_ties_are_said_aloud():
    logits = np.array([[[20.0, 20.001, 5.0], [1.0, 2.0, 3.0]]])
    labels = np.array([2, 0])
    assert stats.hardest_negative(logits, labels).label[0, 0] == 1
    with pytest.warns(UserWarning, match="float16 logits: 1 of 2 hardest negatives are tied"):
        assert stats.hardest_negative(logits.astype(np.float16), labels).label[0, 0] == 0


def test_one_class_is_refused():
    with pytest.raises(Refusal, match="needs two or more"):
        stats.hardest_negative(np.zeros((2, 3, 1)), np.zeros(3, int))
