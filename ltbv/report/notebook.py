"""What does a notebook show of an analysis? Both sentences and the grid, without axes: differences are on hover.

A notebook's theme is not known: text inherits its colour, and marks and tints stand out on white and on black.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from ltbv.report import gridview, legend
from ltbv.report.answer import answer
from ltbv.report.evidence import Evidence
from ltbv.report.grid import MOST_ROOMY, grid
from ltbv.report.names import printable
from ltbv.report.tables import Tables

MARKS = {"b": "▸", "w": "◂", "hb": "▹", "hw": "◃", "o": "·", "u": "†", "r": ""}  # by the look of a cell


def html(tables: Tables, evidence: Evidence) -> str:
    """The grid as HTML; of many methods, the reference and the most accurate."""
    of = grid(tables, evidence)
    shown = gridview.view(of, evidence)
    best = sorted((row for family in shown["families"] for row in family["rows"]), key=_accuracy)
    kept = best[: MOST_ROOMY - 1] if of.dense else best
    first, why = answer(tables, of, evidence)
    template = files("ltbv.report").joinpath("notebook.html").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, undefined=StrictUndefined)
        .from_string(template)
        .render(
            answer=first,
            why=printable(why),
            grid=shown,
            rows=[shown["reference"], *kept],
            more=len(best) - len(kept),
            marks=MARKS,
            notes=[*(f"† {line}" for line in legend.unjudged(of)), *filter(None, [legend.doubtful(of)])],
        )
    )


def _accuracy(row: Mapping[str, Any]) -> float:
    """Best first; what is not known last."""
    value = row["cells"][0]["sorts_by"]
    return float("inf") if value is None else -value
