"""Are .json and .pt read as what they say, and does nothing in a .pt run?"""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from laid import refusal, write_text

from ltbv.report.elsewhere import pt, read_elsewhere

COUNTS = [400, 60, 5]
LABELS = np.repeat(np.arange(3), 20)
N, C, R = LABELS.size, 3, 3
NAMES = np.array(["zebra", "ant", "sea cow"])
POINTS = [f"im{i}.jpg" for i in range(N)]
LOGITS = np.random.default_rng(0).normal(size=(R, N, C)).astype(np.float32) + 1.5 * np.eye(C, dtype=np.float32)[LABELS]
PREDS = LOGITS.argmax(-1)


@pytest.fixture
def counts(tmp_path) -> Path:
    return write_text(tmp_path / "counts.json", json.dumps(COUNTS))


def as_json(path: Path, value) -> Path:
    return write_text(path, json.dumps(value))


def as_pt(path: Path, value) -> Path:
    """The same, lists of numbers as tensors."""

    def tensors(of):
        if isinstance(of, dict):
            return {name: tensors(one) for name, one in of.items()}
        if isinstance(of[0] if isinstance(of, list) else None, dict):
            return [tensors(one) for one in of]
        try:
            return torch.tensor(of)
        except (TypeError, ValueError):
            return of

    torch.save(tensors(value), path)
    return path


SAVE = {".json": as_json, ".pt": as_pt}
ONE = {"logits": LOGITS[0].tolist(), "labels": LABELS.tolist(), "sample_id": POINTS}
WHOLE = {
    "scores": ONE,
    "predictions": {"preds": PREDS[0].tolist(), "target": LABELS.tolist(), "epoch": 200},
    "names": {"prediction": NAMES[PREDS[0]].tolist(), "target": NAMES[LABELS].tolist()},
    "scores of runs": {"logits": LOGITS.tolist(), "labels": LABELS.tolist()},
    "predictions of runs": {"preds": PREDS.tolist(), "labels": LABELS.tolist(), "runs": [4, 6, 8]},
    "array": PREDS[0].tolist(),
    "array of runs": PREDS.tolist(),
    "scores alone": LOGITS[0].tolist(),
    "scores of runs alone": LOGITS.tolist(),
    "by point": dict(zip(POINTS, PREDS[0].tolist(), strict=True)),
    "scores by point": dict(zip(POINTS, LOGITS[0].tolist(), strict=True)),
    "records": [
        {"filename": f, "prediction": p, "target": t}
        for f, p, t in zip(POINTS, PREDS[0].tolist(), LABELS.tolist(), strict=True)
    ],
}


@pytest.mark.parametrize("form", SAVE)
@pytest.mark.parametrize("kind", WHOLE)
def test_whatever_form_it_has_it_says_the_same(tmp_path, counts, form, kind):
    path = SAVE[form](tmp_path / f"ce{form}", WHOLE[kind])
    of_names = write_text(tmp_path / "names.txt", "\n".join(NAMES))
    own = "labels" in WHOLE[kind] or "target" in str(WHOLE[kind])[: 10**4]
    labels = None if own else as_json(tmp_path / "labels.json", LABELS.tolist())
    found = read_elsewhere({"ce": path}, counts, labels, of_names)
    (method,) = found.methods
    expected = PREDS if "runs" in kind else PREDS[:1]
    assert np.array_equal(method.predictions, expected) and np.array_equal(found.labels, LABELS)
    assert (method.p_true is not None) == ("scores" in kind)
    assert method.runs == ((4, 6, 8) if kind == "predictions of runs" else tuple(range(len(expected))))


def test_scores_are_those_of_an_npz(tmp_path, counts):
    np.savez(tmp_path / "ce.npz", **{name: np.array(of) for name, of in ONE.items()})
    of_npz = read_elsewhere({"ce": tmp_path / "ce.npz"}, counts).methods[0]
    for form, save in SAVE.items():
        method = read_elsewhere({"ce": save(tmp_path / f"ce{form}", ONE)}, counts).methods[0]
        np.testing.assert_allclose(method.p_true, of_npz.p_true, rtol=1e-6)
        assert np.array_equal(method.negatives, of_npz.negatives)


def test_tensors_of_any_type_and_with_gradients(tmp_path, counts):
    logits = torch.tensor(LOGITS[0])
    for tensor in (
        logits.half(),
        logits.bfloat16(),
        logits.double(),
        logits.requires_grad_(),
        torch.nn.Parameter(logits),
    ):
        torch.save({"logits": tensor, "labels": torch.tensor(LABELS, dtype=torch.uint8)}, tmp_path / "ce.pt")
        method = read_elsewhere({"ce": tmp_path / "ce.pt"}, counts).methods[0]
        assert (method.predictions[0] == tensor.detach().float().numpy().argmax(1)).all()
    torch.save(
        {"preds": [torch.tensor(p) for p in PREDS[0]], "labels": torch.tensor(LABELS)[:, None]}, tmp_path / "ce.pt"
    )
    assert np.array_equal(read_elsewhere({"ce": tmp_path / "ce.pt"}, counts).methods[0].predictions, PREDS[:1])


@pytest.mark.parametrize("form", SAVE)
def test_labels_in_a_file_of_their_own(tmp_path, counts, form):
    predictions = as_json(tmp_path / "ce.json", dict(zip(POINTS, PREDS[0].tolist(), strict=True)))
    of_points = dict(zip(reversed(POINTS), reversed(LABELS.tolist()), strict=True))
    for value in (of_points, {"labels": LABELS.tolist(), "paths": POINTS}, LABELS.tolist()):
        found = read_elsewhere({"ce": predictions}, counts, SAVE[form](tmp_path / f"labels{form}", value))
        right = (found.methods[0].predictions[0] == found.labels).sum()
        assert right == (PREDS[0] == LABELS).sum()


def test_settings_and_networks_beside_predictions_are_passed_over(tmp_path, counts):
    (tmp_path / "ce").mkdir()
    for run in range(2):
        as_pt(tmp_path / "ce" / f"run{run}.pt", ONE | {"logits": LOGITS[run].tolist()})
    as_json(tmp_path / "ce" / "config.json", {"lr": 0.1})
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    assert np.array_equal(found.methods[0].predictions, PREDS[:2]) and "config.json" in " ".join(found.setting.notes)
    np.savez(tmp_path / "ce" / "run0.npz", preds=PREDS[2], labels=LABELS)
    found = read_elsewhere({"ce": tmp_path / "ce"}, counts)
    assert np.array_equal(found.methods[0].predictions, PREDS[2:]) and "run1.pt" in " ".join(found.setting.notes)


BAD_JSON = {
    "a number that is none": ({"preds": [0, None]}, "preds has values of NoneType, int, not of numbers or of text"),
    "numbers and text": ([0, "ant"], "has values of int, str, not of numbers or of text"),
    "lists of two lengths": ([[0.5, 0.5], [1.0]], "has lists of different lengths"),
    "settings": ({"lr": 0.1, "epochs": 200}, "has no logits, probs or preds; it has: epochs, lr"),
    "nothing": ([], "holds no values"),
    "a number": (3, "holds no values for test points"),
    "too deep": ([[[[1.0]]]], "has lists in lists, more than 3 deep"),
    "a huge number": ({"preds": [10**400, 1]}, "preds has whole numbers that are too large"),
    "other records": ([{"pred": 1}, {"prod": 1}], "item 1 (from 0) has other fields than the first"),
    "an unpaired surrogate": (["\ud800"], "has text that is none"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_cannot_be(tmp_path, counts, case):
    value, complaint = BAD_JSON[case]
    path = as_json(tmp_path / "ce.json", value)
    labels = as_json(tmp_path / "labels.json", LABELS.tolist())
    message = refusal(read_elsewhere, {"ce": path}, counts, labels)
    assert message.startswith(str(path)) and complaint in message


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_nothing_in_a_pt_runs(tmp_path, counts):
    marker, path = tmp_path / "it ran", tmp_path / "ce.pt"
    for protocol in (2, 4):
        torch.save(ONE | {"x": Bomb(marker)}, path, pickle_protocol=protocol)
        message = refusal(read_elsewhere, {"ce": path}, counts)
        assert "never unpickled" in message and not marker.exists()
    for content in (pickle.dumps(Bomb(marker)), pickle.dumps(ONE)):
        message = refusal(read_elsewhere, {"ce": write_text(path, content)}, counts)
        assert "is no archive of torch.save" in message and not marker.exists()
    torch.save(ONE | {"x": Bomb(marker)}, path, _use_new_zipfile_serialization=False)
    assert "is no archive of torch.save" in refusal(read_elsewhere, {"ce": path}, counts) and not marker.exists()
    torch.save(ONE | {"x": Bomb(marker)}, path)
    torch.load(path, weights_only=False)
    assert marker.exists()  # it would have


def test_functions_that_torch_itself_allows_and_that_take_memory_are_not_called(tmp_path, counts):
    program = b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R."
    with zipfile.ZipFile(tmp_path / "ce.pt", "w") as archive:
        archive.writestr("x/data.pkl", program)
        archive.writestr("x/version", "3\n")
    assert "holds __builtin__.bytearray, which is never" in refusal(read_elsewhere, {"ce": tmp_path / "ce.pt"}, counts)


def test_tensors_that_claim_more_than_there_is(tmp_path, counts):
    path = tmp_path / "ce.pt"
    torch.save({"logits": torch.zeros(1).expand(10**6, 10**4)}, path)
    assert "has shape (1000000, 10000), 40,000,000,000 bytes; the file has" in refusal(
        read_elsewhere, {"ce": path}, counts
    )
    torch.save({"logits": torch.eye(3).to_sparse()}, path)
    assert str(path) in refusal(read_elsewhere, {"ce": path}, counts)
    torch.save(torch.nn.Linear(2, 2), path)
    assert "holds torch.nn.modules.linear.Linear" in refusal(read_elsewhere, {"ce": path}, counts)
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    assert "has no logits, probs or preds; it has: bias, weight" in refusal(read_elsewhere, {"ce": path}, counts)
    torch.save([torch.tensor(LOGITS[0]), torch.tensor(LOGITS[1])], path)
    assert "torch.cat them if they are batches, torch.stack if they are runs" in refusal(
        read_elsewhere, {"ce": path}, counts
    )
    as_pt(path, ONE)
    path.write_bytes(path.read_bytes()[:-500])
    assert str(path) in refusal(read_elsewhere, {"ce": path}, counts)


def test_without_torch_it_is_one_line(tmp_path, counts, monkeypatch):
    path = as_pt(tmp_path / "ce.pt", ONE)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = refusal(read_elsewhere, {"ce": path}, counts)
    assert message == f"{path} needs torch: pip install torch, or save arrays as .npz (numpy.savez)"


def test_torch_is_imported_for_a_pt_alone(tmp_path, counts):
    code = f"""
import sys
from ltbv.report.elsewhere import read_elsewhere
read_elsewhere({{"ce": {str(as_json(tmp_path / "ce.json", ONE))!r}}}, {str(counts)!r})
assert "torch" not in sys.modules
read_elsewhere({{"ce": {str(as_pt(tmp_path / "ce.pt", ONE))!r}}}, {str(counts)!r})
assert "torch" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert pt.__doc__
