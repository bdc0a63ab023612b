"""Is every field of a file of predictions used as what it is, named, or refused, and never passed over in silence?"""

import json
import os
import time

import numpy as np
import pandas as pd
import pytest
from laid import FORMS, refusal, write

from ltbv.report.elsewhere import read_elsewhere
from ltbv.report.elsewhere.columns import read_table

COUNTS = [500, 90, 7]
LABELS = np.repeat(np.arange(3), 4)
N, R = LABELS.size, 4
NAMES = np.array([f"img_{k}.jpg" for k in range(N)])
PREDS = np.stack([np.random.default_rng(run).integers(0, 3, N) for run in range(R)])


@pytest.fixture
def counts(tmp_path):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(COUNTS))
    return path


ID_NAMES = ("id", "ID", "image", "Image Path", "filenames", "img_id", "uuid", "index", "frame", "whatever it is")
IDS = {"text": NAMES, "numbers": np.arange(N) * 7 + 3}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("name", ID_NAMES)
def test_test_points_are_matched_by_whatever_names_them(tmp_path, counts, name, ids, form):
    for run in range(R):
        order = np.random.default_rng(run + 9).permutation(N)
        fields = {name: IDS[ids][order], "prediction": PREDS[run][order], "loss": np.linspace(0.1, 0.7, N)}
        write(tmp_path / f"ce/run{run}{form}", **fields)
    order = np.random.default_rng(5).permutation(N)
    write(tmp_path / f"labels{form}", **{name: IDS[ids][order], "target": LABELS[order]})
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts, tmp_path / f"labels{form}")
    assert np.array_equal(found.labels, LABELS[order]) and np.array_equal(found.reference.predictions, PREDS[:, order])
    notes = " ".join(found.setting.notes)
    assert "in its files, but not used: 'loss'." in notes
    assert (f"test points are matched by '{name}'." in notes) == (name in ("frame", "whatever it is"))


@pytest.mark.parametrize("form", FORMS)
def test_the_name_of_a_test_point_comes_before_the_number_of_a_row(tmp_path, counts, form):
    for run in range(2):
        order = np.random.default_rng(run).permutation(N)
        rows = {"id": np.arange(N), "preds": PREDS[run][order], "labels": LABELS[order], "file_name": NAMES[order]}
        write(tmp_path / f"ce/run{run}{form}", **rows)
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    back = np.argsort(np.random.default_rng(0).permutation(N))
    assert np.array_equal(found.reference.predictions[:, back], PREDS[:2])
    assert any("not used: 'id'" in line for line in found.setting.notes)


def test_the_index_of_a_shuffled_table_names_its_rows(tmp_path, counts):
    (tmp_path / "ce").mkdir()
    for run in range(2):
        frame = pd.DataFrame({"label": LABELS, "pred": PREDS[run]}).sample(frac=1, random_state=run)
        frame.to_csv(tmp_path / f"ce/{run}.csv")
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    order = pd.Series(range(N)).sample(frac=1, random_state=0).to_numpy()
    assert np.array_equal(found.reference.predictions, PREDS[:2, order])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["run", "seed", "trial"])
def test_many_runs_in_one_file(tmp_path, counts, name, form):
    of_run = {name: np.repeat(np.arange(R) + 3, N), "preds": PREDS.ravel(), "label": np.tile(LABELS, R)}
    order = np.random.default_rng(1).permutation(N * R)
    whole = of_run | {"sample": np.tile(NAMES, R)}
    write(tmp_path / f"ordered{form}", **of_run)
    write(tmp_path / f"shuffled{form}", **{field: values[order] for field, values in whole.items()})
    ordered = read_elsewhere({"ce": tmp_path / f"ordered{form}"}, counts).reference
    assert ordered.runs == (3, 4, 5, 6) and np.array_equal(ordered.predictions, PREDS)
    found = read_elsewhere({"ce": tmp_path / f"shuffled{form}"}, counts)
    assert found.reference.runs == (3, 4, 5, 6) and sorted(found.labels) == LABELS.tolist()
    first = order[order // N == order[0] // N] % N
    assert np.array_equal(found.reference.predictions, PREDS[:, first])


TWO = np.repeat([0, 1], N)
LEFT_OVER = {
    "a method": ({"Method": np.where(TWO, "mine", "ce")}, "2 methods in 'Method', such as 'ce', 'mine'"),
    "a method in numbers": ({"model": TWO}, "2 methods in 'model', such as '0', '1'"),
    "runs of another name": ({"which": TWO + 3}, "divides the rows into 2 parts with the same labels, as runs"),
    "a sweep": ({"tau": TWO / 2}, "has 'tau', which is not known and divides the rows into 2 parts"),
    "rows in turn": ({"flipped": np.arange(2 * N) % 2 == 0, "label": np.repeat(LABELS, 2)}, "has 'flipped', which is"),
    "a method beside names": (
        {"algo": np.repeat(["ce", "mine"], N), "id": np.tile(NAMES, 2)},
        "has 'algo', which is not known: text such as 'ce', 'mine'",
    ),
    "text": ({"setting": np.where(np.arange(2 * N) % 5, "a", "b")}, "has 'setting', which is not known: text such as"),
    "ids of two runs": (
        {
            "id": np.tile(np.arange(N), 2)[(mix := np.random.default_rng(0).permutation(2 * N))],
            "label": np.tile(LABELS, 2)[mix],
        },
        "has 'id', whose values come 2 times each, with one label, as names of test points do in 2 runs",
    ),
    "a mask": ({"mask": np.arange(2 * N) % 7 == 0}, "has 'mask', which says that some rows do not count; leave these"),
    "what counts": ({"Is valid": np.arange(2 * N) % 7 * 1.0}, "has 'Is valid', which says that some rows do not count"),
    "nothing": ({}, "has labels that repeat after 12 rows, 2 times in all: if these are runs, name them"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", LEFT_OVER)
def test_what_may_tell_runs_or_methods_apart_is_refused(tmp_path, counts, what, form):
    fields, complaint = LEFT_OVER[what]
    write(tmp_path / f"all{form}", **({"label": np.tile(LABELS, 2), "pred": PREDS[:2].ravel()} | fields))
    message = refusal(read_elsewhere, {"ce": tmp_path / f"all{form}"}, counts)
    assert message.startswith(f"{tmp_path}/all{form} has ") and complaint in message


def test_the_mask_of_predictions_of_several_runs_is_refused_too(tmp_path, counts):
    write(tmp_path / "all.npz", preds=PREDS, labels=LABELS, mask=PREDS == 1)
    message = refusal(read_elsewhere, {"ce": tmp_path / "all.npz"}, counts)
    assert message.startswith(f"{tmp_path}/all.npz has 'mask', which says that some rows do not count")
    write(tmp_path / "all.npz", preds=PREDS, labels=LABELS, mask=PREDS < 0)
    assert np.array_equal(read_elsewhere({"ce": tmp_path / "all.npz"}, counts).reference.predictions, PREDS)


HARMLESS = {
    "the same everywhere": {"epoch": np.full(N, 200), "split": np.full(N, "test")},
    "what the label says": {"class_name": np.array(["ant", "bee", "cat"])[LABELS], "group": LABELS + 1},
    "what label and prediction say": {
        "right": PREDS[0] == LABELS,
        "verdict": np.where(PREDS[0] == LABELS, "ok", "no!"),
    },
    "numbers": {"entropy": np.linspace(0.1, 1.2, N), "margin": np.arange(N) % 5 / 7},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", HARMLESS)
def test_what_says_nothing_new_is_named(tmp_path, counts, what, form):
    for run in range(2):
        fields = {name: values for name, values in HARMLESS[what].items()}
        write(tmp_path / f"ce/{run}{form}", label=LABELS, pred=PREDS[0], **fields)
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    named = ", ".join(map(repr, sorted(HARMLESS[what]) if form == ".npz" else HARMLESS[what]))
    assert f"ce: in its files, but not used: {named}." in found.setting.notes
    assert np.array_equal(found.reference.predictions, np.stack([PREDS[0]] * 2))


def test_arrays_of_no_test_point_are_named_and_objects_of_each_refused(tmp_path, counts):
    extra = {"features": np.zeros((N, 5)), "accuracy": np.array(0.7), "args": np.array({"lr": 1}), "seed": np.array(3)}
    write(tmp_path / "ce/r3.npz", preds=PREDS[0], labels=LABELS, **extra)
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    assert "ce: in its files, but not used: 'accuracy', 'args', 'features', 'seed'." in found.setting.notes
    write(tmp_path / "ce/r3.npz", preds=PREDS[0], labels=LABELS, names=NAMES.astype(object))
    assert "names holds Python objects, which are never unpickled" in refusal(
        read_elsewhere, {"ce": tmp_path / "ce"}, counts
    )


def test_two_fields_that_should_say_the_same(tmp_path, counts):
    write(tmp_path / "r0.csv", label=LABELS, target=LABELS, pred=PREDS[0], predicted=PREDS[0])
    found = read_elsewhere({"ce": tmp_path / "r0.csv"}, counts)
    assert np.array_equal(found.reference.predictions[0], PREDS[0])
    write(tmp_path / "r0.csv", label=LABELS, target=LABELS[::-1], pred=PREDS[0])
    message = refusal(read_elsewhere, {"ce": tmp_path / "r0.csv"}, counts)
    assert message == f"{tmp_path}/r0.csv has 'label' and 'target', which differ: take out what is no label"


ORDERED = {"numbers": np.arange(N), "names": NAMES, "sorted": np.sort(NAMES), "gaps": np.arange(N) * 3 + 5}


@pytest.mark.parametrize("ids", ORDERED)
@pytest.mark.parametrize("side", ["predictions", "labels"])
def test_names_of_one_side_must_be_in_order(tmp_path, counts, ids, side):
    def lay(names):
        of_side = {"predictions": {}, "labels": {}}
        of_side[side] = {"sample": names}
        write(tmp_path / "r0.csv", pred=PREDS[0], **of_side["predictions"])
        write(tmp_path / "labels.csv", label=LABELS, **of_side["labels"])
        return {"ce": tmp_path / "r0.csv"}, counts, tmp_path / "labels.csv"

    found = read_elsewhere(*lay(ORDERED[ids]))
    assert np.array_equal(found.reference.predictions[0], PREDS[0]) and np.array_equal(found.labels, LABELS)
    shuffled = np.random.default_rng(0).permutation(ORDERED[ids])
    message = refusal(read_elsewhere, *lay(shuffled))
    assert "has sample ids that are not in order and" in message and "give them everywhere, or nowhere" in message


def test_runs_without_names_of_test_points_beside_some_with(tmp_path, counts):
    write(tmp_path / "ce/r0.npz", preds=PREDS[0], labels=LABELS, paths=NAMES)
    write(tmp_path / "ce/r1.npz", preds=PREDS[1], labels=LABELS)
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    assert np.array_equal(found.reference.predictions, PREDS[:2])
    assert any("test points are not named in 'r1.npz', and taken in the order of" in n for n in found.setting.notes)
    write(tmp_path / "ce/r0.npz", preds=PREDS[0], labels=LABELS, paths=NAMES[::-1])
    assert "r0.npz has sample ids that are not in order and" in refusal(read_elsewhere, {"ce": tmp_path / "ce"}, counts)


@pytest.mark.parametrize("names", [("ce_0", "ce_1", "ride_0", "ride_1"), ("seed0_best", "seed0_last", "seed1_best")])
def test_files_of_two_methods_are_not_runs_of_one(tmp_path, counts, names):
    for at, name in enumerate(names):
        write(tmp_path / f"all/{name}.npz", preds=PREDS[at], labels=LABELS)
    message = refusal(read_elsewhere, {"all": tmp_path / "all"}, counts)
    assert message.startswith("all has runs '") and "the same numbers under two names" in message


def test_labels_in_every_form_are_matched(tmp_path, counts):
    order = np.random.default_rng(2).permutation(N)
    write(tmp_path / "ce/r0.npz", preds=PREDS[0], paths=NAMES)
    forms = {
        "map.json": json.dumps({NAMES[k]: int(LABELS[k]) for k in order}),
        "lines.txt": "".join(f"{NAMES[k]} {LABELS[k]}\n" for k in order),
        "commas.txt": "".join(f"{NAMES[k]}, {LABELS[k]}\n" for k in order),
        "list.csv": "img,class,gt\n" + "".join(f"{NAMES[k]},c{LABELS[k]},{LABELS[k]}\n" for k in order),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        found = read_elsewhere({"ce": tmp_path / "ce"}, counts, tmp_path / name)
        assert np.array_equal(found.reference.predictions[0], PREDS[0][order]), name
    assert any("list.csv: not used: 'class'." in line for line in found.setting.notes)
    (tmp_path / "row.txt").write_text(" ".join(map(str, LABELS)))
    write(tmp_path / "ce/r0.npz", preds=PREDS[0])
    assert read_elsewhere({"ce": tmp_path / "ce"}, counts, tmp_path / "row.txt").labels.tolist() == LABELS.tolist()
    write(tmp_path / "runs.csv", run=np.repeat([0, 1], N), label=np.tile(LABELS, 2))
    assert "has labels of several runs in 'run'" in refusal(
        read_elsewhere, {"ce": tmp_path / "ce"}, counts, tmp_path / "runs.csv"
    )


@pytest.mark.parametrize("what", ["source", "in a directory", "counts", "labels", "classes"])
def test_a_pipe_is_refused_at_once(tmp_path, counts, what):
    write(tmp_path / "ce/r0.npz", preds=PREDS[0], labels=LABELS)
    pipe = tmp_path / ("ce/r1.npz" if what == "in a directory" else f"pipe.{'npz' if what == 'source' else 'txt'}")
    os.mkfifo(pipe)
    given = {"sources": {"ce": tmp_path / "ce"}, "train_counts": counts}
    given |= {"source": {"sources": {"ce": pipe}}, "counts": {"train_counts": pipe}}.get(what, {})
    given |= {what: pipe} if what in ("labels", "classes") else {}
    assert refusal(read_elsewhere, **given).startswith(f"{pipe} is no regular file, but a pipe, socket or device")


def test_a_device_is_refused_at_once(counts):
    assert "/dev/zero is no regular file" in refusal(read_elsewhere, {"ce": "/dev/zero"}, counts)


# tables of any width


def wide(path, classes: int, rows: int, before=("label",), after=()) -> np.ndarray:
    p = np.random.default_rng(0).dirichlet(np.full(classes, 0.1), rows)
    frame = pd.DataFrame(p, columns=[f"p_{k}" for k in range(classes)])
    for name in before:
        frame.insert(0, name, np.arange(rows) % classes)
    frame.assign(**{name: np.arange(rows) for name in after}).to_csv(path, index=False)
    return p


@pytest.mark.parametrize(("before", "after"), [(["label"], []), ([], ["label"]), (["x", "label"], ["id"])])
def test_scores_stand_between_other_columns(tmp_path, before, after):
    p = wide(tmp_path / "r.csv", 40, 30, before, after)
    rows = read_table(tmp_path / "r.csv", "r", 40, labelled=True)
    assert np.allclose(np.concatenate(list(rows.scores.blocks())), p, rtol=1e-12)
    assert rows.labels.tolist() == (np.arange(30) % 40).tolist()


def test_many_columns_of_one_name_are_named_and_not_read(tmp_path, counts):
    features = pd.DataFrame(np.zeros((N, 2_000)), columns=[f"z{k}" for k in range(2_000)])
    features.assign(label=LABELS, pred=PREDS[0]).to_csv(tmp_path / "r0.csv", index=False)
    found = read_elsewhere({"ce": tmp_path / "r0.csv"}, counts)
    assert np.array_equal(found.reference.predictions[0], PREDS[0])
    assert any("not used: 'z0', 'z1'" in line and "and 1992 more" in line for line in found.setting.notes)
    features.to_csv(tmp_path / "r0.csv", index=False)
    assert "has no column 'pred'" in refusal(read_elsewhere, {"ce": tmp_path / "r0.csv"}, counts)
    assert "has no column 'label'" in refusal(read_elsewhere, {"ce": tmp_path / "r0.csv"}, counts, tmp_path / "r0.csv")


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_separator_is_said(tmp_path, counts, mark):
    frame = pd.DataFrame({"label": LABELS, "pred": PREDS[0]})
    frame.to_csv(tmp_path / "r.csv", sep=mark, index=False, encoding="utf-8-sig")
    message = refusal(read_elsewhere, {"ce": tmp_path / "r.csv"}, counts)
    assert message.endswith(f"the separator is {mark!r}, and must be ','")
    assert message.startswith(f"{tmp_path}/r.csv has ")


def test_scores_in_any_order_and_rows_with_quotes(tmp_path):
    text = 'p_2,sample,p_0,label,p_1\n0.5,"a, ""b""\nc",0.2,0,0.3\n"0.1",d,"0.8",1,0.1\n\n'
    (tmp_path / "r.csv").write_text(text)
    rows = read_table(tmp_path / "r.csv", "r", 3, labelled=False)
    assert rows.ids.tolist() == ['a, "b"\nc', "d"] and rows.labels.tolist() == [0, 1]
    assert np.concatenate(list(rows.scores.blocks())).tolist() == [[0.2, 0.3, 0.5], [0.8, 0.1, 0.1]]


def test_time_grows_with_columns_and_is_that_of_pandas(tmp_path):
    """In one run, interleaved: at most twice `pandas.read_csv`, with a margin for a busy machine."""
    wide(tmp_path / "r.csv", 8_000, 120)

    def ours() -> None:
        sum(map(len, read_table(tmp_path / "r.csv", "r", 8_000, labelled=False).scores.blocks()))

    def seconds(call) -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    pairs = [(seconds(ours), seconds(lambda: pd.read_csv(tmp_path / "r.csv"))) for _ in range(3)]
    assert min(ours for ours, _ in pairs) < 3 * min(theirs for _, theirs in pairs)
