"""Heads on several backbones: run r is on backbone r mod B, and says so; the report is of new backbones."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import ltbv
from ltbv.cli import main
from ltbv.errors import Refusal
from ltbv.files import read_arrays, write_arrays
from ltbv.report import captions
from ltbv.report.study import read_study
from ltbv.store import Store, provenance

COUNTS = (40, 24, 14, 8)
QUICK = {"executor": "inline", "quiet": True, "epochs": 20, "batch": 32}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two backbones: noisy views of the same points."""
    draw, where = np.random.default_rng(0), tmp_path_factory.mktemp("backbones")
    labels, test = np.repeat(np.arange(4), COUNTS), np.repeat(np.arange(4), 8)
    centres = 1.5 * draw.normal(size=(4, 6))
    points, test_points = (centres[of] + draw.normal(size=(len(of), 6)) for of in (labels, test))
    for name in ("first", "second"):
        turn = draw.normal(size=(6, 10))
        arrays = {"train": points @ turn, "train_labels": labels, "test": test_points @ turn, "test_labels": test}
        np.savez(where / f"{name}.npz", about=np.array(f"the {name} net"), **arrays)
    return [where / f"{name}.npz" for name in ("first", "second")]


def test_a_run_on_its_backbone_among_others_is_that_run_on_it_alone(files, tmp_path):
    ltbv.bootstrap("ce", 4, tmp_path / "both", features=files, **QUICK)
    for which, file in enumerate(files):
        ltbv.bootstrap("ce", 4, tmp_path / f"{which}", features=file, **QUICK)
    logits = {name: Store(tmp_path / name).predictions("ce", "logits").astype(float) for name in ("both", "0", "1")}
    for run in range(4):
        np.testing.assert_allclose(logits["both"][run], logits[str(run % 2)][run], atol=0.02)
        assert np.abs(logits["both"][run] - logits[str((run + 1) % 2)][run]).max() > 0.1
        said = provenance.said(read_arrays(Store(tmp_path / "both").prediction_file("ce", run)))
        assert said["backbone"]["number"] == run % 2


@pytest.mark.usefixtures("undrawn")
def test_from_two_files_to_the_report(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["bootstrap", "--method", "ce,balanced_softmax", "--runs", "12", "--epochs", "20", "--batch", "32", "-q"]
    words += ["--jobs", "1", *(word for file in files for word in ("--features", str(file)))]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    evidence = read_study(tmp_path / "runs" / "first-2-backbones")
    assert evidence.methods[0].backbones.tolist() == [0, 1] * 6
    assert "mean over 2 backbones" in captions.short(evidence)
    assert "the first net; the second net" in " ".join(captions.setting(evidence))
    done = CliRunner().invoke(main, ["report", "runs/first-2-backbones", "--output", "out"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Variance of the head and of 2 backbones" in text and "given this backbone" not in text
    assert "needs 9 backbones" in text and "6 runs of each backbone" in text
    rows = pd.read_csv(tmp_path / "out" / "tables" / "backbones.csv").query("method == 'ce' and group == 'all'")
    one = rows.set_index("quantity")
    parts = one["estimate"][["backbone_variance", "head_variance", "variance_over_backbones"]]
    assert parts.iloc[0] + parts.iloc[1] == pytest.approx(parts.iloc[2])
    # Of one pair of backbones nothing says how others differ.
    assert one["low"].isna().to_dict() == {name: name != "head_variance" for name in one.index}


def test_a_file_of_another_backbone_is_refused(files, tmp_path):
    ltbv.bootstrap("ce", 4, tmp_path / "s", features=files, **QUICK | {"epochs": 1})
    path = Store(tmp_path / "s").prediction_file("ce", 1)
    arrays = read_arrays(path)
    said = provenance.said(arrays)
    said["backbone"]["content"] = "0" * 16
    write_arrays(path, provenance.sealed(arrays, said))
    with pytest.raises(Refusal, match="r001.npz is of another backbone 1 than the study's"):
        read_study(tmp_path / "s")


def test_other_files_are_another_study(files, tmp_path):
    ltbv.bootstrap("ce", 2, tmp_path / "s", features=files, **QUICK | {"epochs": 1})
    with pytest.raises(Refusal, match="holds a study with other settings"):
        ltbv.bootstrap("ce", 2, tmp_path / "s", features=files[::-1], **QUICK | {"epochs": 1})
