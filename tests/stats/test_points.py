"""How test points vary: few of them, one a class, all alike, in clusters."""

import numpy as np
import pytest
from brute_force import SPLITS, point_variance, study

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats import points
from ltbv.stats.splits import GroupWeights, by_class


def of_groups(values, labels, groups, clusters=None):
    weights = GroupWeights.of(groups, labels)
    return points.point_variance(values, labels, by_class(values, labels, weights.num_classes), weights, clusters)


def table(rows):
    return {(one.group, one.quantity): one for one in rows}


UNEVEN = [[6] * 6, [2, 3, 5, 9, 20, 40], [1, 1, 1, 9, 20, 40], [1, 4, 4, 4, 4, 4], [1] * 6, [1, 1, 2, 2, 0, 30]]


@pytest.mark.parametrize("counts", UNEVEN)
def test_by_its_definition(counts):
    labels = np.repeat(np.arange(6), counts)
    values = np.random.default_rng(0).random(labels.size)
    v, df = of_groups(values, labels, SPLITS)
    for found, found_df, ids in zip(v, df, SPLITS.values(), strict=True):
        expected, expected_df = point_variance(values, labels, np.array(ids))
        if sum(counts[c] > 0 for c in ids) == 1 and max(counts[c] for c in ids) == 1:
            expected = np.nan  # a single test point of a single class
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        np.testing.assert_allclose(found_df, expected_df, rtol=1e-12)


def test_one_point_of_one_class_says_nothing_of_the_class():
    predictions, labels = study(6, 5)
    kept = np.flatnonzero((labels != 5) | (np.arange(labels.size) == labels.size - 1))
    record = stats.Record(predictions[:, kept], labels[kept])
    estimates = stats.summarize(record, {"lone": [5], "with": [0, 5]})
    ours = table(estimates)
    assert any(line.startswith("no interval in lone: it is one class") for line in stats.cautions(record, estimates))
    assert np.isfinite(ours["lone", "error"].estimate)
    assert all(np.isnan(getattr(ours["lone", "error"], name)) for name in ("se", "df", "low", "high"))
    assert np.isfinite(ours["with", "error"].se)


def test_a_hard_tail_with_one_point_a_class_is_not_as_sure_as_an_easy_head():
    """Ten easy classes of fifty images and thirty hard ones of a single image: the mean over all covers the truth."""
    draw, missed, studies = np.random.default_rng(0), 0, 200
    labels = np.repeat(np.arange(40), np.repeat([50, 1], [10, 30]))
    for _ in range(studies):
        right = np.where(labels < 10, draw.beta(32, 1, labels.size), draw.random(labels.size))
        wrong = draw.random((10, labels.size)) > right
        one = table(
            stats.summarize(stats.Record(np.where(wrong, (labels + 1) % 40, labels), labels), {"all": range(40)})
        )
        missed += not one["all", "accuracy"].low <= (10 * 32 / 33 + 30 * 0.5) / 40 <= one["all", "accuracy"].high
    assert missed <= 0.1 * studies  # .05 is nominal; 10 % would be five standard errors away


@pytest.mark.parametrize("per_class", [2, 3])
def test_two_methods_alike_are_not_told_apart_in_single_classes(per_class):
    draw, classes, found, studies = np.random.default_rng(per_class), 60, 0, 60
    labels = np.repeat(np.arange(classes), per_class)
    groups = {str(c): [c] for c in range(classes)}
    for _ in range(studies):
        right = draw.beta(1.2, 0.8, labels.size)
        methods = [np.where(draw.random((10, labels.size)) < right, labels, (labels + 1) % classes) for _ in range(2)]
        rows = stats.compare(*(stats.Record(of, labels) for of in methods), groups)
        found += any(row.q_class <= 0.1 for row in rows if row.quantity in ("error", "bias", "variance"))
    assert found <= 0.1 * studies + 3 * np.sqrt(0.09 * studies)


@pytest.mark.parametrize("quantity", ["error", "accuracy", "bias", "variance"])
@pytest.mark.parametrize("right", [True, False])
def test_points_all_right_or_all_wrong_do_not_make_an_interval_of_no_length(quantity, right):
    """Of twenty images none was ever missed: 16 % of new ones may be, says Wilson's interval."""
    labels = np.repeat([0, 1], 10)
    votes = labels if right else 1 - labels
    record = stats.Record(np.repeat(votes[None], 10, 0), labels)
    one = table(stats.summarize(record, {"all": [0, 1]}))["all", quantity]
    half = 1.96**2 / (20 + 1.96**2)
    assert one.high - one.estimate == pytest.approx(half, rel=0.01) == one.estimate - one.low
    (difference,) = (row for row in stats.compare(record, record, {"all": [0, 1]}) if row.quantity == quantity)
    assert difference.high == pytest.approx(half, rel=0.01) and difference.p == 1
    fixed = table(stats.summarize(record, {"all": [0, 1]}, target="test_set"))["all", quantity]
    assert fixed.low == fixed.high  # of these images nothing is unseen


def test_many_points_need_no_more_than_they_show():
    predictions, labels = study(10, 200)
    weights = GroupWeights.of(SPLITS, labels)
    ours = table(stats.summarize(stats.Record(predictions, labels), SPLITS))
    for group, size in zip(SPLITS, points.independent_points(labels, weights, None), strict=True):
        assert size == 200 * len(SPLITS[group])
        assert ours[group, "error"].se < 0.05


def frames(draw, clips=12, each=8, classes=6):
    """Values of frames of clips, all frames of a clip nearly alike; labels, clips."""
    labels = np.repeat(np.arange(classes), clips * each)
    clusters = np.arange(labels.size) // each
    return draw.random(clips * classes)[clusters] + 0.01 * draw.random(labels.size), labels, clusters


def test_clusters_are_what_varies():
    values, labels, clusters = frames(np.random.default_rng(0))
    v, df = of_groups(values, labels, SPLITS, clusters)
    means, of = by_class(values, clusters, clusters.max() + 1), labels[::8]
    expected, expected_df = of_groups(means, of, SPLITS)
    np.testing.assert_allclose(v, expected)
    np.testing.assert_allclose(df, expected_df)
    alone, _ = of_groups(values, labels, SPLITS, np.arange(labels.size))
    np.testing.assert_allclose(alone, of_groups(values, labels, SPLITS)[0])
    assert (v > 5 * alone).all()


def test_a_cluster_of_several_classes_moves_them_together():
    """Patients with images of every class: what they share is not averaged out over classes."""
    draw = np.random.default_rng(0)
    labels = np.tile(np.arange(6), 50)
    patients = np.arange(labels.size) // 6
    values = draw.random(50)[patients]
    v, _ = of_groups(values, labels, {"all": range(6), "one": [0]}, patients)
    np.testing.assert_allclose(v[0], v[1] * 49 / 50, rtol=0.03)  # six classes say no more than one
    assert v[0] > 5 * of_groups(values, labels, {"all": range(6)})[0][0]


def test_names_of_clusters_and_refusals():
    predictions, labels = study(6, 4)
    by_number, by_name = (
        stats.summarize(stats.Record(predictions, labels, clusters=clusters), SPLITS)
        for clusters in (np.arange(24) // 2, [f"clip {i // 2}" for i in range(24)])
    )
    assert by_number == by_name
    record = stats.Record(predictions, labels, clusters=np.arange(24) // 2)
    assert "24 test points come in 12 clusters: intervals are for new clusters." in stats.cautions(record, [])
    for clusters, message in (
        ([0, 1], "clusters must be one whole number or name for each of 24 test points; got int64 of shape"),
        (np.zeros(24), "got float64"),
        (np.zeros(24, int), "clusters are all one"),
    ):
        with pytest.raises(Refusal, match=message):
            stats.Record(predictions, labels, clusters=clusters)
    with pytest.raises(Refusal, match="different clusters"):
        stats.compare(
            stats.Record(predictions, labels, clusters=np.arange(24) // 2), stats.Record(predictions, labels), SPLITS
        )


def test_errors_that_are_seen_at_several_points_are_not_taken_for_hidden_ones():
    """Of twenty images, four are missed by one run of ten: that is seen, and Wilson's interval would be six times as
    wide."""
    labels = np.repeat([0, 1], 10)
    votes = np.repeat(labels[None], 10, 0)
    votes[[0, 3, 5, 8], [1, 4, 12, 17]] = 1 - labels[[1, 4, 12, 17]]
    one = table(stats.summarize(stats.Record(votes, labels), {"all": [0, 1]}))["all", "error"]
    assert one.estimate == pytest.approx(0.02) and 0.005 < one.high - one.estimate < 0.03
