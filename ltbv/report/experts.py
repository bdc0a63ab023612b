"""What do experts bring: added to a method, in number, and where are they asked? Nothing is computed here.

Wang et al., ICLR 2021, figures 3, 4 and 5.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ltbv.report import lines
from ltbv.report.evidence import GROUPS
from ltbv.report.hover import differing, estimated, hover
from ltbv.report.names import printable, shortened
from ltbv.report.style import COLOURS, GREY, INK, MARKERS, PAPER, SMALL, WIDTH, Look, hide_inner_axes, legible
from ltbv.report.written import formatted

ENDS = ("estimate", "low", "high")
BESIDE, LEGEND_BESIDE = 3, 6  # methods; numbers of experts
TITLE_LETTERS, FAMILY_LETTERS = 80, 24
NARROWEST = 0.09  # share of a bar that holds its number
GAP = 0.5  # lines between a base and the next one


def additions(table: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Accuracy of each base (hollow) and of the methods built on it, by split; at the right the paired difference."""
    shown = table[table["quantity"] == "accuracy"]
    rows = {(row["base"], row["method"], row["group"]): row for row in shown.to_dict("records")}
    built: dict[str, list[str]] = {}
    for base, method in dict.fromkeys((base, method) for base, method, _ in rows):
        built.setdefault(base, []).append(method)
    bases, places, at = [], {}, 0.0  # each base and each method on it has a place of its own, from the top
    for base, methods in built.items():
        bases.append((base, at))
        for key in (base, *methods):
            places[base, key] = at
            at += 1
        at += GAP
    names = ["+ " * (key != base) + looks[key].label for base, key in places]
    figure, panels, _ = lines.grid(names, [*places.values()], at - GAP, len(GROUPS), above=0.35, wspace=0.08)
    for group, panel in zip(GROUPS, panels, strict=True):
        own = shown[shown["group"] == group]
        ends = (own[name] for name in ("base_low", "base_high", "base_estimate", "low", "high", "estimate"))
        low, high = lines.reach(*ends, least=0.04, limits=(-0.1, 1.1))
        lines.guide(panel, list(places.values()))
        for base, top in bases:
            row, look = rows[base, built[base][0], group], looks[base]
            before = {**row, **{name: row[f"base_{name}"] for name in ENDS}}
            hover(_mark(panel, top, look, before, hollow=True), estimated(look.label, before))
            foot = top + len(built[base]) + 0.4
            panel.vlines(100 * row["base_estimate"], top, foot, GREY, linewidth=0.7, linestyle=(0, (3, 2)))
            for key in built[base]:
                row, place = rows[base, key, group], places[base, key]
                brings = differing(f"{looks[key].label} on {look.label}", row, "difference")
                mark = _mark(panel, place, looks[key], row)
                hover(mark, " – ".join(filter(None, (estimated(looks[key].label, row), brings))))
                text, clear = _difference(row)
                panel.text(
                    *(0.99, place, text),
                    transform=panel.get_yaxis_transform(),
                    ha="right",
                    va="center",
                    fontsize=SMALL,
                    color=INK if clear else GREY,
                )
        panel.set_title(group)
        lines.few_ticks(panel, 100 * low, 100 * min(high, 1.0))
        panel.set_xlim(100 * low, 100 * (high + 0.55 * (high - low)))  # with room for the numbers
    lines.below(
        figure,
        "Accuracy in %. Hollow: without the addition. Numbers: what it brings, paired; * where its interval excludes 0",
    )
    return figure


def _mark(panel: Axes, place: float, look: Look, row: Mapping[str, Any], *, hollow: bool = False) -> Line2D:
    estimate, low, high = (100 * row[name] for name in ENDS)
    panel.hlines(place, low, high, color=look.colour, linewidth=1)
    fill = PAPER if hollow else look.colour
    (mark,) = panel.plot([estimate], [place], look.marker, color=look.colour, markerfacecolor=fill, markersize=4)
    return mark


def _difference(row: Mapping[str, float]) -> tuple[str, bool]:
    """Points of accuracy with a star where the interval excludes 0, and whether it does."""
    clear = bool(row["difference_low"] > 0 or row["difference_high"] < 0)
    return formatted(row["difference"], "accuracy", sign="+") + ("*" if clear else ""), clear


def families(table: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Accuracy minus the reference's against the number of experts, by split; a line for each family."""
    shown = table[table["quantity"] == "accuracy"]
    own = dict(iter(shown.groupby("family", sort=False)))
    look_of = {family: looks[rows["method"].iloc[-1]] for family, rows in own.items()}
    if len({(look.colour, look.marker) for look in look_of.values()}) < len(own):  # they are of one kind
        look_of = {family: Look(family, COLOURS[i % 6], MARKERS[i % 7]) for i, family in enumerate(own)}
    legend = -(-len(own) // BESIDE) * (len(own) > 1)  # lines of it
    height = 2.0 + 0.17 * legend
    figure = Figure((WIDTH, height))
    panels = figure.subplots(1, len(GROUPS), sharey=True, sharex=True)
    top = 1 - (0.25 + 0.19 * legend) / height
    figure.subplots_adjust(0.5 / WIDTH, 0.48 / height, 1 - 0.1 / WIDTH, top, wspace=0.07)
    first, *more = sorted(set(shown["experts"]))
    numbers, last = [first], (more or [first])[-1]
    wide = panels[0].get_position().width * WIDTH / (last - first + 0.8)  # inches from a number to the next
    for number in more:
        if wide * (number - numbers[-1]) > lines.LETTER * (len(str(number)) + 1):
            numbers.append(number)
    for group, panel in zip(GROUPS, panels, strict=True):
        panel.axhline(0, color=GREY, linewidth=0.9)
        for i, (family, rows) in enumerate(own.items()):
            of = rows[rows["group"] == group]
            aside = 0.08 * (i - (len(own) - 1) / 2)
            x, look = of["experts"].to_numpy() + aside, look_of[family]
            panel.plot(x, 100 * of["reference_difference"].to_numpy(), color=look.colour, linewidth=1)
            heights = 100 * of["reference_difference"].to_numpy()
            (marks,) = panel.plot(x, heights, look.marker, color=look.colour, markersize=4)
            known = of[of["reference_difference"].notna()].to_dict("records")
            hover(marks, *(differing(looks[row["method"]].label, row) for row in known))
            ends = (100 * of[name].to_numpy() for name in ("difference_low", "difference_high"))
            panel.vlines(x, *ends, color=look.colour, linewidth=1)
        panel.set_title(group)
        panel.grid(axis="y")
        panel.set_axisbelow(True)
    panels[0].set_xticks(numbers, [str(number) for number in numbers])
    panels[0].set_xlim(first - 0.4, last + 0.4)
    for panel in panels[1:]:
        panel.tick_params(axis="y", left=False, labelleft=False)
    reference = shortened(next(iter(looks.values())).label, 12)
    panels[0].set_ylabel(f"Accuracy - {reference}, points")
    if legend:
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, ms=4, lw=1, label=shortened(family, FAMILY_LETTERS))
            for family, look in look_of.items()
        ]
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.42 / WIDTH, 1), ncols=BESIDE, handlelength=1.5
        )
    lines.below(figure, "Number of experts. Vertical lines: paired intervals")
    return figure


def usage(table: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """For which share of the test points a method with a router asked 1, 2, … experts, by split."""
    methods = [key for key in looks if key in set(table["method"])]
    numbers = range(1, table["experts"].max() + 1)
    beside = min(BESIDE, len(methods))
    tall = -(-len(methods) // beside)
    above = 0.34 + 0.17 * -(-len(numbers) // LEGEND_BESIDE)
    height = 0.3 + above + tall
    figure = Figure((WIDTH, height))
    grid = figure.subplots(tall, beside, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        0.62 / WIDTH, 0.38 / height, 1 - 0.15 / WIDTH, 1 - above / height, wspace=0.06, hspace=0.36 if tall > 1 else 0
    )
    colours = [colormaps["Blues"](share) for share in np.linspace(0.15, 0.95, len(numbers))]
    shares = {
        key: own.pivot(index="group", columns="experts", values="estimate").reindex(GROUPS)
        for key, own in table.groupby("method")
    }
    for panel, key in zip(grid.flat, methods, strict=False):
        left = np.zeros(len(GROUPS))
        for number, colour in zip(numbers, colours, strict=True):
            if number not in shares[key]:
                continue
            width = np.nan_to_num(shares[key][number].to_numpy())
            bars = panel.barh(
                range(len(GROUPS)), width, left=left, height=0.75, color=colour, edgecolor=PAPER, linewidth=0.5
            )
            for bar, group, share in zip(bars, GROUPS, width, strict=True):
                asked = f"{number} expert{'s' * (number > 1)} for {100 * share:.1f} % of the images"
                hover(bar, f"{printable(looks[key].label)}, {group}: {asked}")
            for y, (start, share) in enumerate(zip(left, width, strict=True)):
                if share >= NARROWEST:
                    middle, colour_of_text = start + share / 2, legible(colour)
                    words = f"{100 * share:.0f}"
                    panel.text(middle, y, words, ha="center", va="center", fontsize=7, color=colour_of_text)
            left += width
        panel.set_title(shortened(looks[key].label, TITLE_LETTERS // beside), loc="left")
        panel.tick_params(axis="y", length=0)
        panel.spines[["left", "bottom"]].set_visible(False)
    for panel in grid.flat[len(methods) :]:
        panel.set_axis_off()
    grid[0, 0].set_yticks(range(len(GROUPS)), GROUPS)
    grid[0, 0].set_ylim(len(GROUPS) - 0.5, -0.5)
    grid[0, 0].set_xlim(0, 1)
    grid[0, 0].set_xticks([])
    hide_inner_axes(grid)
    handles = [
        Patch(facecolor=colour, edgecolor=GREY, linewidth=0.4, label=f"{number} expert{'s' * (number > 1)}")
        for number, colour in zip(numbers, colours, strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.55 / WIDTH, 1 - 0.02 / height),
        ncols=LEGEND_BESIDE,
        handlelength=1.2,
        columnspacing=1.5,
    )
    lines.below(figure, "Share of the test images of a split, in %, that were given to so many experts")
    return figure
