"""The page: one HTML file that shows the whole report, fetches nothing and runs no script but its own.

The first screen is the answer and the grid; a figure below it, then six questions, which answer in their summary line
and fold what their topics have to show. Names are escaped wherever they stand; a content security policy says the same
to the browser. Tables can be sorted and filtered by `page.js`, and are whole without it. One that is too long to be
read is a link to its file.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

import ltbv
from ltbv.report import captions, gridview
from ltbv.report.answer import answer
from ltbv.report.evidence import Evidence
from ltbv.report.grid import Grid
from ltbv.report.names import printable
from ltbv.report.questions import QUESTIONS
from ltbv.report.sheet import Cell, Column, Sheet
from ltbv.report.tables import Tables
from ltbv.report.topic import Drawing
from ltbv.report.vector import Drawn
from ltbv.store import flat

MOST_ROWS = 600  # of a table; beyond, its file is for looking up


def page(
    tables: Tables,
    evidence: Evidence,
    grid: Grid,
    sheets: Sequence[Sheet],
    drawings: Sequence[tuple[Drawing, bytes]],
    answers: Mapping[str, str],
) -> str:
    """report.html. `drawings` come with their SVG files, `answers` are those of the topics by question."""
    first, why = answer(tables, grid, evidence)
    shown = [_without_setting(sheet, evidence) for sheet in sheets if sheet.on_page]
    drawn = Drawn()
    figures = [(drawing, _figure(drawing, content, drawn)) for drawing, content in drawings]
    with_table = {sheet.key for sheet in shown if sheet.answer}  # keys of figures that lie folded with their table
    beside = [of for of in figures if not of[0].leads and of[0].key not in with_table]
    questions = [
        {
            "key": key,
            "title": title,
            "answer": printable(answers.get(key, "")),
            "figures": [figure for drawing, figure in beside if drawing.question == key],
            "sheets": [sheet for sheet in shown if sheet.question == key],
        }
        for key, (title, _) in QUESTIONS.items()
    ]
    leading = [figure for drawing, figure in figures if drawing.leads]
    contents = {"grid": "Grid"} | ({"figure": "Figure"} if leading else {})
    kinds = range(1, 1 + len(grid.families)) if len(grid.families) > 1 else ()
    only = (f"body:has(#kind-{i}:checked) .grid .kind:not(.k{i}) {{ display: none; }}" for i in kinds)
    style = Markup("\n".join([*map(_own, ("page.css", "grid.css")), *only, drawn.style]))
    script = Markup(_own("page.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_own))
    return environment.get_template("page.html").render(
        dataset=printable(evidence.setting.dataset),
        question=_question(evidence),
        answer=first,
        why=printable(why),
        provenance=captions.provenance(evidence),
        grid=gridview.view(grid, evidence),
        setting=captions.setting(evidence),
        contents=contents | {f"to-{key}": name for key, (_, name) in QUESTIONS.items()},
        figures=leading,
        questions=questions,
        folded_figures={drawing.key: figure for drawing, figure in figures if drawing.key in with_table},
        warnings=tables.cautions,
        commands=evidence.setting.commands,
        facts={"Training": flat(evidence.setting.protocol), "Made with": flat(evidence.setting.made_with)},
        version=ltbv.__version__,
        most_rows=MOST_ROWS,
        spans=_spans,
        classes=_classes,
        sorts_by=_sorts_by,
        file_of=lambda sheet: _file_of(sheet, tables),
        style=style,
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )


def _own(name: str) -> str:
    return files("ltbv.report").joinpath(name).read_text(encoding="utf-8")


def _without_setting(sheet: Sheet, evidence: Evidence) -> Sheet:
    """A caption says how the runs came about wherever a table may stand alone; on the page the header does, once."""
    return replace(sheet, caption=sheet.caption.removesuffix(captions.short(evidence)).rstrip())


def _file_of(sheet: Sheet, tables: Tables) -> str:
    """Where the rows of a sheet are, from the page: the CSV file of its table, or where it has none the sheet's own."""
    return f"tables/{sheet.table}.csv" if sheet.table in tables.tidy else f"tables/{sheet.key}.tex"


def _question(evidence: Evidence) -> str:
    """The question of the report, with the method's name where there is one."""
    others = evidence.methods[1:]
    who = printable(others[0].label) if len(others) == 1 else "a long-tailed method"
    return f"Does {who} really lower bias and variance, for which classes, and how sure are we?"


def _figure(drawing: Drawing, content: bytes, drawn: Drawn) -> dict[str, Any]:
    label = f"{drawing.caption} {drawing.alt}"
    return {"key": drawing.key, "svg": Markup(drawn.add(drawing.key, content, label=label)), "caption": drawing.caption}


def _spans(sheet: Sheet) -> list[tuple[str, int]]:
    """What stands over how many columns; nothing if nothing does."""
    found = [(over, len(list(columns))) for over, columns in groupby(sheet.columns, key=lambda column: column.over)]
    return found if any(over for over, _ in found) else []


def _classes(cell: Cell, column: Column) -> str:
    return " ".join(filter(None, (cell.mark, "" if column.numeric else "words")))


def _sorts_by(cell: Cell) -> str:
    """As many digits as a reader could tell apart."""
    return "" if cell.sorts_by is None else f"{cell.sorts_by:.5g}"
