"""Do the tables say what `ltbv.stats` says, in the columns that were promised?"""

import numpy as np
import pytest

from ltbv import stats
from ltbv.report import tables
from ltbv.report.evidence import SHOWN
from ltbv.report.study import read_study
from ltbv.store import Store

PROMISED = [
    *("method", "group", "quantity", "estimate", "low", "high", "plug_in"),
    *("reference_difference", "difference_low", "difference_high", "p", "runs", "points"),
]


@pytest.fixture
def two(study):
    path = study(ride="RIDE", runs=6)
    return Store(path), tables.build(read_study(path))


def cell(table, method, group, quantity):
    (row,) = table[(table.method == method) & (table.group == group) & (table.quantity == quantity)].itertuples()
    return row


def test_columns_and_rows(two):
    _, built = two
    assert list(built.splits.columns) == PROMISED
    assert list(built.classes.columns) == [*PROMISED, "class_name", "split", "train_count"]
    assert list(built.hardest_negatives.columns) == PROMISED
    assert set(built.splits.group) == {"all", "many", "medium", "few"}
    assert len(built.classes) == 2 * 12 * 3
    for table in (built.splits, built.classes, built.hardest_negatives):
        assert not table.duplicated(["method", "group", "quantity"]).any()
    assert {"accuracy", "error", "bias", "variance", "unbiased_variance", "hits", "variance_low", "variance_high"} <= {
        *built.splits.quantity
    }


def test_estimates_and_differences_agree_with_statistics_called_by_hand(two):
    store, built = two
    labels = store.test_labels()
    groups = {"all": range(12)} | store.study()["data"]["splits"] | {c: [c] for c in range(12)}
    shared = read_study(store.path).setting.shared
    of = {
        method: stats.Record(store.predictions(method), labels, scheme="subsample", shared=shared)
        for method in ("ce", "ride")
    }
    both = {group: built.splits for group in ("all", "many", "medium", "few")} | dict.fromkeys(range(12), built.classes)
    for one in stats.summarize(of["ride"], groups):
        if one.group in range(12) and one.quantity not in SHOWN:
            continue
        row = cell(both[one.group], "ride", one.group, one.quantity)
        expected = (one.estimate, one.low, one.high, one.plug_in)
        np.testing.assert_array_equal((row.estimate, row.low, row.high, row.plug_in), expected)
    for one in stats.compare(of["ride"], of["ce"], groups):
        if one.group in range(12) and one.quantity not in SHOWN:
            continue
        row = cell(both[one.group], "ride", one.group, one.quantity)
        found = (row.reference_difference, row.difference_low, row.difference_high, row.p)
        np.testing.assert_array_equal(found, (one.estimate, one.low, one.high, one.p))


def test_the_identity_closes_in_every_group(two):
    _, built = two
    wide = built.splits.pivot(index=["method", "group"], columns="quantity", values="plug_in")
    np.testing.assert_allclose(wide.error, wide.bias + wide.unbiased_variance - wide.hits, atol=1e-12)
    np.testing.assert_allclose(wide.error, 1 - wide.accuracy, atol=1e-12)
    np.testing.assert_allclose(wide.variance, wide.unbiased_variance + wide.biased_variance, atol=1e-12)


def test_the_reference_has_no_difference_from_itself(two):
    _, built = two
    of_reference = built.splits[built.splits.method == "ce"]
    assert of_reference[["reference_difference", "difference_low", "difference_high", "p"]].isna().all(axis=None)


def test_runs_and_points_are_counted(two):
    _, built = two
    row = cell(built.splits, "ride", "all", "error")
    assert (row.runs, row.points) == (6, 120)
    row = cell(built.classes, "ce", 3, "bias")
    assert (row.points, row.class_name, row.split, row.train_count) == (10, "class 3", "many", 34)


def test_hardest_negatives(two):
    store, built = two
    score, p_true = store.predictions("ride", "p_negative"), store.predictions("ride", "p_true")
    few = np.isin(store.test_labels(), store.study()["data"]["splits"]["few"])
    mean = cell(built.hardest_negatives, "ride", "few", "mean")
    assert mean.estimate == pytest.approx(score[:, few].mean(dtype=float))
    assert mean.difference_low < mean.reference_difference < mean.difference_high
    share = cell(built.hardest_negatives, "ride", "few", "share_above_true")
    assert share.estimate == pytest.approx((score > p_true)[:, few].mean())
    assert share.estimate == pytest.approx(cell(built.splits, "ride", "few", "error").estimate)
    assert cell(built.hardest_negatives, "ride", "few", "quantile_0.9").estimate == np.quantile(score[:, few], 0.9)


def test_the_histogram_has_forty_bins_of_area_one(two):
    _, built = two
    area = built.histogram.assign(area=lambda t: t.density * (t.right - t.left)).groupby(["method", "group"]).area
    np.testing.assert_allclose(area.sum(), 1)
    assert set(area.count()) == {40}


def test_differences_are_paired_by_run_number(study):
    path = study(ride="RIDE", runs={"ce": range(6), "ride": range(1, 9)})
    built = tables.build(read_study(path))
    store = Store(path)
    ours, ce = (store.predictions(method, runs=range(1, 6)) for method in ("ride", "ce"))
    (by_hand,) = (
        d
        for d in stats.compare(
            stats.Record(ours, store.test_labels()), stats.Record(ce, store.test_labels()), {"all": range(12)}
        )
        if d.quantity == "variance"
    )
    assert cell(built.splits, "ride", "all", "variance").reference_difference == by_hand.estimate
    assert cell(built.splits, "ride", "all", "variance").runs == 8
    assert "RIDE has 8 runs and CE 6: differences use the 5 that both have." in built.cautions


def test_no_run_in_common_means_no_difference(study):
    built = tables.build(read_study(study(ride="RIDE", runs={"ce": range(4), "ride": range(4, 8)})))
    assert built.splits.reference_difference.isna().all()
    assert "RIDE and CE have no run in common: no differences." in built.cautions


def test_one_run_has_a_caution_and_no_intervals(study):
    built = tables.build(read_study(study(ride="RIDE", runs=1)))
    assert built.splits[["low", "high", "difference_low", "difference_high"]].isna().all(axis=None)
    assert np.isfinite(cell(built.splits, "ride", "all", "accuracy").estimate)
    assert np.isfinite(cell(built.splits, "ride", "all", "bias").plug_in)
    assert any(line.startswith("1 run: no intervals") for line in built.cautions)


def test_a_class_without_test_points_is_named(study):
    path = study(labels=np.repeat(np.arange(11), 10), class_names=[*"abcdefghijk", "unseen"])
    built = tables.build(read_study(path))
    assert any("1 class has no test point" in line and "unseen" in line for line in built.cautions)
    assert np.isnan(cell(built.classes, "ce", 11, "accuracy").estimate)
    assert np.isfinite(cell(built.splits, "ce", "few", "accuracy").estimate)


def test_gaps_and_distances_agree_with_statistics_called_by_hand(two):
    store, built = two
    labels, splits = store.test_labels(), store.study()["data"]["splits"]
    ride, ce = (store.predictions(method, "p_negative") for method in ("ride", "ce"))
    shared = read_study(store.path).setting.shared
    widening = stats.Record(store.predictions("ride"), labels, scheme="subsample", shared=shared).widening()
    own = stats.head_tail_gap(ride, labels, splits, widening=widening)
    apart = stats.head_tail_gap(ride, labels, splits, reference_values=ce, widening=widening)
    row = cell(built.gaps, "ride", "few - many", "mean")
    assert (row.estimate, row.low, row.high) == (own.estimate, own.low, own.high)
    found = (row.reference_difference, row.difference_low, row.difference_high)
    assert found == (apart.estimate, apart.low, apart.high)
    assert set(built.gaps.quantity) == {"mean", "share_above_true"} and list(built.gaps.columns) == PROMISED
    few = np.isin(labels, splits["few"])
    distance = cell(built.hardest_negatives, "ride", "few", "distance_to_reference")
    assert distance.estimate == stats.score_distance(ride[:, few], ce[:, few])


def test_scores_on_different_scales_are_compared_only_if_allowed(study):
    evidence = read_study(study(ride="RIDE", runs=4))
    evidence.methods[1].p_true[:] = 0.99
    built, allowed = tables.build(evidence), tables.build(evidence, allow_scale=True)
    assert any("hardest negatives of RIDE" in line and "--allow-scale" in line for line in built.cautions)
    assert any("hardest negatives of RIDE" in line for line in allowed.cautions)
    for table, group in (("hardest_negatives", "few"), ("gaps", "few - many")):
        assert np.isnan(cell(getattr(built, table), "ride", group, "mean").reference_difference)
        assert np.isfinite(cell(getattr(allowed, table), "ride", group, "mean").reference_difference)
        assert np.isfinite(cell(getattr(built, table), "ride", group, "share_above_true").reference_difference)
    assert "distance_to_reference" not in set(built.hardest_negatives.quantity)
