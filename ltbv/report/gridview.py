"""How does a grid look in HTML? Every text, place and look of `grid.html` and of a notebook's table."""

from typing import Any

import numpy as np

from ltbv.report import legend
from ltbv.report.evidence import HIGHER_IS_BETTER, SHOWN, Evidence
from ltbv.report.grid import Grid, GridCell, GridRow
from ltbv.report.judgement import CLAIM, INTERVAL, OPEN, REFERENCE, UNJUDGED
from ltbv.report.names import printable, shortened
from ltbv.report.sheet import DOUBT
from ltbv.report.written import short, signed

MINUS = "−"
LOOKS: dict[tuple[str, bool | None], str] = {  # (state, better)
    (CLAIM, True): "b",
    (CLAIM, False): "w",
    (INTERVAL, True): "hb",
    (INTERVAL, False): "hw",
}
SIGNS = {"b": "B", "w": "W", "hb": "b", "hw": "w", "o": "o"}  # of a look: its mark
HALF = 42  # percent of a cell's width, from the middle to the end of the axis
COLUMNS = {"accuracy": ("acc. %", "acc.", "A"), "bias": ("bias", "bias", "B"), "variance": ("variance", "var.", "V")}
LETTERS, LETTERS_DENSE = 60, 25  # of a name


def view(grid: Grid, evidence: Evidence) -> dict[str, Any]:
    """What `grid.html` shows."""
    group, quantity = grid.rank
    best = {name: "high" if name in HIGHER_IS_BETTER else "low" for name in SHOWN}
    return {
        "reference": _row(grid.reference, grid),
        "families": [
            {"kind": printable(kind), "rows": [_row(row, grid) for row in rows]} for kind, rows in grid.families
        ],
        "number": len(grid.others),
        "dense": grid.dense,
        "beyond": grid.beyond,
        "groups": [
            {"key": name, "aside": legend.asides(grid.groups).get(name, ""), "classes": legend.classes(evidence, name)}
            for name in grid.groups
        ],
        "columns": [
            {
                "group": of_group,
                "first": at == 0,
                **dict(zip(("name", "short", "letter"), COLUMNS[name], strict=True)),
                "best": best[name],
                "sorted": {"high": "descending", "low": "ascending"}[best[name]]
                if (of_group, name) == (group, quantity)
                else "",
            }
            for of_group in grid.groups
            for at, name in enumerate(SHOWN)
        ],
        "notes": notes(grid),
    }


def notes(grid: Grid) -> list[list[tuple[str, str]]]:
    """What must be known to read it, a paragraph each: texts, and on which screens they are true. 'wide' is said where
    axes are drawn, 'narrow' where marks stand in their place, 'numbers' where the reference's row is shown."""
    reference = printable(grid.reference.label)
    drawn = legend.axes(grid)
    order = [(legend.order(grid), ""), (legend.on_top(grid), "numbers"), (" with ± half its 95 % interval", "wide")]
    order.append((". Bias and variance are shares, corrected for the number of runs.", ""))
    if drawn:
        of = f"the paired difference from {reference}"
        order.append((f" Marks and whiskers show {of} with its 95 % interval, on one axis for each quantity", "wide"))
        order += [(f" ({drawn}).", "wide"), (f" Marks show to which side {of} lies.", "narrow")]
        order += [(f" {legend.NEVER[:-1]}, so its marks stay hollow.", "")] if len(grid.groups) > 1 else []
    return [
        order,
        *([(f"† Not judged. {line}", "")] for line in legend.unjudged(grid)),
        *([(line, "")] for line in filter(None, [legend.doubtful(grid)])),
    ]


def look(cell: GridCell) -> str:
    """b, w: a claim of better, of worse; hb, hw: an interval only; o: open; u: not judged; r: of the reference."""
    if cell.state == UNJUDGED or cell.why:
        return "u"
    return {REFERENCE: "r", OPEN: "o"}.get(cell.state) or LOOKS[cell.state, cell.better]


def difference(cell: GridCell) -> str:
    """'better, no claim: +4.1 (+3.5 to +4.7)', or why it is not judged; nothing of the reference."""
    said = legend.said(cell)
    if cell.state == REFERENCE and cell.why:
        return f"not judged: {printable(cell.why)}"
    if not cell.judged:
        return printable(said)
    value, *ends = (
        signed(of, cell.quantity, minus=MINUS) for of in (cell.difference, cell.difference_low, cell.difference_high)
    )
    return f"{said}: {value}" + (f" ({ends[0]} to {ends[1]})" if np.isfinite(cell.difference_low) else "")


def estimate(cell: GridCell) -> str:
    return short(cell.estimate, cell.quantity, minus=MINUS) + DOUBT * cell.doubtful


def _row(row: GridRow, grid: Grid) -> dict[str, Any]:
    label = printable(row.label)
    name = shortened(label, LETTERS_DENSE if grid.dense else LETTERS)
    return {
        "label": label,
        "name": name,
        "cells": [_cell(cell, grid.limits[cell.quantity]) for cell in grid.shown(row)],
    }


def _cell(cell: GridCell, limit: float) -> dict[str, Any]:
    of = look(cell)
    drawn = cell.judged and np.isfinite(cell.difference_low) and limit == limit
    mark = SIGNS.get(of, "") if drawn else ""
    sides = 1 if cell.quantity in HIGHER_IS_BETTER else -1

    def place(value: float) -> float:
        return round(50 + HALF * float(np.clip(sides * value / limit, -1, 1)), 1)

    aside = ""
    if cell.state == REFERENCE and np.isfinite(cell.low):
        aside = f"±{short(cell.half, cell.quantity)}"
    elif cell.judged:
        aside = signed(cell.difference, cell.quantity, minus=MINUS)
    return {
        "group": cell.group,
        "first": cell.quantity == SHOWN[0],
        "look": of,
        "text": estimate(cell),
        "doubtful": cell.doubtful,
        "aside": aside,
        "tip": difference(cell),
        "sorts_by": float(cell.estimate) if np.isfinite(cell.estimate) else None,
        "mark": mark * 2 if mark and cell.beyond and mark != "o" else mark,
        "at": place(cell.difference) if mark else None,
        "ends": sorted(map(place, (cell.difference_low, cell.difference_high))) if mark and not cell.beyond else None,
    }
