"""Brier score and cross-entropy in the report: do tables say what the statistics say, and where do they end?"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ltbv import stats
from ltbv.files import read_arrays, write_arrays
from ltbv.report import tables, topics
from ltbv.report.evidence import Seen
from ltbv.report.rows import COLUMNS
from ltbv.report.sheet import DOUBTFUL
from ltbv.report.study import read_study
from ltbv.report.topics import probability_losses
from ltbv.store import Store

QUANTITIES = {name for loss, parts in stats.LOSS_PARTS.items() for name in (loss, *parts)}


@pytest.fixture(scope="module")
def evidence(shared_study):
    """RIDE has runs that CE has not."""
    return read_study(shared_study({"ce": "CE", "ride": "RIDE"}, runs={"ce": range(6), "ride": range(2, 9)}))


@pytest.fixture(scope="module")
def built(evidence):
    return tables.build(evidence)


def test_estimates_are_of_all_runs_and_differences_of_those_that_both_have(evidence, built):
    of = built.probability_losses
    assert list(of) == list(COLUMNS) and not of.duplicated(["method", "group", "quantity"]).any()
    for method in evidence.methods:
        assert set(of[of["method"] == method.key]["quantity"]) == QUANTITIES
    ce, ride = evidence.methods
    logits = {method.key: method.logits(method.runs).astype(float) for method in evidence.methods}
    few = np.isin(evidence.labels, evidence.groups["few"])

    def variance(logits):
        return stats.cross_entropy(logits[:, few], evidence.labels[few]).variance.mean()  # classes have as many points

    row = of[(of.method == "ride") & (of.group == "few") & (of.quantity == "cross_entropy_variance")].squeeze()
    assert row.estimate == pytest.approx(variance(logits["ride"]), abs=1e-5)
    apart = variance(logits["ride"][:4]) - variance(logits["ce"][2:])
    assert row.reference_difference == pytest.approx(apart, abs=1e-5)
    assert row.runs == 7 and row.points == few.sum() and row.difference_low < apart < row.difference_high
    for loss, (bias, variance_of) in stats.LOSS_PARTS.items():
        whole = of.pivot_table("estimate", ["method", "group"], "quantity")
        np.testing.assert_allclose(whole[bias] + whole[variance_of], whole[loss])


def test_sheets_have_both_losses_and_say_what_they_found(evidence, built):
    sheets = {sheet.key: sheet for sheet in topics.printed(built, evidence)}
    for loss in stats.LOSS_PARTS:
        sheet = sheets[loss]
        assert len(sheet.rows) == 8 and {len(row) for row in sheet.rows} == {len(sheet.columns)} == {8}
        assert "variance is lower than that of CE in 1, higher in 0" in sheet.answer
        assert "may reach below 0, where no loss is" in sheet.caption and "above 1" not in sheet.caption  # nats do
    assert "exactly" in sheets["brier"].caption and "leaves a little" in sheets["cross_entropy"].caption


def test_a_corrected_bias_below_0_is_not_to_be_believed(evidence, built):
    below = built.probability_losses.assign(estimate=-0.01)
    sheet = probability_losses.sheets(built.instead(probability_losses=below), evidence)[0]
    assert [cell.mark for cell in sheet.rows[0][2:5]] == ["", DOUBTFUL, ""] and "Grey" in sheet.caption


def test_where_logits_are_not_kept_or_not_finite_nothing_is_parted(study, monkeypatch):
    path = study(runs=4, ride="RIDE", tau_norm="tau-norm")
    evidence = read_study(path)
    ce, ride, tau = evidence.methods
    impossible = ride.logits(ride.runs)
    impossible[0, 0, 3] = -np.inf
    built = tables.build(
        replace(evidence, methods=(replace(ce, logits=None), replace(ride, logits=lambda runs: impossible), tau))
    )
    of = built.probability_losses
    assert set(of["method"]) == {"tau_norm"} and of["reference_difference"].isna().all()
    assert [line for line in built.cautions if "probability of 0" in line][0].startswith("RIDE: ")
    assert len(topics.printed(built, evidence)) > 0
    monkeypatch.setattr("ltbv.report.study.MOST_LOGITS", Store(path).predictions("ce", "logits").size)
    assert all(method.logits is None for method in read_study(path).methods)


def test_logits_that_were_looked_at_say_what_they_say_when_read_again(evidence, built):
    again = [replace(method, logits=method.logits.read) for method in evidence.methods]
    assert tables.build(replace(evidence, methods=tuple(again))).probability_losses.equals(built.probability_losses)


def test_files_beyond_those_that_may_be_open_say_the_same(study, monkeypatch):
    path = study(runs=5)
    before = tables.build(read_study(path))
    monkeypatch.setattr("ltbv.report.study.logits.MOST_OPEN", 2)
    monkeypatch.setattr("ltbv.report.study.logits.PIECE", 200)
    monkeypatch.setattr("ltbv.stats.probability.BLOCK_ELEMENTS", 600)
    after = tables.build(read_study(path))
    for name in ("probability_losses", "other_scores"):
        pd.testing.assert_frame_equal(after.named[name], before.named[name], rtol=1e-6)


def test_a_logit_that_is_not_finite_is_read_and_ranked_and_not_parted(study):
    path = study(runs=4)
    file = Store(path).prediction_file("ce", 1)
    arrays = read_arrays(file)
    arrays["logits"][7, 3] = -np.inf
    write_arrays(file, arrays)
    evidence = read_study(path)
    expected = stats.true_class_ranks(arrays["logits"], evidence.labels)
    np.testing.assert_array_equal(evidence.methods[0].ranks[1], expected)
    assert not isinstance(evidence.methods[0].logits, Seen)
    assert "ce" not in {*tables.build(evidence).probability_losses["method"]}


def test_one_run_has_a_loss_and_no_parts(study):
    built = tables.build(read_study(study(runs=1)))
    of = built.probability_losses.set_index(["group", "quantity"])["estimate"]
    assert (
        of["all", "brier"] > 0 and np.isnan(of["all", "brier_bias"]) and np.isnan(of["all", "cross_entropy_variance"])
    )
