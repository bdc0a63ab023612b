"""What do the tables look like? Each function takes a finished table and gives a figure; nothing is computed here."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ltbv.report import lines
from ltbv.report.evidence import GROUPS, SPLITS
from ltbv.report.hover import estimated, hover
from ltbv.report.names import wrapped
from ltbv.report.style import FLOW_COLOURS, FLOW_MOST, GREY, WIDTH, Look, hide_inner_axes

QUANTITIES = ("bias", "variance")
LEGEND_LETTERS, HANDLE_LETTERS = 108, 8  # letters of 8 points across WIDTH; the room of a line and the gap after it
FLOWS_BESIDE = 3
TITLE_LETTERS = 80
ROOT_TICKS = (0, 1, 4, 10, 20, 40)


def bias_variance(splits: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Bias and variance by split, a point with its interval for each method."""
    legend = ["\n".join(wrapped(look.label, LEGEND_LETTERS // 2 - HANDLE_LETTERS, 2)) for look in looks.values()]
    columns = _columns([max(map(len, label.split("\n"))) for label in legend])
    lines = sum(max(label.count("\n") + 1 for label in legend[i : i + columns]) for i in range(0, len(legend), columns))
    figure = Figure((WIDTH, 2.6 + 0.15 * lines), layout="constrained")
    panels = figure.subplots(1, len(QUANTITIES), sharey=True)
    for panel, quantity in zip(panels, QUANTITIES, strict=True):
        _draw_groups(panel, splits[splits["quantity"] == quantity], looks)
        panel.set_title(f"{quantity.capitalize()} (lower is better)", loc="left")
    _limit_to_shares(panels[0])
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=4, linewidth=1, label=label)
        for look, label in zip(looks.values(), legend, strict=True)
    ]
    by_column = [handle for column in range(columns) for handle in handles[column::columns]]
    figure.legend(handles=by_column, loc="outside upper left", ncols=columns, columnspacing=1.5, handlelength=1.5)
    return figure


def _draw_groups(panel: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    step = 0.75 / max(len(looks), 3)
    for i, (method, look) in enumerate(looks.items()):
        own = rows[rows["method"] == method].set_index("group").reindex(GROUPS)
        at = np.arange(len(GROUPS)) + (i - (len(looks) - 1) / 2) * step
        panel.vlines(at, own["low"], own["high"], color=look.colour, linewidth=1)
        (marks,) = panel.plot(at, own["estimate"], look.marker, color=look.colour, markersize=3.5)
        known = own.dropna(subset="estimate").reset_index().to_dict("records")
        hover(marks, *(estimated(look.label, row) for row in known))
    if rows["estimate"].isna().all():
        _say(panel, "unknown with so few runs")
    panel.axvline(0.5, color="#BBBBBB", linewidth=0.6)
    panel.set_xticks(range(len(GROUPS)), GROUPS)
    panel.set_xlim(-0.5, len(GROUPS) - 0.5)
    panel.tick_params(axis="x", length=0)
    panel.grid(axis="y")
    panel.set_axisbelow(True)


def _limit_to_shares(panel: Axes) -> None:
    """Intervals of few runs reach far beyond 0 and 1: the axis need not; nor need it magnify rounding."""
    low, high = panel.get_ylim()
    middle = (low + high) / 2
    panel.set_ylim(max(min(low, middle - 0.1), -0.1), min(max(high, middle + 0.1), 1.1))


def _say(panel: Axes, text: str) -> None:
    """Words in place of what cannot be drawn."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color=GREY, backgroundcolor="white")


def _columns(letters: list[int]) -> int:
    """How many columns of a legend fit across the page, for names of so many letters, read row by row."""

    def fits(columns: int) -> bool:
        widest = [max(letters[column::columns]) for column in range(columns)]
        return sum(widest) + HANDLE_LETTERS * columns <= LEGEND_LETTERS

    return next(columns for columns in range(len(letters), 0, -1) if columns == 1 or fits(columns))


def hardest_negatives(histogram: pd.DataFrame, table: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Largest softmax score of the wrong classes, by split: each method in colour over the reference in grey.

    Lines stand at the means, bars across them are their intervals. Wang et al., ICLR 2021, Figure 1b.
    """
    means = {(row["method"], row["group"]): row for row in table[table["quantity"] == "mean"].to_dict("records")}
    reference, *others = looks
    methods = [key for key in others if (key, SPLITS[0]) in means] or [reference]
    grey = [reference] if (reference, SPLITS[0]) in means else []  # of the reference, labels alone may be known
    height = 0.98 + 1.35 * len(methods)
    figure = Figure((WIDTH, height))
    grid = figure.subplots(len(methods), len(SPLITS), sharex=True, sharey=True, squeeze=False)
    # by hand: names stand over their panels, so there is nothing to fit and half a second is saved
    figure.subplots_adjust(0.5 / WIDTH, 0.5 / height, 1 - 0.12 / WIDTH, 1 - 0.48 / height, wspace=0.08, hspace=0.3)
    highest = histogram["density"].max()
    # Where a network is sure, nine scores of ten lie in the first or last bin; on a plain scale one sees nothing else.
    grid[0, 0].set_yscale("function", functions=(_root, np.square))
    grid[0, 0].set_xlim(0, 1)
    grid[0, 0].set_ylim(0, 1.05 * highest if highest > 0 else 1)
    densities = {
        of: (np.append(own["left"], own["right"].iloc[-1]), own["density"].to_numpy())
        for of, own in histogram.groupby(["method", "group"])
    }
    for method, row in zip(methods, grid, strict=True):
        for split, panel in zip(SPLITS, row, strict=True):
            for level, key in enumerate(dict.fromkeys((*grey, method))):
                _draw_histogram(panel, *densities[key, split], looks[key], filled=key == reference)
                _draw_mean(panel, means[key, split], looks[key], height=0.96 - 0.08 * level)
            if all(np.isnan(densities[key, split][1]).all() for key in (*grey, method)):
                _say(panel, "no test points")
        row[0].set_title(wrapped(looks[method].label, TITLE_LETTERS, 1)[0], loc="left", fontsize=9)
        row[0].set_ylabel("density (root scale)")
    for split, panel in zip(SPLITS, grid[0], strict=True):
        panel.annotate(
            split, (0.5, 1), xytext=(0, 18), xycoords="axes fraction", textcoords="offset points", ha="center"
        )
    hide_inner_axes(grid)
    grid[0, 0].set_yticks([tick for tick in ROOT_TICKS if tick < highest])
    grid[0, 0].xaxis.set_major_formatter("{x:g}")
    behind = "".join(f" Grey: {wrapped(looks[key].label, TITLE_LETTERS // 3, 1)[0]}." for key in grey)
    figure.supxlabel(
        f"Largest softmax score of a wrong class.{behind} Dashed: means with their intervals",
        fontsize=8,
        y=0.06 / height,
        va="bottom",
    )
    return figure


def flow(flows: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """From the split of the true class (row) to that of its hardest negative (column), a square for each method.

    Colour and number: times what would flow if all wrong classes were equally likely.
    """
    methods = [key for key in looks if key in set(flows["method"])]
    columns = min(len(methods), FLOWS_BESIDE)
    tall = -(-len(methods) // columns)
    height = 0.72 + 1.5 * tall
    figure = Figure((WIDTH, height))
    grid = figure.subplots(tall, FLOWS_BESIDE, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(0.82 / WIDTH, 0.5 / height, 1 - 0.08 / WIDTH, 1 - 0.22 / height, wspace=0.06, hspace=0.2)
    of_method = {
        key: own.pivot(index="true", columns="negative", values="ratio") for key, own in flows.groupby("method")
    }
    for panel in grid.flat[len(methods) :]:
        panel.set_axis_off()
    for panel, key in zip(grid.flat, methods, strict=False):
        ratios = of_method[key].loc[list(SPLITS), list(SPLITS)].to_numpy()
        lines.cells(panel, ratios, FLOW_COLOURS, LogNorm(1 / FLOW_MOST, FLOW_MOST, clip=True))
        for (i, j), ratio in np.ndenumerate(ratios):
            dark = max(ratio, 1 / ratio) > FLOW_MOST**0.5 if ratio > 0 else True
            words = f"{ratio:.2f}" if np.isfinite(ratio) else "-"
            panel.text(j, i, words, ha="center", va="center", color="white" if dark else "black")
        panel.set_title(wrapped(looks[key].label, TITLE_LETTERS // FLOWS_BESIDE, 1)[0], loc="left", fontsize=9)
    grid[0, 0].set_ylim(len(SPLITS) - 0.5, -0.5)
    grid[0, 0].set_xticks(range(len(SPLITS)), SPLITS)
    grid[0, 0].set_yticks(range(len(SPLITS)), SPLITS)
    hide_inner_axes(grid)
    for at, panel in enumerate(grid.flat[: len(methods)]):  # the last of each column, where the last line is not full
        panel.xaxis.set_visible(at + columns >= len(methods))
        panel.xaxis.set_tick_params(labelbottom=True)
    for row in grid:
        row[0].set_ylabel("true class in")
    figure.supxlabel(
        "Hardest negative in. Numbers: times the softmax mass that equally likely wrong classes would take",
        fontsize=8,
        y=0.06 / height,
        va="bottom",
    )
    return figure


def _root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(values, 0))


def _draw_histogram(panel: Axes, edges: np.ndarray, density: np.ndarray, look: Look, *, filled: bool) -> None:
    if np.isnan(density).all():
        return
    if filled:
        panel.stairs(density, edges, fill=True, color=look.colour, alpha=0.35, linewidth=0)
    else:
        panel.stairs(density, edges, color=look.colour, linewidth=1.1)


def _draw_mean(panel: Axes, mean: Mapping[str, float], look: Look, *, height: float) -> None:
    along = {"color": look.colour, "transform": panel.get_xaxis_transform()}
    panel.plot([mean["estimate"]] * 2, [0, 1], linewidth=0.9, linestyle=(0, (4, 2)), **along)
    panel.plot([mean["low"], mean["high"]], [height] * 2, linewidth=2.2, solid_capstyle="butt", **along)
