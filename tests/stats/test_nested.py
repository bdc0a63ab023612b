"""Runs that stand on several backbones: every quantity is a mean over backbones, and backbones are what is drawn."""

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.student import quantile

GROUPS = {"all": np.arange(4), "few": np.arange(2, 4)}


def study(backbones: int, heads: int, seed: int = 0, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions [R, N] with the runs of backbones in turn, labels, and the backbone of each run."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 15)
    scores = draw.normal(size=(labels.size, 4))
    scores[np.arange(labels.size), labels] += 1.5
    of_backbones = scores + shift * draw.normal(size=(backbones, labels.size, 4))
    which = np.arange(backbones * heads) % backbones
    return (of_backbones[which] + draw.normal(size=(which.size, labels.size, 4))).argmax(-1), labels, which


def by(rows):
    return {(one.group, one.quantity): one for one in rows}


def test_estimates_are_the_means_of_those_of_each_backbone():
    predictions, labels, which = study(3, 5)
    whole = by(stats.summarize(stats.Record(predictions, labels, backbones=which), GROUPS))
    each = [by(stats.summarize(stats.Record(predictions[which == b], labels), GROUPS)) for b in range(3)]
    for at, one in whole.items():
        assert one.estimate == pytest.approx(np.mean([of[at].estimate for of in each]), abs=1e-12), at
        assert one.plug_in == pytest.approx(np.mean([of[at].plug_in for of in each]), abs=1e-12), at


def test_on_fixed_points_an_error_has_the_t_interval_of_the_backbones():
    predictions, labels, which = study(3, 5)
    record = stats.Record(predictions, labels, backbones=which)
    one = by(stats.summarize(record, GROUPS, target="test_set"))["all", "error"]
    errors = [(predictions[which == b] != labels).mean() for b in range(3)]
    reach = quantile(0.975, np.float64(2)) * np.std(errors, ddof=1) / np.sqrt(3)
    assert (one.low, one.high, one.df) == pytest.approx((np.mean(errors) - reach, np.mean(errors) + reach, 2))


def test_the_noise_of_a_backbone_at_a_point_is_counted_once():
    """Of the error over all four classes of 15 points, by hand: what points add is less than their whole spread."""
    predictions, labels, which = study(6, 4)
    one = by(stats.summarize(stats.Record(predictions, labels, backbones=which), GROUPS))["all", "error"]
    wrong = np.stack([(predictions[which == b] != labels).mean(0) for b in range(6)])  # [B, N]
    v_run = wrong.mean(1).var(ddof=1) / 6
    of_points = sum(wrong.mean(0)[labels == c].var(ddof=1) / 15 for c in range(4)) / 16
    noise = sum((wrong.var(0, ddof=1) / 6)[labels == c].mean() / 15 for c in range(4)) / 16
    added = max(v_run + of_points - noise, v_run, of_points) - v_run
    assert 0 < added < of_points
    reach = np.sqrt(quantile(0.975, np.float64(5)) ** 2 * v_run + quantile(0.975, np.float64(56)) ** 2 * added)
    assert (one.high - one.low) / 2 == pytest.approx(reach, rel=0.01)  # df of points: about 56


def test_backbones_that_happen_to_agree_leave_an_interval_for_new_points():
    predictions, labels, _ = study(1, 10)
    half = np.concatenate([predictions[:5], predictions[:5]])
    which = np.repeat([0, 1], 5)
    one = by(stats.summarize(stats.Record(half, labels, backbones=which), GROUPS))["all", "error"]
    alone = by(stats.summarize(stats.Record(half[:5], labels), GROUPS))["all", "error"]
    assert one.high - one.low > 0.5 * (alone.high - alone.low)


def test_one_backbone_and_none_are_the_same():
    predictions, labels, _ = study(1, 8)
    plain = by(stats.summarize(stats.Record(predictions, labels), GROUPS))
    named = by(stats.summarize(stats.Record(predictions, labels, backbones=["a"] * 8), GROUPS))
    assert all(plain[at].low == named[at].low or np.isnan(plain[at].low) for at in plain)


def test_few_runs_of_a_backbone_have_no_interval_and_their_estimates():
    predictions, labels, which = study(2, 3)
    one = by(stats.summarize(stats.Record(predictions, labels, backbones=which), GROUPS))["all", "error"]
    assert np.isnan(one.low) and np.isfinite(one.estimate)
    lines = " ".join(stats.cautions(stats.Record(predictions, labels, backbones=which), []))
    assert "3 runs of each backbone: no intervals" in lines and "2 backbones: intervals are for new" in lines


def test_differences_are_paired_by_run_and_by_backbone():
    predictions, labels, which = study(3, 5)
    others, _, _ = study(3, 5, seed=1)
    one, other = (stats.Record(of, labels, backbones=which) for of in (predictions, others))
    difference = by(stats.compare(one, other, GROUPS, target="test_set"))["few", "error"]
    tail = labels >= 2
    apart = [
        (predictions[which == b][:, tail] != labels[tail]).mean() - (others[which == b][:, tail] != labels[tail]).mean()
        for b in range(3)
    ]
    assert difference.se == pytest.approx(np.std(apart, ddof=1) / np.sqrt(3)) and difference.df == 2
    with pytest.raises(Refusal, match="runs of one number on different backbones"):
        stats.compare(one, stats.Record(others, labels, backbones=np.sort(which)), GROUPS)
    with pytest.raises(Refusal, match="3 backbones: an exact sign-flip test"):
        stats.sign_flip(one, other, GROUPS)


@pytest.mark.parametrize("wrong", [[0, 1], [0.0] * 15, [[0] * 15]])
def test_backbones_that_are_not_one_a_run_are_refused(wrong):
    predictions, labels, _ = study(3, 5)
    with pytest.raises(Refusal, match="backbones must be one whole number or name for each of 15 runs"):
        stats.Record(predictions, labels, backbones=wrong)


def test_a_backbone_that_is_worse_is_not_runs_that_fell():
    predictions, labels, which = study(8, 4)
    predictions[which == 0] = (labels + 1) % 4
    assert [*stats.fallen_runs(stats.Record(predictions, labels), GROUPS)] == [0, 8, 16, 24]
    assert not stats.fallen_runs(stats.Record(predictions, labels, backbones=which), GROUPS)


def test_intervals_for_new_backbones_cover_and_those_for_new_runs_do_not():
    """A class moves with its backbone; the truth is that of 400 of them. benchmarks/backbones.py has more worlds."""

    def errors(backbones, heads, seed):
        draw = np.random.default_rng(seed)
        labels = np.repeat(np.arange(4), 30)
        margin = 1 + draw.normal(size=labels.size) + draw.normal(size=(backbones, 4))[:, labels]
        wrong = margin[:, None] + draw.normal(size=(backbones, heads, labels.size)) < 0
        return np.where(wrong, (labels + 1) % 4, labels), labels

    many, labels = errors(400, 2, 0)
    true = (many != labels).mean()
    held = {"nested": [], "flat": []}
    for seed in range(1, 101):
        runs, labels = errors(3, 4, seed)
        for name, which in (("nested", np.repeat(np.arange(3), 4)), ("flat", None)):
            one = by(stats.summarize(stats.Record(runs.reshape(12, -1), labels, backbones=which), {"all": range(4)}))
            held[name].append(one["all", "error"].low <= true <= one["all", "error"].high)
    assert np.mean(held["nested"]) >= 0.9 and np.mean(held["flat"]) < 0.8


def test_parts_of_a_source_add_up_and_a_difference_is_paired():
    predictions, labels, which = study(3, 5)
    others, _, _ = study(3, 5, seed=1)
    one, other = (np.stack([of[which == b] for b in range(3)]) for of in (predictions, others))
    parts = stats.source_parts(one, labels, GROUPS)
    own = parts["bias"].estimate + parts["total_variance"].estimate
    np.testing.assert_allclose(own, parts["error"].estimate, atol=1e-12)
    apart = stats.source_parts(one, labels, GROUPS, other)
    for name, of in parts.items():
        expected = of.estimate - stats.source_parts(other, labels, GROUPS)[name].estimate
        np.testing.assert_allclose(apart[name].estimate, expected, atol=1e-12)
    with pytest.raises(Refusal, match="give paired samples and seeds"):
        stats.source_parts(one, labels, GROUPS, other[:2])
