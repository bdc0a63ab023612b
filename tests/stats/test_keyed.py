"""Is what tables know, names of rows and missing values, never dropped on the way to an array?"""

import numpy as np
import pandas as pd
import pytest
from laid import refusal

from ltbv import analyse, stats
from ltbv.stats.keyed import keyed, matched

COUNTS = [400, 60, 5]
R, N, C = 4, 30, len(COUNTS)
LABELS = np.arange(N) % C
DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(R, N, C)) + 1.5 * np.eye(C)[LABELS]
PREDICTIONS = LOGITS.argmax(2)
NAMES = [f"img_{k}.jpg" for k in range(N)]
ORDER = DRAW.permutation(N)
SHUFFLED = pd.Series(LABELS, NAMES).iloc[ORDER]  # labels of a shuffled table


def table(**options) -> pd.DataFrame:
    return pd.DataFrame(PREDICTIONS, columns=NAMES, **options)


def error_of(predictions, labels, **options) -> float:
    record = stats.Record(predictions, labels, **options)
    return stats.zero_one(record.predictions, record.labels).error.mean()


RIGHT = error_of(PREDICTIONS, LABELS)
SAYS = {
    "Record": lambda predictions, labels: error_of(predictions, labels),
    "zero_one": lambda predictions, labels: stats.zero_one(predictions, labels).error.mean(),
    "analyse": lambda predictions, labels: (
        1 - (found := analyse({"ce": predictions}, labels, COUNTS).evidence).reference.predictions.__eq__(found.labels)
    ).mean(),
}


@pytest.mark.parametrize("call", SAYS)
def test_test_points_are_matched_by_their_index(call):
    assert SAYS[call](table(), SHUFFLED) == pytest.approx(RIGHT)
    assert SAYS[call](list(map(pd.Series, PREDICTIONS)), pd.Series(LABELS)) == pytest.approx(RIGHT)
    each = [pd.Series(row, NAMES).sample(frac=1, random_state=at) for at, row in enumerate(PREDICTIONS)]
    assert SAYS[call](each, SHUFFLED) == pytest.approx(RIGHT)
    assert SAYS[call](PREDICTIONS[:, ORDER], SHUFFLED.to_numpy()) == pytest.approx(RIGHT)


@pytest.mark.parametrize("call", SAYS)
def test_an_index_on_one_side_is_never_taken_by_order(call):
    message = refusal(SAYS[call], PREDICTIONS, SHUFFLED)
    assert message.startswith("labels have the index 'img_") and ".to_numpy()" in message
    assert "have the index 'img_0.jpg'" in refusal(SAYS[call], table(), LABELS)
    permuted = pd.Series(LABELS).iloc[ORDER]  # as train_test_split leaves it
    assert "labels have the index" in refusal(SAYS[call], PREDICTIONS, permuted)
    assert "labels have the index" in refusal(SAYS[call], pd.DataFrame(PREDICTIONS), permuted)
    strangers = SHUFFLED.rename({"img_3.jpg": "img_99.jpg"})
    assert "have 1 names that" in refusal(SAYS[call], table(), strangers)
    repeated = SHUFFLED.rename({"img_3.jpg": "img_4.jpg"})
    assert "differ and repeat" in refusal(SAYS[call], table(), repeated)


@pytest.mark.parametrize("call", SAYS)
def test_what_is_missing_is_no_number(call):
    masked = np.ma.array(PREDICTIONS, mask=False)
    assert SAYS[call](masked, np.ma.array(LABELS)) == pytest.approx(RIGHT)
    assert SAYS[call](list(masked), LABELS) == pytest.approx(RIGHT)
    masked[1, 3:5] = np.ma.masked
    assert "2 missing values" in refusal(SAYS[call], masked, LABELS)
    assert "2 missing values" in refusal(SAYS[call], list(masked), LABELS)
    hidden = np.ma.array(LABELS, mask=LABELS == 2)
    assert f"labels have {N // C} missing values" in refusal(SAYS[call], PREDICTIONS, hidden)
    nullable = pd.Series(LABELS, dtype="Int64")
    assert SAYS[call](pd.DataFrame(PREDICTIONS, dtype="Int32"), nullable) == pytest.approx(RIGHT)
    nullable[3] = pd.NA
    assert "labels have 1 missing values" in refusal(SAYS[call], PREDICTIONS, nullable)
    some = pd.DataFrame(PREDICTIONS, dtype="Int32").mask(PREDICTIONS == 1)
    assert "missing values" in refusal(SAYS[call], some, LABELS)


def test_runs_of_a_table_are_paired_by_its_index():
    numbers = [7, 3, 0, 5]
    frame = pd.DataFrame(PREDICTIONS, index=numbers)
    assert stats.Record(frame, LABELS).runs == tuple(numbers)
    assert stats.Record(frame, LABELS, runs=pd.Series(numbers)).runs == tuple(numbers)
    assert "give them once" in refusal(stats.Record, frame, LABELS, runs=[0, 3, 5, 7])
    assert "must be whole numbers" in refusal(stats.Record, frame.rename(str), LABELS)
    found = analyse({"ce": frame, "mine": frame.sort_index()}, LABELS, COUNTS).evidence
    assert [method.runs for method in found.methods] == [(0, 3, 5, 7)] * 2
    assert np.array_equal(*(method.predictions for method in found.methods))


def test_classes_of_a_table_of_scores_are_matched():
    of_class = [pd.DataFrame(z, columns=range(C))[[2, 0, 1]] for z in LOGITS]
    assert SAYS["analyse"](of_class, LABELS) == pytest.approx(RIGHT)
    named = [pd.DataFrame(z, NAMES, list("abc"))[list("cab")].sample(frac=1, random_state=0) for z in LOGITS]
    found = analyse({"ce": named}, SHUFFLED, COUNTS, class_names=list("abc")).evidence
    assert np.array_equal(found.reference.predictions, PREDICTIONS[:, ORDER])
    assert "have 3 names that the classes have not" in refusal(analyse, {"ce": named}, SHUFFLED, COUNTS)


def test_clusters_and_further_values_are_matched_too():
    clusters = pd.Series([f"patient {k // 5}" for k in range(N)], NAMES)
    seen = pd.DataFrame(PREDICTIONS / 2, columns=NAMES).sample(frac=1, axis=1, random_state=1)
    record = stats.Record(table(), SHUFFLED, clusters=clusters, per_run={"half": seen})
    assert record.clusters.tolist() == (ORDER // 5).tolist()
    assert np.array_equal(record.per_run["half"] * 2, record.predictions)
    found = analyse({"ce": table()}, SHUFFLED, COUNTS, clusters=clusters).evidence
    assert found.clusters.tolist() == (ORDER // 5).tolist()
    assert "clusters have the index" in refusal(stats.Record, PREDICTIONS, LABELS, clusters=clusters)
    assert "missing values" in refusal(stats.Record, table(), SHUFFLED, clusters=clusters.mask(clusters == "patient 1"))
    hidden = np.ma.array(LOGITS, mask=LOGITS > 3)
    assert "logits have" in refusal(stats.Record, PREDICTIONS, LABELS, logits=hidden)
    assert "missing values" in refusal(analyse, {"ce": hidden}, LABELS, COUNTS)


def test_counts_that_are_masked_are_refused():
    hidden = np.ma.array(COUNTS, mask=[False, False, True])
    assert "train_counts have 1 missing values" in refusal(stats.splits, hidden)
    assert "train_counts have 1 missing values" in refusal(analyse, {"ce": PREDICTIONS}, LABELS, hidden)
    by_id = pd.Series([*COUNTS, None], dtype="Int64")
    assert "train_counts have 1 missing values" in refusal(stats.splits, by_id)


def test_arrays_with_named_dimensions_say_more_than_their_order():
    class Named:  # what xarray's DataArray has
        dims, indexes = ("run", "point"), {"point": pd.Index(NAMES)}

        def __array__(self, dtype=None, copy=None):
            return PREDICTIONS

    found, keys = keyed(Named(), "predictions")
    assert keys == [None, NAMES] and np.array_equal(found, PREDICTIONS)
    assert SAYS["Record"](Named(), SHUFFLED) == pytest.approx(RIGHT)
    assert SAYS["analyse"](Named(), SHUFFLED) == pytest.approx(RIGHT)


def test_matched_puts_an_axis_in_order():
    values = np.arange(6).reshape(2, 3)
    assert matched(values, 1, ["a", "b", "c"], ["c", "a", "b"], "x", "y").tolist() == [[2, 0, 1], [5, 3, 4]]
    assert "x have 1 names that y have not" in refusal(matched, values, 1, list("abd"), list("ab"), "x", "y")
