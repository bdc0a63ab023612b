"""How far is each method from the reference, and how surely? Paired differences with their intervals, on one axis for
each quantity, as in the grid: right is better, filled is a claim. Nothing is computed here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ltbv.report import lines
from ltbv.report.evidence import HIGHER_IS_BETTER, SHOWN, SPLITS
from ltbv.report.hover import differing, hover
from ltbv.report.judgement import CLAIM, INTERVAL, OPEN, REFERENCE, UNJUDGED
from ltbv.report.style import (
    GUIDE,
    INK,
    PAPER,
    RULE,
    SMALL,
    SPLIT_MARKS,
    TINY,
    UNJUDGED_COLOUR,
    WIDTH,
    Look,
    fitted,
    inches,
    titled,
)
from ltbv.report.written import signed

SUBLINE, ROW = 0.125, 0.5  # inches from split to split, and from method to method
WIDEST_NAME, ABOVE = 1.7, 0.55
EDGE = 1.06  # of half the axis
STATES = {CLAIM: "claim", INTERVAL: "interval excludes 0", OPEN: "open", UNJUDGED: "not judged"}


def by_split(grid: pd.DataFrame, looks: Mapping[str, Look], limits: Mapping[str, float]) -> Figure:
    """Rows are methods, a panel is a quantity, and the splits of a method lie one below the other.

    `grid` is that of `judgement`; `limits` is half the axis of each quantity.
    """
    reference, *others = looks
    height = ABOVE + ROW * len(others) + 0.5
    figure = Figure((WIDTH, height))
    panels = figure.subplots(1, len(SHOWN), sharey=True, squeeze=False)[0]
    names = [titled(looks[key].label, WIDEST_NAME, 8, 3) for key in others]
    left = max(0.8, *(inches(line, 8) for name in names for line in name.split("\n"))) + 0.15
    figure.subplots_adjust(left / WIDTH, 0.5 / height, 1 - 0.1 / WIDTH, 1 - ABOVE / height, wspace=0.06)
    panels[0].set_ylim(len(others) - 0.5, -0.5)
    panels[0].set_yticks(range(len(others)), names)
    for panel, quantity in zip(panels, SHOWN, strict=True):
        one(panel, grid, quantity, looks, limits[quantity])
    panels[0].tick_params(axis="y", length=0)
    for panel in panels[1:]:
        panel.yaxis.set_visible(False)
    _legend(figure, splits_told(grid) + [_handle(INK, "o", state, words) for state, words in STATES.items()])
    _words(figure, looks[reference].label, grid, limits)
    return figure


def one(panel: Axes, grid: pd.DataFrame, quantity: str, looks: Mapping[str, Look], limit: float) -> None:
    """A quantity of `by_split`: a row for each method but the reference, its splits one below the other."""
    rows = {(row["method"], row["group"]): row for row in grid[grid["quantity"] == quantity].to_dict("records")}
    _axis(panel, quantity, limit)
    for i, key in enumerate(list(looks)[1:]):
        if i % 2 == 0:
            panel.axhspan(i - 0.5, i + 0.5, color=GUIDE, alpha=0.45, linewidth=0, zorder=0)
        for split, place in zip(SPLITS, (-1, 0, 1), strict=True):
            look = Look(split, *SPLIT_MARKS[split])
            _draw(panel, rows.get((key, split)), i + place * SUBLINE / ROW, look, 4.5, looks[key].label)
    better = "" if quantity in HIGHER_IS_BETTER else ", axis reversed"
    panel.set_title(f"{quantity.capitalize()}{', points' if quantity == 'accuracy' else ''}{better}", loc="left")


def splits_told(grid: pd.DataFrame) -> list[Line2D]:
    """What tells the splits of `one` apart, for a legend: those of which something is known."""
    there = set(grid.loc[grid["estimate"].notna(), "group"])
    return [_handle(colour, marker, CLAIM, split) for split, (colour, marker) in SPLIT_MARKS.items() if split in there]


def many(grid: pd.DataFrame, looks: Mapping[str, Look], limits: Mapping[str, float]) -> Figure:
    """The same of many methods: a line for each, and a panel for each quantity and split; those of a quantity have one
    axis."""
    reference, *others = looks
    number = len(SHOWN) * len(SPLITS)
    rooms = {"above": 0.72, "below": 0.5, "wspace": 0.1, "blocks": len(SHOWN)}
    figure, panels, at = lines.of_methods([looks[key] for key in others], number, **rooms)
    rows = {(row["method"], row["group"], row["quantity"]): row for row in grid.to_dict("records")}
    for place, quantity in enumerate(SHOWN):
        side = panels[len(SPLITS) * place : len(SPLITS) * (place + 1)]
        better = "" if quantity in HIGHER_IS_BETTER else ", axis reversed"
        unit = ", points" if quantity == "accuracy" else ""
        lines.over(figure, [*side], f"{quantity.capitalize()}{unit}{better}")
        for split, panel in zip(SPLITS, side, strict=True):
            lines.guide(panel, at)
            _axis(panel, quantity, limits[quantity], TINY)
            panel.set_title(split, fontsize=SMALL)
            for y, key in zip(at, others, strict=True):
                _draw(
                    panel, rows.get((key, split, quantity)), y, replace(looks[key], marker="o"), 3.5, looks[key].label
                )
    _legend(figure, [_handle(INK, "o", state, words) for state, words in STATES.items()])
    _words(figure, looks[reference].label, grid, limits)
    return figure


def _axis(panel: Axes, quantity: str, limit: float, points: float = SMALL) -> None:
    """Zero in the middle, better at the right; labels at both ends."""
    side = 1 if quantity in HIGHER_IS_BETTER else -1
    limit = limit if np.isfinite(limit) else 1.0
    panel.set_xlim(-side * EDGE * limit, side * EDGE * limit)
    panel.axvline(0, color=RULE, linewidth=0.9, zorder=0.5)
    ticks = (-side * limit, side * limit)
    panel.set_xticks(ticks, [_tick(value, quantity) for value in ticks], fontsize=points)
    left, right = panel.get_xticklabels()
    left.set_horizontalalignment("left")
    right.set_horizontalalignment("right")
    panel.set_xticks((-limit / 2, 0, limit / 2), minor=True)
    panel.tick_params(axis="x", which="both", length=2, pad=2)
    panel.spines["left"].set_visible(False)


def _tick(value: float, quantity: str) -> str:
    return f"{100 * value:+.4g}" if quantity == "accuracy" else f"{value:+.4g}".replace("0.", ".", 1)


def _draw(panel: Axes, row: Mapping[str, Any] | None, y: float, look: Look, size: float, label: str) -> None:
    """A difference with its interval. Beyond the axis it is an arrow at the edge, with the value; where there is none,
    nothing."""
    if row is None:
        return
    value, low, high = (row[name] for name in ("reference_difference", "difference_low", "difference_high"))
    if not np.isfinite(value) or row["state"] == REFERENCE:
        return
    judged = row["state"] != UNJUDGED
    colour = _colour(look.colour, row["state"])
    first, last = panel.get_xlim()
    if not min(first, last) <= value <= max(first, last):
        mark = lines.beyond(panel, value, y, colour, signed(value, row["quantity"]))
        hover(mark, _said(label, row))
        return
    panel.plot([low, high], [y, y], color=colour, linewidth=1, solid_capstyle="butt")
    marker = look.marker if judged else "x"
    face = colour if row["state"] == CLAIM else PAPER
    shown: dict[str, Any] = {
        "color": colour,
        "mfc": face,
        "mew": 0.9,
        "markersize": size,
        "clip_on": False,
    }
    (mark,) = panel.plot([value], [y], marker, **shown)
    hover(mark, _said(label, row))


def _said(label: str, row: Mapping[str, Any]) -> str:
    """'RIDE, few: bias −.249 (−.284 to −.214), claim'."""
    said = STATES[row["state"]] if row["state"] != UNJUDGED else f"not judged: {row['why']}"
    return f"{differing(label, row)}, {said}"


def _handle(colour: str, marker: str, state: str, label: str) -> Line2D:
    marker, colour = "x" if state == UNJUDGED else marker, _colour(colour, state)
    face = colour if state == CLAIM else PAPER
    return Line2D([], [], color=colour, marker=marker, mfc=face, mew=0.9, markersize=4.5, linewidth=1, label=label)


def _colour(colour: str, state: str) -> str:
    """Grey where nothing is known to differ: a light colour that was made fainter could not be seen."""
    return UNJUDGED_COLOUR if state in (OPEN, UNJUDGED) else colour


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 1),
        ncols=len(handles),
        handlelength=1.6,
        columnspacing=1.4,
        borderaxespad=0.3,
    )


def _words(figure: Figure, reference: str, grid: pd.DataFrame, limits: Mapping[str, float]) -> None:
    own = grid[grid["group"].isin(SPLITS)]
    far = (own["reference_difference"].abs() > EDGE * own["quantity"].map(limits)).any()
    arrows = ". Arrows: beyond the axis, with the value" if far else ""
    lines.below(figure, f"Minus {fitted(reference, 2.6, 8)}, paired; right is better{arrows}")
