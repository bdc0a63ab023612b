"""Confusion flow against loops over classes, points and runs."""

import numpy as np
import pytest
from scipy import stats as distributions

from ltbv import stats
from ltbv.errors import Refusal

SPLITS = {"many": [0, 3], "medium": [1], "few": [2, 4, 5]}


def example(runs=5, per_class=6, classes=6, seed=0):
    """Hardest negatives that lean to class 0, and labels; classes 1 to 5 have more and more points."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), per_class + np.arange(classes)))
    logits = generator.normal(size=(runs, labels.size, classes)) + 1.5 * (np.arange(classes) == 0)
    return stats.hardest_negative(logits, labels), labels


def flow_of_classes(hardest, labels, classes=6):
    """F (R, C, C) of each run, as it reads."""
    flow = np.zeros((len(hardest.score), classes, classes))
    for r, (score, label) in enumerate(zip(hardest.score, hardest.label, strict=True)):
        for i, true in enumerate(labels):
            flow[r, true, label[i]] += score[i] / (labels == true).sum()
    return flow


def test_flow_by_its_definition():
    hardest, labels = example()
    ours = stats.confusion_flow(hardest, labels, SPLITS)
    flow = flow_of_classes(hardest, labels).mean(0)
    assert ours.splits == ("many", "medium", "few")
    for a, rows in enumerate(SPLITS.values()):
        for b, columns in enumerate(SPLITS.values()):
            assert ours.mass[a, b] == pytest.approx(flow[np.ix_(rows, columns)].sum(1).mean())
            even = [flow[c].sum() * len(set(columns) - {c}) / 5 for c in rows]
            assert ours.expected[a, b] == pytest.approx(np.mean(even))
    np.testing.assert_allclose((ours.ratio * ours.expected)[ours.expected > 0], ours.mass[ours.expected > 0])
    assert ours.ratio[2, 0] > 1.5  # the tail's mass flows to class 0
    np.testing.assert_allclose(ours.mass.sum(1), ours.expected.sum(1))


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16])
def test_small_integers_do_not_overflow(kind):
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(100), 3)
    hardest = stats.HardestNegative(
        draw.random((2, 300)), (labels + draw.integers(1, 100, (2, 300))) % 100, draw.random((2, 300))
    )
    splits = {"many": range(40), "medium": range(40, 80), "few": range(80, 100)}
    whole = stats.confusion_flow(hardest, labels, splits)
    np.testing.assert_array_equal(stats.confusion_flow(hardest, labels.astype(kind), splits).mass, whole.mass)


def test_flow_to_the_only_class_of_a_split_and_from_an_absent_one():
    hardest, labels = example()
    kept = labels != 1
    hardest = stats.HardestNegative(hardest.score[:, kept], hardest.label[:, kept], hardest.p_true[:, kept])
    ours = stats.confusion_flow(hardest, labels[kept], SPLITS)
    assert np.isnan(ours.mass[1]).all() and np.isfinite(ours.mass[[0, 2]]).all()
    whole = stats.confusion_flow(*example(), SPLITS)
    assert whole.mass[1, 1] == whole.expected[1, 1] == 0 and np.isnan(whole.ratio[1, 1])


@pytest.mark.parametrize("runs", [3, 5])
def test_pairs_by_their_definition(runs):
    hardest, labels = example(runs)
    ours = stats.confusion_pairs(hardest, labels, SPLITS["few"], top=7)
    flow = flow_of_classes(hardest, labels)
    tail = sorted(((flow[:, c, k].mean(), c, k) for c in SPLITS["few"] for k in range(6)), reverse=True)
    assert [(pair.true, pair.negative) for pair in ours] == [(c, k) for _, c, k in tail[:7]]
    for pair in ours:
        of_run = flow[:, pair.true, pair.negative]
        assert pair.mass == pytest.approx(of_run.mean())
        if runs < 4:
            assert np.isnan([pair.low, pair.high, pair.se]).all()
        else:
            se = of_run.std(ddof=1) / np.sqrt(runs)
            reach = distributions.t.ppf(0.975, runs - 1) * se
            expected = [se, pair.mass - reach, pair.mass + reach]
            np.testing.assert_allclose([pair.se, pair.low, pair.high], expected)


def test_all_pairs_hold_all_mass():
    hardest, labels = example()
    pairs = stats.confusion_pairs(hardest, labels, range(6), top=100)
    flow = stats.confusion_flow(hardest, labels, {"all": range(6)})
    assert sum(pair.mass for pair in pairs) / 6 == pytest.approx(flow.mass.item())
    assert stats.confusion_pairs(hardest, labels, [17]) == []


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"many": [0, 1], "few": [1, 2]}, "every class from 0 once"),
        ({"many": [0, 1], "few": [2]}, "splits hold 3 classes, but labels or hardest negatives go up to 5"),
    ],
)
def test_splits_that_do_not_fit(splits, message):
    with pytest.raises(Refusal, match=message):
        stats.confusion_flow(*example(), splits)


def test_another_number_of_points():
    hardest, labels = example()
    with pytest.raises(Refusal, match=r"\(runs, points\)"):
        stats.confusion_pairs(hardest, labels[1:], [0])
