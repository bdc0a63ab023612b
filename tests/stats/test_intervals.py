"""Intervals: leave-one-out values against really leaving runs out, the formulas, the policies, coverage."""

import dataclasses

import numpy as np
import pytest
from brute_force import SPLITS, bias_half, group_means, points, study, zero_one
from scipy import stats as distributions

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.zero_one import half_subsets

FIELDS = {
    "accuracy",
    "error",
    "bias",
    "variance",
    "unbiased_variance",
    "biased_variance",
    "hits",
    "variance_low",
    "variance_high",
    "kw_bias",
    "kw_variance",
}


def share_left(quantity, runs, bracket):
    """Share of a correction that may be wrong, by its formula."""
    if quantity == "variance":
        return 0.4 / runs
    return min(2, np.sqrt(0.6**2 / runs + (6 * runs**2 * bracket**3) ** 2)) if quantity == "bias" else 0


def table(estimates):
    return {(one.group, one.quantity): one for one in estimates}


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def by_definition(predictions, labels, ties):
    """name -> (corrected points, plug-in points, leave-one-out statistic's points) of every quantity."""
    ours = stats.zero_one(predictions, labels, ties=ties)
    kw, plug_in = (stats.kohavi_wolpert(predictions, labels, unbiased=choice) for choice in (True, False))
    half = stats.bias_half_sample(predictions, labels, ties=ties)
    same = {
        "accuracy": 1 - ours.error,
        "error": ours.error,
        "unbiased_variance": ours.unbiased_variance,
        "biased_variance": ours.biased_variance,
        "hits": ours.hits,
        "variance_low": ours.variance,
        "variance_high": ours.variance_loo,
    }
    return {name: (values, values, values) for name, values in same.items()} | {
        "bias": (half, ours.bias, ours.bias),
        "variance": (ours.variance_mid, ours.variance, ours.variance_mid),
        "kw_bias": (kw.bias2, plug_in.bias2, kw.bias2),
        "kw_variance": (kw.variance, plug_in.variance, kw.variance),
    }


@pytest.mark.parametrize("ties", ["fractional", "lowest"])
@pytest.mark.parametrize("runs", [4, 5, 10])
def test_every_number_by_its_definition(runs, ties):
    predictions, labels = study(runs, 7, seed=runs)
    whole = by_definition(predictions, labels, ties)
    without = [by_definition(np.delete(predictions, r, 0), labels, ties) for r in range(runs)]
    ours = table(stats.summarize(stats.Record(predictions, labels), SPLITS, ties=ties))
    assert {quantity for _, quantity in ours} == FIELDS
    for (group, quantity), one in ours.items():
        corrected, plug_in, _ = whole[quantity]
        estimate, uncorrected = (group_means(values, labels, SPLITS)[group] for values in (corrected, plug_in))
        means = [group_means(out[quantity][2], labels, SPLITS)[group] for out in without]
        v_run = (runs - 1) / runs * ((np.array(means) - np.mean(means)) ** 2).sum()
        classes = [corrected[labels == c] for c in SPLITS[group]]
        v = v_run + sum(values.var(ddof=1) / values.size for values in classes) / len(classes) ** 2
        bracket = ours[group, "variance_high"].estimate - ours[group, "variance_low"].estimate
        v += (share_left(quantity, runs, bracket) * (uncorrected - estimate)) ** 2
        df = min(v**2 / (v_run**2 / (runs - 1)), 1e4) if v_run else 1e4
        reach = distributions.t.ppf(0.975, df) * np.sqrt(v)
        assert one.estimate == pytest.approx(estimate, abs=1e-12)
        assert one.plug_in == pytest.approx(uncorrected, abs=1e-12)
        assert one.se == pytest.approx(np.sqrt(v), abs=1e-12)
        assert (one.low, one.high) == pytest.approx((one.estimate - reach, one.estimate + reach), abs=1e-10)
        if v:
            assert one.df == pytest.approx(df)


@pytest.mark.parametrize("runs", [4, 5, 9])
def test_conservative_bias_leaves_runs_out_of_the_halves(runs):
    predictions, labels = study(runs, 5)
    half = max(runs // 2, 2)
    left_out = []
    for r in range(runs):
        rest = np.delete(np.arange(runs), r)
        subsets = [list(subset) for subset in half_subsets(runs) if r not in subset]
        b_half = np.mean([points(zero_one, predictions[subset], labels)[1] for subset in subsets], axis=0)
        b_full = points(zero_one, predictions[rest], labels)[1]
        left_out.append(((runs - 1) * b_full - half * b_half) / (runs - 1 - half))
    test_set = table(stats.summarize(stats.Record(predictions, labels), SPLITS, target="test_set"))
    conservative = table(stats.summarize(stats.Record(predictions, labels), SPLITS, se_bias="conservative"))
    expected = points(bias_half, predictions, labels)
    for group in SPLITS:
        values = np.array([group_means(out, labels, SPLITS)[group] for out in left_out])
        v_run = (runs - 1) / runs * ((values - values.mean()) ** 2).sum()
        one = test_set[group, "bias"]
        bracket = test_set[group, "variance_high"].estimate - test_set[group, "variance_low"].estimate
        v = v_run + (share_left("bias", runs, bracket) * (one.plug_in - one.estimate)) ** 2
        assert one.estimate == pytest.approx(group_means(expected, labels, SPLITS)[group], abs=1e-12)
        assert one.se == pytest.approx(np.sqrt(v), abs=1e-12)
        assert one.df == pytest.approx(min(v**2 / (v_run**2 / (runs - 1)), 1e4))
        assert test_set[group, "error"].df == runs - 1
        assert conservative[group, "bias"].se >= one.se


def test_the_identity_closes():
    predictions, labels = study(9, 10)
    ours = table(stats.summarize(stats.Record(predictions, labels), SPLITS))
    for group in SPLITS:
        value = {quantity: ours[group, quantity].plug_in for quantity in FIELDS}
        assert value["error"] == pytest.approx(value["bias"] + value["unbiased_variance"] - value["hits"], abs=1e-12)
        assert value["error"] == pytest.approx(value["kw_bias"] + value["kw_variance"], abs=1e-12)
        assert value["accuracy"] == pytest.approx(1 - value["error"], abs=1e-12)
        assert value["variance_low"] <= ours[group, "variance"].estimate <= value["variance_high"]


def test_golden_splits(golden):
    file = golden("statistics/case_a_hand_r5_n12_c4")
    ours = table(stats.summarize(stats.Record(np.array(file["preds_RxN"]), np.array(file["labels"])), file["splits"]))
    names = {
        "error": "err",
        "bias": "B_half",
        "variance": "V_mid",
        "hits": "H",
        "variance_high": "V_loo",
        "kw_bias": "kw_bias2_unb",
    }
    for group, numbers in file["tie_fractional"]["split_macro"].items():
        for ours_name, theirs in names.items():
            assert ours[group, ours_name].estimate == pytest.approx(numbers[theirs]["float"], abs=1e-12)
        assert ours[group, "bias"].plug_in == pytest.approx(numbers["B"]["float"], abs=1e-12)


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_few_runs(runs):
    predictions, labels = study(runs, 6)
    for one in stats.summarize(stats.Record(predictions, labels), SPLITS):
        unknown = {"accuracy": 1, "error": 1, "bias": 3}.get(one.quantity, 2)
        assert np.isnan(one.estimate) == (runs < unknown)
        for value in (one.low, one.high, one.se, one.df):
            assert np.isnan(value) == (runs < 4)


def test_groups_without_test_points_and_classes_with_one():
    predictions, labels = study(6, 5)
    kept = np.flatnonzero((labels != 2) & ((labels != 5) | (np.arange(labels.size) == labels.size - 1)))
    predictions, labels = predictions[:, kept], labels[kept]
    groups = {"absent": [2, 40], "with_absent": [0, 2], "plain": [0], "lone": [5], "with_lone": [0, 1, 5]}
    ours = table(stats.summarize(stats.Record(predictions, labels), groups))
    absent, with_absent, plain, lone, with_lone = (ours[group, "error"] for group in groups)
    assert all(np.isnan(value) for value in dataclasses.astuple(absent)[2:])
    assert dataclasses.astuple(with_absent)[1:] == dataclasses.astuple(plain)[1:]
    assert np.isfinite(lone.estimate) and np.isnan(lone.se) and np.isnan(lone.low) and np.isnan(lone.df)
    # The lone point takes the mean within-class variance of the group's other classes.
    error = stats.zero_one(predictions, labels).error
    spread = [error[labels == c].var(ddof=1) for c in (0, 1)]
    runs_only = table(stats.summarize(stats.Record(predictions, labels), groups, target="test_set"))[
        "with_lone", "error"
    ]
    v_point = (spread[0] / 5 + spread[1] / 5 + np.mean(spread)) / 9
    assert with_lone.se == pytest.approx(np.sqrt(runs_only.se**2 + v_point))


def test_nothing_varies():
    labels = np.repeat(np.arange(3), 4)
    for one in stats.summarize(stats.Record(np.repeat(labels[None], 5, 0), labels), {"all": range(3)}):
        assert one.se == 0 and one.low == one.estimate == one.high and one.df == 4


def test_order_and_blocks_change_nothing(monkeypatch):
    predictions, labels = study(7, 20)
    plain = stats.summarize(stats.Record(predictions, labels), SPLITS, se_bias="conservative")
    shuffled = np.random.default_rng(0).permutation(labels.size)
    runs = np.random.default_rng(0).permutation(7)
    others = [
        stats.summarize(stats.Record(predictions[runs][:, shuffled], labels[shuffled]), SPLITS, se_bias="conservative")
    ]
    monkeypatch.setattr("ltbv.stats.votes.blocks.__defaults__", (11,))
    others.append(stats.summarize(stats.Record(predictions, labels), SPLITS, se_bias="conservative"))
    for other in others:
        for one, same in zip(plain, other, strict=True):
            values, others_values = dataclasses.astuple(one)[2:], dataclasses.astuple(same)[2:]
            np.testing.assert_allclose(values, others_values, rtol=1e-9, atol=1e-12)


def test_same_seed_same_bytes_and_another_seed_moves_the_bias_alone():
    predictions, labels = study(13, 10)
    one, same, other = (stats.summarize(stats.Record(predictions, labels), SPLITS, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert {a.quantity for a, b in zip(one, other, strict=True) if a != b} == {"bias"}


@pytest.mark.parametrize("runs", [1, 2, 3, 6])
def test_logits(runs, monkeypatch):
    generator = np.random.default_rng(0)
    logits, labels = 2 * generator.normal(size=(runs, 48, 6)), np.repeat(np.arange(6), 8)
    monkeypatch.setattr("ltbv.stats.probability.BLOCK_ELEMENTS", 100)
    ours = table(stats.summarize(stats.Record(logits.argmax(2), labels, logits=logits), SPLITS))
    reads = []

    def read(block):
        reads.append(block)
        return logits[:, block]

    lazily = table(stats.summarize(stats.Record(logits.argmax(2), labels, logits=read), SPLITS))
    assert repr(ours) == repr(lazily) and len(reads) > 2
    plug_in = stats.cross_entropy(logits, labels, correction=None), stats.brier(softmax(logits), labels, unbiased=False)
    corrected = stats.cross_entropy(logits, labels), stats.brier(softmax(logits), labels)
    for group in SPLITS:
        for name, of, field in (
            ("cross_entropy", 0, "loss"),
            ("cross_entropy_bias", 0, "bias"),
            ("brier", 1, "loss"),
            ("cross_entropy_variance", 0, "variance"),
            ("brier_bias", 1, "bias2"),
            ("brier_variance", 1, "variance"),
        ):
            one = ours[group, name]
            expected = group_means(getattr(corrected[of], field), labels, SPLITS)[group]
            assert one.estimate == pytest.approx(expected, abs=1e-10, nan_ok=True)
            expected = group_means(getattr(plug_in[of], field), labels, SPLITS)[group]
            assert one.plug_in == pytest.approx(expected, abs=1e-10)
            assert np.isnan(one.se) == (runs < 4)


def test_logits_with_runs_left_out():
    generator = np.random.default_rng(0)
    logits, labels = 2 * generator.normal(size=(5, 48, 6)), np.repeat(np.arange(6), 8)
    ours = table(stats.summarize(stats.Record(logits.argmax(2), labels, logits=logits), SPLITS, target="test_set"))
    rest = [np.delete(logits, r, 0) for r in range(5)]
    cross_entropy = [stats.cross_entropy(z, labels, correction="scale") for z in rest]
    brier = [stats.brier(softmax(z), labels) for z in rest]
    for name, of, field in (
        ("cross_entropy", cross_entropy, "loss"),
        ("cross_entropy_bias", cross_entropy, "bias"),
        ("cross_entropy_variance", cross_entropy, "variance"),
        ("brier", brier, "loss"),
        ("brier_bias", brier, "bias2"),
        ("brier_variance", brier, "variance"),
    ):
        values = np.array([group_means(getattr(one, field), labels, SPLITS)["few"] for one in of])
        assert ours["few", name].se == pytest.approx(np.sqrt(0.8 * ((values - values.mean()) ** 2).sum()), rel=1e-9)


def test_per_run_scores():
    predictions, labels = study(6, 10)
    wrong = (predictions != labels).astype(float)
    ours = table(stats.summarize(stats.Record(predictions, labels, per_run={"wrong": wrong}), SPLITS))
    for group in SPLITS:
        np.testing.assert_allclose(
            dataclasses.astuple(ours[group, "wrong"])[2:], dataclasses.astuple(ours[group, "error"])[2:], atol=1e-12
        )


def test_a_hundred_groups_of_one_class_are_the_class_means():
    predictions, labels = study(5, 4, classes=100)
    ours = table(stats.summarize(stats.Record(predictions, labels), {str(c): [c] for c in range(100)}))
    means = stats.by_class(stats.zero_one(predictions, labels).variance_mid, labels, 100)
    np.testing.assert_allclose([ours[str(c), "variance"].estimate for c in range(100)], means)


def cautions(predictions, labels, groups):
    record = stats.Record(predictions, labels)
    return stats.cautions(record, stats.summarize(record, groups))


def test_cautions():
    predictions, labels = study(10, 30, noise=0.2)
    assert cautions(predictions, labels, SPLITS) == []
    for runs, words in (
        (3, "3 runs: no intervals"),
        (4, "4 runs: corrections and intervals are rough"),
        (9, "9 runs: intervals of the bias cover less"),
    ):
        assert words in " ".join(cautions(predictions[:runs], labels, SPLITS))
    noise = np.random.default_rng(0).integers(0, 6, (10, labels.size))
    lines = cautions(noise, labels, {"all": range(6), "few": [4, 5]})
    assert len(lines) == 1 and "near uniform in all, few" in lines[0]
    predictions, labels = study(10, 30, noise=1.2)
    lines = cautions(predictions, labels, SPLITS)
    assert any("wider than 0.10 in" in line for line in lines)
    varied = np.random.default_rng(1).integers(0, 3, (10, 30))
    drawn = stats.Record(varied, np.arange(30) % 3, train_counts=[9, 1, 1], scheme="stratified_bootstrap")
    of_scheme, *lines = stats.cautions(drawn, [])
    assert of_scheme.startswith("scheme stratified_bootstrap: the variance is that of resampling one training set")
    assert lines == [
        "one training image in class 1, 2: drawn with replacement within the class it never varies, so its"
        " own sampling is not in the variance."
    ]


@pytest.mark.parametrize("scheme", ["seed_only", "bootstrap", "stratified_bootstrap"])
def test_what_a_scheme_leaves_out_of_the_variance_is_said(scheme):
    predictions, labels = study(10, 30, noise=0.2)
    (line,) = stats.cautions(stats.Record(predictions, labels, scheme=scheme), [])
    assert line.startswith(f"scheme {scheme}: ") and "not that of new training sets" in line
    for other in ("subsample", "fresh"):
        assert stats.cautions(stats.Record(predictions, labels, scheme=other), []) == []


def test_copies_of_a_run_and_a_bias_below_0_are_said():
    predictions, labels = study(10, 30, noise=0.2)
    copied = np.concatenate([predictions[:8], predictions[2:4]])
    assert stats.cautions(stats.Record(copied, labels), []) == [
        "2 of 10 runs predict what another one does at every test point: copies of one run?"
    ]
    draw = np.random.default_rng(0)
    labels = np.arange(400) % 4
    guesses = stats.Record(np.where(draw.random((10, 400)) < 0.45, labels, draw.integers(0, 12, (10, 400))), labels)
    estimates = stats.summarize(guesses, {"all": range(4), "some": [0, 1]})
    assert stats.impossible(estimates) == ["all", "some"]
    assert any("bias of all, some is below 0" in line for line in stats.cautions(guesses, estimates))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "populaton"}, "unknown target 'populaton'.*population"),
        ({"se_bias": "x"}, "unknown se_bias 'x'"),
        ({"ties": "prob"}, "ties 'prob' needs probabilities"),
        ({"level": 95}, "level=95 must lie between 0 and 1, for example 0.95"),
        ({"logits": np.zeros((3, 24, 6))}, "logits have 3 runs and predictions 5"),
        ({"logits": np.full((5, 24, 6), np.nan)}, "logits hold NaN"),
        ({"logits": np.where(np.arange(6) == 1, -np.inf, np.zeros((5, 24, 6)))}, "logits are -inf"),
        ({"per_run": {"error": np.zeros((5, 24))}}, r"per_run names \['error'\] are taken"),
        ({"per_run": {"score": np.zeros((5, 2))}}, r"per_run\['score'\] must be \(R, N\) = \(5, 24\)"),
        ({"per_run": {"score": np.full((5, 24), np.nan)}}, r"per_run\['score'\] is NaN or infinite: 120 of 120"),
    ],
)
def test_refusals(options, message):
    predictions, labels = study(5, 4)
    with pytest.raises(Refusal, match=message):
        kept = {name: options.pop(name) for name in ("logits", "per_run") if name in options}
        stats.summarize(stats.Record(predictions, labels, **kept), SPLITS, **options)


def test_coverage_smoke():
    """40 studies of 10 runs on new test points each: every nominal 95 % interval covers the truth in at least 34."""
    generator = np.random.default_rng(11)
    classes, per_class, runs = 10, 50, 10
    skill = np.linspace(1.6, -0.4, classes)  # of the true class, in noise units: head to tail

    def draw(labels, runs):
        offset = np.zeros((labels.size, classes))
        offset[np.arange(labels.size), labels] = skill[labels]
        mean = offset + hidden(labels.size)
        scores = mean + 0.7 * generator.gumbel(size=(runs, labels.size, classes))
        return (scores + 0.2 * generator.normal(size=(runs, 1, classes))).argmax(2)

    def hidden(points):
        return 1.2 * generator.normal(size=(points, classes))

    labels = np.repeat(np.arange(classes), per_class)
    groups = {"all": range(classes), "few": [7, 8, 9]}
    # The near-truth: 3,000 points with 120 runs each, whose plug-in is off by less than .003.
    many = np.repeat(np.arange(classes), 300)
    truth = {
        key: one.estimate for key, one in table(stats.summarize(stats.Record(draw(many, 120), many), groups)).items()
    }
    covered = dict.fromkeys([(group, quantity) for group in groups for quantity in ("error", "bias", "variance")], 0)
    for _ in range(40):
        ours = table(stats.summarize(stats.Record(draw(labels, runs), labels), groups))
        for key in covered:
            covered[key] += ours[key].low <= truth[key] <= ours[key].high
    assert min(covered.values()) >= 34, covered
