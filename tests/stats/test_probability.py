"""Brier score and cross-entropy: golden values, identities, unbiasedness, and what cannot be used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ltbv import stats
from ltbv.errors import Refusal


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@st.composite
def some_logits(draw, runs=(1, 6)):
    """logits (R, N, C) and labels (N,)."""
    runs, points, classes = draw(st.integers(*runs)), draw(st.integers(1, 5)), draw(st.integers(2, 6))
    logits = draw(hnp.arrays(np.float64, (runs, points, classes), elements=st.floats(-30, 30)))
    return logits, draw(hnp.arrays(np.int64, points, elements=st.integers(0, classes - 1)))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("case_e_probs_r3_n4_c3", "per_point"),
        ("case_f_logits_r6_n10_c5", "per_point_prob"),
    ],
)
def test_golden(golden, name, rows):
    file = golden(f"statistics/{name}")
    labels = np.array(file["labels"])
    if "logits_RxNxC" in file:
        logits = np.array(file["logits_RxNxC"])
        probabilities = softmax(logits)
    else:
        probabilities = np.array(file["probs_RxNxC"])
        logits = np.log(probabilities)

    def check(ours, theirs):
        np.testing.assert_allclose(ours, [row[theirs] for row in file[rows]], atol=1e-10, rtol=0)

    plug_in, unbiased = (stats.brier(probabilities, labels, unbiased=choice) for choice in (False, True))
    check(plug_in.loss, "brier")
    check(plug_in.bias2, "brier_bias2")
    check(plug_in.variance, "brier_var")
    check(unbiased.bias2, "brier_bias2_unb")
    check(unbiased.variance, "brier_var_unb")
    plug_in = stats.cross_entropy(logits, labels, correction=None)
    check(plug_in.loss, "xent")
    check(plug_in.bias, "kl_bias")
    check(plug_in.variance, "kl_var")
    jackknife = stats.cross_entropy(logits, labels)
    check(jackknife.bias, "kl_bias_jack")
    check(jackknife.variance, "kl_var_jack")
    check(stats.cross_entropy(logits, labels, correction="scale").variance, "kl_var_scaled")


@given(some_logits(), st.sampled_from([None, "jackknife", "scale"]))
def test_cross_entropy_adds_up(case, correction):
    logits, labels = case
    ours = stats.cross_entropy(logits, labels, correction=correction)
    if len(logits) == 1 and correction:
        assert np.isnan(ours.variance).all() and np.isnan(ours.bias).all()
        return
    np.testing.assert_allclose(ours.bias + ours.variance, ours.loss, atol=1e-9)
    if correction is None:
        assert (ours.variance >= -1e-9).all()
        probabilities = softmax(logits)
        main = softmax(logits.mean(0))
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.nansum(main * (np.log(main) - np.log(probabilities)), -1).mean(0)
        np.testing.assert_allclose(ours.variance, kl, atol=1e-7)


@given(some_logits(runs=(2, 6)), st.floats(-50, 50))
def test_adding_a_constant_to_a_runs_logits_changes_nothing(case, constant):
    logits, labels = case
    shifted = logits.copy()
    shifted[0] += constant
    for correction in (None, "jackknife"):
        one, other = (stats.cross_entropy(z, labels, correction=correction) for z in (logits, shifted))
        np.testing.assert_allclose(one.variance, other.variance, atol=1e-9)


@given(some_logits(runs=(2, 6)))
def test_brier_adds_up_and_counts_pairs(case):
    probabilities, labels = softmax(case[0]), case[1]
    runs = len(probabilities)
    apart = ((probabilities[:, None] - probabilities[None]) ** 2).sum(-1).sum((0, 1)) / (runs * (runs - 1))
    for unbiased in (True, False):
        ours = stats.brier(probabilities, labels, unbiased=unbiased)
        np.testing.assert_allclose(ours.bias2 + ours.variance, ours.loss, atol=1e-12)
        np.testing.assert_allclose(ours.variance, apart / 2 * (1 if unbiased else (runs - 1) / runs), atol=1e-12)


def test_unbiased_forms_are_unbiased():
    """R = 3, 40,000 replications of one point: the means agree with the truth within 4 standard errors."""
    generator = np.random.default_rng(5)
    shares = np.array([0.5, 0.3, 0.2])
    labels = np.zeros(40_000, int)
    votes = generator.choice(3, (3, labels.size), p=shares)
    kw = stats.kohavi_wolpert(votes, labels)
    brier = stats.brier(generator.dirichlet([2.0, 1.0, 1.0], (3, labels.size)), labels)
    # Dirichlet(2, 1, 1): mean (.5, .25, .25), variances (.25, .1875, .1875)/5
    for values, truth in (
        (kw.variance, (1 - (shares**2).sum()) / 2),
        (kw.bias2, (0.25 + 0.09 + 0.04) / 2),
        (brier.variance, 0.125),
        (brier.bias2, 0.25 + 2 * 0.0625),
    ):
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(values.size)


def test_blocks_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(4, 23, 5)), generator.integers(0, 5, 23)
    whole = stats.cross_entropy(logits, labels), stats.brier(softmax(logits), labels)
    monkeypatch.setattr("ltbv.stats.probability.BLOCK_ELEMENTS", 1)
    np.testing.assert_allclose(stats.cross_entropy(logits, labels).variance, whole[0].variance, atol=1e-12)
    np.testing.assert_allclose(stats.brier(softmax(logits), labels).variance, whole[1].variance, atol=1e-12)


@pytest.mark.parametrize("offset", [0, 300, -300, 9000])
def test_logits_kept_as_float16_say_what_they_say_in_float64(offset):
    """A constant that one run adds to all its logits is nothing to the loss, however far it is."""
    generator = np.random.default_rng(4)
    labels, logits = np.repeat(np.arange(5), 12), 4 * generator.normal(size=(4, 60, 5))
    kept = (logits + np.array([offset, 0, 0, 0])[:, None, None]).astype(np.float16)
    of_16, of_64 = (stats.Record(logits.argmax(2), labels, logits=of) for of in (kept, kept.astype(np.float64)))
    rounding = 20 * np.finfo(np.float32).eps * (20 + abs(offset))
    for name, ours in of_16.measure_scores(5).items():
        theirs = of_64.measure_scores(5)[name]
        np.testing.assert_allclose(ours.points, theirs.points, atol=rounding)
        np.testing.assert_allclose(ours.left_out, theirs.left_out, atol=rounding)


def test_impossible_classes_are_counted_and_not_clipped():
    logits = np.zeros((3, 3, 4))
    labels = np.array([0, 1, 2])
    logits[0, 0, 0] = -np.inf  # the true class of point 0
    logits[0, 1, 0] = -np.inf  # a wrong class of point 1
    plug_in = stats.cross_entropy(logits, labels, correction=None)
    assert np.isposinf(plug_in.loss[0]) and np.isposinf(plug_in.bias[0])
    assert np.isfinite(plug_in.variance).all() and plug_in.non_finite == 1
    jackknife = stats.cross_entropy(logits, labels)
    assert jackknife.non_finite == 1 and np.isfinite(jackknife.variance[1:]).all()
    logits[1, 2, :2] = logits[2, 2, 2:] = -np.inf  # no class is possible in every run
    assert np.isposinf(stats.cross_entropy(logits, labels, correction=None).variance[2])
    assert stats.cross_entropy(logits, labels).non_finite == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_unusable_logits_are_counted_and_named(value):
    logits = np.zeros((4, 5, 3))
    logits[1, 2, 0] = logits[3, 0, 1] = value
    message = r"logits hold NaN or \+inf: 2 of 20 predictions, the first in run 1 at point 2; runs \[1, 3\]"
    for function in (stats.cross_entropy, stats.hardest_negative):
        with pytest.raises(Refusal, match=message):
            function(logits, np.zeros(5, int))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.brier(np.zeros((2, 3, 4)), np.zeros(3, int)), r"do not sum to 1 over classes \(logits\?"),
        (lambda: stats.brier(np.full((2, 3, 4), np.nan), np.zeros(3, int)), "6 of 6 predictions"),
        (lambda: stats.brier(np.full((2, 3), 0.5), np.zeros(3, int)), r"floating point \(R, N, C\)"),
        (lambda: stats.brier(np.full((2, 3, 2), 0.5), np.full(3, 2)), "labels go up to 2, but there are 2 classes"),
        (lambda: stats.cross_entropy(np.zeros((2, 3, 4), int), np.zeros(3, int)), "got int64"),
        (lambda: stats.cross_entropy(np.zeros((2, 3, 4)), np.zeros(2, int)), "for 3 test points and labels for 2"),
        (lambda: stats.cross_entropy(np.full((2, 1, 4), -np.inf), np.zeros(1, int)), "-inf for every class"),
        (
            lambda: stats.cross_entropy(np.zeros((2, 1, 4)), np.zeros(1, int), correction="jacknife"),
            "unknown correction 'jacknife'.*'jackknife'",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(Refusal, match=message):
        call()
