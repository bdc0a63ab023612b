"""Which field names the test points: a known name whatever its values, a stranger only where all files agree."""

import json

import numpy as np
import pandas as pd
import pytest
from laid import FORMS, write

from ltbv.errors import Refusal
from ltbv.report.elsewhere import read_elsewhere

COUNTS = [500, 90, 7]
LABELS = np.repeat(np.arange(3), 4)
N, R = LABELS.size, 3
KNOWN = ("id", "image_id", "sample", "sample_id", "filename")


def ranks(run: int) -> np.ndarray:
    return np.random.default_rng(run + 5).permutation(N)


def accuracy(directory, **options) -> float:
    (directory / "counts.json").write_text(json.dumps(COUNTS))
    sources = options.pop("sources", {"ce": directory / "ce"})
    found = read_elsewhere(sources, directory / "counts.json", **options)
    accuracy.notes = " ".join(found.setting.notes)
    return float((found.reference.predictions == found.labels).mean())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("first", [0, 1])
def test_a_known_name_comes_before_a_stranger_that_differs_in_every_row(tmp_path, form, name, first):
    for run in range(R):
        write(tmp_path / f"ce/{run}{form}", **{"rank": ranks(run), name: np.arange(N) + first, "pred": LABELS})
    write(tmp_path / f"labels{form}", **{name: np.arange(N) + first, "label": LABELS})
    assert accuracy(tmp_path, labels=tmp_path / f"labels{form}") == 1
    assert "not used: 'rank'" in accuracy.notes and "matched by" not in accuracy.notes


@pytest.mark.parametrize("labelled", [False, True])
def test_nor_in_one_file_of_all_runs(tmp_path, labelled):
    rows = {"run": np.repeat(np.arange(R), N), "sample": np.tile(np.arange(N), R), "pred": np.tile(LABELS, R)}
    rows |= {"rank": np.concatenate([ranks(run) for run in range(R)])} | ({"label": rows["pred"]} if labelled else {})
    write(tmp_path / "ce.csv", **rows)
    write(tmp_path / "labels.csv", sample=np.arange(N), label=LABELS)
    given = {} if labelled else {"labels": tmp_path / "labels.csv"}
    assert accuracy(tmp_path, sources={"ce": tmp_path / "ce.csv"}, **given) == 1


STRANGERS = {
    "text": lambda run: np.array([f"{x:.6f} {run}" for x in np.random.default_rng(run).random(N)]),
    "long text": lambda run: np.array([" ".join(map(str, range(k, k + 900))) for k in ranks(run)]),
    "times": lambda run: np.random.default_rng(run).permutation(10**6)[:N],
    "ranks": ranks,
    "ranks from 0 to 1": lambda run: ranks(run) / N,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", STRANGERS)
def test_a_stranger_that_differs_from_run_to_run_is_named_and_not_used(tmp_path, form, what):
    for run in range(R):
        write(tmp_path / f"ce/{run}{form}", label=LABELS, pred=LABELS, scores=STRANGERS[what](run))
    assert accuracy(tmp_path) == 1 and "not used: 'scores'" in accuracy.notes


def test_a_stranger_may_be_a_column_of_its_own(tmp_path):
    for run in range(R):
        write(tmp_path / f"ce/{run}.npz", labels=LABELS, preds=LABELS, rank=ranks(run)[:, None])
    assert accuracy(tmp_path) == 1 and "not used: 'rank'" in accuracy.notes


@pytest.mark.parametrize("form", FORMS)
def test_the_next_guess_is_taken_where_the_first_differs(tmp_path, form):
    for run in range(R):
        order = ranks(run)
        names = np.array([f"case {k}" for k in order])
        write(tmp_path / f"ce/{run}{form}", hash=STRANGERS["text"](run), case=names, pred=LABELS[order])
    order = ranks(9)
    write(tmp_path / f"labels{form}", case=np.array([f"case {k}" for k in order]), label=LABELS[order], took=ranks(3))
    assert accuracy(tmp_path, labels=tmp_path / f"labels{form}") == 1
    assert "matched by 'case'" in accuracy.notes and "not used: 'hash'" in accuracy.notes
    assert "not used: 'took'" in accuracy.notes


def test_a_stranger_among_the_labels_is_not_held_against_the_predictions(tmp_path):
    for run in range(R):
        write(tmp_path / f"ce/{run}.csv", sample=np.arange(N), pred=LABELS)
    write(tmp_path / "labels.csv", label=LABELS, took=ranks(0) + 100)
    assert accuracy(tmp_path, labels=tmp_path / "labels.csv") == 1 and "not used: 'took'" in accuracy.notes


def test_a_stranger_that_all_runs_have_but_the_labels_have_not_must_be_in_order(tmp_path):
    for run in range(R):
        write(tmp_path / f"ce/{run}.csv", case=ranks(run) * 7, pred=LABELS[ranks(run)])
    write(tmp_path / "labels.csv", label=LABELS)
    with pytest.raises(Refusal, match="named by 'case'.*not in order"):
        accuracy(tmp_path, labels=tmp_path / "labels.csv")


def test_a_number_of_the_row_in_the_whole_file_is_no_name(tmp_path):
    frame = pd.DataFrame({"run": np.repeat(np.arange(R), N), "label": np.tile(LABELS, R), "pred": np.tile(LABELS, R)})
    frame.to_csv(tmp_path / "ce.csv")
    assert accuracy(tmp_path, sources={"ce": tmp_path / "ce.csv"}) == 1


NUMBERS = {  # as one file writes them, and another
    "3.0": ([f"{k}.0" for k in range(N)], [str(k) for k in range(N)]),
    "thousands": ([f"{k}e3" for k in range(1, N + 1)], [str(k * 1000) for k in range(1, N + 1)]),
    "19 digits": ([str(1234567890123456789 + k) for k in range(N)],) * 2,
    "19 digits as floats": (
        [f"{1234567890123456789 + k}.0" for k in range(N)],
        [str(1234567890123456789 + k) for k in range(N)],
    ),
    "30 digits": ([str(10**29 + k) for k in range(N)],) * 2,
    "12.3": ([f"{k + 12.3:.1f}" for k in range(N)],) * 2,
    "mixed": ([f"{k / 2}" for k in range(N)], [f"{k / 2:g}" for k in range(N)]),
}


@pytest.mark.parametrize("what", NUMBERS)
@pytest.mark.parametrize("name", ["id", "filename", "sample"])
def test_names_that_are_numbers_are_matched_however_they_are_written(tmp_path, what, name):
    (tmp_path / "ce").mkdir()
    written, among_labels = NUMBERS[what]
    for run in range(R):
        rows = [f"{written[k]},{LABELS[k]}" for k in ranks(run)]
        (tmp_path / f"ce/{run}.csv").write_text("\n".join([f"{name},pred", *rows]))
    (tmp_path / "labels.csv").write_text(
        "\n".join([f"{name},label", *(f"{a},{b}" for a, b in zip(among_labels, LABELS, strict=True))])
    )
    assert accuracy(tmp_path, labels=tmp_path / "labels.csv") == 1
    (tmp_path / "labels.json").write_text(json.dumps(dict(zip(among_labels, LABELS.tolist(), strict=True))))
    assert accuracy(tmp_path, labels=tmp_path / "labels.json") == 1


@pytest.mark.parametrize("form", [".npz", ".parquet", ".csv"])
@pytest.mark.parametrize("name", ["id", "case"])
def test_names_stored_as_floats_match_whole_numbers(tmp_path, form, name):
    for run in range(R):
        write(tmp_path / f"ce/{run}{form}", **{name: ranks(run) * 7.0, "pred": LABELS[ranks(run)]})
    write(tmp_path / f"labels{form}", **{name: np.arange(N) * 7, "label": LABELS})
    assert accuracy(tmp_path, labels=tmp_path / f"labels{form}") == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", ["labels", "runs"])
def test_numbers_with_a_fraction_are_names_where_others_have_the_same(tmp_path, form, where):
    moments = np.random.default_rng(0).random(N)
    for run in range(R):
        order = ranks(run if where == "runs" else 0)
        own = {"label": LABELS[order]} if where == "runs" else {}
        write(tmp_path / f"ce/{run}{form}", moment=moments[order], pred=(LABELS[order] + (order == 3)) % 3, **own)
    write(tmp_path / f"labels{form}", moment=moments, label=LABELS)
    given = {} if where == "runs" else {"labels": tmp_path / f"labels{form}"}
    assert accuracy(tmp_path, **given) == pytest.approx(1 - 1 / N) and "matched by 'moment'" in accuracy.notes


@pytest.mark.parametrize("form", FORMS)
def test_losses_are_no_names(tmp_path, form):
    for run in range(R):
        write(tmp_path / f"ce/{run}{form}", label=LABELS, pred=LABELS, loss=np.random.default_rng(run).random(N))
    assert accuracy(tmp_path) == 1 and "not used: 'loss'" in accuracy.notes
    for run in range(R):
        write(tmp_path / f"ce/{run}{form}", pred=LABELS, area=np.random.default_rng(0).random(N))
    (tmp_path / "labels.txt").write_text("\n".join(map(str, LABELS)))
    assert accuracy(tmp_path, labels=tmp_path / "labels.txt") == 1 and "not used: 'area'" in accuracy.notes


MIXED = np.random.default_rng(4).integers(0, 3, 60)  # labels in no order
MANY = MIXED.size


def order_of(run: int) -> np.ndarray:
    return np.random.default_rng(run + 40).permutation(MANY)


RANKS = {  # fields of a run beside `pred`, fields of the labels: both of 0 to N - 1, which may be ranks
    "ranks of each run, names among the labels": (lambda run: {"rank": order_of(run)}, {"sample": np.arange(MANY)}),
    "ranks from 1": (lambda run: {"rank": order_of(run) + 1}, {"id": np.arange(MANY) + 1}),
    "ranks of the labels": (lambda run: {"sample": order_of(run)}, {"difficulty": order_of(5)}),
    "ranks on both sides": (lambda run: {"place": order_of(run)}, {"place": order_of(3)}),
    "two names": (lambda run: {"rank": order_of(0)}, {"difficulty": order_of(1)}),
    "a number of the row": (lambda run: {"rank": order_of(0)}, {"index": order_of(1)}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", RANKS)
def test_numbers_of_as_many_rows_are_no_names_unless_something_says_so(tmp_path, form, what):
    of_run, of_labels = RANKS[what]
    for run in range(R):
        write(tmp_path / f"ce/{run}{form}", **of_run(run), pred=MIXED)
    write(tmp_path / f"labels{form}", **of_labels, label=MIXED)
    with pytest.raises(Refusal, match="these may name the test points or rank them; call it sample"):
        accuracy(tmp_path, labels=tmp_path / f"labels{form}")


@pytest.mark.parametrize("form", FORMS)
def test_nor_where_labels_are_sorted_by_them(tmp_path, form):
    """Ranks within each class, counted through: labels agree, and points do not."""
    labels = np.sort(MIXED)
    for run in range(R):
        within = np.concatenate([np.flatnonzero(labels == k)[ranks_of(run, labels, k)] for k in range(3)])
        write(tmp_path / f"ce/{run}{form}", place=within, label=labels, pred=labels)
    with pytest.raises(Refusal, match="these may name the test points or rank them"):
        accuracy(tmp_path)


def ranks_of(run: int, labels: np.ndarray, k: int) -> np.ndarray:
    return np.random.default_rng([run, k]).permutation(np.count_nonzero(labels == k))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", ["labels tell it", "a name says it", "the same order", "a better guess"])
def test_numbers_of_as_many_rows_are_names_where_something_says_so(tmp_path, form, what):
    better = np.array([f"case {k}" for k in range(MANY)])
    for run in range(R):
        order = order_of(0 if what == "the same order" else run)
        name = "index" if what == "a name says it" else "place"
        fields = {name: order, "pred": MIXED[order]} | ({"label": MIXED[order]} if what == "labels tell it" else {})
        write(tmp_path / f"ce/{run}{form}", **fields, **({"case": better[order]} if what == "a better guess" else {}))
    order = order_of(0) if what == "the same order" else np.arange(MANY)
    of_labels = {"index" if what == "a name says it" else "place": order}
    of_labels |= {"case": better} if what == "a better guess" else {}
    write(tmp_path / f"labels{form}", **of_labels, label=MIXED[order])
    assert accuracy(tmp_path, labels=tmp_path / f"labels{form}") == 1
