"""Does `write_report` write everything or nothing, and without torch?"""

import csv
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from ltbv.cli import main
from ltbv.errors import Refusal
from ltbv.report import write_report

TABLES = (
    *("splits", "classes", "claims", "grid", "hardest_negatives", "gaps", "flows", "pairs", "other_scores"),
    "probability_losses",
)
SHEETS = (
    "splits",
    "classes",
    "claims",
    "hardest_negatives",
    "gaps",
    "flow",
    "pairs",
    "overview",
    "plug_in",
    "identity",
    "other_accuracies",
    "test_priors",
    "wins",
    "calibration",
    "brier",
    "cross_entropy",
    "table1",
)
FIGURES = ("bias_variance", "differences", "hardest_negatives", "flow", "by_class", "counts")
FILES = {
    "report.html",
    "report.md",
    "report.json",
    "tables/table1.md",
    *(f"tables/{name}.csv" for name in TABLES),
    *(f"tables/{name}.tex" for name in SHEETS),
    *(f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf", "csv")),
}
AWKWARD = ["a,b", 'say "c"', "$\\alpha$ \\& 5%", "<script>alert(1)</script>", "tab\there", "new\nline", "=1+1", "名前"]


def written(output) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}


def test_everything_is_written_and_the_text_says_where(study, tmp_path):
    output = tmp_path / "out"
    text = write_report(study(ride="RIDE", points=4), output)
    assert written(output) == FILES
    assert text.splitlines()[-1].startswith(f"Report: {output}/report.html")
    assert pd.read_csv(output / "tables/splits.csv").groupby("method").size().nunique() == 1


def test_names_survive_the_tables(study, tmp_path):
    names = AWKWARD + list("wxyz")
    write_report(study(mine="".join(AWKWARD), class_names=names, points=2, runs=2), tmp_path / "out")
    with open(tmp_path / "out/tables/classes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 12 * 3
    assert {row["class_name"] for row in rows} == {"'=1+1" if name == "=1+1" else name for name in names}


def test_a_failure_while_computing_writes_nothing(study, tmp_path, monkeypatch):
    path = study(runs=2, points=2)

    def fail(*_):
        raise RuntimeError("drawn badly")

    monkeypatch.setattr("ltbv.report.figures.hardest_negatives", fail)
    with pytest.raises(RuntimeError):
        write_report(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_refused_and_leaves_no_half_file(study, tmp_path):
    path = study(runs=2, points=2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/figures").write_text("in the way")
    with pytest.raises(Refusal, match="cannot write"):
        write_report(path, tmp_path / "out")
    assert written(tmp_path / "out") <= FILES | {"figures"}


def test_the_same_study_gives_the_same_files(study, tmp_path):
    path = study(ride="RIDE", points=2)
    for output in ("one", "two"):
        write_report(path, tmp_path / output)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_the_command_prints_the_table_or_one_line(study, tmp_path):
    path = study(ride="RIDE", points=2)
    done = CliRunner().invoke(main, ["report", str(path), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0 and "many (head)" in done.output
    done = CliRunner().invoke(main, ["report", str(tmp_path), "--output", str(tmp_path / "out")])
    assert done.exit_code == 2 and done.output.count("\n") == 1


@pytest.mark.usefixtures("undrawn")
def test_methods_are_ranked_as_asked_and_another_ranking_is_refused_in_a_line(study, tmp_path):
    path = study(ride="RIDE", mine="Mine", points=2)
    asked = ["report", str(path), "--output", str(tmp_path / "out"), "--rank"]
    done = CliRunner().invoke(main, [*asked, "few:variance"])
    assert done.exit_code == 0 and "Methods by variance in few, best first" in done.output
    done = CliRunner().invoke(main, [*asked, "tail"])
    assert done.exit_code == 2 and done.output.count("\n") == 1 and "unknown ranking 'tail'" in done.output


def test_no_torch_is_imported(study, tmp_path):
    path = study(runs=2, points=2)
    code = f"""
import sys
from ltbv.report import write_report
write_report({str(path)!r}, {str(tmp_path / "out")!r})
assert "torch" not in sys.modules and "seaborn" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
