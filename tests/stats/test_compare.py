"""Paired comparisons: the pairing, the tests and their corrections."""

import dataclasses

import numpy as np
import pytest
from brute_force import SPLITS, group_means, left, point_variance, points, study
from scipy import stats as distributions

from ltbv import stats
from ltbv.stats.intervals import intervals
from ltbv.stats.measured import Measured
from ltbv.stats.splits import GroupWeights

NINE = {(group, quantity) for group in ("many", "medium", "few") for quantity in ("error", "bias", "variance")}


def table(rows):
    return {(one.group, one.quantity): one for one in rows}


def two_methods(runs=6, per_class=10, helped=2, seed=0):
    """A reference, and a method that is right more often in the classes from `helped` on."""
    predictions, labels = study(runs, per_class, seed=seed)
    better = np.random.default_rng(seed + 1).random(predictions.shape) < 0.3 * (labels >= helped)
    return np.where(better, labels, predictions), predictions, labels


def test_estimates_are_differences_and_the_runs_are_left_out_of_both():
    method, reference, labels = two_methods()
    ours = table(
        stats.compare(stats.Record(method, labels), stats.Record(reference, labels), SPLITS, target="test_set")
    )
    one, other = (table(stats.summarize(stats.Record(votes, labels), SPLITS)) for votes in (method, reference))
    without = [
        [table(stats.summarize(stats.Record(np.delete(votes, r, 0), labels), SPLITS)) for votes in (method, reference)]
        for r in range(6)
    ]
    for key, row in ours.items():
        assert row.estimate == pytest.approx(one[key].estimate - other[key].estimate, abs=1e-12)
        assert row.plug_in == pytest.approx(one[key].plug_in - other[key].plug_in, abs=1e-12)
        if key[1] != "bias":
            values = np.array([a[key].estimate - b[key].estimate for a, b in without])
            v = 5 / 6 * ((values - values.mean()) ** 2).sum()
            if key[1] == "variance":
                # What corrections leave alike cancels: the square of the difference, or the two squares if less.
                a, b = (
                    group_means(points(left, votes, labels)[1], labels, SPLITS)[key[0]] for votes in (method, reference)
                )
                v += min((a - b) ** 2, a**2 + b**2)
            assert row.se == pytest.approx(np.sqrt(v), abs=1e-12)


def test_what_corrections_leave_alike_cancels_in_the_difference():
    """Of (.06, .05) left .01 remains; of (.06, -.05), and of (.06, 0), the two squares."""
    labels, weights = np.repeat(np.arange(2), 3), GroupWeights.of({"all": [0, 1]}, np.repeat(np.arange(2), 3))

    def measured(left):
        return Measured(np.full(6, 0.5), np.full(2, 0.5), np.full((10, 2), 0.5), (np.full(2, left),))

    for one, other, remains in ((0.06, 0.05, 0.01), (0.06, -0.05, np.hypot(0.06, 0.05)), (0.06, 0.0, 0.06)):
        for pair in ((one, other), (other, one)):
            difference = measured(pair[0]) - measured(pair[1])
            of = intervals(difference, labels, weights, target="test_set", level=0.95)
            assert of.se[0] == pytest.approx(remains)
    assert intervals(measured(-0.05), labels, weights, target="test_set", level=0.95).se[0] == pytest.approx(0.05)


def test_point_variance_is_that_of_differences():
    method, reference, labels = two_methods()
    of_points, of_runs = (
        table(
            stats.compare(stats.Record(method, labels), stats.Record(reference, labels), {"one": [3]}, target=target)
        )["one", "error"]
        for target in ("population", "test_set")
    )
    of_run = (method != labels).astype(int) - (reference != labels)  # (R, N)
    v_point, _ = point_variance(of_run.mean(0), labels, [3])
    here = of_run[:, labels == 3]
    noise = here.var(0, ddof=1).mean() / 6 / here.shape[1]  # what each run says there by itself, counted in both
    v_run = of_runs.se**2
    assert of_points.se**2 == pytest.approx(max(v_run, v_point, v_run + v_point - noise))


def test_the_noise_of_a_run_at_a_point_is_counted_once():
    """Without effects of runs or points, the error of 5,000 votes that are alike varies by p (1 - p) / 5,000."""
    ratios = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        labels = np.repeat(np.arange(5), 100)
        record = stats.Record(np.where(draw.random((10, 500)) < 0.7, labels, 5), labels)
        ratios.append(stats.summarize(record, {"all": range(5)})[1].se ** 2 / (0.21 / 5000))
    assert 0.8 < np.mean(ratios) < 1.6  # counted twice, it would be 2 or more


def test_pairing_gain_p_and_detectable():
    method, reference, labels = two_methods(per_class=40)
    ours = table(stats.compare(stats.Record(method, labels), stats.Record(reference, labels), SPLITS))
    one, other = (table(stats.summarize(stats.Record(votes, labels), SPLITS)) for votes in (method, reference))
    for key, row in ours.items():
        if row.se > 0:
            assert row.pairing_gain == pytest.approx(np.hypot(one[key].se, other[key].se) / row.se)
            assert row.p == pytest.approx(2 * distributions.t.sf(abs(row.estimate) / row.se, row.df))
            quantiles = distributions.t.ppf([0.975, 0.8], row.df)
            assert row.detectable == pytest.approx(quantiles.sum() * row.se)
            assert (row.p < 0.05) == (not row.low <= 0 <= row.high)
    assert ours["all", "error"].pairing_gain > 1
    assert ours["few", "error"].p_holm < 0.01 and ours["few", "error"].high < 0


def test_a_method_against_itself():
    _, reference, labels = two_methods()
    for row in stats.compare(stats.Record(reference, labels), stats.Record(reference, labels), SPLITS):
        assert row.estimate == 0 and row.p == 1 and row.low == -row.high
        if row.quantity == "bias":  # two methods whose corrections leave as much do not leave the same
            assert row.high > 0


def test_a_difference_that_never_varies_is_as_sure_as_its_points_are_many():
    labels = np.repeat([0, 1], 5)
    right, wrong = (np.repeat(votes[None], 5, 0) for votes in (labels, 1 - labels))
    row = table(stats.compare(stats.Record(right, labels), stats.Record(wrong, labels), {"all": [0, 1]}))[
        "all", "error"
    ]
    assert row.estimate == -1 and row.low < -1 < row.high < 0 and row.p < 0.01
    row = table(
        stats.compare(stats.Record(right, labels), stats.Record(wrong, labels), {"all": [0, 1]}, target="test_set")
    )["all", "error"]
    assert row.low == row.high == -1 and np.isnan(row.p)


def test_nine_tests_are_confirmed_and_single_classes_explored():
    method, reference, labels = two_methods()
    classes = {str(c): [c] for c in range(6)}
    ours = table(stats.compare(stats.Record(method, labels), stats.Record(reference, labels), SPLITS | classes))
    assert {key for key, row in ours.items() if not np.isnan(row.p_holm)} == NINE
    keys = sorted(NINE)
    np.testing.assert_allclose([ours[key].p_holm for key in keys], stats.holm([ours[key].p for key in keys]))
    assert {group for (group, _), row in ours.items() if not np.isnan(row.q_class)} == set(classes)
    q = stats.benjamini_hochberg([ours[name, "error"].p for name in classes])
    np.testing.assert_allclose([ours[name, "error"].q_class for name in classes], q)


def test_holm_and_benjamini_hochberg_by_hand():
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.5])
    np.testing.assert_allclose(stats.holm(p), [0.04, 0.09, np.nan, 0.09, 0.5])
    np.testing.assert_allclose(stats.benjamini_hochberg(p), [0.04, 0.16 / 3, np.nan, 0.16 / 3, 0.5])
    assert stats.holm([]).size == 0
    np.testing.assert_array_equal(stats.holm([0.6, 0.7]), [1, 1])


def test_benjamini_hochberg_agrees_with_scipy():
    p = np.random.default_rng(0).random(50)
    np.testing.assert_allclose(stats.benjamini_hochberg(p), distributions.false_discovery_control(p))


@pytest.mark.parametrize("runs", [1, 3])
def test_few_runs(runs):
    method, reference, labels = two_methods(runs=runs)
    for row in stats.compare(stats.Record(method, labels), stats.Record(reference, labels), SPLITS):
        assert all(np.isnan(value) for value in (row.low, row.se, row.p, row.p_holm, row.pairing_gain, row.detectable))
        assert np.isfinite(row.plug_in) == (runs > 1 or row.quantity in ("accuracy", "error", "bias"))


def test_logits_and_scores_are_compared_too():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 8)
    a, b = generator.normal(size=(2, 5, 48, 6))
    one = stats.Record(a.argmax(2), labels, logits=a, per_run={"top": a.max(2), "of_one": a.min(2)})
    other = stats.Record(b.argmax(2), labels, logits=b, per_run={"top": b.max(2)})
    ours = table(stats.compare(one, other, SPLITS))
    expected = stats.brier(softmax(a), labels).variance.mean() - stats.brier(softmax(b), labels).variance.mean()
    assert ours["all", "brier_variance"].estimate == pytest.approx(expected)
    assert ours["all", "top"].estimate == pytest.approx(a.max(2).mean() - b.max(2).mean())
    assert ("all", "of_one") not in ours


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(-1, keepdims=True)


def test_same_seed_same_rows():
    method, reference, labels = two_methods(runs=13)
    one, same = (
        stats.compare(stats.Record(method, labels), stats.Record(reference, labels), SPLITS, seed=3) for _ in range(2)
    )
    assert repr(one) == repr(same)


def test_rows_are_plain_records():
    method, reference, labels = two_methods(runs=4)
    row = stats.compare(stats.Record(method, labels), stats.Record(reference, labels), SPLITS)[0]
    assert [field.name for field in dataclasses.fields(row)] == [
        "group",
        "quantity",
        "estimate",
        "low",
        "high",
        "plug_in",
        "se",
        "df",
        "p",
        "p_holm",
        "pairing_gain",
        "detectable",
        "q_class",
    ]
    assert all(type(value) is float for value in dataclasses.astuple(row)[2:])
