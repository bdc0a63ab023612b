"""May labels and predictions be class names, and may counts be missing? Are classes then the right ones, and said?"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from laid import FORMS, refusal, write, write_text

from ltbv.cli import main
from ltbv.report import tables
from ltbv.report.elsewhere import read_elsewhere
from ltbv.report.elsewhere.roles import called

NAMES = np.array(["zebra", "ant", "sea cow"])  # not in alphabetical order, one with a blank
COUNTS = [400, 60, 5]
LABELS = np.repeat(np.arange(3), 20)
N, C, R = LABELS.size, 3, 4
POINTS = np.array([f"im{i}.jpg" for i in range(N)])


def logits_of(run: int) -> np.ndarray:
    return np.random.default_rng(run).normal(size=(N, C)) + 1.5 * np.eye(C)[LABELS]


def preds_of(run: int) -> np.ndarray:
    return logits_of(run).argmax(1)


PREDS = np.stack([preds_of(run) for run in range(R)])


@pytest.fixture
def counts(tmp_path) -> Path:
    return write_text(tmp_path / "counts.json", json.dumps(COUNTS))


@pytest.fixture
def names(tmp_path) -> Path:
    return write_text(tmp_path / "classes.txt", "\n".join(NAMES))


def lay(directory: Path, form: str, label: str, pred: str, *, ids: str = "filename") -> Path:
    """Runs of class names, each in an order of its own."""
    for run in range(R):
        order = np.random.default_rng(run).permutation(N)
        fields = {ids: POINTS[order], pred: NAMES[preds_of(run)[order]], label: NAMES[LABELS[order]]}
        write(directory / f"run{run}{form}", **fields)
    return directory


def predictions_by_point(evidence, points=POINTS) -> np.ndarray:
    """(R, N) in the order of LABELS: runs were shuffled, and the first settled the order."""
    order = np.random.default_rng(0).permutation(N)
    found = np.empty_like(evidence.methods[0].predictions)
    found[:, order] = evidence.methods[0].predictions
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("label", "pred"), [("label", "pred"), ("target", "prediction"), ("y_true", "y_pred")])
def test_names_are_classes_in_the_order_of_the_names_given(tmp_path, counts, names, form, label, pred):
    found = read_elsewhere({"ce": lay(tmp_path / "ce", form, label, pred)}, counts, classes=names)
    assert found.class_names == tuple(NAMES)
    assert np.array_equal(predictions_by_point(found), PREDS)
    assert [line for line in found.setting.notes if f"in the order of {names}" in line]


@pytest.mark.parametrize("form", FORMS)
def test_counts_by_name_say_the_classes(tmp_path, names, form):
    counts = write_text(tmp_path / "counts.json", json.dumps(dict(zip(sorted(NAMES), (60, 5, 400), strict=True))))
    found = read_elsewhere({"ce": lay(tmp_path / "ce", form, "target", "prediction")}, counts)
    assert found.class_names == ("ant", "sea cow", "zebra") and found.train_counts.tolist() == [60, 5, 400]
    place = np.argsort(np.argsort(NAMES))
    assert np.array_equal(predictions_by_point(found), place[PREDS])


def table(directory: Path, stem: str = "prob_", columns=tuple(NAMES), **more) -> Path:
    """One file of R runs, each point by its name, with a column of scores for each of the class names in `columns`."""
    rows = []
    for run in range(R):
        scores = pd.DataFrame(np.exp(logits_of(run)), columns=NAMES)
        scores = scores.div(scores.sum(axis=1), axis=0).add_prefix(stem)[[f"{stem}{name}" for name in columns]]
        rows.append(scores.assign(run=run, filename=POINTS, target=NAMES[LABELS], prediction=NAMES[preds_of(run)]))
    directory.mkdir(exist_ok=True)
    pd.concat(rows).assign(**more).to_csv(directory / "ce.csv", index=False)
    return directory / "ce.csv"


def test_counts_by_name_in_any_order_are_matched_by_name(tmp_path):
    """In the order of the counts, largest first: nothing but names is there, so no order of ids is asked."""
    counts = write_text(tmp_path / "counts.csv", "class,count\n" + "".join(map("{},{}\n".format, NAMES, COUNTS)))
    found = read_elsewhere({"ce": lay(tmp_path / "ce", ".csv", "target", "prediction")}, counts)
    assert found.class_names == tuple(NAMES) and found.train_counts.tolist() == COUNTS
    assert np.array_equal(predictions_by_point(found), PREDS)
    assert [line for line in found.setting.notes if f"in the order of {counts}" in line]


def test_ids_beside_counts_by_name_in_another_order_are_refused(tmp_path):
    counts = write_text(tmp_path / "counts.txt", "".join(map("{}, {}\n".format, NAMES, COUNTS)))
    why = f"{counts} has class names that are not in alphabetical order, which says nothing of their class ids, and "
    write(tmp_path / "of_ids.npz", preds=PREDS[0], labels=LABELS)
    write(tmp_path / "of_scores.npz", logits=logits_of(0), labels=NAMES[LABELS])
    for source in ("of_ids.npz", "of_scores.npz"):
        said = refusal(read_elsewhere, {"ce": tmp_path / source}, counts)
        assert said.startswith(why) and said.endswith("give --classes FILE, the names in the order of class ids")
    labels = write_text(tmp_path / "labels.txt", "\n".join(map(str, LABELS)))
    assert refusal(read_elsewhere, {"ce": table(tmp_path)}, counts, labels).startswith(why)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("counted", [True, False])
def test_columns_of_scores_are_matched_by_the_class_that_they_name(tmp_path, order, counted):
    path = table(tmp_path, columns=NAMES[order])
    counts = write_text(tmp_path / "counts.csv", "".join(map("{},{}\n".format, NAMES, COUNTS))) if counted else None
    found = read_elsewhere({"ce": path}, counts, columns={"probs": "prob_"})
    place = np.arange(3) if counted else np.argsort(np.argsort(NAMES))
    assert np.array_equal(found.methods[0].predictions, place[PREDS])
    probs = np.exp([logits_of(run) for run in range(R)])
    probs /= probs.sum(-1, keepdims=True)
    assert np.allclose(found.methods[0].p_true, probs[:, np.arange(N), LABELS], atol=1e-6)


def test_scores_of_other_classes_than_there_are_are_refused(tmp_path):
    counts = write_text(tmp_path / "counts.csv", "".join(map("{},{}\n".format, NAMES, COUNTS)))
    read = dict(columns={"probs": "prob_"})
    said = refusal(read_elsewhere, {"ce": table(tmp_path, columns=NAMES[:2])}, counts, **read)
    assert "has no scores of the class 'sea cow'" in said
    said = refusal(read_elsewhere, {"ce": table(tmp_path, prob_emu=0)}, counts, **read)
    assert "has scores of 'emu', which is no class; there is: 'zebra', 'ant', 'sea cow'" in said
    assert "has no column 'score_0'" in refusal(
        read_elsewhere, {"ce": table(tmp_path)}, counts, columns={"probs": "score_"}
    )


@pytest.mark.parametrize("form", FORMS)
def test_without_names_and_counts_the_order_is_alphabetical_and_said(tmp_path, form):
    found = read_elsewhere({"ce": lay(tmp_path / "ce", form, "target", "prediction")})
    assert found.class_names == ("ant", "sea cow", "zebra") and found.train_counts is None
    assert np.array_equal(predictions_by_point(found), np.argsort(np.argsort(NAMES))[PREDS])
    notes = " ".join(found.setting.notes)
    assert "class ids are their places in alphabetical order" in notes and "no training counts" in notes


def test_a_class_that_is_predicted_and_never_true_is_one(tmp_path):
    write(tmp_path / "run0.csv", target=["a", "b", "b"], prediction=["c", "b", "a"])
    assert read_elsewhere({"ce": tmp_path / "run0.csv"}).class_names == ("a", "b", "c")


LISTS = {
    "names alone": ("labels.txt", "\n".join(NAMES[LABELS])),
    "path and name": ("labels.txt", "".join(f"{p} {n}\n" for p, n in zip(POINTS, NAMES[LABELS], strict=True))),
    "path, name": (
        "labels.csv",
        "sample,label\n" + "".join(f"{p},{n}\n" for p, n in zip(POINTS, NAMES[LABELS], strict=True)),
    ),
    "list": ("labels.json", json.dumps(NAMES[LABELS].tolist())),
    "map": ("labels.json", json.dumps(dict(zip(POINTS.tolist(), NAMES[LABELS].tolist(), strict=True)))),
    "ids": ("labels.txt", "\n".join(map(str, LABELS))),
}


@pytest.mark.parametrize("kind", LISTS)
def test_labels_of_a_file_of_their_own(tmp_path, counts, names, kind):
    named = {} if kind in ("names alone", "list", "ids") else {"filename": POINTS}
    for run in range(R):
        write(tmp_path / "ce" / f"run{run}.csv", **named, prediction=NAMES[preds_of(run)])
    labels = write_text(tmp_path / LISTS[kind][0], LISTS[kind][1])
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts, labels, names)
    assert np.array_equal(found.labels, LABELS) and np.array_equal(found.methods[0].predictions, PREDS)


def one(tmp_path, **fields) -> dict[str, Path]:
    write(tmp_path / "run0.csv", **{"label": NAMES[LABELS], "pred": NAMES[PREDS[0]]} | fields)
    return {"ce": tmp_path / "run0.csv"}


def test_names_that_cannot_be(tmp_path, counts, names):
    odd = NAMES[PREDS[0]].astype(object)
    odd[7] = "dog"
    message = refusal(read_elsewhere, one(tmp_path, pred=odd), counts, classes=names)
    assert "pred is 'dog' in row 7 (from 0), which is no class; there is: 'zebra', 'ant', 'sea cow'" in message
    message = refusal(read_elsewhere, one(tmp_path, pred=odd), counts)
    assert "class names, 4 with those of all files, but there are training counts of 3 classes" in message
    message = refusal(read_elsewhere, one(tmp_path, pred=PREDS[0]), counts)
    assert "class ids beside; give --classes FILE, the names in the order of class ids" in message
    odd[7] = ""
    assert ": pred is '' in row 7" in refusal(read_elsewhere, one(tmp_path, pred=odd))
    odd[7] = "nan"
    assert ": pred is 'nan' in row 7" in refusal(read_elsewhere, one(tmp_path, pred=odd))
    numbered = np.array([f"c{k}" for k in range(12)])
    twelve = write_text(tmp_path / "twelve.json", json.dumps([9] * 12))
    found = one(tmp_path, label=np.tile(numbered, 5), pred=np.tile(numbered, 5))
    assert "alphabetical order is not that of their numbers" in refusal(read_elsewhere, found, twelve)
    assert read_elsewhere(found).labels.max() == 11  # without counts no order is needed


@pytest.mark.parametrize("form", FORMS)
def test_fields_of_any_name_are_what_they_are_said_to_be(tmp_path, counts, names, form):
    lay(tmp_path / "ce", form, "truth", "top", ids="f")
    columns = called(["label=truth,prediction=top", "sample=f"])
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts, classes=names, columns=columns)
    assert np.array_equal(predictions_by_point(found), PREDS)
    message = refusal(
        read_elsewhere, {"ce": tmp_path / "ce"}, counts, classes=names, columns=columns | {"ids": "image"}
    )
    assert "has no 'image' with a value for each row, as --columns says; it has: " in message


@pytest.mark.parametrize("form", FORMS)
def test_what_is_said_comes_before_what_is_found(tmp_path, counts, form):
    """A column label of the file may be of something else, and one run may be told by any column."""
    runs, points = np.repeat(np.arange(R), N), np.tile(np.arange(N), R)
    wrong = (LABELS[points] + 1) % C
    write(tmp_path / f"all{form}", label=wrong, mine=LABELS[points], top=PREDS.ravel(), fold=runs, n=points)
    columns = called(["label=mine,pred=top,run=fold,sample=n"])
    found = read_elsewhere({"ce": tmp_path / f"all{form}"}, counts, columns=columns)
    assert np.array_equal(found.labels, LABELS) and np.array_equal(found.methods[0].predictions, PREDS)


@pytest.mark.parametrize("form", FORMS)
def test_scores_of_another_name(tmp_path, counts, form):
    scores = {"out": logits_of(0)} if form == ".npz" else {f"out_{k}": of for k, of in enumerate(logits_of(0).T)}
    write(tmp_path / f"run0{form}", label=LABELS, **scores)
    columns = called(["logits=out" if form == ".npz" else "logits=out_"])
    method = read_elsewhere({"ce": tmp_path / f"run0{form}"}, counts, columns=columns).methods[0]
    assert np.array_equal(method.predictions[0], PREDS[0]) and method.p_true is not None


def test_numbers_that_may_be_ids_or_names_are_refused(tmp_path, counts):
    numbered = write_text(tmp_path / "classes.txt", "2\n0\n1")
    message = refusal(read_elsewhere, one(tmp_path, label=LABELS, pred=PREDS[0]), counts, classes=numbered)
    assert "these may be ids or names; give names that are no numbers" in message
    for names in ("0\n1\n2", "1\n2\n3"):  # the ids, or names that no 0 can be
        write_text(numbered, names)
        found = read_elsewhere(one(tmp_path, label=LABELS, pred=PREDS[0]), counts, classes=numbered)
        assert np.array_equal(found.labels, LABELS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("role", ["pred", "logits", "run", "sample", "label"])
def test_fields_that_are_not_there_are_refused_by_name(tmp_path, counts, form, role):
    scores = {"logits": logits_of(0)} if form == ".npz" else {}
    write(tmp_path / f"run0{form}", label=LABELS, pred=PREDS[0], **scores)
    message = refusal(read_elsewhere, {"ce": tmp_path / f"run0{form}"}, counts, columns=called([f"{role}=zz"]))
    assert message.startswith(str(tmp_path / f"run0{form}")) and ("'zz" in message or role == "label")


def test_roles_that_are_not(tmp_path):
    for words in (["label"], ["labl=x"], ["label="], ["=x"]):
        assert "is not ROLE=COLUMN, such as label=target" in refusal(called, words)
    assert "twice" in refusal(called, ["label=a,label=b"])
    assert "twice" in refusal(called, ["label=a", "pred=a"])


@pytest.mark.parametrize("extension", [".npz", ".npy"])
def test_scores_of_all_runs_in_one_file(tmp_path, counts, extension):
    logits = np.stack([logits_of(run) for run in range(R)]).astype(np.float32)
    for order in "CF":
        stacked = np.asarray(logits, order=order)
        if extension == ".npz":
            np.savez(tmp_path / "ce.npz", logits=stacked, labels=LABELS, runs=[3, 5, 7, 9])
        else:
            np.save(tmp_path / "ce.npy", stacked)
        labels = write_text(tmp_path / "labels.json", json.dumps(LABELS.tolist()))
        method = read_elsewhere({"ce": tmp_path / f"ce{extension}"}, counts, labels).methods[0]
        assert method.runs == ((3, 5, 7, 9) if extension == ".npz" else (0, 1, 2, 3))
        assert np.array_equal(method.predictions, PREDS)
        for run in range(R):
            np.savez(tmp_path / "one.npz", logits=logits[run], labels=LABELS)
            alone = read_elsewhere({"ce": tmp_path / "one.npz"}, counts).methods[0]
            assert np.array_equal(alone.p_true[0], method.p_true[run])
            assert np.array_equal(alone.negatives[0], method.negatives[run])


def test_scores_of_all_runs_belong_into_a_file_that_is_a_method(tmp_path, counts):
    (tmp_path / "ce").mkdir()
    np.savez(tmp_path / "ce" / "run0.npz", logits=np.zeros((R, N, C)), labels=LABELS)
    assert "NAME=FILE: then they may be (R, N, C)" in refusal(read_elsewhere, {"ce": tmp_path / "ce"}, counts)
    np.savez(tmp_path / "ce.npz", logits=np.zeros((R, N, C)), preds=np.zeros((R + 1, N), int), labels=LABELS)
    message = refusal(read_elsewhere, {"ce": tmp_path / "ce.npz"}, counts)
    assert message.endswith(f"preds has shape ({R + 1}, {N}), but logits ({R}, {N}, {C})")


def two(tmp_path) -> dict[str, Path]:
    draw = np.random.default_rng(0)
    for key, lift in (("ce", 0.0), ("mine", 0.8)):
        logits = draw.normal(size=(10, N, C)) + (1 + lift) * np.eye(C)[LABELS]
        np.savez(tmp_path / f"{key}.npz", logits=logits, labels=LABELS)
    return {key: tmp_path / f"{key}.npz" for key in ("ce", "mine")}


def test_without_counts_all_and_each_class_are_as_with_them(tmp_path, counts):
    sources = two(tmp_path)
    without, counted = (tables.build(read_elsewhere(sources, given), exact=False) for given in (None, counts))
    for name in ("splits", "classes"):
        kept = ["method", "group", "quantity", "estimate", "low", "high"]
        own, other = (of.named[name][kept].set_index(kept[:3]).sort_index() for of in (without, counted))
        groups = ["all"] if name == "splits" else list(range(C))
        for method in sources:
            for group in groups:
                pd.testing.assert_frame_equal(own.loc[(method, group)], other.loc[(method, group)])
    assert without.named["claims"]["p_holm"].isna().all() and not without.named["claims"]["holds"].any()
    assert without.verdicts[0].headline.endswith("nothing is claimed.") and not len(without.named["flows"])
    assert "no training counts are given" in " ".join(without.cautions)


@pytest.mark.parametrize("methods", [1, 2, 10])
def test_a_report_without_counts_is_written_whole(tmp_path, monkeypatch, methods):
    monkeypatch.chdir(tmp_path)
    two(tmp_path)
    words = ["ce=ce.npz", *(f"m{k}=mine.npz" for k in range(methods - 1))]
    done = CliRunner().invoke(main, ["report", *words, "--output", "out", "--no-exact"])
    assert done.exit_code == 0, done.output
    page, markdown = (Path(f"out/report.{kind}").read_text() for kind in ("html", "md"))
    assert "training images not known" in markdown and "nan" not in markdown.split() and "nothing is said of" in page
    assert not Path("out/figures/counts.png").exists() and Path("out/figures/by_class.png").exists()
    assert json.loads(Path("out/report.json").read_text())["classes"]["train_counts"] is None


def test_thresholds_need_counts(tmp_path):
    assert "give --train-counts FILE too" in refusal(read_elsewhere, two(tmp_path), many=50)


def test_predictions_without_a_name_are_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key in ("ce", "mine"):
        for run in range(2):
            (tmp_path / "all" / key).mkdir(parents=True, exist_ok=True)
            np.savez(tmp_path / "all" / key / f"r{run}.npz", preds=PREDS[run], labels=LABELS)

    def said(*words: str) -> str:
        done = CliRunner().invoke(main, ["report", *words])
        assert done.exit_code == 2
        return " ".join(done.output.split())

    for words in (["all/ce"], ["all/ce", "mine=all/mine"], ["all/ce/r0.npz"]):
        assert f"{words[0]} has predictions, but is no study: name their method, ltbv report ce={words[0]}" in said(
            *words
        )
    assert "ltbv report ce=all/ce mine=all/mine" in said("all")
    (tmp_path / "nothing").mkdir()
    assert "name their method" not in said("nothing")
