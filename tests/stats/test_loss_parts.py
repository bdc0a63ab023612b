"""Brier score and cross-entropy with their parts by group: by hand, and as summarize and compare have them."""

from math import log

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal

GROUPS = {"all": range(2), "first": [0], "none": [2]}


def odds(*of_runs: float) -> np.ndarray:
    """Logits (R, 1, 2) of a point whose first class is that many times as likely as the second."""
    return np.array([[[log(of), 0.0]] for of in of_runs])


def test_by_hand():
    """Four runs that give the true class .5, .5, .8 and .8 of the probability, and the same of a point of the other."""
    logits = np.concatenate([odds(1, 1, 4, 4), odds(1, 1, 1 / 4, 1 / 4)], axis=1)
    found = stats.loss_parts(stats.Record(logits.argmax(2), np.array([0, 1]), logits=logits), GROUPS)
    loss = (2 * log(2) + 2 * log(1.25)) / 4
    variance = loss - log(1 + 1 / 2)  # the mean logit is log 2
    without_1, without_4 = (log(2) + 2 * log(1.25)) / 3, (2 * log(2) + log(1.25)) / 3
    left_out = [without_1 - log(1 + 4 ** (-2 / 3)), without_4 - log(1 + 4 ** (-1 / 3))]
    jackknife = 4 * variance - 3 * sum(left_out) / 2
    by_hand = {  # corrected, plug-in
        "brier": (0.29, 0.29),
        "brier_bias": (0.23, 2 * 0.35**2),
        "brier_variance": (0.06, 0.045),
        "cross_entropy": (loss, loss),
        "cross_entropy_bias": (loss - jackknife, log(1.5)),
        "cross_entropy_variance": (jackknife, variance),
    }
    assert found.keys() == by_hand.keys()
    assert set(found) == {name for loss, parts in stats.LOSS_PARTS.items() for name in (loss, *parts)}
    for name, (corrected, plug_in) in by_hand.items():
        np.testing.assert_allclose(found[name].estimate[:2], corrected, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(found[name].plug_in[:2], plug_in, atol=1e-12, err_msg=name)
        assert np.isnan(found[name].estimate[2])


def test_runs_that_agree_have_no_variance_and_one_run_has_none_that_is_known():
    logits = odds(4, 4, 4, 4)
    found = stats.loss_parts(stats.Record(logits.argmax(2), np.array([0]), logits=logits), GROUPS)
    assert found["brier_variance"].estimate[1] == pytest.approx(0, abs=1e-12)
    assert found["cross_entropy_bias"].estimate[1] == pytest.approx(log(1.25))
    one = stats.loss_parts(stats.Record(np.array([[0]]), np.array([0]), logits=odds(4)), GROUPS)
    assert one["brier"].estimate[1] == pytest.approx(0.08) and np.isnan(one["brier_variance"].estimate[1])
    assert np.isnan(one["cross_entropy_bias"].plug_in[1]) and np.isnan(one["brier"].low[1])


def test_as_summarize_and_compare_have_them():
    draw = np.random.default_rng(2)
    labels = np.repeat(np.arange(3), 8)
    shared = np.array([0.1, 0.2, 0.3])

    def record(runs, spread):
        logits = draw.normal(0, spread, (len(runs), 24, 3)) + 2 * np.eye(3)[labels]
        return stats.Record(logits.argmax(2), labels, runs, shared=shared, logits=logits)

    one, other, groups = record(range(6), 1.0), record(range(2, 9), 1.5), {"all": range(3), "tail": [1, 2]}
    ours = stats.loss_parts(one, groups), stats.loss_parts(one, groups, other)
    rows = stats.summarize(one, groups), stats.compare(one, other, groups)
    for found, theirs in zip(ours, rows, strict=True):
        theirs = {(row.quantity, row.group): row for row in theirs}
        for name, of in found.items():
            for g, group in enumerate(groups):
                for field in ("estimate", "low", "high", "plug_in", "se", "df"):
                    assert getattr(of, field)[g] == getattr(theirs[name, group], field), (name, group, field)


def test_labels_alone_say_nothing_of_probabilities():
    with pytest.raises(Refusal, match=r"no logits.*Record\(logits=\)"):
        stats.loss_parts(stats.Record(np.array([[0]]), np.array([0])), GROUPS)
