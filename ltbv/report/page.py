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

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import ltbv
from ltbv.report import captions
from ltbv.report.evidence import Evidence
from ltbv.report.lines import MOST_BY_COLOUR
from ltbv.report.names import printable
from ltbv.report.sheet import Cell, Column, Sheet
from ltbv.report.style import Look
from ltbv.report.tables import Tables
from ltbv.store import flat

NOT_SHOWN = ("overview",)  # `splits` holds the same numbers, in rows that can be sorted
PIXELS_AN_INCH, SHOWN_AN_INCH = 200, 110
MOST_ROWS = 4000  # of a table; beyond, the file of the table is for machines


def page(
    tables: Tables,
    evidence: Evidence,
    sheets: Sequence[Sheet],
    images: Mapping[str, bytes],
    looks: Mapping[str, Look],
    published: Sequence[Sheet] = (),
) -> str:
    """report.html. `images` are PNG files by the name of their figure."""
    style, script = (Markup(_own(name)) for name in ("page.css", "page.js"))
    fitting = [sheet for sheet in sheets if len(sheet.rows) <= MOST_ROWS]
    too_long = [
        f"{sheet.title}: {len(sheet.rows):,} rows, too many for a page; see tables/{sheet.key}.csv"
        for sheet in sheets
        if sheet not in fitting
    ]
    sections = {"verdict": "Verdict", "figures": "Figures", "tables": "Tables"}
    sections |= {"published": "Published numbers"} if published else {}
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_own("page.html")).render(
        dataset=printable(evidence.setting.dataset),
        question=_question(evidence),
        setting=captions.setting(evidence),
        contents=[*(sections | {"protocol": "Protocol"}).items()],
        verdicts=tables.verdicts,
        folded=len(tables.verdicts) > captions.MOST_NAMED,
        looks=looks,
        warnings=(*tables.cautions, *too_long),
        figures=[_figure(name, content, evidence) for name, content in images.items()],
        sheets=[sheet for sheet in fitting if sheet.key not in NOT_SHOWN],
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


def _figure(name: str, content: bytes, evidence: Evidence) -> dict[str, Any]:
    width, height = struct.unpack(">II", content[16:24])  # of a PNG
    methods, reference = captions.methods(evidence), evidence.reference.label
    in_colour = f"each method in colour over {reference} in grey"
    many = len(evidence.methods) > MOST_BY_COLOUR
    captions_of = {
        "bias_variance": (
            "Bias and variance by split, with intervals for new training runs and new test images.",
            f"Points with intervals for {methods}, for all classes and for many, medium and few training images;"
            " the numbers are in the table of accuracy, bias and variance by split.",
        ),
        "hardest_negatives": (
            "Hardest negatives by split: mean, median, and quantiles of the scores."
            if many
            else f"Hardest negatives by split: {in_colour if evidence.reference.p_negative is not None else methods}.",
            f"{'Quantiles' if many else 'Histograms'} of the largest softmax score of a wrong class for {methods}, by"
            " split; means and quantiles are in the table of hardest negatives.",
        ),
        "flow": (
            "Confusion flow: which split do the hardest negatives of a split lie in?",
            f"Three by three numbers for each of {methods}; they are in the table of confusion flow.",
        ),
        "additions": (
            "What a method brings on top of another: accuracy by split with and without it, with intervals, and the"
            " difference paired by run.",
            "Points with intervals in a block for each method that others are built on; the numbers are in the table"
            " of what a method brings on top of another.",
        ),
        "experts": (
            f"Accuracy against the number of experts, by split: differences from {reference}, so that all splits share"
            " a scale and intervals are paired by run.",
            "A line for each family of methods that differ in their number of experts; the numbers are in the table of"
            " accuracy, bias and variance by split.",
        ),
        "usage": (
            "Experts used by split: for which share of the test images a router asked 1, 2 and more experts.",
            "Stacked bars by split for each method with a router; the numbers are in the table of test images by the"
            " number of experts asked.",
        ),
        "by_class": (
            f"Along the tail: difference of each method from {reference}, means of neighbouring classes."
            if many
            else f"Along the tail: {in_colour}.",
            f"Accuracy, bias and variance of every class for {methods}, classes with most training images first; the"
            " numbers are in the table of every class.",
        ),
        "counts": (
            "Training images of every class, and what two runs share of them.",
            "Bars over the classes, most training images first, dark to light for many, medium and few; the numbers of"
            " images are in the table of every class.",
        ),
    }
    caption, alt = captions_of.get(name, (name, name))
    return {
        "image": base64.b64encode(content).decode(),
        "width": width * SHOWN_AN_INCH // PIXELS_AN_INCH,
        "height": height * SHOWN_AN_INCH // PIXELS_AN_INCH,
        "caption": f"{caption} {captions.short(evidence)}",
        "alt": f"{caption} {alt}",
    }


def _spans(sheet: Sheet) -> list[tuple[str, int]]:
    """What stands over how many columns; nothing if nothing does."""
    found = [(over, len(list(columns))) for over, columns in groupby(sheet.columns, key=lambda column: column.over)]
    return found if any(over for over, _ in found) else []


def _classes(cell: Cell, column: Column) -> str:
    return " ".join(filter(None, (cell.mark, "" if column.numeric else "words")))
