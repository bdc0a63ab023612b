"""Bias, variance and diversity of experts: by hand, from the definitions, and as summarize and compare have them."""

from math import log

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from ltbv import stats
from ltbv.errors import Refusal


@pytest.fixture
def world():
    """Logits (R, E, N, C) of four runs of three experts at six points of three classes, and the labels."""
    draw = np.random.default_rng(3)
    labels = np.array([0, 1, 2, 0, 1, 1])
    own = 3 * draw.normal(size=(1, 3, 6, 3)) + draw.normal(size=(4, 1, 6, 3))
    return 2 * np.eye(3)[labels] + own + draw.normal(size=(4, 3, 6, 3)), labels


def odds(experts_of_runs: list[list[float]]) -> np.ndarray:
    """Logits (R, E, 1, 2) of a point whose first class is that many times as likely as the second."""
    first = np.log(np.array(experts_of_runs, float))[:, :, None]
    return np.stack([first, np.zeros_like(first)], -1)


def by_definition(logits, labels):
    """loss, bias, variance and diversity (N,) as cross-entropies and Kullback-Leibler divergences."""
    at = np.arange(labels.size)
    ensemble, mean_expert = softmax(logits.mean(1), -1), softmax(logits.mean(0), -1)
    experts = softmax(logits, -1)
    return (
        -np.log(ensemble[:, at, labels]).mean(0),
        -np.log(mean_expert[:, at, labels]).mean(0),
        rel_entr(mean_expert[None], experts).sum(-1).mean((0, 1)),
        rel_entr(ensemble[:, None], experts).sum(-1).mean((0, 1)),
    )


def record(logits, labels, runs=None, **more):
    return stats.Record(logits.mean(1).argmax(-1), labels, runs, expert_logits=logits, **more)


def test_by_hand():
    """Two runs of two experts, odds 4 and 1, then 16 and 1: the mean expert has odds 8 and 1, the ensembles 2 and 4."""
    found = stats.diversity(odds([[4, 1], [16, 1]]), np.array([0]), unbiased=False)
    loss = (log(1.5) + log(1.25)) / 2
    bias = (log(9 / 8) + log(2)) / 2
    variance = (log(5) + log(17)) / 4 - log(9) / 2  # of the second expert 0
    diversity = (log(5) / 2 + log(2) / 2 - log(3) + log(17) / 2 + log(2) / 2 - log(5)) / 2
    assert loss == pytest.approx(bias + variance - diversity, abs=1e-14)
    for name, wanted in {"loss": loss, "bias": bias, "variance": variance, "diversity": diversity}.items():
        assert getattr(found, name)[0] == pytest.approx(wanted, abs=1e-12), name
    corrected = stats.diversity(odds([[4, 1], [16, 1]]), np.array([0]))
    assert corrected.variance[0] == pytest.approx(2 * variance, abs=1e-12)  # without a run, nothing varies
    assert corrected.bias[0] == pytest.approx(bias - variance, abs=1e-12)
    assert (corrected.loss, corrected.diversity) == (pytest.approx([loss]), pytest.approx([diversity]))


def test_the_plug_in_parts_are_their_definitions_and_add_up(world):
    logits, labels = world
    found = stats.diversity(logits, labels, unbiased=False)
    parts = found.loss, found.bias, found.variance, found.diversity
    np.testing.assert_allclose(parts, by_definition(logits, labels), atol=1e-10)
    loss, bias, variance, diversity = by_definition(logits, labels)
    np.testing.assert_allclose(loss, bias + variance - diversity, atol=1e-10)
    assert (diversity > 0.01).all() and (variance > 0.01).all()
    measured = stats.expert_parts(record(logits, labels), {"all": range(3), "first": [0]})
    by_group = [of.mean() for of in np.array([[part[labels == k].mean() for k in range(3)] for part in parts])]
    plug_in = np.array([measured[name].plug_in for name in stats.EXPERT_PARTS])
    np.testing.assert_allclose(plug_in[:, 0], by_group, atol=1e-10)
    np.testing.assert_allclose(plug_in[0], plug_in[1] + plug_in[2] - plug_in[3], atol=1e-10)
    estimates = np.array([measured[name].estimate for name in stats.EXPERT_PARTS])
    np.testing.assert_allclose(estimates[0], estimates[1] + estimates[2] - estimates[3], atol=1e-10)


def test_bias_and_variance_are_those_of_each_expert_by_itself(world):
    logits, labels = world
    found = stats.diversity(logits, labels)
    each = [stats.cross_entropy(logits[:, e], labels) for e in range(3)]
    np.testing.assert_allclose(found.bias, np.mean([one.bias for one in each], 0), atol=1e-12)
    np.testing.assert_allclose(found.variance, np.mean([one.variance for one in each], 0), atol=1e-12)
    np.testing.assert_allclose(found.loss, stats.cross_entropy(logits.mean(1), labels).loss, atol=1e-12)
    np.testing.assert_allclose(found.loss + found.diversity, np.mean([one.loss for one in each], 0), atol=1e-12)


def test_the_order_of_experts_does_not_count_in_loss_and_diversity(world):
    """Numbered anew in one run only: what bias loses variance gains, as much as the docstring says on the mean."""
    logits, labels = world
    shuffled = logits.copy()
    shuffled[1:] = shuffled[1:, [1, 2, 0]]
    one, other = (stats.diversity(of, labels, unbiased=False) for of in (logits, shuffled))
    np.testing.assert_allclose([other.loss, other.diversity], [one.loss, one.diversity], atol=1e-12)
    np.testing.assert_allclose(other.bias + other.variance, one.bias + one.variance, atol=1e-12)
    assert np.abs(other.bias - one.bias).max() > 0.05
    again = stats.diversity(logits[:, [2, 0, 1]], labels, unbiased=False)
    np.testing.assert_allclose([again.bias, again.variance], [one.bias, one.variance], atol=1e-12)


def test_one_expert_has_no_diversity_and_the_parts_of_its_cross_entropy(world):
    logits, labels = world
    groups = {"all": range(3)}
    single = stats.expert_parts(record(logits[:, :1], labels), groups)
    plain = stats.loss_parts(stats.Record(logits[:, 0].argmax(-1), labels, logits=logits[:, 0]), groups)
    same = {"ensemble_loss": "cross_entropy", "expert_bias": "cross_entropy_bias"}
    for ours, theirs in (same | {"expert_variance": "cross_entropy_variance"}).items():
        for field, value in vars(plain[theirs]).items():
            np.testing.assert_allclose(getattr(single[ours], field), value, rtol=1e-9, err_msg=f"{ours} {field}")
    assert single["diversity"].estimate == 0 == single["diversity"].plug_in


def test_experts_that_agree_have_no_diversity_and_runs_that_agree_no_variance(world):
    logits, labels = world
    agreeing = stats.diversity(logits[:, [0, 0, 0]], labels)
    np.testing.assert_allclose(agreeing.diversity, 0, atol=1e-12)
    steady = stats.diversity(logits[[0, 0, 0, 0]], labels)
    np.testing.assert_allclose(steady.variance, 0, atol=1e-12)
    assert (steady.diversity > 0.05).all()


def test_the_corrected_variance_is_nearer_to_that_of_many_runs():
    """Means over 4,000 points, so that no luck decides: at R = 4 the plug-in lacks a quarter of it."""
    draw = np.random.default_rng(5)
    labels = np.arange(4000) % 3
    fixed = draw.normal(size=(1, 2, 4000, 3)) + 2 * np.eye(3)[labels]

    def variance(runs, unbiased):
        return stats.diversity(fixed + draw.normal(size=(runs, 2, 4000, 3)), labels, unbiased=unbiased).variance.mean()

    truth = variance(60, True)
    assert abs(variance(4, True) / truth - 1) < 0.05 < 0.2 < 1 - variance(4, False) / truth


def test_as_summarize_and_compare_have_them_and_read_in_blocks(world, monkeypatch):
    logits, labels = world
    draw = np.random.default_rng(8)
    more = np.concatenate([logits, logits[::-1] + draw.normal(size=logits.shape)])  # eight runs
    shared, groups = np.array([0.1, 0.2, 0.3]), {"all": range(3), "tail": [1, 2]}
    one = record(more, labels, range(8), shared=shared)
    other = record(more[2:, :2] + 0.3, labels, range(2, 8), shared=shared)
    for found, rows in (
        (stats.expert_parts(one, groups), stats.summarize(one, groups)),
        (stats.expert_parts(one, groups, other), stats.compare(one, other, groups)),
    ):
        assert set(found) == set(stats.EXPERT_PARTS)
        by_name = {(row.quantity, row.group): row for row in rows}
        for name, of in found.items():
            for g, group in enumerate(groups):
                for field, values in vars(of).items():
                    assert values[g] == getattr(by_name[name, group], field), (name, group, field)
    wider = stats.expert_parts(record(more, labels), groups)
    assert wider["diversity"].se[0] < stats.expert_parts(one, groups)["diversity"].se[0]
    assert wider["expert_variance"].se[0] == stats.expert_parts(one, groups)["expert_variance"].se[0]
    whole = stats.diversity(more, labels)
    monkeypatch.setattr("ltbv.stats.probability.BLOCK_ELEMENTS", 1)
    blocks = []
    read = stats.Record(one.predictions, labels, expert_logits=lambda block: blocks.append(block) or more[:, :, block])
    np.testing.assert_allclose(stats.diversity(more, labels).bias, whole.bias)
    again = stats.expert_parts(read, groups)
    assert len(blocks) > 3
    np.testing.assert_allclose(again["expert_bias"].low, wider["expert_bias"].low)


def test_float16_is_enough(world):
    logits, labels = world
    exact, kept = (
        stats.expert_parts(record(of, labels), {"all": range(3)}) for of in (logits, logits.astype(np.float16))
    )
    for name in stats.EXPERT_PARTS:
        np.testing.assert_allclose(kept[name].estimate, exact[name].estimate, atol=5e-3)


def test_one_run_has_a_loss_and_diversity_alone(world):
    logits, labels = world
    found = stats.expert_parts(record(logits[:1], labels), {"all": range(3)})
    assert found["ensemble_loss"].estimate > 0 and found["diversity"].plug_in > 0
    for name in ("expert_bias", "expert_variance"):
        assert np.isnan(found[name].estimate) and np.isnan(found[name].plug_in)
    alone = stats.diversity(logits[:1], labels)
    assert np.isnan(alone.bias).all() and np.isfinite(alone.diversity).all()


def test_what_cannot_be_used_is_refused(world):
    logits, labels = world
    with pytest.raises(Refusal, match=r"no logits of its experts: give Record\(expert_logits=\)"):
        stats.expert_parts(stats.Record(logits[:, 0].argmax(-1), labels), {"all": range(3)})
    with pytest.raises(Refusal, match=r"\(R, E, N, C\).*got shape \(4, 6, 3\)"):
        stats.diversity(logits[:, 0], labels)
    with pytest.raises(Refusal, match="4 runs and predictions 3"):
        bad = stats.Record(logits[:3, 0].argmax(-1), labels, expert_logits=logits)
        stats.expert_parts(bad, {"all": range(3)})
    impossible = logits.copy()
    impossible[2, 1, 4, 0] = -np.inf
    with pytest.raises(Refusal, match="expert 1 are -inf: 1 of 24.*run 2 at point 4"):
        stats.diversity(impossible, labels)
    impossible[2, 1, 4, 0] = np.nan
    with pytest.raises(Refusal, match="NaN"):
        stats.diversity(impossible, labels)
