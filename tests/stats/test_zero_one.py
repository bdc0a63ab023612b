"""Zero-one statistics: golden values, identities, invariances, policies, and mlxtend where both define alike."""

import numpy as np
import pytest
from brute_force import bias_half, points, study, votes, zero_one
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.votes import Ballots, subset_words
from ltbv.stats.zero_one import half_subsets

GOLDEN_NAMES = {
    "err": "error",
    "B": "bias",
    "V": "variance",
    "Vu": "unbiased_variance",
    "Vb": "biased_variance",
    "H": "hits",
    "net_variance": "net_variance",
    "V_loo": "variance_loo",
    "V_mid": "variance_mid",
}
GOLDEN_FILES = ["case_a_hand_r5_n12_c4", "case_b_ties_r4_n8_c3", "case_c_binary_r5", "case_f_logits_r6_n10_c5"]


def golden_cases(file):
    """(tie rule, its numbers) of a golden file."""
    by_prefix = {key.removeprefix("tie_"): value for key, value in file.items() if key.startswith("tie_")}
    return file.get("zero_one", by_prefix)


def column(rows, name):
    return np.array([row[name]["float"] for row in rows])


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden_points(golden, name):
    file = golden(f"statistics/{name}")
    predictions, labels = np.array(file["preds_RxN"]), np.array(file["labels"])
    assert golden_cases(file)
    for ties, numbers in golden_cases(file).items():
        extra = {"probabilities": softmax(np.array(file["logits_RxNxC"]))} if ties == "prob" else {}
        ours = stats.zero_one(predictions, labels, ties=ties, **extra)
        rows = numbers["per_point"]
        for theirs, quantity in GOLDEN_NAMES.items():
            if theirs in rows[0]:
                np.testing.assert_allclose(getattr(ours, quantity), column(rows, theirs), atol=1e-12, rtol=0)
        if "B_half" in rows[0]:
            half = stats.bias_half_sample(predictions, labels, ties=ties)
            np.testing.assert_allclose(half, column(rows, "B_half"), atol=1e-12, rtol=0)
        for unbiased, ending in ((False, ""), (True, "_unb")):
            kw = stats.kohavi_wolpert(predictions, labels, unbiased=unbiased)
            np.testing.assert_allclose(kw.bias2, column(rows, f"kw_bias2{ending}"), atol=1e-12, rtol=0)
            np.testing.assert_allclose(kw.variance, column(rows, f"kw_var{ending}"), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", GOLDEN_FILES[:3])
def test_golden_classes(golden, name):
    file = golden(f"statistics/{name}")
    predictions, labels = np.array(file["preds_RxN"]), np.array(file["labels"])
    ours = stats.zero_one(predictions, labels)
    for theirs, quantity in GOLDEN_NAMES.items():
        means = stats.by_class(getattr(ours, quantity), labels, file["num_classes"])
        expected = [file["tie_fractional"]["per_class"][str(c)][theirs]["float"] for c in range(file["num_classes"])]
        np.testing.assert_allclose(means, expected, atol=1e-12, rtol=0)


@given(votes(), st.sampled_from(["fractional", "lowest"]))
def test_definitions_and_identities(case, ties):
    predictions, labels = case
    runs = len(predictions)
    ours = stats.zero_one(predictions, labels, ties=ties)
    error, bias, variance, loo = points(zero_one, predictions, labels, ties=ties)
    for mine, brute in ((ours.error, error), (ours.bias, bias), (ours.variance, variance), (ours.variance_loo, loo)):
        np.testing.assert_allclose(mine, brute, atol=1e-12)
    np.testing.assert_allclose(ours.error, ours.bias + ours.unbiased_variance - ours.hits, atol=1e-12)
    np.testing.assert_allclose(ours.variance, ours.unbiased_variance + ours.biased_variance, atol=1e-12)
    np.testing.assert_allclose(ours.bias + ours.variance - ours.error, ours.biased_variance + ours.hits, atol=1e-12)
    assert (ours.hits <= ours.biased_variance + 1e-12).all() or ties == "lowest"
    assert (ours.variance <= 1 - 1 / min(runs, 8) + 1e-12).all()
    if runs > 1:
        assert (ours.variance <= ours.variance_mid + 1e-12).all()
        assert (ours.variance_mid <= ours.variance_loo + 1e-12).all()


@given(votes())
def test_error_is_bias_plus_signed_variance(case):
    """Domingos' form: error = B + cV with c = 1 if the main prediction is right, else -P(h = y | h is not main)."""
    predictions, labels = case
    ours = stats.zero_one(predictions, labels)
    certain = (ours.main_weight_true == 0) | (ours.main_weight_true == 1)
    signed = np.where(ours.main_weight_true == 1, ours.variance, ours.error - 1)
    np.testing.assert_allclose((ours.bias + signed)[certain], ours.error[certain], atol=1e-12)


@given(votes())
def test_two_classes_make_hits_the_biased_variance(case):
    ours = stats.zero_one(case[0] % 2, case[1] % 2)
    np.testing.assert_allclose(ours.hits, ours.biased_variance, atol=1e-12)


@settings(max_examples=60)
@given(votes(runs=(3, 9)), st.sampled_from(["fractional", "lowest"]))
def test_half_sample_by_its_definition(case, ties):
    predictions, labels = case
    expected = points(bias_half, predictions, labels, ties=ties)
    np.testing.assert_allclose(stats.bias_half_sample(predictions, labels, ties=ties), expected, atol=1e-12)


@given(votes(runs=(3, 9)), st.randoms(use_true_random=False))
def test_invariances(case, random):
    predictions, labels = case
    runs, points_order = list(range(len(predictions))), list(range(labels.size))
    random.shuffle(runs)
    random.shuffle(points_order)
    rename = np.array(random.sample(range(20), 8))
    for function in (
        lambda p, y: stats.zero_one(p, y).bias,
        lambda p, y: stats.zero_one(p, y).variance_mid,
        stats.bias_half_sample,
        lambda p, y: stats.kohavi_wolpert(p, y).bias2,
    ):
        plain = function(predictions, labels)
        np.testing.assert_allclose(function(predictions[runs], labels), plain, atol=1e-12)
        np.testing.assert_allclose(function(predictions[:, points_order], labels[points_order]), plain[points_order])
        np.testing.assert_allclose(function(rename[predictions], rename[labels]), plain, atol=1e-12)


@given(votes(runs=(2, 12)))
def test_kohavi_wolpert_adds_up_and_counts_pairs(case):
    predictions, labels = case
    runs = len(predictions)
    differ = (predictions[:, None] != predictions[None]).sum((0, 1)) / (runs * (runs - 1))
    for unbiased in (True, False):
        kw = stats.kohavi_wolpert(predictions, labels, unbiased=unbiased)
        np.testing.assert_allclose(kw.bias2 + kw.variance, kw.error, atol=1e-12)
        np.testing.assert_allclose(kw.variance, differ / 2 * (1 if unbiased else (runs - 1) / runs), atol=1e-12)


def test_copies_of_one_model_have_no_variance():
    predictions, labels = study(1, 5)
    copies = stats.zero_one(np.repeat(predictions, 10, 0), labels)
    assert not copies.variance.any() and not copies.variance_mid.any()
    np.testing.assert_array_equal(copies.bias, copies.error)


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_few_runs(runs):
    predictions, labels = study(runs, 4)
    ours = stats.zero_one(predictions, labels)
    assert np.isfinite(ours.bias).all() and np.isfinite(ours.variance).all()
    assert np.isnan(ours.variance_mid).all() == (runs == 1)
    assert np.isnan(stats.bias_half_sample(predictions, labels)).all() == (runs < 3)
    assert np.isnan(stats.kohavi_wolpert(predictions, labels).variance).all() == (runs == 1)
    assert np.isfinite(stats.kohavi_wolpert(predictions, labels, unbiased=False).bias2).all()
    if runs == 1:
        assert not ours.variance.any()


@pytest.mark.parametrize("runs", [33, 70, 300])
def test_many_runs_need_several_words(runs):
    predictions, labels = study(runs, 3 if runs < 100 else 1)
    error, bias, variance, loo = points(zero_one, predictions, labels)
    ours = stats.zero_one(predictions, labels)
    np.testing.assert_allclose(ours.bias, bias, atol=1e-12)
    np.testing.assert_allclose(ours.variance_loo, loo, atol=1e-12)
    np.testing.assert_allclose(ours.error, error, atol=1e-12)


def test_small_blocks_change_nothing(monkeypatch):
    predictions, labels = study(7, 30)
    whole = stats.zero_one(predictions, labels), stats.bias_half_sample(predictions, labels)
    monkeypatch.setattr("ltbv.stats.votes.blocks.__defaults__", (7,))
    np.testing.assert_array_equal(stats.zero_one(predictions, labels).variance_mid, whole[0].variance_mid)
    np.testing.assert_array_equal(stats.bias_half_sample(predictions, labels), whole[1])


def test_any_integer_dtype():
    predictions, labels = study(5, 6)
    expected = stats.zero_one(predictions, labels).bias
    for dtype in (np.uint8, np.int16, np.uint32, np.uint64):
        np.testing.assert_array_equal(stats.zero_one(predictions.astype(dtype), labels).bias, expected)
        np.testing.assert_array_equal(stats.zero_one(predictions, labels.astype(dtype)).bias, expected)


def test_half_subsets_are_seeded_complementary_pairs():
    assert half_subsets(10).shape == (252, 5)
    assert half_subsets(12).shape == (924, 6)
    for runs in (13, 20):
        halves = half_subsets(runs, seed=1)
        assert halves.shape == (100, runs // 2)
        for one, other in halves.reshape(-1, 2, runs // 2):
            assert not set(one) & set(other)
        np.testing.assert_array_equal(halves, half_subsets(runs, seed=1))
        assert (halves != half_subsets(runs, seed=2)).any()


def test_half_sample_groups():
    predictions, labels = study(6, 5)
    values = stats.bias_half_sample(predictions, labels)
    by_group = stats.bias_half_sample(predictions, labels, {"two": [0, 1], "none": [9], "one": [3]})
    two = (values[labels == 0].mean() + values[labels == 1].mean()) / 2
    np.testing.assert_allclose(by_group, [two, np.nan, values[labels == 3].mean()])
    np.testing.assert_allclose(stats.bias_half_sample(predictions, labels, [[0, 1], [3]]), by_group[[0, 2]])


def test_subset_words():
    np.testing.assert_array_equal(subset_words([0, 2], 3), [0b101])
    np.testing.assert_array_equal(subset_words([1, 33], 40), [0b10, 0b10])


@given(votes(num_points=(3, 12)))
def test_ballots_at_some_points(case):
    predictions, labels = case
    ballots = Ballots.of(predictions, labels)
    chosen = np.arange(0, labels.size, 2)
    everyone = subset_words(range(len(predictions)), len(predictions))
    some = ballots.at(chosen)
    np.testing.assert_array_equal(some.tally(everyone).first, ballots.tally(everyone).first[chosen])
    np.testing.assert_array_equal(some.order, ballots.order[chosen])


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([[0.0, 1.0]], [0, 1], "predictions must be integer class ids; got float64. Take the argmax"),
        ([[0, 1]], ["a", "b"], "labels must be integer class ids"),
        ([[0, -1]], [0, 1], "predictions must be class ids from 0; the lowest is -1"),
        ([0, 1], [0, 1], r"predictions must be \(R, N\), one row for each run; got shape \(2,\)"),
        ([[0], [1]], [0, 1], "predictions are for 1 test points and labels for 2"),
        ([[0, 1]], [[0, 1]], "labels must be one class id for each test point"),
        (np.zeros((1, 0), int), np.zeros(0, int), "labels must be one class id for each test point"),
    ],
)
def test_refusals(predictions, labels, message):
    for function in (stats.zero_one, stats.bias_half_sample, stats.kohavi_wolpert):
        with pytest.raises(Refusal, match=message):
            function(np.array(predictions), np.array(labels))


def test_refused_ties():
    predictions, labels = study(3, 2)
    with pytest.raises(Refusal, match="unknown tie rule 'lowst'.*'lowest'"):
        stats.zero_one(predictions, labels, ties="lowst")
    with pytest.raises(Refusal, match="probabilities missing"):
        stats.zero_one(predictions, labels, ties="prob")
    with pytest.raises(Refusal, match="here only labels are known"):
        stats.bias_half_sample(predictions, labels, ties="prob")
    with pytest.raises(Refusal, match=r"probabilities must be \(R, N, C\) = \(3, 12, classes\)"):
        stats.zero_one(predictions, labels, ties="prob", probabilities=np.zeros((3, 12)))
    with pytest.raises(Refusal, match="labels go up to 5, but there are 2 classes"):
        stats.zero_one(predictions, labels, ties="prob", probabilities=np.zeros((3, 12, 2)))


class Replay:
    """An estimator whose r-th fit predicts the r-th row of given labels."""

    def __init__(self, predictions):
        self.rows = iter(predictions)

    def fit(self, X, y):
        self.row = next(self.rows)
        return self

    def predict(self, X):
        return self.row


@pytest.mark.parametrize("runs", [3, 4, 6, 10])
def test_mlxtend_agrees_with_lowest_ties(runs):
    evaluate = pytest.importorskip("mlxtend.evaluate")
    predictions, labels = study(runs, 20, seed=runs)
    X = np.zeros((labels.size, 1))
    loss, bias, variance = evaluate.bias_variance_decomp(
        Replay(predictions), X, labels, X, labels, loss="0-1_loss", num_rounds=runs, random_seed=0
    )
    ours = stats.zero_one(predictions, labels, ties="lowest")
    means = ours.error.mean(), ours.bias.mean(), ours.variance.mean()
    np.testing.assert_allclose(means, (loss, bias, variance), atol=1e-12)
