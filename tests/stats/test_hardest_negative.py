"""Hardest negatives: golden values, the check against the error, ties that rounding made; gap, distance, scale."""

import dataclasses

import numpy as np
import pytest
from brute_force import group_means, point_variance
from scipy import stats as distributions

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


MANY_FEW = {"many": [0, 1], "medium": [2], "few": [3, 4, 5]}


def scores(runs=6, per_class=8, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(6), per_class)
    return generator.beta(1 + labels, 4, (runs, labels.size)) + 0.0, labels


@pytest.mark.parametrize("target", ["population", "test_set"])
def test_head_tail_gap_by_its_definition(target):
    values, labels = scores()
    other, _ = scores(seed=1)
    for ours, difference in (
        (stats.head_tail_gap(values, labels, MANY_FEW, target=target), values),
        (stats.head_tail_gap(values, labels, MANY_FEW, target=target, reference_values=other), values - other),
    ):
        of_runs = [group_means(run, labels, MANY_FEW) for run in difference]
        gaps = np.array([means["few"] - means["many"] for means in of_runs])
        v_run = gaps.var(ddof=1) / len(gaps)  # what a jackknife of a mean comes down to
        v, uncertain = v_run, v_run**2 / 5
        if target == "population":
            sides = [point_variance(difference.mean(0), labels, MANY_FEW[side]) for side in ("few", "many")]
            v_point = sum(of_side for of_side, _ in sides)
            df_point = v_point**2 / sum(of_side**2 / (df - 3) for of_side, df in sides) + 3
            noise = [difference[:, labels == c].var(0, ddof=1).mean() / 6 / 8 for c in range(6)]
            v = max(v_run, v_point, v_run + v_point - sum(noise[:2]) / 2**2 - sum(noise[3:]) / 3**2)
            uncertain += v_point**2 / df_point
        df = v**2 / uncertain
        reach = distributions.t.ppf(0.975, df) * np.sqrt(v)
        assert (ours.group, ours.quantity) == ("few - many", "head_tail_gap")
        expected = [gaps.mean(), gaps.mean() - reach, gaps.mean() + reach, gaps.mean(), np.sqrt(v), df]
        np.testing.assert_allclose(dataclasses.astuple(ours)[2:], expected)


def test_head_tail_gap_of_above_true_is_that_of_the_error():
    generator = np.random.default_rng(3)
    logits, labels = generator.normal(size=(5, 48, 6)), np.repeat(np.arange(6), 8)
    hardest = stats.hardest_negative(logits, labels)
    gap = stats.head_tail_gap(hardest.above_true, labels, MANY_FEW)
    rows = {
        r.group: r.estimate
        for r in stats.summarize(stats.Record(logits.argmax(2), labels), MANY_FEW)
        if r.quantity == "error"
    }
    assert gap.estimate == pytest.approx(rows["few"] - rows["many"])


def test_head_tail_gap_without_a_tail_or_with_few_runs():
    values, labels = scores(runs=3)
    few_runs = stats.head_tail_gap(values, labels, MANY_FEW)
    assert np.isfinite(few_runs.estimate) and np.isnan([few_runs.low, few_runs.se]).all()
    values, labels = scores()
    without = stats.head_tail_gap(values[:, labels < 3], labels[labels < 3], MANY_FEW)
    assert np.isnan(dataclasses.astuple(without)[2:]).all()


def test_distance_against_scipy():
    generator = np.random.default_rng(0)
    one, other = generator.beta(2, 3, (4, 300)), generator.beta(4, 3, 500)
    exact = distributions.wasserstein_distance(one.ravel(), other)
    assert stats.score_distance(one, other) == pytest.approx(exact, abs=0.005)
    assert stats.score_distance(one, other, bins=20_000) == pytest.approx(exact, abs=5e-5)
    assert stats.score_distance(one, one[::-1]) == 0
    assert stats.score_distance(np.zeros(3), np.ones(2)) == pytest.approx(1, abs=0.00501)


def test_scales():
    generator = np.random.default_rng(0)
    z, labels = generator.normal(size=(3, 200, 6)), generator.integers(0, 6, 200)
    sharp, flat, close = (stats.hardest_negative(scale * z, labels) for scale in (10, 0.1, 8))
    np.testing.assert_array_equal(sharp.above_true, flat.above_true)
    medians = stats.check_scales({"ce": sharp, "ride": close})
    exact = np.exp(10 * z - np.log(np.exp(10 * z).sum(2, keepdims=True))).max(2)
    assert medians["ce"] == pytest.approx(np.median(exact))
    with pytest.raises(Refusal, match=r"median top probability of ce is 0.99 and that of ldam 0.19: .* allow=True"):
        stats.check_scales({"ce": sharp, "ldam": flat})
    assert stats.check_scales({"ce": sharp, "ldam": flat}, allow=True)["ldam"] < 0.2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.head_tail_gap(*scores(), {"many": [0]}), r"splits lack \['few'\]"),
        (lambda: stats.head_tail_gap(*scores(), {"many": [0, 1], "few": [1]}), r"classes \[1\] are on both sides"),
        (lambda: stats.head_tail_gap(*scores(), MANY_FEW, reference_values=scores(5)[0]), "give paired runs"),
        (lambda: stats.score_distance([0.1, 1.2], [0.5]), "scores must be probabilities"),
        (lambda: stats.score_distance([0.1], []), "reference_scores must be probabilities, one or more"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(Refusal, match=message):
        call()
