"""Do names that anybody may have chosen do no harm in any file of a report?"""

import csv
import io
import json
import os
import re

import numpy as np
import pytest
from click.testing import CliRunner

from ltbv import analyse
from ltbv.cli import main
from ltbv.report import write_report

LABELS = np.repeat(np.arange(3), 4)
COUNTS = [500, 90, 7]


def report(output, *methods: str, classes=None) -> str:
    draw = np.random.default_rng(0)
    predictions = {name: draw.integers(0, 3, (4, LABELS.size)) for name in methods}
    return analyse(predictions, LABELS, COUNTS, class_names=classes).write(output)


def cells(directory) -> set[str]:
    return {
        cell
        for path in [*directory.glob("tables/*.csv"), *directory.glob("figures/*.csv")]
        for row in csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
        for cell in row
    }


FORMULAS = ["=HYPERLINK(1)", "+1+cmd|x", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"]


def test_no_cell_of_a_csv_is_a_formula(tmp_path):
    report(tmp_path / "out", *FORMULAS, classes=["=1+1", "@x", "-"])
    found = cells(tmp_path / "out")
    text = {cell for cell in found if not re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|-", cell)}
    assert not [cell for cell in text if cell[:1] in tuple("=+-@\t\r\uff1d")]
    assert {"'=HYPERLINK(1)", "'=1+1", "'@x"} <= found
    assert any(float(cell) < 0 for cell in found - text if cell != "-"), "numbers below zero stay numbers"
    assert "=HYPERLINK(1)" in (tmp_path / "out/report.json").read_text()


@pytest.mark.parametrize("name", ["[5mm] mine", "*starred", "a] [b", "  [x", "**"])
def test_no_row_of_latex_begins_as_an_option(tmp_path, name):
    report(tmp_path / "out", name, "ce", classes=[name, "[b]", "*c"])
    for path in (tmp_path / "out/tables").glob("*.tex"):
        body = path.read_text().split(r"\toprule")[1]
        rows = re.split(r"\\\\|\\midrule|\\addlinespace|\\toprule|\\endhead", body)
        assert not [row for row in rows if row.strip()[:1] in ("[", "*")], path
        assert "{[}" in body or "{*}" in body or "mine" not in body


NOT_UTF8 = os.fsdecode(b"m\xff")


def test_names_that_are_no_text_are_written_escaped(tmp_path):
    text = report(tmp_path / NOT_UTF8, NOT_UTF8, "ce", classes=[NOT_UTF8, "b", "c"])
    assert text.isascii() or text.encode()
    whole = json.loads((tmp_path / NOT_UTF8 / "report.json").read_text())
    assert [method["label"] for method in whole["methods"]] == ["ce", "m\\udcff"]
    for path in (tmp_path / NOT_UTF8).rglob("*.*"):
        if path.suffix in (".csv", ".tex", ".md", ".html", ".json"):
            path.read_text(encoding="utf-8")


def test_a_study_whose_directory_is_no_text(study, tmp_path):
    path = study(ride="RIDE", runs=2, points=2)
    path.rename(tmp_path / NOT_UTF8)
    text = write_report(tmp_path / NOT_UTF8, tmp_path / "out", as_json=True)
    assert json.loads(text)["setting"]["commands"] and text.encode()


@pytest.mark.parametrize(
    "words", [["x" * 300 + "=a"], ["名" * 300 + "=a"], ["名" * 100], [NOT_UTF8 + "=a"], ["a" * 5000]]
)
def test_long_and_odd_words_are_one_line(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for run in range(2):
        np.savez(tmp_path / f"a/{run}.npz", preds=LABELS, labels=LABELS)
    (tmp_path / "counts.txt").write_text("500\n90\n7\n")
    result = CliRunner().invoke(main, ["report", *words, "--train-counts", "counts.txt", "-q"])
    if words[0].endswith("=a"):
        assert result.exit_code == 0, result.output
        assert all(len(os.fsencode(path.name)) <= 80 for path in (tmp_path / "reports").iterdir())
    else:
        assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
