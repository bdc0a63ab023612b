"""What a record refuses to be, and which records are no pair."""

import numpy as np
import pytest
from brute_force import SPLITS, study

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.stats.record import pair

COUNTS = [90, 60, 40, 20, 10, 5]


def table(rows):
    return {(one.group, one.quantity): one for one in rows}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictions": np.zeros(24, int)}, r"predictions must be \(R, N\).*got shape \(24,\)"),
        ({"predictions": np.zeros((5, 23), int)}, "predictions are for 23 test points and labels for 24"),
        ({"predictions": np.zeros((5, 24))}, "predictions must be integer class ids; got float64"),
        ({"predictions": np.full((5, 24), -1)}, "predictions must be class ids from 0; the lowest is -1"),
        ({"predictions": np.full((5, 24), 6)}, "predictions go up to 6, but train_counts has 6 classes"),
        ({"labels": np.full(24, 6)}, "labels go up to 6, but there are 6 classes"),
        ({"labels": np.full(24, -1)}, "labels must be class ids from 0; the lowest is -1"),
        ({"labels": np.empty(0, int)}, r"labels must be one class id for each test point, \(N,\) with N > 0"),
        ({"runs": [0, 1, 2]}, r"runs \[0, 1, 2\] must be one number of its own for each of 5 rows"),
        ({"runs": [0, 1, 2, 3, 3]}, r"runs \[0, 1, 2, 3, 3\] must be one number of its own"),
    ],
)
def test_what_is_no_record(change, message):
    predictions, labels = study(5, 4)
    with pytest.raises(Refusal, match=message):
        stats.Record(**({"predictions": predictions, "labels": labels, "train_counts": COUNTS} | change))


def other(p, y, **change):
    """The reference's record, changed."""
    return stats.Record(**{"predictions": p, "labels": y, "train_counts": COUNTS, "scheme": "s"} | change)


@pytest.mark.parametrize("ask", [stats.compare, stats.sign_flip])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y: {"predictions": p[:, 1:], "labels": y[1:]}, "the method has 24 test points and its reference 23"),
        (lambda p, y: {"labels": np.roll(y, 1)}, "labels of the method and its reference differ at 6 of 24 points"),
        (lambda p, y: {"scheme": "fresh"}, "the method was resampled by 's' and its reference by 'fresh'"),
        (lambda p, y: {"train_counts": [*COUNTS[:5], 6]}, r"different class counts \(225 in 6 and 226 in 6 classes\)"),
        (lambda p, y: {"train_counts": [*COUNTS, 6]}, r"different class counts \(225 in 6 and 231 in 7 classes\)"),
        (lambda p, y: {"runs": range(10, 20)}, "no run number in common"),
    ],
)
def test_what_is_no_pair(ask, change, message):
    predictions, labels = study(10, 4)
    with pytest.raises(Refusal, match=message):
        ask(other(predictions, labels), other(predictions, labels, **change(predictions, labels)), SPLITS)


def test_what_is_not_known_is_no_reason_to_refuse():
    predictions, labels = study(5, 4)
    assert stats.compare(stats.Record(predictions, labels), other(predictions, labels), SPLITS)


def test_runs_are_paired_by_number():
    """A method with runs 4, 2, 3, ... and a reference with 0, 1, 2, ...: only what both have, whatever the order."""
    predictions, labels = study(8, 4)
    mine, _ = study(8, 4, seed=5)
    numbers = [4, 2, 3, 9, 7, 1, 5, 11]
    ours = stats.compare(stats.Record(mine, labels, numbers), stats.Record(predictions, labels), SPLITS)
    rows = [row for row, number in enumerate(numbers) if number < 8]
    by_hand = stats.Record(predictions[[numbers[row] for row in rows]], labels)
    assert repr(ours) == repr(stats.compare(stats.Record(mine[rows], labels), by_hand, SPLITS))


def test_selected_runs_bring_all_that_is_known_of_them():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(5, 24, 6))
    labels = np.repeat(np.arange(6), 4)
    whole = {"predictions": logits.argmax(2), "labels": labels, "per_run": {"top": logits.max(2)}}
    for kept in (logits, lambda block: logits[:, block]):
        few = stats.Record(**whole, logits=kept).select([3, 0, 1, 2])
        by_hand = stats.Record(logits[[3, 0, 1, 2]].argmax(2), labels, logits=logits[[3, 0, 1, 2]])
        ours, expected = (table(stats.summarize(of, SPLITS)) for of in (few, by_hand))
        assert {key: ours[key] for key in expected} == expected
        assert ours["all", "top"].estimate == pytest.approx(logits[:4].max(2).mean())
    with pytest.raises(Refusal, match="the record has no run 7"):
        few.select([0, 7])


def test_measured_once_for_summary_and_comparison(monkeypatch):
    predictions, labels = study(6, 4)
    records = stats.Record(predictions, labels), stats.Record(np.roll(predictions, 1, 0), labels)
    calls = []
    measure = stats.record.measure_votes
    monkeypatch.setattr("ltbv.stats.record.measure_votes", lambda *args, **kw: calls.append(1) or measure(*args, **kw))
    for record in records:
        stats.summarize(record, SPLITS)
    stats.compare(*records, SPLITS)
    assert len(calls) == 2
    stats.compare(*records, SPLITS, seed=1)
    assert len(calls) == 4


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_one_two_three_runs(runs):
    """Estimates as far as they can be known, NaN beyond; intervals and tests never."""
    predictions, labels = study(runs, 4)
    record = stats.Record(predictions, labels, train_counts=COUNTS)
    rows = table(stats.summarize(record, SPLITS))
    assert np.isfinite(rows["all", "error"].estimate)
    assert np.isfinite(rows["all", "variance"].estimate) == (runs > 1)
    assert np.isfinite(rows["all", "bias"].estimate) == (runs > 2)
    assert all(np.isnan([row.low, row.high, row.se, row.df]).all() for row in rows.values())
    assert all(np.isnan(row.p) for row in stats.compare(record, record, SPLITS))
    with pytest.raises(Refusal, match="it needs 9 runs"):
        stats.sign_flip(record, record, SPLITS)


def test_a_class_without_training_images_and_one_without_test_points():
    """Class 5 was never trained on and is few; class 4 has no test point and is left out of the means."""
    predictions, labels = study(6, 4)
    kept = labels != 4
    counts = [90, 60, 40, 20, 10, 0]
    groups = {"all": np.arange(6), "untested": [4], **stats.splits(counts, many=50, few=15)}
    assert 5 in groups["few"]
    rows = table(stats.summarize(stats.Record(predictions[:, kept], labels[kept], train_counts=counts), groups))
    assert np.isnan(rows["untested", "error"].estimate)
    only = table(stats.summarize(stats.Record(predictions, labels), {"few": [5]}))
    assert rows["few", "error"].estimate == only["few", "error"].estimate


def test_pair_keeps_whole_records_as_they_are():
    predictions, labels = study(5, 4)
    one, two = stats.Record(predictions, labels), stats.Record(predictions, labels)
    assert pair(one, two) == (one, two)
