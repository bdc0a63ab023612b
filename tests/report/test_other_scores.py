"""What a referee asks: do the tables say what the statistics say, where do they end, and what is left out?"""

from dataclasses import replace

import numpy as np
import pytest

from ltbv import stats
from ltbv.report import analysis, tables, topics
from ltbv.report.rows import COLUMNS
from ltbv.report.sheet import BETTER, UNCLEAR, WORSE
from ltbv.report.study import read_study
from ltbv.report.topics import other_scores
from ltbv.store import Store

OF_LABELS = {"micro_accuracy", "macro_f1", "geometric_mean", "worst_class", "wins", "accuracy_training"}
OF_LABELS |= {f"accuracy_{way}_{ratio}" for way in ("forward", "backward") for ratio in (2, 5, 10, 25, 50)}
OF_SCORES = {"calibration_error", "overconfidence", "brier", "top_3_accuracy", "top_5_accuracy"}


@pytest.fixture(scope="module")
def evidence(shared_study):
    """Test points that are not as many of each class; RIDE has runs that CE has not."""
    labels = np.repeat(np.arange(12), np.arange(20, 8, -1))
    runs = {"ce": range(6), "ride": range(2, 9), "mine": range(2)}
    return read_study(shared_study({"ce": "CE", "ride": "RIDE", "mine": "Mine"}, runs=runs, labels=labels))


@pytest.fixture(scope="module")
def built(evidence):
    return tables.build(evidence)


def row(built, method, group, quantity):
    of = built.other_scores
    (found,) = of[(of.method == method) & (of.group == group) & (of.quantity == quantity)].itertuples()
    return found


def test_every_method_has_every_quantity(evidence, built):
    of = built.other_scores
    assert list(of) == [*COLUMNS, "varies"] and set(of.quantity) == OF_LABELS | OF_SCORES
    for method in evidence.methods:
        own = of[of.method == method.key]
        assert set(own.quantity) == (OF_LABELS | OF_SCORES) - ({"wins"} if method is evidence.reference else set())
        assert own.runs.unique().tolist() == [len(method.runs)]
        assert np.isnan(own.reference_difference).all() == (method is evidence.reference)
    assert not of.duplicated(["method", "group", "quantity"]).any()
    assert set(of.quantity[of.varies == "runs"]) == {
        *("macro_f1", "geometric_mean", "worst_class", "wins", "calibration_error")
    }


def test_values_and_differences_are_those_of_the_runs(evidence, built):
    ce, ride, _ = evidence.methods
    few = np.isin(evidence.labels, evidence.groups["few"])
    common = slice(2, 6), slice(0, 4)  # rows of the runs that both have

    def micro(method):
        return (method.predictions == evidence.labels)[:, few].mean(1)

    of = row(built, "ride", "few", "micro_accuracy")
    assert of.estimate == pytest.approx(micro(ride).mean()) and of.points == few.sum()
    assert of.reference_difference == pytest.approx(micro(ride)[common[1]].mean() - micro(ce)[common[0]].mean())
    scores = [stats.run_scores(m.predictions, evidence.labels, evidence.groups) for m in (ride, ce)]
    for quantity in ("macro_f1", "geometric_mean", "worst_class"):
        ours, theirs = (of[quantity][:, 3] for of in scores)
        of = row(built, "ride", "few", quantity)
        assert of.estimate == pytest.approx(ours.mean())
        assert of.reference_difference == pytest.approx((ours[common[1]] - theirs[common[0]]).mean())
    assert row(built, "ride", "all", "accuracy_backward_50").points == evidence.labels.size
    won = (scores[0]["accuracy"][common[1]] > scores[1]["accuracy"][common[0]])[:, 0].mean()
    assert row(built, "ride", "all", "wins").estimate == won == 1


def test_confidence_is_that_of_the_prediction_and_brier_that_of_all_classes(evidence, built):
    ride, at = evidence.methods[1], np.isin(evidence.labels, evidence.groups["many"])
    right = ride.predictions == evidence.labels
    confidence = np.where(right, ride.p_true, ride.p_negative)
    over = stats.by_class((confidence - right).mean(0), evidence.labels, 12)
    assert row(built, "ride", "many", "overconfidence").estimate == pytest.approx(
        over[evidence.groups["many"]].mean(), abs=1e-6
    )
    squared = stats.squared_calibration_error(confidence[:, at], right[:, at], evidence.labels[at], evidence.groups)
    assert row(built, "ride", "many", "calibration_error").estimate == pytest.approx(
        np.sqrt(max(0, squared[:, 1].mean())), abs=1e-6
    )
    p = np.array([[0.7, 0.2, 0.1]])
    record = replace(
        ride, predictions=np.array([[0]]), runs=(0,), p_true=p[:, :1], p_negative=p[:, 1:2], sum_p2=(p**2).sum(1)[None]
    )
    small = replace(evidence, labels=np.array([0]), methods=(record,))
    scored = other_scores.Scored.of(small, record, stats.Record(record.predictions, small.labels))
    assert scored.of_points["brier"].item() == pytest.approx(0.09 + 0.04 + 0.01)
    assert scored.of_points["overconfidence"].item() == pytest.approx(-0.3)


def test_top_k_is_of_the_logits_that_are_kept(study, monkeypatch):
    path = study(runs=4)
    store, labels = Store(path), read_study(path).labels
    logits = store.predictions("ce", "logits")
    most = np.argsort(-logits, axis=2, kind="stable")
    built = tables.build(read_study(path))
    for k in (3, 5):
        right = (most[:, :, :k] == labels[:, None]).any(2)
        of = row(built, "ce", "all", f"top_{k}_accuracy")
        assert (of.estimate, of.varies) == (pytest.approx(right.mean()), "runs and points") and of.low < of.estimate
    assert "top-5" in [column.name for sheet in topics.printed(built, read_study(path)) for column in sheet.columns]
    monkeypatch.setattr("ltbv.report.study.MOST_LOGITS", logits.size - 1)
    assert read_study(path).methods[0].ranks is None


def test_what_is_not_known_is_not_shown(evidence):
    bare = [replace(m, p_true=None, p_negative=None, negatives=None, sum_p2=None, ranks=None) for m in evidence.methods]
    built = tables.build(replace(evidence, methods=tuple(bare)))
    assert set(built.other_scores.quantity) == OF_LABELS
    keys = [sheet.key for sheet in topics.printed(built, evidence)]
    assert "calibration" not in keys and {"other_accuracies", "test_priors", "wins"} <= set(keys)
    ce, ride, mine = evidence.methods
    mixed = replace(evidence, methods=(bare[0], replace(ride, sum_p2=None, ranks=None), mine))
    of = tables.build(mixed).other_scores
    assert set(of.method[of.quantity.isin(["brier", "top_3_accuracy"])]) == {"mine"}
    assert np.isnan(of.reference_difference[of.quantity.isin(OF_SCORES)]).all()


def test_marks_and_words(evidence, built):
    of = {sheet.key: sheet for sheet in topics.printed(built, evidence)}
    assert {len(row) for row in of["calibration"].rows} == {len(of["calibration"].columns)} == {7}
    assert [row[0].text for row in of["wins"].rows] == ["RIDE", "Mine"]  # Mine: two pairs, no interval
    assert [cell.text for cell in of["wins"].rows[1][1:]] == [
        f"{100 * row(built, 'mine', group, 'wins').estimate:.1f}" for group in evidence.groups
    ]
    assert "on these test images" in of["wins"].caption and "on these test images" in of["other_accuracies"].caption
    named = {"method": "ride", "low": 0.6, "high": 1.0, "estimate": 0.9}
    assert (other_scores.won(named).text, other_scores.won(named).mark) == ("90.0* (60.0 to 100.0)", BETTER)
    assert other_scores.won(named | {"low": 0.4}).mark == UNCLEAR
    assert other_scores.won(named | {"low": 0.0, "high": 0.4}).mark == WORSE
    rows = [(row[0].text, row[1].text) for row in of["test_priors"].rows]
    assert rows == [("CE", "accuracy"), *((m, of) for m in ("RIDE", "Mine") for of in ("accuracy", "- CE"))]


def test_one_method_one_run_and_empty_splits():
    labels = np.array([0, 0, 1, 1])
    found = analysis.analyse({"ce": labels[None]}, labels, train_counts=[200, 200])
    of = found.tables.other_scores
    assert set(of.method) == {"ce"} and "wins" not in set(of.quantity)
    many = of[of.group == "many"].set_index("quantity")
    assert (many.estimate == 1).all() and np.isnan(many.low).all()
    assert np.isnan(of[of.group == "few"].estimate).all()


def test_all_right_in_every_run_is_no_certainty():
    """Four runs that are always right: the score of a run has no interval of length 0."""
    labels = np.repeat([0, 1], 5)
    of = analysis.analyse({"ce": np.tile(labels, (4, 1))}, labels, train_counts=[200, 2]).tables.other_scores
    assert not (of.low == of.high).any()
    assert np.isnan(of.low[of.quantity == "macro_f1"]).all()
    of_images = of[(of.quantity == "micro_accuracy") & (of.points > 0)]
    assert (of_images.low < 0.8).all()
