"""Data against algorithm: golden values, unbiasedness, intervals over samples."""

import numpy as np
import pytest
from brute_force import SPLITS, group_means, study

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.sources import _plug_in_of_logits


def test_golden(golden):
    file = golden("statistics/case_g_nested_k3_m2")
    labels, rows = np.array(file["labels"]), file["per_point"]
    probabilities = np.array(file["probs_KxMxNxC"])
    of_labels = stats.sources(np.array(file["preds_KxMxN"]), labels)
    of_probabilities = stats.sources(probabilities, labels, kind="probabilities")
    for part, name in (("total", "total"), ("data", "data"), ("algorithm", "alg")):
        expected = [row[f"kw_{name}"]["float"] for row in rows]
        np.testing.assert_allclose(getattr(of_labels, part), expected, atol=1e-12, rtol=0)
        expected = [row[f"brier_{name}"] for row in rows]
        np.testing.assert_allclose(getattr(of_probabilities, part), expected, atol=1e-10, rtol=0)
    data, algorithm = _plug_in_of_logits(np.log(probabilities))
    np.testing.assert_allclose(data, [row["kl_data_plug"] for row in rows], atol=1e-10, rtol=0)
    np.testing.assert_allclose(algorithm, [row["kl_alg_plug"] for row in rows], atol=1e-10, rtol=0)


def test_the_kl_correction():
    logits = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    labels = np.zeros(5, int)
    data, algorithm = _plug_in_of_logits(logits)
    ours = stats.sources(logits, labels, kind="logits")
    np.testing.assert_allclose(ours.algorithm, 2 * algorithm)
    np.testing.assert_allclose(ours.data, 1.5 * data - algorithm)
    np.testing.assert_allclose(ours.total, ours.data + ours.algorithm)


def test_unbiased_for_two_samples_of_two_seeds():
    """Normal 'probabilities' q + sample + seed noise in two classes: truth known, within 4 standard errors."""
    generator = np.random.default_rng(3)
    samples, seeds, points = 2, 2, 40_000
    first = 0.5 + 0.05 * generator.normal(size=(samples, 1, points))
    first = first + 0.03 * generator.normal(size=(samples, seeds, points))
    ours = stats.sources(np.stack([first, 1 - first], -1), np.zeros(points, int), kind="probabilities")
    data, algorithm = 2 * 0.05**2, 2 * 0.03**2
    for values, truth in ((ours.data, data), (ours.algorithm, algorithm), (ours.total, data + algorithm)):
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(points)


def test_one_seed_or_one_sample():
    predictions, labels = study(4, 5)
    one_seed = stats.sources(predictions[:, None], labels)
    np.testing.assert_allclose(one_seed.total, stats.kohavi_wolpert(predictions, labels).variance)
    assert np.isnan(one_seed.algorithm).all() and np.isnan(one_seed.data).all()
    one_sample = stats.sources(predictions[None], labels)
    np.testing.assert_allclose(one_sample.algorithm, stats.kohavi_wolpert(predictions, labels).variance)
    assert np.isnan(one_sample.total).all() and np.isnan(one_sample.data).all()
    logits = np.random.default_rng(0).normal(size=(3, 1, 5, 4))
    assert np.isnan(stats.sources(logits, np.zeros(5, int), kind="logits").algorithm).all()


def test_groups_with_intervals_over_samples():
    predictions, labels = study(10, 8)
    nested = predictions.reshape(5, 2, -1)
    rows = stats.summarize_sources(nested, labels, SPLITS, target="test_set")
    table = {(one.group, one.quantity): one for one in rows}
    points = stats.sources(nested, labels)
    without = [stats.sources(np.delete(nested, k, 0), labels) for k in range(5)]
    for part in ("total", "data", "algorithm"):
        means = group_means(getattr(points, part), labels, SPLITS)
        left_out = [group_means(getattr(rest, part), labels, SPLITS) for rest in without]
        for group in SPLITS:
            one = table[group, f"{part}_variance"]
            assert one.estimate == pytest.approx(means[group], abs=1e-12)
            values = np.array([out[group] for out in left_out])
            assert one.se == pytest.approx(np.sqrt(0.8 * ((values - values.mean()) ** 2).sum()), abs=1e-12)
            assert one.df == 4
    few = stats.summarize_sources(nested[:3], labels, SPLITS)
    assert all(one.low < one.estimate < one.high for one in few)
    for one in stats.summarize_sources(nested[:2], labels, SPLITS):  # of one pair, nothing says how others differ
        assert np.isfinite(one.estimate) and np.isfinite(one.low) == (one.quantity == "algorithm_variance")


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.zeros((2, 3), int), "labels", r"labels must be \(K, M, N\), K samples of M seeds; got shape \(2, 3\)"),
        (np.zeros((2, 2, 3, 4)), "labels", r"labels must be \(K, M, N\)"),
        (np.zeros((2, 2, 3)), "labels", "predictions must be integer class ids"),
        (np.zeros((2, 2, 3, 4)), "probabilities", "do not sum to 1"),
        (np.zeros((2, 2, 3, 4)), "logit", "unknown kind 'logit'.*'logits'"),
    ],
)
def test_refusals(values, kind, message):
    with pytest.raises(Refusal, match=message):
        stats.sources(values, np.zeros(3, int), kind=kind)


def test_infinite_logits_are_refused():
    logits = np.zeros((2, 2, 3, 4))
    logits[0, 0, 0, 0] = -np.inf
    with pytest.raises(Refusal, match="sources needs finite logits"):
        stats.sources(logits, np.zeros(3, int), kind="logits")
