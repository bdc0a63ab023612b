"""What happens along the tail? Figures over the classes, most training images first. Nothing is computed here.

Words in figures keep clear of "ff", "fi", "fl": the font has single letters for them, which are one more font in a PDF.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ltbv.report.captions import sizes
from ltbv.report.evidence import SHOWN, SPLITS
from ltbv.report.hover import hover
from ltbv.report.names import printable
from ltbv.report.style import RULE, SPLIT_COLOURS, WIDTH, Look, fitted, hide_inner_axes
from ltbv.report.written import short

MOST_SAID = 150  # classes whose dots say which they are: a page holds the words of no more
DOTS = {150: 3.8, 400: 2.6, np.inf: 1.4}  # at most so many classes -> points of a dot
EDGE: dict[str, Any] = {"color": RULE, "linewidth": 0.6, "linestyle": (0, (1, 2))}


def by_class(classes: pd.DataFrame, curves: pd.DataFrame, profile: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Accuracy, bias and variance of every class: each method in colour over the reference in grey.

    A dot is a class, a line runs through the means of neighbouring classes, within their intervals.
    """
    reference, *others = looks
    methods = others or [reference]
    height = 0.98 + 1.25 * len(methods)
    figure = Figure((WIDTH, height))
    grid = figure.subplots(len(methods), len(SHOWN), sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(0.42 / WIDTH, 0.5 / height, 1 - 0.12 / WIDTH, 1 - 0.48 / height, wspace=0.08, hspace=0.3)
    # Limits first: a panel with open limits asks all panels that share its axes for theirs, with every line drawn.
    grid[0, 0].set_xlim(-1, len(profile))
    grid[0, 0].set_ylim(-0.1, 1.1)
    place = np.empty(len(profile), int)
    place[profile["group"].to_numpy()] = np.arange(len(profile))
    dots = {of: own[["group", "estimate"]].to_numpy(float) for of, own in classes.groupby(["method", "quantity"])}
    ends = ["first", "last", "estimate", "low", "high"]
    lines = {of: own[ends].to_numpy(float).T for of, own in curves.groupby(["method", "quantity"])}
    size = next(size for most, size in DOTS.items() if len(profile) <= most)
    for method, row in zip(methods, grid, strict=True):
        for quantity, panel in zip(SHOWN, row, strict=True):
            for key in dict.fromkeys((reference, method)):
                group, of_class = dots[key, quantity].T
                first, last, of_bin, low, high = lines[key, quantity]
                middle, colour = (first + last) / 2, looks[key].colour
                at = place[group.astype(int)]
                (points,) = panel.plot(at, of_class, ".", ms=size, color=colour, alpha=0.6, mew=0)
                if len(profile) <= MOST_SAID and key == method:
                    known = zip(profile["class_name"].iloc[at], of_class, strict=True)
                    hover(points, *(_said(name, quantity, value) for name, value in known if np.isfinite(value)))
                panel.fill_between(middle, low, high, color=colour, alpha=0.15, linewidth=0)
                panel.plot(middle, of_bin, color=colour, linewidth=1.2)
            _edges(panel, profile)
            panel.grid(axis="y")
            panel.set_axisbelow(True)
        row[0].set_title(fitted(looks[method].label, WIDTH - 0.6, 9), loc="left", fontsize=9)
    for quantity, panel in zip(SHOWN, grid[0], strict=True):
        panel.annotate(
            quantity, (0.5, 1), xytext=(0, 18), xycoords="axes fraction", textcoords="offset points", ha="center"
        )
    grid[0, 0].set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    hide_inner_axes(grid, y=False)
    for panel in grid[-1]:
        _counts_below(panel, profile)
    grey = fitted(looks[reference].label, 1.8, 8)
    figure.supxlabel(
        f"{along(profile)}. Grey: {grey}. Dots: classes; lines: means of neighbours",
        fontsize=8,
        y=0.06 / height,
        va="bottom",
    )
    return figure


def _said(name: str, quantity: str, value: float) -> str:
    """Of a class: 'maple: accuracy 84.2 %'."""
    return f"{printable(name)}: {quantity} {short(value, quantity, minus='−')}{' %' * (quantity == 'accuracy')}"


def counts(profile: pd.DataFrame) -> Figure:
    """Training images of every class, and the share of them that two runs have in common."""
    figure = Figure((WIDTH, 2.2))
    panels = figure.subplots(1, 2, sharex=True)
    figure.subplots_adjust(0.07, 0.12, 0.985, 0.88, wspace=0.16)
    edges = np.arange(len(profile) + 1) - 0.5
    for name in SPLITS:
        at = (profile["split"] == name).to_numpy()
        for panel, column in zip(panels, ("train_count", "shared"), strict=True):
            values = np.where(at, profile[column].to_numpy(float), 0)
            bars = panel.stairs(values, edges, fill=True, color=SPLIT_COLOURS[name], linewidth=0, label=name)
            if np.isfinite(own := profile.loc[at, column]).any():
                hover(bars, _bars_said(name, own))
    panels[0].set_yscale("log")
    panels[0].set_ylim(0.8, profile["train_count"].max() * 1.3)
    panels[0].minorticks_off()
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].set_title("Training images of a class", loc="left")
    panels[0].legend(loc="upper right", handlelength=1)
    panels[1].set_title("Share of its images that two runs have in common", loc="left")
    if profile["shared"].notna().any():
        panels[1].set_ylim(0, max(0.02, 1.15 * profile["shared"].max()))
        panels[1].yaxis.set_major_formatter(_percent)
    else:
        panels[1].set_yticks([])
        panels[1].text(0.5, 0.5, "not known", transform=panels[1].transAxes, ha="center", va="center")
    panels[0].set_xlim(-1, len(profile))
    for panel in panels:
        panel.tick_params(axis="x", length=0)
        panel.set_xticks([])
        panel.set_xlabel(f"{len(profile)} classes, most training images at the left")
    return figure


def _bars_said(split: str, values: pd.Series) -> str:
    """'many: 35 classes, 300 to 61 images', 'few: two runs share 1.2 to 0.0 % of a class'."""
    if values.name == "train_count":
        return f"{split}: {len(values)} class{'es' * (len(values) > 1)}, {sizes(values, ',')}"
    return f"{split}: two runs share {100 * values.max():.1f} to {100 * values.min():.1f} % of a class"


def _percent(share: float, place: float | None = None) -> str:
    del place
    return f"{100 * share:g} %"


def _edges(panel: Axes, profile: pd.DataFrame) -> None:
    """A line where one split ends and the next begins."""
    split = profile["split"].to_numpy()
    places = np.flatnonzero(split[1:] != split[:-1]) + 0.5
    panel.vlines(places, 0, 1, transform=panel.get_xaxis_transform(), **EDGE)


def along(profile: pd.DataFrame) -> str:
    """What the axis of classes is."""
    known = profile["train_count"].notna().all()
    return "Training images of a class, most at the left" if known else "Class id; training images are not known"


def at_places(profile: pd.DataFrame, places: Sequence[int]) -> list[str]:
    """Training images of classes at these places, or their ids where these are not known."""
    counts = profile["train_count"]
    return [f"{value}" for value in (counts if counts.notna().all() else profile["group"]).iloc[list(places)]]


def _counts_below(panel: Axes, profile: pd.DataFrame) -> None:
    """Counts at the first class, the last one, and a few between, so far apart that they do not touch."""
    places = np.unique(np.linspace(0, len(profile) - 1, 5).round().astype(int))
    panel.set_xticks(places, at_places(profile, places.tolist()))
    panel.get_xticklabels()[-1].set_horizontalalignment("right")  # keeps clear of the first of the next panel
