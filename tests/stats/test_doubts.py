"""What is said under a table, and of which biases no claim is made."""

import numpy as np
import pytest
from brute_force import SPLITS, study

from ltbv import stats
from ltbv.errors import Refusal


def cautions(predictions, labels, groups):
    record = stats.Record(predictions, labels)
    return stats.cautions(record, stats.summarize(record, groups))


def test_cautions():
    predictions, labels = study(10, 30, noise=0.2)
    assert cautions(predictions, labels, SPLITS) == []
    for runs, words in (
        (3, "3 runs: no intervals"),
        (4, "4 runs: the correction of the bias cannot be relied on below 10 runs"),
        (9, "9 runs: the correction of the bias cannot be relied on below 10 runs"),
    ):
        assert words in " ".join(cautions(predictions[:runs], labels, SPLITS))
    noise = np.random.default_rng(0).integers(0, 6, (10, labels.size))
    at_chance, uniform = cautions(noise, labels, {"all": range(6), "few": [4, 5]})
    assert "near uniform in all, few" in uniform and "chance (1 of 6 classes) by its interval in all, few" in at_chance
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
def test_what_a_scheme_leaves_out_is_said_of_bias_and_intervals_too(scheme):
    predictions, labels = study(10, 30, noise=0.2)
    shared = np.full(6, 0.6)
    (line,) = stats.cautions(stats.Record(predictions, labels, scheme=scheme, shared=shared), [])
    assert line.startswith(f"scheme {scheme}: ") and "not that of new training sets" in line
    assert "the bias and the intervals" in line
    for other in ("subsample", "fresh"):
        assert stats.cautions(stats.Record(predictions, labels, scheme=other), []) == []


def test_copies_of_a_run_are_said():
    predictions, labels = study(10, 30, noise=0.2)
    copied = np.concatenate([predictions[:8], predictions[2:4]])
    assert stats.cautions(stats.Record(copied, labels), []) == [
        "2 of 10 runs predict what another one does at every test point: copies of one run?"
    ]


def guesses(runs, uniform, seed=0):
    """Votes near uniform, or for the true label just more often than for the next one; labels."""
    draw, labels = np.random.default_rng(seed), np.repeat(np.arange(6), 100)
    right, other = draw.random((runs, 600)) < 0.54, (labels + 1) % 6
    return draw.integers(0, 6, (runs, 600)) if uniform else np.where(right, labels, other), labels


@pytest.mark.parametrize(
    ("uniform", "why"), [(True, "votes are near uniform"), (False, "bracket of the variance is wider")]
)
@pytest.mark.parametrize("side", [0, 1])
def test_no_claim_is_made_of_a_bias_where_a_caution_stands(uniform, why, side):
    clear, labels = study(10, 100, noise=0.2)
    doubtful, _ = guesses(10, uniform)
    records = [stats.Record(votes, labels) for votes in (doubtful, clear)]
    estimates = [stats.summarize(record, SPLITS) for record in records]
    found = stats.no_bias_claim(10, estimates[side], estimates[1 - side])
    assert list(found) == list(SPLITS) and all(why in reason for reason in found.values())
    assert stats.no_bias_claim(10, estimates[1], estimates[1]) == {}
    said = " ".join(stats.cautions(records[0], estimates[0]))
    assert all(group in said for group in found) and "no claim is made of it" in said


def test_no_claim_is_made_of_any_bias_below_ten_runs():
    predictions, labels = study(9, 100, noise=0.2)
    estimates = stats.summarize(stats.Record(predictions, labels), SPLITS)
    assert stats.no_bias_claim(9, estimates, estimates) == dict.fromkeys(SPLITS, "9 runs are fewer than 10")
    assert stats.no_bias_claim(10, estimates, estimates) == {}


def test_two_fallen_runs_do_not_hide_each_other_and_few_runs_show_none():
    predictions, labels = study(10, 60)
    predictions[[3, 8]] = 0
    record = stats.Record(predictions, labels)
    assert stats.fallen_runs(record, {"all": range(6)}) == {3: ["all"], 8: ["all"]}
    _, line = stats.cautions(record, [])  # the first says that both predict alike
    assert line.startswith("runs 3, 8 are far less accurate than the others, in all: did training fail?")
    _, line = stats.cautions(record.select([0, 1, 2, 3, 4, 5, 6, 7, 9]), [])  # the first: nine runs
    assert line.startswith("run 3 is far less accurate")
    assert stats.fallen_runs(stats.Record(predictions[:4], labels), SPLITS) == {}
    same = stats.Record(np.repeat(labels[None], 6, 0), labels)
    assert stats.fallen_runs(same, SPLITS | {"none": [40]}) == {}


def test_runs_that_share_images_spread_more_than_they_show():
    predictions, labels = study(10, 30)
    shared = np.array([0.6, 0.3, 0.12, 0.1, 0.05, 0.03])  # mean .2
    for target in ("population", "test_set"):
        alone, pooled, one_set = (
            {
                (row.group, row.quantity): row
                for row in stats.summarize(
                    stats.Record(predictions, labels, scheme=scheme, shared=of), SPLITS, target=target
                )
            }
            for of, scheme in ((None, "subsample"), (shared, "subsample"), (shared, "bootstrap"))
        )
        for (group, quantity), row in alone.items():
            assert one_set[group, quantity] == row  # no factor leads from one training set to new ones
            other = pooled[group, quantity]
            if quantity in ("error", "accuracy", "bias", "kw_bias"):
                assert other.se > row.se
            else:
                assert other == row
    one = stats.Record(predictions, labels, shared=shared)
    assert one.widening() == pytest.approx(1 + 10 * 0.2 / 0.8)
    assert pooled["all", "error"].se == pytest.approx(alone["all", "error"].se * one.widening() ** 0.5)
    assert stats.Record(predictions, labels, shared=np.full(6, np.nan)).widening() == 1
    assert np.isnan(stats.Record(predictions, labels, shared=np.ones(6)).widening())


def test_a_pool_is_spoken_of_with_its_largest_share():
    predictions, labels = study(10, 30, noise=0.2)

    def said(shared):
        return stats.cautions(stats.Record(predictions, labels, scheme="subsample", shared=shared), [])

    (line,) = said([0.6, 0.3, 0.12, 0.1, 0.05, 0.03])
    assert "up to 60%" in line and "20% on average" in line and "the variance reads too low everywhere" in line
    assert "taken 1.87 times as large" in line
    assert said(np.zeros(6)) == [] == said(np.full(6, np.nan)) == said(None)
    assert "is not given" in said(np.ones(6))[0]
    for wrong in ([0.5, 1.2], [[0.5]], [-0.1]):
        with pytest.raises(Refusal, match=r"shared must be \(C,\) shares from 0 to 1"):
            stats.Record(predictions, labels, shared=wrong)


@pytest.mark.parametrize(("right", "named"), [(0.0, True), (1 / 6, True), (0.3, False), (1.0, False)])
def test_a_method_at_chance_in_a_split_is_named(right, named):
    """In the tail it is right in a share of cases, elsewhere nearly always."""
    for seed in range(5):
        draw, labels = np.random.default_rng(seed), np.repeat(np.arange(6), 100)
        chance = np.where(labels >= 4, right, 0.95)
        wrong = (labels + draw.integers(1, 6, (10, 600))) % 6
        predictions = np.where(draw.random((10, 600)) < chance - 0.01 * (labels >= 4), labels, wrong)
        said = " ".join(cautions(predictions, labels, {"many": [0, 1, 2, 3], "few": [4, 5]}))
        assert ("accuracy is not above chance (1 of 6 classes) by its interval in few:" in said) == named
        assert "chance" not in " ".join(cautions(predictions[:3], labels, {"few": [4, 5]})), "no interval, nothing said"


def test_chance_is_that_of_all_classes_there_are():
    """Right in 1 of 3 cases: chance of three classes, not of the twelve that could be predicted."""
    draw, labels = np.random.default_rng(0), np.repeat(np.arange(3), 200)
    predictions = draw.integers(0, 3, (10, 600))
    estimates = stats.summarize(stats.Record(predictions, labels), {"all": range(3)})
    for counts, named in ((None, True), ([9, 9, 9], True), ([9] * 12, False)):
        said = stats.cautions(stats.Record(predictions, labels, train_counts=counts), estimates)
        assert any("above chance" in line for line in said) == named
    assert not any("chance" in line for line in cautions(np.zeros((10, 5), int), np.zeros(5, int), {"all": [0]}))
