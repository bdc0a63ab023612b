"""Do the tables and verdicts of an analysis say what the report says, cell by cell?"""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ltbv.report import gridview, notebook
from ltbv.report.analysis import analyse
from ltbv.report.frames import CLAIM_COLUMNS, NUMBERS
from ltbv.report.grid import grid
from ltbv.report.judgement import CLAIM, INTERVAL, OPEN, UNJUDGED
from ltbv.report.result import Analysis
from ltbv.report.study import read_study


@pytest.fixture(scope="module")
def analysis(shared_study) -> Analysis:
    """Of a study in which the votes of one method are near uniform in the tail."""
    evidence = read_study(shared_study({"ce": "CE", "ride": "RIDE", "tau_norm": "tau-norm"}, runs=10, points=40))
    ce, ride, tau_norm = evidence.methods
    few = np.isin(evidence.labels, evidence.splits["few"])
    scattered = ride.predictions.copy()
    scattered[:, few] = np.random.default_rng(0).integers(0, 12, (10, few.sum()))
    return Analysis(replace(evidence, methods=(ce, replace(ride, predictions=scattered), tau_norm)))


def test_splits_are_the_numbers_of_the_grid(analysis):
    table = analysis.splits
    assert tuple(table.columns) == ("method", "split", *NUMBERS) and len(NUMBERS) == 9
    rows = {row.key: row for row in grid(analysis.tables, analysis.evidence).rows}
    assert list(dict.fromkeys(table["method"])) == list(analysis.evidence.names)
    for line in table.to_dict("records"):
        for quantity in ("accuracy", "bias", "variance"):
            cell = rows[line["method"]].at(line["split"], quantity)
            ends = (line[quantity], line[f"{quantity}_ci_low"], line[f"{quantity}_ci_high"])
            np.testing.assert_array_equal(ends, (cell.estimate, cell.low, cell.high))
    whole = analysis.all.set_index(["method", "group", "quantity"])["estimate"]
    assert whole["ride", "few", "variance"] == table.set_index(["method", "split"])["variance"]["ride", "few"]


def test_claims_are_the_judgement_of_the_grid(analysis):
    table = analysis.claims
    assert tuple(table.columns) == CLAIM_COLUMNS and len(table) == 2 * 4 * 3
    of = grid(analysis.tables, analysis.evidence)
    rows = {row.key: row for row in of.rows}
    adjusted = analysis.tables.claims.set_index(["method", "group", "quantity"])["p_holm"]
    for line in table.to_dict("records"):
        cell = rows[line["method"]].at(line["split"], line["quantity"])
        found = (line["difference"], line["low"], line["high"])
        np.testing.assert_array_equal(found, (cell.difference, cell.difference_low, cell.difference_high))
        assert (line["state"], line["caution"]) == (cell.state, cell.why)
        assert (None if pd.isna(line["better"]) else bool(line["better"])) == cell.better
        quantity = {"accuracy": "error"}.get(line["quantity"], line["quantity"])
        if line["split"] == "all":
            assert np.isnan(line["p_holm"]) and line["state"] != CLAIM
        else:
            assert line["p_holm"] == adjusted[line["method"], line["split"], quantity]
        if cell.state == UNJUDGED:
            assert cell.why in gridview.difference(cell)
    assert set(table["state"]) >= {CLAIM, INTERVAL, OPEN, UNJUDGED} - {OPEN}
    assert len(table[table["better"]]) == (table["better"] == True).sum() > 0  # noqa: E712  (NA is left out)


def test_claims_stand_in_the_order_of_the_report(analysis):
    table = analysis.claims
    assert list(dict.fromkeys(table["method"])) == ["ride", "tau_norm"]
    own = table[table["method"] == "ride"]
    assert list(dict.fromkeys(own["split"])) == ["all", "many", "medium", "few"]
    assert own["quantity"].tolist() == ["accuracy", "bias", "variance"] * 4


def test_verdicts_are_found_by_method(analysis):
    verdicts = analysis.verdicts
    assert list(verdicts) == ["ride", "tau_norm"] and len(verdicts) == 2
    for verdict in analysis.tables.verdicts:
        assert verdicts[verdict.method] is verdict and str(verdict) == verdict.headline
        assert f"{verdict.method}: {verdict.headline}" in repr(verdicts).split("\n")
        alone = analysis.against(None, [verdict.method])
        assert alone.verdicts[verdict.method].headline in notebook.html(alone.tables, alone.evidence)
    with pytest.raises(KeyError, match="unknown method 'rdie' .did you mean 'ride'"):
        verdicts["rdie"]
    assert repr(analysis.against("ce", ["ce"]).verdicts) == "no verdicts: one method alone"


def test_groups_without_classes_are_left_out():
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 3
    predictions = {name: draw.integers(0, 3, (4, 60)) for name in ("ce", "mine")}
    alone = analyse(predictions, labels)
    assert set(alone.splits["split"]) == set(alone.claims["split"]) == {"all"} and len(alone.claims) == 3
    headed = analyse(predictions, labels, [500, 400, 5])
    assert set(headed.splits["split"]) == set(headed.claims["split"]) == {"all", "many", "few"}


def test_of_one_method_there_are_numbers_and_no_claims(analysis):
    alone = analysis.against("ride", ["ride"])
    assert len(alone.splits) == 4 and len(alone.claims) == 0 and len(alone.verdicts) == 0
    assert tuple(alone.claims.columns) == CLAIM_COLUMNS
    assert alone.claims.dtypes.astype(str).to_dict()["difference"] == "float64"


def test_an_analysis_can_be_copied_and_pickled(analysis):
    analysis.tables  # noqa: B018  (what is worked out once goes along)
    for other in (pickle.loads(pickle.dumps(analysis)), copy.copy(analysis), copy.deepcopy(analysis)):
        pd.testing.assert_frame_equal(other.claims, analysis.claims)
        assert repr(other) == repr(analysis)
        assert replace(other, margin=0.2).tables.verdicts == replace(analysis, margin=0.2).tables.verdicts


def test_a_repr_is_short_and_names_what_there_is():
    labels = np.arange(60) % 3
    draw = np.random.default_rng(0)
    sweep = {f"a method with quite a long name, number {k}\n": draw.integers(0, 3, (2, 60)) for k in range(30)}
    found = repr(analyse(sweep, labels))
    assert len(found) < 400 and "\n" not in found and "and 26 more methods" in found
    one = repr(analyse(draw.integers(0, 3, (1, 60)), labels))
    assert one == "<Analysis of ce (1 run), 60 test points, 3 classes: .splits .claims .verdicts .plot()>"
    for name in ("splits", "claims", "verdicts", "plot"):
        assert name in dir(analyse(draw.integers(0, 3, (1, 60)), labels))
