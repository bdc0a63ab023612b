"""Are predictions from elsewhere read as what they are, and is what cannot be right refused by file and field?"""

import io
import json
import os
import sys
import tracemalloc
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from laid import refusal, write, write_text
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from ltbv import stats
from ltbv.report import tables
from ltbv.report.elsewhere import arrays, read_elsewhere, scores
from ltbv.report.elsewhere.assemble import run_numbers
from ltbv.report.elsewhere.files import named
from ltbv.report.elsewhere.listings import read_names
from ltbv.report.study import read_study
from ltbv.store import Store

COUNTS = [500, 90, 7]
LABELS = np.repeat(np.arange(3), 4)
N, C = LABELS.size, len(COUNTS)


def logits_of(run: int) -> np.ndarray:
    draw = np.random.default_rng(run)
    return (draw.normal(size=(N, C)) + 2 * np.eye(C)[LABELS]).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


@pytest.fixture
def counts(tmp_path) -> Path:
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(COUNTS))
    return path


@pytest.fixture
def ce(tmp_path) -> Path:
    """Two runs of CE as .npz: logits, labels, sample_id."""
    directory = tmp_path / "ce"
    directory.mkdir()
    for run in range(2):
        np.savez(directory / f"r{run}.npz", logits=logits_of(run), labels=LABELS, sample_id=np.arange(N))
    return directory


def change(path: Path, **fields) -> None:
    """Write an .npz anew with some fields replaced, or left out where None."""
    with np.load(path) as file:
        whole = {name: file[name] for name in file.files} | fields
    np.savez(path, **{name: values for name, values in whole.items() if values is not None})


# what is read


def export_npz(store, key, path, labels, *, field, compress=False):
    for run in store.runs(key):
        label = store.predictions(key, "label", [run])[0]
        order = np.random.default_rng(run).permutation(label.size)
        arrays = {"labels": labels[order], "paths": np.array([f"img/{i},\t'é'.png" for i in order])}
        if field == "probs":
            arrays["probs"] = probabilities(store, key, run)[order]
        else:
            arrays |= {"preds": label[order], "logits": store.predictions(key, "logits", [run])[0][order]}
        path.mkdir(exist_ok=True)
        (np.savez_compressed if compress else np.savez)(path / f"seed{run}_epoch200.npz", **arrays)


def probabilities(store, key, run) -> np.ndarray:
    """Those of float16 logits, the predicted label raised a little: rounding makes ties of what was none."""
    p = softmax(store.predictions(key, "logits", [run])[0])
    p[np.arange(len(p)), store.predictions(key, "label", [run])[0]] += 2e-3
    return p / p.sum(1, keepdims=True)


def export_directories(store, key, path, labels):
    """As decoupling leaves them: a directory a run, with other files beside; `paths` are indices stored as floats."""
    for run in store.runs(key):
        logits = store.predictions(key, "logits", [run])[0].astype(np.float32)
        logits[np.arange(labels.size), store.predictions(key, "label", [run])[0]] += 1e-2
        order = np.random.default_rng(run).permutation(labels.size)
        (path / f"run{run}").mkdir(parents=True)
        write_text(path / f"run{run}/log.txt", "epoch 1")
        of_order = np.concatenate((np.empty(0), order))
        np.savez(path / f"run{run}/logits_close", logits=logits[order], labels=labels[order], paths=of_order)


def export_table(store, key, path, labels, *, extension, probs=False, split=False):
    frames = []
    for run in store.runs(key):
        order = np.random.default_rng(run).permutation(labels.size)
        frame = pd.DataFrame({"run": f"run {run}", "sample": [f'"{i}",\t' for i in order], "label": labels[order]})
        if probs:
            of_class = probabilities(store, key, run)[order]
            frame = frame.assign(**{f"p_{k}": of_class[:, k] for k in range(of_class.shape[1])})
        else:
            frame = frame.assign(pred=store.predictions(key, "label", [run])[0][order])
        frames.append(frame)
    path.mkdir()
    if split:
        for frame in frames:
            frame.drop(columns="run").to_csv(path / f"{frame['run'][0]}.csv", index=False)
        return
    whole = pd.concat(frames).sample(frac=1, random_state=0)
    if extension == "csv":
        whole.to_csv(path / "all.csv", index=False)
    else:
        write(path / "all.parquet", **whole)


def export_npy(store, key, path, labels, *, probs):
    path.mkdir()
    for run in store.runs(key):
        saved = probabilities(store, key, run) if probs else store.predictions(key, "label", [run])[0]
        np.save(path / f"{run}.npy", saved)
    np.save(path.parent / "labels.npy", labels)


EXPORTS = {
    "npz logits": lambda *a: export_npz(*a, field="logits"),
    "npz probs": lambda *a: export_npz(*a, field="probs"),
    "npz compressed": lambda *a: export_npz(*a, field="logits", compress=True),
    "directories": export_directories,
    "csv preds": lambda *a: export_table(*a, extension="csv"),
    "csv probs": lambda *a: export_table(*a, extension="csv", probs=True),
    "csv files": lambda *a: export_table(*a, extension="csv", split=True),
    "parquet": lambda *a: export_table(*a, extension="parquet", probs=True),
    "npy preds": lambda *a: export_npy(*a, probs=False),
    "npy probs": lambda *a: export_npy(*a, probs=True),
}


@pytest.mark.parametrize("form", EXPORTS)
def test_a_study_exported_to_any_format_says_the_same(study, tmp_path, form):
    path = study(ride="RIDE", runs={"ce": range(5), "ride": range(1, 6)}, points=6)
    whole, store = read_study(path), Store(path)
    sources = {"ride": tmp_path / "from ride", "ce": tmp_path / "ce, from"}
    for key, source in sources.items():
        EXPORTS[form](store, key, source, store.test_labels())
    write_text(tmp_path / "classes.txt", "".join(f"{name}\n" for name in whole.class_names))
    write_text(tmp_path / "counts.txt", "\n".join(map(str, whole.train_counts)))
    labels = tmp_path / "labels.npy" if form.startswith("npy") else None
    found = read_elsewhere(sources, tmp_path / "counts.txt", labels, tmp_path / "classes.txt", many=20, few=4)

    assert (found.class_names, list(found.names)) == (whole.class_names, ["ce", "ride"])
    assert all(np.array_equal(found.splits[name], whole.splits[name]) for name in whole.splits)
    for ours, theirs in zip(found.methods, whole.methods, strict=True):
        assert ours.runs == theirs.runs
        assert (ours.p_true is None) == (form in ("csv preds", "csv files", "npy preds"))
        if ours.p_true is not None:
            assert_allclose(by_class(ours.p_true, found), by_class(theirs.p_true, whole), atol=0.01)
            assert_allclose(by_class(ours.p_negative, found), by_class(theirs.p_negative, whole), atol=0.01)
    # What runs share of their images widens intervals; files of predictions do not say it.
    whole = replace(whole, setting=replace(whole.setting, shared=found.setting.shared))
    assert_frame_equal(tables.build(found).splits, tables.build(whole).splits)
    assert_frame_equal(tables.build(found).classes, tables.build(whole).classes)


def by_class(values: np.ndarray, evidence) -> np.ndarray:
    """Means of each run and class, (R, C)."""
    return stats.by_class(values, evidence.labels, len(evidence.class_names))


def test_the_layout_of_decoupling(tmp_path, counts):
    """`logits_close.npz` as it is: float64 `paths`, in the order that a shuffled loader gave them."""
    for run in range(2):
        order = np.random.default_rng(run).permutation(N)
        (tmp_path / f"ce/seed_{run}").mkdir(parents=True)
        np.savez(
            tmp_path / f"ce/seed_{run}/logits_close",
            logits=logits_of(run)[order],
            labels=LABELS[order],
            paths=np.concatenate((np.empty(0), order)),
        )
        write_text(tmp_path / f"ce/seed_{run}/cls_accs.pkl", b"\x80\x03")
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    back = np.argsort(np.random.default_rng(0).permutation(N))
    assert np.array_equal(found.labels[back], LABELS)
    for row, run in enumerate(range(2)):
        assert np.array_equal(found.reference.predictions[row][back], logits_of(run).argmax(1))
    assert "passed over" in found.setting.notes[0] and "seed_0/cls_accs.pkl" in found.setting.notes[0]


def test_strings_bytes_and_numbers_name_the_same_points(tmp_path, counts):
    order = np.random.default_rng(0).permutation(N)
    forms = [np.arange(N), order.astype(np.float32), order.astype("S"), order.astype(">U9")]
    for run, (ids, rows) in enumerate(zip(forms, (np.arange(N), order, order, order), strict=True)):
        np.savez(tmp_path / f"{run}.npz", logits=logits_of(7)[rows], labels=LABELS[rows], paths=ids)
    found = read_elsewhere({"ce": tmp_path}, counts)
    assert (found.reference.predictions == found.reference.predictions[0]).all()


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_scores_of_any_width_and_layout(tmp_path, ce, counts, dtype, order):
    for run in range(2):
        change(ce / f"r{run}.npz", logits=np.asarray(logits_of(run).round(2), dtype, order=order))
    method = read_elsewhere({"ce": ce}, counts).reference
    for run in range(2):
        p = softmax(np.asarray(logits_of(run).round(2), dtype).astype(float))
        others = np.where(np.eye(C, dtype=bool)[LABELS], -1, p)
        assert np.array_equal(method.predictions[run], p.argmax(1))
        assert np.allclose(method.p_true[run], p[np.arange(N), LABELS], atol=1e-6)
        assert np.allclose(method.p_negative[run], others.max(1), atol=1e-6)
        assert np.array_equal(method.negatives[run], others.argmax(1))


def test_impossible_classes_and_huge_logits():
    z = np.array([[[0, -np.inf, -np.inf], [-np.inf, 5, -np.inf], [3e38, -3e38, 0], [1, 2, 2]]], np.float32)
    found = scores.judge(z, np.array([0, 0, 1, 0]), 3, "logits", "z")
    assert found.predictions.tolist() == [0, 1, 0, 1]
    assert found.negatives.tolist() == [1, 1, 0, 1]
    assert np.allclose(found.p_true, [1, 0, 0, np.exp(-1) / (2 + np.exp(-1))])
    assert np.allclose(found.p_negative[:3], [0, 1, 1])


def test_ties_of_float16_scores_are_said(ce, counts):
    change(ce / "r1.npz", logits=np.zeros((N, C), np.float16))
    assert f"float16 scores tie in {N} of {2 * N} predictions" in read_elsewhere({"ce": ce}, counts).setting.notes[-1]


def test_the_first_method_is_the_reference_where_none_is_called_so(ce, counts):
    found = read_elsewhere({"one": ce, "two": ce}, counts)
    assert found.reference.key == "one"
    assert found.setting.notes[0] == "no method is called 'ce': 'one', the first, is the reference."
    assert list(read_elsewhere({"one": ce, "two": ce}, counts, reference="two").names) == ["two", "one"]


def test_one_run_has_no_intervals_and_it_is_said(ce, counts):
    found = tables.build(read_elsewhere({"ce": ce / "r0.npz"}, counts))
    assert found.splits["low"].isna().all()
    assert any(line.startswith("1 run: no intervals") for line in found.cautions)


def test_a_class_without_test_points_is_reported(tmp_path, ce):
    write_text(tmp_path / "four.txt", "500\n90\n7\n3\n")
    for run in range(2):
        change(ce / f"r{run}.npz", logits=np.pad(logits_of(run), ((0, 0), (0, 1))))
    found = tables.build(read_elsewhere({"ce": ce}, tmp_path / "four.txt"))
    assert any("1 class has no test point" in line for line in found.cautions)


def test_labels_given_beside_match_by_id_or_by_order(tmp_path, ce, counts):
    for run in range(2):
        change(ce / f"r{run}.npz", labels=None)
    ids = np.random.default_rng(5).permutation(N)
    with_ids = write_text(tmp_path / "labels.txt", "".join(f"{i} {LABELS[i]}\n" for i in ids))
    found = read_elsewhere({"ce": ce}, counts, with_ids)
    assert np.array_equal(found.labels, LABELS[ids])
    assert np.array_equal(found.reference.predictions[0], logits_of(0).argmax(1)[ids])
    for name, content in {
        "labels.json": json.dumps(LABELS.tolist()),
        "l.txt": "\n".join(map(str, LABELS)),
        "labels.csv": "label\n" + "\n".join(map(str, LABELS)),
    }.items():
        by_order = read_elsewhere({"ce": ce}, counts, write_text(tmp_path / name, content))
        assert np.array_equal(by_order.labels, LABELS)


def test_symbolic_links_and_dots_are_paths_like_any(tmp_path, ce, counts):
    (tmp_path / "link").symlink_to(ce)
    found = read_elsewhere({"ce": tmp_path / "link" / ".." / "ce"}, counts)
    assert found.reference.runs == read_elsewhere({"ce": tmp_path / "link"}, counts).reference.runs == (0, 1)


def test_names_may_hold_commas_quotes_and_tabs(tmp_path, ce):
    names = ["a,b", 'say "c"\t', "名前"]
    counts = write_text(tmp_path / "counts.json", json.dumps(dict(zip(names, COUNTS, strict=True))))
    found = read_elsewhere({'mine, "1"\t': ce}, counts)
    assert found.class_names == tuple(names)
    assert found.names == {'mine, "1"\t': 'mine, "1"\t'}
    assert set(tables.build(found).classes["class_name"]) == set(names)


@pytest.mark.parametrize(
    ("names", "numbers", "said"),
    [
        (["r000", "r007", "r010"], [0, 7, 10], True),
        (["seed3_epoch200", "seed7_epoch200"], [3, 7], True),
        (["r10", "r9"], [10, 9], True),
        (["r5"], [5], True),
        (["logits_close"], [0], False),
        (["b", "a"], [1, 0], False),
        (["1_1", "1_2", "2_1", "10_1"], [0, 1, 2, 3], False),
    ],
)
def test_numbers_of_runs(names, numbers, said):
    assert run_numbers(names) == (numbers, said)


def test_memory_does_not_grow_with_classes(tmp_path, monkeypatch):
    points, classes = 4_000, 500
    monkeypatch.setattr(arrays, "BLOCK", 1 << 14)
    labels = np.arange(points) % classes
    for run in range(3):
        z = np.random.default_rng(run).normal(size=(points, classes)).astype(np.float16)
        (np.savez if run else np.savez_compressed)(tmp_path / f"{run}.npz", logits=z, labels=labels)
    write_text(tmp_path / "counts.txt", "\n".join(["5"] * classes))
    tracemalloc.start()
    read_elsewhere({"ce": tmp_path}, tmp_path / "counts.txt")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < points * classes * 2 / 2, "half of one run in float16"


# what is refused


BAD_NPZ = {
    "another N": (
        {"logits": logits_of(1)[:-1], "labels": LABELS[:-1], "sample_id": np.arange(N - 1)},
        "r1.npz has 11 test points, but {ce}/r0.npz has 12",
    ),
    "other labels": ({"labels": LABELS[::-1]}, "r1.npz has label 2 for sample '0' where {ce}/r0.npz has 0 (8 of 12"),
    "other ids": ({"sample_id": np.arange(N) + 1}, "r1.npz has 1 samples that {ce}/r0.npz has not, such as '12'"),
    "ids twice": ({"sample_id": np.zeros(N, int)}, "r1.npz has sample '0' 12 times; ids must differ"),
    "other names": (
        {"sample_id": None, "filenames": np.arange(N)[::-1] + 1},
        "r1.npz has 1 samples that {ce}/r0.npz has not",
    ),
    "NaN": ({"logits": np.full((N, C), np.nan)}, "r1.npz has logits that are NaN or +inf in row 0"),
    "all -inf": ({"logits": np.full((N, C), -np.inf)}, "r1.npz has logits that are -inf for every class in row 0"),
    "no sum of 1": (
        {"logits": None, "probs": np.full((N, C), 0.5)},
        "r1.npz has probabilities that sum to 1.5, not 1 (each row must, but for rounding), in row 0",
    ),
    "negative": (
        {"logits": None, "probs": np.tile([2.0, -1, 0], (N, 1))},
        "r1.npz has negative probabilities in row 0",
    ),
    "NaN of probs": ({"logits": None, "probs": np.full((N, C), np.nan)}, "r1.npz has probabilities that are NaN"),
    "both kinds": ({"logits": None, "probs": softmax(logits_of(1))}, "run 'r0' has logits and run 'r1' has probs"),
    "classes": ({"logits": np.zeros((N, 4))}, "r1.npz has scores of 4 classes, but there are 3"),
    "all runs": (
        {"logits": np.zeros((2, N, C))},
        "r1.npz: logits is float64 of shape (2, 12, 3); a file holds one run",
    ),
    "integers": ({"logits": np.zeros((N, C), int)}, "r1.npz: logits is int64 of shape (12, 3)"),
    "objects": ({"logits": np.array([len] * N)}, "r1.npz: logits holds Python objects, which are never unpickled"),
    "object ids": ({"sample_id": np.array([{}] * N)}, "r1.npz: sample_id holds Python objects, which are never"),
    "dates": ({"sample_id": np.zeros(N, "M8[D]")}, "r1.npz: sample_id is datetime64[D] of shape (12,); ids are"),
    "float preds": (
        {"logits": None, "preds": LABELS + 0.5},
        "r1.npz: preds is of type float64; class ids are integers",
    ),
    "label 3": ({"labels": LABELS + 1}, "r1.npz: label is 3 in row 8 (from 0); class ids go from 0 to 2"),
    "label -1": ({"labels": LABELS - 1}, "r1.npz: label is -1 in row 0"),
    "pred 9": ({"preds": LABELS * 9}, "r1.npz: pred is 9 in row 4"),
    "pred 2**63": ({"preds": np.full(N, 2**63, np.uint64)}, "r1.npz: preds goes up to 9223372036854775808"),
    "2-D preds": (
        {"logits": None, "preds": np.zeros((2, N), int)},
        "r1.npz: preds has shape (2, 12); a file holds one",
    ),
    "lengths": ({"labels": LABELS[:5]}, "r1.npz has fields of different lengths: logits 12, labels 5, sample_id 12"),
    "nothing": ({"logits": None}, "r1.npz has no logits, probs or preds; it has: labels, sample_id"),
    "no rows": ({"logits": np.zeros((0, C)), "labels": LABELS[:0]}, "r1.npz: logits has shape (0, 3) of float64: a"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_fields_that_cannot_be(ce, counts, case):
    fields, complaint = BAD_NPZ[case]
    change(ce / "r1.npz", **fields)
    message = refusal(read_elsewhere, {"ce": ce}, counts)
    assert complaint.replace("{ce}", str(ce)) in message
    assert str(ce / "r1.npz") in message or case == "both kinds"


def test_another_method_must_have_the_same_points(tmp_path, ce, counts):
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine/r0.npz", preds=LABELS, labels=LABELS[::-1], sample_id=np.arange(N))
    message = refusal(read_elsewhere, {"mine": tmp_path / "mine", "ce": ce}, counts)
    assert message.startswith(f"{tmp_path}/mine/r0.npz has label 2 for sample '0' where {ce}/r0.npz has 0")


def npy(shape: tuple, values: bytes = b"", descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + values


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as whole:
        for name, content in members.items():
            whole.writestr(f"{name}.npy", content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("0.npz", b"", "is empty (0 bytes)"),
        ("0.npy", b"", "is empty (0 bytes)"),
        ("0.csv", b"", "is empty (0 bytes)"),
        ("0.npz", b"PK\x03\x04 half an archive", "is damaged or no .npz file"),
        ("0.npz", b"text", "is damaged or no .npz file"),
        ("0.npy", b"text, and more of it", "is damaged or no .npy file"),
        ("0.npy", npy((12, 3))[:20], "is damaged or no .npy file"),
        ("0.npy", npy((10**12, 10**6)), "has shape (1000000000000, 1000000) of float32: a length is 0 or more than"),
        (
            "0.npy",
            npy((10**7, 10**6)),
            "claims shape (10000000, 1000000) of float32, 40,000,000,000,000 bytes, but has 0",
        ),
        ("0.npy", npy((12, 3), bytes(140)), "claims shape (12, 3) of float32, 144 bytes, but has 140"),
        ("0.npy", npy((-1, 3)), "has shape (-1, 3)"),
        ("0.npy", npy((True, 12), bytes(48)), "has shape (True, 12)"),
        ("0.npz", archive(preds=npy((True, 12), bytes(96), "<i8")), "has shape (True, 12)"),
        ("0.npy", npy((), bytes(4)), "has shape ()"),
        ("0.npy", npy((10**6,), descr="|V0"), "has shape (1000000,) of |V0"),
        ("0.npy", npy((12,), bytes(96), "|O"), "holds Python objects, which are never unpickled"),
        ("0.npz", archive(logits=npy((10**7, 10**6))), "logits claims shape (10000000, 1000000) of float32"),
        ("0.npz", archive(logits=b"not an array"), "is damaged or no .npz file"),
    ],
)
def test_files_that_are_damaged_or_claim_too_much(tmp_path, counts, name, content, complaint):
    np.save(tmp_path / "labels.npy", LABELS)
    (tmp_path / "ce").mkdir()
    path = write_text(tmp_path / "ce" / name, content)
    message = refusal(read_elsewhere, {"ce": tmp_path / "ce"}, counts, tmp_path / "labels.npy")
    assert message.startswith(f"{path}") and complaint in message


@pytest.mark.parametrize("compress", [False, True])
def test_one_flipped_bit_is_damage(ce, counts, compress):
    path = ce / "r1.npz"
    with np.load(path) as file:
        (np.savez_compressed if compress else np.savez)(path, **file)
    content = bytearray(path.read_bytes())
    content[250] ^= 1
    path.write_bytes(content)
    assert f"{path} is damaged or no .npz file (" in refusal(read_elsewhere, {"ce": ce}, counts)


def test_an_archive_that_ends_within_a_member_after_its_directory(ce, counts):
    path = ce / "r1.npz"
    content = archive(logits=npy((N, C), bytes(4 * N * C)), labels=npy((N,), LABELS.tobytes(), "<i8"))
    at = content.find(b"logits.npy")
    path.write_bytes(content.replace(b"logits.npy", b"logits.npz")[: at + 200])
    assert f"{path} is damaged or no .npz file (" in refusal(read_elsewhere, {"ce": ce}, counts)


def table(rows: int = N, **columns) -> str:
    frame = pd.DataFrame({"run": "a", "sample": np.arange(N), "label": LABELS, "pred": LABELS}).assign(**columns)
    kept = [name for name in frame if columns.get(name, 0) is not None]
    return frame[kept].head(rows).to_csv(index=False)


BAD_CSV = {
    "no pred": (table(pred=None), "has no column 'pred' (nor p_0, p_1, …); it has: 'run', 'sample', 'label'"),
    "no label": (table(label=None), "has no column 'label'; it has: 'run', 'sample', 'pred'"),
    "float pred": (table(pred=LABELS + 0.5), ": pred is '0.5' in row 0 (from 0); class ids are integers"),
    "text label": (
        table(label="cat"),
        ": label has class names ('cat'), and there are class ids beside; give --classes",
    ),
    "empty pred": (table(pred=""), ": pred is '' in row 0"),
    "pred 7": (table(pred=7), ": pred is 7 in row 0 (from 0); class ids go from 0 to 2"),
    "no rows": (table(0), "has a header and no rows"),
    "ids twice": (table(sample="x"), "has sample 'x' 12 times; ids must differ"),
    "two runs": (table(run=["a"] * 5 + ["b"] * 7), ", run 'b', has 7 test points, but "),
    "p_1 missing": (table(p_0=1, p_2=0), "has no column 'p_1', but there are 3 classes"),
    "p_3": (table(p_0=1, p_1=0, p_2=0, p_3=0), "has a column 'p_3', but there are only 3 classes"),
    "sums": (table(p_0=1, p_1=0, p_2=0.1), "has probabilities that sum to 1.1, not 1"),
    "text in p": (table(p_0=1, p_1=0, p_2="x"), "has 'x' in row 0 (from 0) of 'p_2', which is no number"),
    "NaN in p": (table(p_0=1, p_1=0, p_2="nan"), "has probabilities that are NaN in row 0"),
    "column twice": ("label,pred,pred\n0,1,1\n", "has the column 'pred' 2 times"),
    "long row": (
        "label,pred\n0,1\n1,1,1\n",
        "has 3 fields in row 1 (from 0), but 2 columns in its header",
    ),
    "long row of p": ("label,p_0,p_1,p_2\n0,1,0,0\n0,1,0,0,1\n", "has 5 fields in row 1 (from 0), but 4"),
    "short row of p": ("label,p_0,p_1,p_2\n0,1,0,0\n0,1,0\n", "has 3 fields in row 1 (from 0), but 4 columns"),
    "long rows": ("label,pred\n0,1,1,1\n1,1,1,1\n", "has 4 fields in row 0 (from 0), but 2 columns in its header"),
    "short row": ("label,pred\n0,1\n1\n", "has 1 fields in row 1 (from 0), but 2 columns in its header"),
    "open quote": ('label,pred\n0,"1\n', "cannot be read as csv: "),
    "not UTF-8": (b"label,pred\n0,\xff\n", "cannot be read as csv: 'utf-8' codec can't decode"),
    "blank": ("\n\n", "cannot be read as csv: No columns to parse"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_tables_that_cannot_be(tmp_path, counts, case):
    content, complaint = BAD_CSV[case]
    path = write_text(tmp_path / "all.csv", content)
    message = refusal(read_elsewhere, {"ce": path}, counts)
    assert message.startswith(f"{path}{'' if complaint[0] in ':,' else ' '}{complaint}")


def test_parquet_without_pyarrow(tmp_path, counts, monkeypatch):
    path = write_text(tmp_path / "all.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    message = refusal(read_elsewhere, {"ce": path}, counts)
    assert message.startswith(f"pyarrow, for {path}, is asked for, which cannot be imported (")
    assert message.endswith("; pip install 'ltbv[parquet]'")


def test_a_damaged_parquet_file(tmp_path, counts):
    pytest.importorskip("pyarrow")
    path = write_text(tmp_path / "all.parquet", b"PAR1 and no more")
    assert refusal(read_elsewhere, {"ce": path}, counts).startswith(f"{path} cannot be read as parquet: ")


def test_sources_that_hold_no_predictions(tmp_path, ce, counts):
    empty = tmp_path / "empty"
    empty.mkdir()
    message = refusal(read_elsewhere, {"ce": empty}, counts)
    assert message == f"{empty} has no files of predictions (.npz, .npy, .csv, .parquet, .pt, .json), it is empty"
    write_text(empty / "model.pth", "x")
    assert refusal(read_elsewhere, {"ce": empty}, counts).endswith("; it has: model.pth")
    message = refusal(read_elsewhere, {"ce": empty / "model.pth"}, counts)
    assert message.endswith(
        "model.pth has an unknown extension; predictions are .npz, .npy, .csv, .parquet, .pt, .json"
    )
    missing = tmp_path / "nowhere"
    assert refusal(read_elsewhere, {"ce": missing}, counts) == f"cannot read {missing}: No such file or directory"
    (ce / "r2.npz").symlink_to(missing)
    assert refusal(read_elsewhere, {"ce": ce}, counts) == f"cannot read {ce}/r2.npz: No such file or directory"
    assert refusal(read_elsewhere, {}, counts) == "no predictions are given: name a method and its directory, ce=DIR"
    assert refusal(read_elsewhere, {" ": ce}, counts) == "a method is called ' ': give it a name"


def test_sources_are_typed_with_their_names():
    assert named(["ce=a", "mine, 2=b=c"]) == {"ce": Path("a"), "mine, 2": Path("b=c")}
    for word in ("a", "=a", "ce=", " =a"):
        assert refusal(named, ["x=y", word]) == f"{word!r} is not NAME=DIR, such as ce=predictions/ce"
    assert refusal(named, ["ce=a", "ce=b"]) == "two sources are called 'ce': a and b"


def test_directories_that_leave_it_open_what_a_run_is(tmp_path, ce, counts):
    (tmp_path / "all/seed0").mkdir(parents=True)
    for name in ("logits_close.npz", "logits_open.npz"):
        os.link(ce / "r0.npz", tmp_path / "all/seed0" / name)
    message = refusal(read_elsewhere, {"ce": tmp_path / "all"}, counts)
    assert "seed0 has 2 files of predictions (logits_close.npz, logits_open.npz)" in message
    write_text(ce / "r0.csv", table())
    assert "has r0.csv and r0.npz: one file a run" in refusal(read_elsewhere, {"ce": ce}, counts)
    (ce / "r0.csv").rename(ce / "r1.csv")
    (ce / "r1.npz").rename(ce / "a.npz")
    write_text(ce / "r2.csv", table())
    assert "which another file of" in refusal(read_elsewhere, {"ce": write_tables(tmp_path / "tables")}, counts)


def write_tables(directory: Path) -> Path:
    directory.mkdir()
    for name in ("one.csv", "two.csv"):
        write_text(directory / name, table())
    return directory


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (None, "r0.npz has no labels: give them with --labels FILE"),
        ("0\n1\n", "r0.npz has 12 test points, but {labels} has 2"),
        ("\n".join(map(str, LABELS + 1)), "{labels}: label is 3 in row 8 (from 0); class ids go from 0 to 2"),
        ("a 0\n1\n", "{labels} has a path in 1 of 2 lines: give one in each line, or in none"),
        ("0\ncat\n", "{labels} has 'cat' in line 2: give a number, or a path, a blank and a class id"),
        (
            "\n".join(f"x{i} {k}" for i, k in enumerate(LABELS)),
            "r0.npz has 12 samples that {labels} has not, such as '0'",
        ),
        ("".join(f"x {k}\n" for k in LABELS), "{labels} has sample 'x' 12 times; ids must differ"),
        ("", "{labels} is empty (0 bytes)"),
        ("sample,label\n", "{labels} has a header and no rows"),
        ("label,label\n0,1\n", "{labels} has the column 'label' 2 times"),
        ("sample,true\n0,1\n", "{labels} has no column 'label'; it has: 'sample', 'true'"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, ce, counts, labels, complaint):
    for run in range(2):
        change(ce / f"r{run}.npz", labels=None)
    extension = "csv" if labels and "," in labels else "txt"
    path = labels if labels is None else write_text(tmp_path / f"labels.{extension}", labels)
    assert complaint.replace("{labels}", str(path)) in refusal(read_elsewhere, {"ce": ce}, counts, path)


def test_labels_that_contradict_those_of_a_run(tmp_path, ce, counts):
    path = write_text(tmp_path / "labels.txt", "\n".join(map(str, LABELS[::-1])))
    message = refusal(read_elsewhere, {"ce": ce}, counts, path)
    assert f"r0.npz has label 0 for sample '0' where {path} (in the order of {ce}/r0.npz) has 2" in message


# training images and names


def test_counts_of_another_length(tmp_path, ce):
    counts = write_text(tmp_path / "counts.txt", "5\n4\n3\n2\n")
    assert refusal(read_elsewhere, {"ce": ce}, counts) == f"{ce}/r0.npz has scores of 3 classes, but there are 4"
    names = write_text(tmp_path / "classes.txt", "a\nb\nc\n")
    message = refusal(read_elsewhere, {"ce": ce}, counts, classes=names)
    assert message == f"{counts} has counts of 4 classes, but there are 3 class names"
    by_name = write_text(tmp_path / "counts.json", '{"a": 1, "b": 2, "d": 3}')
    message = refusal(read_elsewhere, {"ce": ce}, by_name, classes=names)
    assert message == f"{by_name} has no count for 'c'; its 3 names must be the 3 class names"


def test_class_names(tmp_path):
    assert read_names(write_text(tmp_path / "a.txt", "a b\r\n, \n\t\n")) == ("a b", ", ", "\t")
    assert read_names(write_text(tmp_path / "a.json", '["a\\nb", "<b>"]')) == ("a\nb", "<b>")
    assert refusal(read_names, write_text(tmp_path / "b.txt", "a\n\nb\n")).endswith("has no name for class 1 (from 0)")
    assert refusal(read_names, write_text(tmp_path / "c.txt", "a\nb\na\n")).endswith("has the class name 'a' 2 times")
    assert refusal(read_names, write_text(tmp_path / "c.json", "[1, 2]")).endswith("is no list of class names")


def test_nothing_is_warned_of_and_no_file_is_left_open(ce, counts, recwarn):
    with warnings.catch_warnings(action="error"):
        read_elsewhere({"ce": ce}, counts)
    assert not recwarn


@pytest.mark.parametrize("name", ["label", "pred"])
def test_what_is_missing_in_a_table_of_numbers_is_no_class(tmp_path, counts, name):
    """Whole numbers, of which some are null, come as floating point from a .parquet."""
    fields = {"label": LABELS.astype(float), "pred": LABELS.astype(float)}
    fields[name][5:7] = np.nan
    write(tmp_path / "r0.parquet", **fields | {other: LABELS for other in fields if other != name})
    message = refusal(read_elsewhere, {"ce": tmp_path / "r0.parquet"}, counts)
    assert message.endswith(f"r0.parquet: {name} is missing in row 5 (from 0), and 2 times in all")
