"""Is what a study writes read as predictions from elsewhere too, and does a report know the published table by name?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from laid import refusal
from pandas.testing import assert_frame_equal

from ltbv.cli import main
from ltbv.errors import Refusal
from ltbv.files import read_arrays
from ltbv.report import published, tables
from ltbv.report.elsewhere import read_elsewhere
from ltbv.report.study import read_study
from ltbv.store import Store

FIELDS = ("label", "p_true", "negative", "p_negative")


@pytest.fixture
def made(study, tmp_path):
    """A study, its directory, and the options that a report on its predictions alone needs."""
    path = study(ride="RIDE", runs={"ce": range(5), "ride": range(2, 7)}, points=6)
    whole = read_study(path)
    (tmp_path / "counts.json").write_text(json.dumps(whole.train_counts.tolist()))
    (tmp_path / "classes.json").write_text(json.dumps(whole.class_names))
    return whole, path, (tmp_path / "counts.json", path / "test.npz", tmp_path / "classes.json")


def stacked(path: Path, store: Store, key: str, **more) -> Path:
    """All runs of a method in one file, a row each."""
    runs = store.runs(key)
    of_runs = [read_arrays(store.prediction_file(key, run), FIELDS) for run in runs]
    np.savez(path, **{name: np.stack([fields[name] for fields in of_runs]) for name in FIELDS}, **more)
    return path


@pytest.mark.parametrize("stack", [False, True])
def test_what_a_router_asked_is_read_too(study, tmp_path, stack):
    path = study(ride="RIDE", routed={"ride": 3}, runs=3)
    source, store = path / "predictions" / "ride", Store(path)
    if stack:
        used = np.stack(
            [read_arrays(store.prediction_file("ride", r), ("experts_used",))["experts_used"] for r in range(3)]
        )
        source = stacked(tmp_path / "ride.npz", store, "ride", runs=range(3), experts_used=used)
    found = read_elsewhere({"ride": source}, labels=path / "test.npz").methods[0]
    whole = read_study(path).methods[1].experts_used
    assert np.array_equal(found.experts_used, whole) and found.experts_used.max() > 1
    with np.load(source if stack else source / "r000.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "odd.npz", **arrays | {"experts_used": np.zeros_like(arrays["label"])})
    message = refusal(read_elsewhere, {"ride": tmp_path / "odd.npz"}, labels=path / "test.npz")
    assert message.endswith("experts_used is 0 in row 0 (from 0); a router asks 1 to 1000 experts")


@pytest.mark.parametrize("form", ["directories", "files", "files in half precision"])
def test_predictions_of_a_study_say_what_the_study_says(made, tmp_path, form):
    whole, path, options = made
    store = Store(path)
    if form == "directories":
        sources = {key: path / "predictions" / key for key in ("ce", "ride")}
    else:
        sources = {key: stacked(tmp_path / f"{key}.npz", store, key, runs=store.runs(key)) for key in ("ce", "ride")}
    if "half" in form:
        for source in sources.values():
            with np.load(source) as file:
                arrays = {n: file[n].astype(np.float16) if n.startswith("p_") else file[n] for n in file.files}
            np.savez(source, **arrays)
    found = read_elsewhere(sources, *options, many=20, few=4)
    whole = replace(whole, setting=replace(whole.setting, shared=found.setting.shared))  # which files do not say
    assert all(np.array_equal(found.splits[name], whole.splits[name]) for name in whole.splits)
    near = 1e-3 if "half" in form else 0
    for ours, theirs in zip(found.methods, whole.methods, strict=True):
        assert ours.runs == theirs.runs
        for name in ("predictions", "negatives"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
        for name in ("p_true", "p_negative"):
            assert np.allclose(getattr(ours, name), getattr(theirs, name), atol=near, rtol=0)
    ours, theirs = (tables.build(one) for one in (found, whole))
    assert_frame_equal(ours.splits, theirs.splits)
    assert_frame_equal(ours.hardest_negatives, theirs.hardest_negatives, atol=1e-3)


def test_rows_without_numbers_are_runs_from_zero_and_labels_may_stand_beside(made, tmp_path):
    whole, path, (counts, _, _) = made
    source = stacked(tmp_path / "ce.npz", Store(path), "ce", labels=whole.labels, note=np.array("x"))
    found = read_elsewhere({"ce": source}, counts)
    assert found.reference.runs == (0, 1, 2, 3, 4) and np.array_equal(found.labels, whole.labels)
    assert "ce: in its files, but not used: 'note'." in found.setting.notes


@pytest.mark.parametrize("extension", ["npz", "npy"])
def test_predicted_labels_of_all_runs_in_one_file(made, tmp_path, extension):
    whole, _, options = made
    predictions = whole.reference.predictions.astype(int)
    path = tmp_path / f"ce.{extension}"
    np.save(path, predictions) if extension == "npy" else np.savez(path, preds=predictions, runs=[0, 1, 2, 3, 4])
    found = read_elsewhere({"ce": path}, *options).reference
    assert found.runs == (0, 1, 2, 3, 4) and np.array_equal(found.predictions, predictions)
    (tmp_path / "dir").mkdir()
    path.rename(tmp_path / "dir" / path.name)
    with pytest.raises(Refusal, match="a file holds one run"):
        read_elsewhere({"ce": tmp_path / "dir"}, *options)


WRONG = {
    "another shape": ({"p_true": np.zeros((5, 3))}, "p_true has shape (5, 3), but label has (5, 72)"),
    "no probability": ({"p_true": np.full((5, 72), 1.5)}, "p_true is NaN or no probability at 360 of 360 points"),
    "NaN": ({"p_negative": np.full((5, 72), np.nan)}, "p_negative is NaN or no probability"),
    "integers": ({"p_true": np.zeros((5, 72), int)}, "p_true is of type int64; probabilities are floating point"),
    "label 12": ({"label": np.full((5, 72), 12)}, "pred is 12 in row 0 (from 0); class ids go from 0 to 11"),
    "negative -1": ({"negative": np.full((5, 72), -1)}, "negative is -1 in row 0"),
    "runs twice": ({"runs": np.zeros(5, int)}, "runs has run '0' more than once"),
    "objects": ({"negative": np.array([{}] * 5)}, "negative cannot be read"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_no_study_writes_is_refused(made, tmp_path, what):
    _, path, options = made
    fields, complaint = WRONG[what]
    source = stacked(tmp_path / "ce.npz", Store(path), "ce")
    with np.load(source) as file:
        arrays = dict(file) | fields
    np.savez(source, **arrays)
    with pytest.raises(Refusal) as refused:
        read_elsewhere({"ce": source}, *options)
    assert str(refused.value).startswith(str(source)) and complaint in str(refused.value)


def test_labels_in_another_order_than_the_predictions_are_found(made, tmp_path):
    whole, path, (counts, _, classes) = made
    np.save(tmp_path / "labels.npy", whole.labels[::-1])
    with pytest.raises(Refusal, match="negative, another class than the true one, is the true one at"):
        read_elsewhere({"ce": path / "predictions/ce"}, counts, tmp_path / "labels.npy", classes)


def test_thresholds_are_those_of_the_data_set():
    assert published.thresholds("cifar100-lt", np.array([300, 30, 3])) == (60, 12)
    assert published.thresholds("cifar10-lt", np.array([5000, 50])) == (1000, 200)
    for name in ("imagenet-lt", "inaturalist2018", "mine"):
        assert published.thresholds(name, np.array([1280, 5])) == (100, 20)


@pytest.mark.usefixtures("undrawn")
def test_the_published_table_is_named_where_nothing_else_says_the_data_set(made, tmp_path, monkeypatch):
    _, path, _ = made
    monkeypatch.chdir(tmp_path)
    counts = [300, 150, 60, 59, 40, 30, 20, 13, 12, 11, 5, 3]
    Path("counts.json").write_text(json.dumps(counts))
    given = [f"ce={path}/predictions/ce", "--train-counts", "counts.json", "--labels", f"{path}/test.npz", "--no-exact"]

    def run(*words: str):
        return CliRunner().invoke(main, ["report", *words])

    shown = run(*given, "--published", "cifar100-lt").output
    assert "Published beside measured: RIDE, ICLR 2021, Figure 1a" in shown
    assert (
        "Classes: many 2 (300 to 150 images), medium 7 (60 to 12 images), few 3 (11 to 3 images)."
        in Path("reports/ce/report.md").read_text()
    )
    assert run("--published", *given).output == run(*given, "--published").output
    assert "! no published numbers for predictions from elsewhere" in run("--published", *given).output
    assert run(*given, "--published", "cifar100-lt", "--many", "200").exit_code == 0
    assert "many 1 (300 images)" in Path("reports/ce/report.md").read_text()
    del given[1:3]
    assert "cifar100-lt is of splits: give --train-counts FILE" in run(*given, "--published", "cifar100-lt").output
    given[1:1] = ["--train-counts", "counts.json"]
    result = run(*given, "--published", "cifar100")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "unknown published table 'cifar100' (did you mean 'cifar100-lt'?)" in result.stderr
    beside = " ".join(run(str(path), "--published", "cifar100-lt").output.split())
    assert "published numbers of cifar100-lt stand beside no study of glyphs-lt" in beside
    assert run("--published", str(path)).output.count("no published numbers for glyphs-lt") == 1
