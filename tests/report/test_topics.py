"""Is a topic one file? A new one reaches every form of the report, and those who show forms know no topic."""

import ast
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ltbv.report import topics, write_report
from ltbv.report.sheet import Column, Sheet, number, word
from ltbv.report.study import read_study
from ltbv.report.tables import build
from ltbv.report.topic import Drawing, Finding, Topic

ROOM = Path(topics.__file__).parents[1]
RENDERERS = ("terminal", "markdown", "latex", "page", "notebook", "gridview", "machine")
FORMS = ("manifest", "tables", "captions", "sheet", "written", "grid", "judgement", "answer", "legend", "measured")


def letters(values=()):
    """How many letters has a method's name? `values` are rows of the table."""

    def measure(measured):
        rows = values or [(key, len(label) / 7) for key, label in measured.evidence.names.items()]
        return Finding({"letters": pd.DataFrame(rows, columns=["method", "letters"])}, ("Letters are no evidence.",))

    def sheet(tables, evidence):
        rows = ((word(evidence.names[row.method]), number(row.letters)) for row in tables.letters.itertuples())
        columns = (Column("method", numeric=False), Column("letters"))
        return Sheet("letters", "Letters of a name", "In sevenths.", columns, tuple(rows))

    def draw(tables, evidence, looks):
        figure = Figure()
        figure.subplots().plot(tables.letters["letters"])
        return Drawing("letters", figure, tables.letters, "Letters, drawn.", "A line.")

    return Topic(measure, sheets={"letters": (sheet,)}, figures={"letters": draw})


def test_a_new_topic_is_in_every_form_of_the_report(study, tmp_path, monkeypatch):
    monkeypatch.setattr(topics, "TOPICS", (*topics.TOPICS, letters()))
    text = write_report(study(ride="RIDE", runs=3, points=2), tmp_path)
    csv = pd.read_csv(tmp_path / "tables/letters.csv")
    assert csv.to_dict("list") == {"method": ["ce", "ride"], "letters": [round(2 / 7, 10), round(4 / 7, 10)]}
    assert "0.286" in (tmp_path / "tables/letters.tex").read_text()
    for name in ("report.md", "report.html"):
        assert "Letters of a name" in (tmp_path / name).read_text() and "0.571" in (tmp_path / name).read_text()
    assert '"letters"' in (tmp_path / "report.json").read_text()
    assert {path.suffix for path in (tmp_path / "figures").glob("letters.*")} == {".png", ".pdf", ".csv"}
    assert "Letters, drawn." in (tmp_path / "report.html").read_text()
    assert "! Letters are no evidence." in text


def test_a_table_without_rows_is_neither_laid_out_nor_drawn(study, monkeypatch):
    evidence = read_study(study(runs=2, points=2))
    empty = letters().measure

    def measure(measured):
        return Finding({"letters": empty(measured).tables["letters"].iloc[:0]})

    of = letters()
    monkeypatch.setattr(topics, "TOPICS", (*topics.TOPICS, Topic(measure, of.sheets, of.figures)))
    built = build(evidence)
    assert "letters" not in built.tidy and "letters" not in {sheet.key for sheet in topics.printed(built, evidence)}


@pytest.mark.parametrize("name", RENDERERS + FORMS)
def test_renderers_know_no_topic(name):
    for node in ast.walk(ast.parse((ROOM / f"{name}.py").read_text())):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not any(module and module.startswith("ltbv.report.topics.") for module in modules)


def test_the_tables_of_topics_have_one_name_each(study):
    evidence = read_study(study(ride="RIDE", runs=2, points=2))
    built = build(evidence)
    assert len({sheet.key for sheet in topics.printed(built, evidence)}) == len(topics.printed(built, evidence))
    with pytest.raises(AttributeError, match="no table 'split'; there is: splits, classes"):
        _ = built.split
