"""Can a study be compared with any of its methods, and any of them left out? Claims, words and colours follow."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ltbv.cli import main
from ltbv.errors import Refusal
from ltbv.report import tables, write_report
from ltbv.report.analysis import analyse
from ltbv.report.evidence import chosen
from ltbv.report.study import read_study

LABELS = {"ride": "RIDE", "tau_norm": "tau-norm", "mine": "Mine"}


@pytest.fixture
def path(study):
    return study(runs=10, points=20, **LABELS)


def test_the_reference_first_the_others_in_their_order():
    keys = ("a", "ce", "b", "c")
    assert chosen(keys) == ("ce", "a", "b", "c")
    assert chosen(keys, None, ("c", "a")) == ("ce", "a", "c")
    assert chosen(keys, "b") == ("b", "a", "ce", "c")
    assert chosen(keys, "b", ("c", "b")) == ("b", "c")
    assert chosen(("x", "y", "z"), None, ("z", "y")) == ("y", "z")
    for wrong in ({"reference": "ride"}, {"methods": ("a", "ride")}):
        with pytest.raises(Refusal, match="'ride'.*there is: a, b, c, ce"):
            chosen(keys, **wrong)


def test_differences_from_another_reference_are_those_from_it(path):
    turned = tables.build(read_study(path, "ride"))
    plain = tables.build(read_study(path))
    at = ["method", "group", "quantity"]
    there = plain.splits.set_index(at).reference_difference["ride"]
    back = turned.splits.set_index(at).reference_difference["ce"]
    np.testing.assert_allclose(back[there.index], -there)
    assert turned.splits.set_index(at).reference_difference["ride"].isna().all()
    assert set(turned.claims.method) == {"ce", "tau_norm", "mine"} and len(turned.claims) == 27


@pytest.mark.usefixtures("undrawn")
def test_words_claims_and_grid_follow_the_reference(path, tmp_path):
    text = write_report(path, tmp_path / "out", reference="ride", methods=["mine", "tau_norm"])
    assert "RIDE in the tail" in text.splitlines()[0] and "worse than RIDE" in text and "CE" not in text.split("! ")[0]
    whole = json.loads((tmp_path / "out/report.json").read_text())
    assert [method["key"] for method in whole["methods"]] == ["ride", "tau_norm", "mine"]
    assert set(pd.read_csv(tmp_path / "out/tables/claims.csv").method) == {"tau_norm", "mine"}
    assert "1 methods of this study were left out, as asked." in whole["warnings"]
    assert whole["setting"]["commands"][-1].endswith("--reference ride --method mine --method tau_norm")
    table = (tmp_path / "out/tables/table1.md").read_text().splitlines()
    assert table[2].startswith("| RIDE |") and "better than RIDE" in (tmp_path / "out/tables/table1.md").read_text()
    page = (tmp_path / "out/report.html").read_text()
    assert "worse than RIDE: claims" in page


@pytest.mark.usefixtures("undrawn")
def test_the_command_takes_them_for_studies_and_for_predictions_from_elsewhere(path, tmp_path, monkeypatch):
    asked = ["report", str(path), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*asked, "--reference", "ride", "--method", "mine,tau_norm"])
    assert done.exit_code == 0 and "Mine" in done.output and "CE " not in done.output.split("! ")[0]
    done = CliRunner().invoke(main, [*asked, "--method", "mien"])
    assert done.exit_code == 2 and "unknown method 'mien' (did you mean 'mine'?)" in done.output
    counts = tmp_path / "counts.json"
    counts.write_text("[400, 60, 30, 5]")
    labels = np.arange(24) % 4
    np.save(tmp_path / "labels.npy", labels)
    sources = []
    for seed, name in enumerate(("a", "b", "c")):
        (tmp_path / name).mkdir()
        for run in range(3):
            preds = np.random.default_rng([seed, run]).integers(0, 4, 24)
            np.savez(tmp_path / name / f"run{run}.npz", preds=preds, labels=labels)
        sources.append(f"{name}={tmp_path / name}")
    asked = ["report", *sources, "--train-counts", str(counts), "--output", str(tmp_path / "elsewhere"), "--json"]
    done = CliRunner().invoke(main, [*asked, "--reference", "b", "--method", "c"])
    assert done.exit_code == 0, done.output
    assert [method["key"] for method in json.loads(done.output)["methods"]] == ["b", "c"]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["report", *sources, "--train-counts", str(counts), "--reference", "b", "-q"])
    assert done.exit_code == 0 and (tmp_path / "reports/a-b-c/report.md").exists(), "as they were named"


def test_a_study_without_ce_is_compared_with_its_first_method_and_says_so(study):
    path = study(ce=None, runs=4, points=4, **LABELS)
    evidence = read_study(path)
    assert evidence.reference.key == "ride"
    (line,) = (line for line in evidence.setting.notes if "no CE" in line)
    assert "ride, the first in the list of methods, is the reference" in line and "--method ce" in line
    assert not any("no CE" in line for line in read_study(path, "mine").setting.notes)


def test_an_analysis_is_turned_in_python():
    draw = np.random.default_rng(0)
    labels = np.arange(40) % 4
    found = analyse({key: draw.integers(0, 4, (5, 40)) for key in ("ce", "a", "b")}, labels, [400, 60, 30, 5])
    assert list(found.against("a").evidence.names) == ["a", "ce", "b"]
    assert list(found.against("a", ["b"]).evidence.names) == ["a", "b"]
    assert list(found.against(methods=["b"]).evidence.names) == ["ce", "b"]
    with pytest.raises(Refusal, match="unknown reference 'c'"):
        found.against("c")
