"""The page: one HTML file that shows the whole report, fetches nothing and runs no script but its own.

Names are escaped wherever they stand; a content security policy says the same to the browser. Tables can be sorted and
filtered by `page.js`, and are whole without it.
"""

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
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
from ltbv.report.sheet import Cell, Column, Sheet
from ltbv.report.style import Look
from ltbv.report.tables import Tables
from ltbv.report.topic import Drawing
from ltbv.store import flat

PIXELS_AN_INCH, SHOWN_AN_INCH = 200, 110
MOST_ROWS = 4000  # of a table; beyond, the file of the table is for machines


def page(
    tables: Tables,
    evidence: Evidence,
    grid: Grid,
    sheets: Sequence[Sheet],
    images: Sequence[tuple[Drawing, bytes]],
    looks: Mapping[str, Look],
) -> str:
    """report.html. `images` are drawings with their PNG files."""
    style, script = Markup("\n".join(map(_own, ("page.css", "grid.css")))), Markup(_own("page.js"))
    kinds = range(1, 1 + len(grid.families)) if len(grid.families) > 1 else ()
    style += "".join(f"body:has(#kind-{i}:checked) .grid .kind:not(.k{i}) {{ display: none; }}\n" for i in kinds)
    first, why = answer(tables, grid, evidence)
    fitting = [sheet for sheet in sheets if len(sheet.rows) <= MOST_ROWS]
    too_long = [
        f"{sheet.title}: {len(sheet.rows):,} rows, too many for a page; see tables/{sheet.key}.csv"
        for sheet in sheets
        if sheet not in fitting
    ]
    published = [sheet for sheet in fitting if sheet.asked]
    figures = {drawing.key: _figure(drawing, content, evidence) for drawing, content in images}
    answered = {sheet.key for sheet in fitting if sheet.on_page and sheet.answer}
    sections = {"verdict": "Verdict", "figures": "Figures", "tables": "Tables"}
    sections |= {"published": "Published numbers"} if published else {}
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_own))
    return environment.get_template("page.html").render(
        dataset=printable(evidence.setting.dataset),
        question=_question(evidence),
        answer=first,
        why=printable(why),
        provenance=captions.provenance(evidence),
        grid=gridview.view(grid, evidence),
        setting=captions.setting(evidence),
        contents=[*(sections | {"protocol": "Protocol"}).items()],
        verdicts=tables.verdicts,
        folded=len(tables.verdicts) > captions.MOST_NAMED,
        looks=looks,
        warnings=(*tables.cautions, *too_long),
        figures=[figure for key, figure in figures.items() if key not in answered],
        folded_figures={key: figures[key] for key in answered & figures.keys()},
        sheets=[sheet for sheet in fitting if sheet.on_page and not sheet.asked],
        published=published,
        commands=evidence.setting.commands,
        facts={"Training": flat(evidence.setting.protocol), "Made with": flat(evidence.setting.made_with)},
        version=ltbv.__version__,
        spans=_spans,
        classes=_classes,
        style=style,
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )


def _own(name: str) -> str:
    return files("ltbv.report").joinpath(name).read_text(encoding="utf-8")


def _question(evidence: Evidence) -> str:
    """The question of the report, with the method's name where there is one."""
    others = evidence.methods[1:]
    who = printable(others[0].label) if len(others) == 1 else "a long-tailed method"
    return f"Does {who} really lower bias and variance, for which classes, and how sure are we?"


def _figure(drawing: Drawing, content: bytes, evidence: Evidence) -> dict[str, Any]:
    width, height = struct.unpack(">II", content[16:24])  # of a PNG
    return {
        "image": base64.b64encode(content).decode(),
        "width": width * SHOWN_AN_INCH // PIXELS_AN_INCH,
        "height": height * SHOWN_AN_INCH // PIXELS_AN_INCH,
        "caption": f"{drawing.caption} {captions.short(evidence)}",
        "alt": f"{drawing.caption} {drawing.alt}",
    }


def _spans(sheet: Sheet) -> list[tuple[str, int]]:
    """What stands over how many columns; nothing if nothing does."""
    found = [(over, len(list(columns))) for over, columns in groupby(sheet.columns, key=lambda column: column.over)]
    return found if any(over for over, _ in found) else []


def _classes(cell: Cell, column: Column) -> str:
    return " ".join(filter(None, (cell.mark, "" if column.numeric else "words")))
