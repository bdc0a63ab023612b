"""Which split do the hardest negatives of a split lie in? Coloured numbers: a square for each method, or a line where
there are many. Nothing is computed here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ltbv.report import lines
from ltbv.report.evidence import SPLITS
from ltbv.report.names import printable
from ltbv.report.style import FLOW_COLOURS, FLOW_MOST, SMALL, WIDTH, Look, hide_inner_axes, legible, titled

BESIDE = 3
TITLE, TITLE_LINE = 9, 0.15  # points, inches of a line
WORDS = "Hardest negative in. Numbers: times the softmax mass that equally likely wrong classes would take"
BELOW = 0.85  # inches: the bar and the words
NORM = LogNorm(1 / FLOW_MOST, FLOW_MOST, clip=True)


def flow(flows: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """From the split of the true class (row) to that of its hardest negative (column), a square for each method.

    Colour and number: times what would flow if all wrong classes were equally likely.
    """
    methods = [key for key in looks if key in set(flows["method"])]
    columns = min(len(methods), BESIDE)
    tall = -(-len(methods) // columns)
    left, gap = 0.82, 0.14
    wide = (WIDTH - left - 0.1 - gap * (BESIDE - 1)) / BESIDE
    titles = [titled(looks[key].label, wide, TITLE) for key in methods]
    above = 0.1 + TITLE_LINE * max(title.count("\n") + 1 for title in titles)
    square = 1.05
    height = BELOW + 0.1 + tall * (square + above)
    figure = Figure((WIDTH, height))
    grid = figure.subplots(tall, BESIDE, squeeze=False, sharex=True, sharey=True)
    room = {"wspace": gap / wide, "hspace": above / square}
    figure.subplots_adjust(left / WIDTH, (BELOW + 0.1) / height, 1 - 0.1 / WIDTH, 1 - above / height, **room)
    of_method = {
        key: own.pivot(index="true", columns="negative", values="ratio") for key, own in flows.groupby("method")
    }
    for panel in grid.flat[len(methods) :]:
        panel.set_axis_off()
    for panel, key, title in zip(grid.flat, methods, titles, strict=False):
        ratios = of_method[key].loc[list(SPLITS), list(SPLITS)].to_numpy()
        lines.cells(panel, ratios, FLOW_COLOURS, NORM, said=_said([looks[key]] * len(SPLITS), SPLITS, ratios))
        _numbers(panel, ratios, range(len(SPLITS)), TITLE)
        panel.set_title(title, loc="left", fontsize=TITLE)
    grid[0, 0].set_ylim(len(SPLITS) - 0.5, -0.5)
    grid[0, 0].set_xticks(range(len(SPLITS)), SPLITS)
    grid[0, 0].set_yticks(range(len(SPLITS)), SPLITS)
    hide_inner_axes(grid)
    for at, panel in enumerate(grid.flat[: len(methods)]):  # the last of each column, where the last line is not full
        panel.xaxis.set_visible(at + columns >= len(methods))
        panel.xaxis.set_tick_params(labelbottom=True)
    for row in grid:
        row[0].set_ylabel("true class in")
    _bar(figure, left / WIDTH)
    lines.below(figure, WORDS)
    return figure


def many(flows: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """From the split of the true class (panel) to that of its hardest negative (column), a line for each method."""
    shown = [key for key in looks if key in set(flows["method"])]
    of = [looks[key] for key in shown]
    figure, panels, at = lines.of_methods(of, len(SPLITS), above=0.35, below=BELOW, wspace=0.06)
    of_true = dict(iter(flows.groupby("true")))
    for true, panel in zip(SPLITS, panels, strict=True):
        ratios = of_true[true].pivot(index="method", columns="negative", values="ratio")
        ratios = ratios.loc[shown, list(SPLITS)].to_numpy()
        lines.cells(panel, ratios, FLOW_COLOURS, NORM, at, said=_said(of, [true] * len(of), ratios))
        _numbers(panel, ratios, at, SMALL)
        panel.set_xticks(range(len(SPLITS)), SPLITS, fontsize=SMALL)
        panel.set_title(f"true class in {true}")
    _bar(figure, panels[0].get_position().x0)
    lines.below(figure, WORDS)
    return figure


def _said(looks: Sequence[Look], true: Sequence[str], ratios: np.ndarray) -> list[str]:
    """Of each cell, row by row: 'RIDE: from few to many 1.58 times what is expected'."""
    return [
        f"{printable(look.label)}: from {of} to {negative} {ratio:.2f} times what is expected"
        if np.isfinite(ratio)
        else ""
        for look, of, row in zip(looks, true, ratios, strict=True)
        for negative, ratio in zip(SPLITS, row, strict=True)
    ]


def _numbers(panel: Axes, ratios: np.ndarray, at: Sequence[int] | np.ndarray, points: float) -> None:
    """The number of each cell, legible on its colour."""
    for (i, j), ratio in np.ndenumerate(ratios):
        share = float(NORM(max(ratio, 1e-9))) if np.isfinite(ratio) else 0.5
        words = (f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}") if np.isfinite(ratio) else "-"
        colour = legible(colormaps[FLOW_COLOURS](share))
        panel.text(j, float(at[i]), words, ha="center", va="center", color=colour, fontsize=points)


def _bar(figure: Figure, left: float) -> None:
    """What the colours are, above the words below."""
    height, ends = figure.get_figheight(), np.log2(FLOW_MOST)
    bar = figure.add_axes((left, 0.42 / height, 0.4, 0.09 / height), label="bar")
    bar.pcolormesh(np.linspace(-ends, ends, 102), [0, 1], np.linspace(0, 1, 101)[None], cmap=FLOW_COLOURS)
    bar.set_yticks([])
    powers = np.arange(-ends, ends + 1)
    bar.set_xticks(powers, [f"{2**p:g}" if p >= 0 else f"1/{2**-p:g}" for p in powers], fontsize=SMALL)
    bar.tick_params(length=0, pad=1)
    bar.spines[:].set_visible(False)
    bar.annotate(
        "more than expected", (1, 0.5), xytext=(4, 0), xycoords="axes fraction", textcoords="offset points", va="center"
    )
