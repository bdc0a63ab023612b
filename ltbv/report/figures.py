"""What do the tables look like? Each function takes a finished table and gives a figure; nothing is computed here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, SHOWN, SPLITS
from ltbv.report.hover import estimated, hover
from ltbv.report.lines import FARTHEST, reach
from ltbv.report.names import wrapped
from ltbv.report.style import GREY, PAPER, RULE, TINY, WIDTH, Look, fitted, hide_inner_axes
from ltbv.report.written import short

LEGEND_LETTERS, HANDLE_LETTERS = 108, 8  # letters of 8 points across WIDTH; the room of a line and the gap after it
LEAST = 0.02  # an axis need not magnify rounding
ROOT_TICKS = (0, 1, 4, 10, 20, 40)


def bias_variance(splits: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Accuracy, bias and variance by split: a point with its interval for each method, hollow where a caution (`why`)
    stands at it. What few methods lie far from is an arrow at the edge, with its value: see `far`."""
    legend = ["\n".join(wrapped(look.label, LEGEND_LETTERS // 2 - HANDLE_LETTERS, 2)) for look in looks.values()]
    columns = _columns([max(map(len, label.split("\n"))) for label in legend])
    lines = sum(max(label.count("\n") + 1 for label in legend[i : i + columns]) for i in range(0, len(legend), columns))
    figure = Figure((WIDTH, 2.6 + 0.15 * lines), layout="constrained")
    panels = figure.subplots(1, len(SHOWN))
    panels[2].sharey(panels[1])
    shares = splits["quantity"].isin(SHOWN[1:])  # of one axis
    held = [far(own, list(looks)) for own in (splits[splits["quantity"] == SHOWN[0]], splits[shares], splits[shares])]
    for panel, quantity, ends in zip(panels, SHOWN, held, strict=True):
        draw_groups(panel, splits[splits["quantity"] == quantity], looks, ends)
        better = "higher" if quantity in HIGHER_IS_BETTER else "lower"
        unit = ", %" if quantity == "accuracy" else ""
        panel.set_title(f"{quantity.capitalize()}{unit} ({better} is better)", loc="left")
    for panel, ends in zip(panels[:2], held, strict=False):
        if ends is None:
            _limit_to_shares(panel)
    if any(held):
        figure.supxlabel("Arrows: beyond the axis, with the value", fontsize=8)
    panels[0].yaxis.set_major_formatter(percent)
    panels[2].tick_params(axis="y", labelleft=False)
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=4, linewidth=1, label=label)
        for look, label in zip(looks.values(), legend, strict=True)
    ]
    by_column = [handle for column in range(columns) for handle in handles[column::columns]]
    figure.legend(handles=by_column, loc="outside upper left", ncols=columns, columnspacing=1.5, handlelength=1.5)
    return figure


def percent(share: float, place: float | None = None) -> str:
    """How an axis writes a share in percent."""
    del place
    return f"{100 * share:g}"


def far(rows: pd.DataFrame, methods: Sequence[str]) -> tuple[float, float] | None:
    """The ends of an axis without a quarter of the methods at most, those farthest out, where all of them (the
    reference, the first, among them) need one more than FARTHEST times as wide; None where they do not."""
    known = rows[np.isfinite(rows["estimate"])]
    low, high = (known[end].fillna(known["estimate"]).clip(-0.1, 1.1) for end in ("low", "high"))
    middle = known["estimate"].median()
    away = np.maximum(middle - low, high - middle).groupby(known["method"]).max().drop(methods[0], errors="ignore")
    for number in range(1, len(methods) // 4 + 1):
        kept = ~known["method"].isin(away.sort_values(ascending=False, kind="stable").index[:number])
        if high.max() - low.min() > FARTHEST * max(high[kept].max() - low[kept].min(), LEAST):
            return reach(low[kept], high[kept], least=LEAST, limits=(-0.1, 1.1))
    return None


def draw_groups(
    panel: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], ends: tuple[float, float] | None = None
) -> None:
    """`ends` of the axis, where some estimates may lie beyond it."""
    if ends:
        panel.set_ylim(*ends)
    beyond: Counter[tuple[int, bool]] = Counter()  # group, above -> how many arrows
    step = 0.8 / max(len(looks), 3)
    for i, (method, look) in enumerate(looks.items()):
        own = rows[rows["method"] == method].set_index("group").reindex(GROUPS)
        at = np.arange(len(GROUPS)) + (i - (len(looks) - 1) / 2) * step
        panel.vlines(at, own["low"], own["high"], color=look.colour, linewidth=1)
        for group, (place, row) in enumerate(zip(at, own.reset_index().to_dict("records"), strict=True)):
            if ends and np.isfinite(row["estimate"]) and not ends[0] <= row["estimate"] <= ends[1]:
                above = bool(row["estimate"] > ends[1])
                hover(_beyond(panel, place, ends[above], look, row, beyond[group, above]), estimated(look.label, row))
                beyond[group, above] += 1
                continue
            shown: dict[str, Any] = {
                "color": look.colour,
                "mfc": PAPER if row["why"] else look.colour,
                "mew": 0.8,
                "markersize": 3.5,
            }
            (mark,) = panel.plot([place], [row["estimate"]], look.marker, **shown)
            if np.isfinite(row["estimate"]):
                hover(mark, estimated(look.label, row))
    if rows["estimate"].isna().all():
        _say(panel, "unknown with so few runs")
    panel.axvline(0.5, color=RULE, linewidth=0.6)
    panel.set_xticks(range(len(GROUPS)), GROUPS)
    panel.set_xlim(-0.5, len(GROUPS) - 0.5)
    panel.tick_params(axis="x", length=0)
    panel.grid(axis="y")
    panel.set_axisbelow(True)


def _beyond(panel: Axes, x: float, edge: float, look: Look, row: Mapping[str, Any], before: int) -> Line2D:
    """An arrow at the end of the axis that a value lies beyond; the value beside it, below those of others `before`."""
    above = row["estimate"] > edge
    (arrow,) = panel.plot([x], [edge], "^" if above else "v", color=look.colour, markersize=3, clip_on=False)
    panel.annotate(
        short(row["estimate"], row["quantity"]),
        (x, edge),
        xytext=(0, (-1 if above else 1) * (7 + 7 * before)),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=TINY,
        color=look.colour,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.3},
    )
    return arrow


def _limit_to_shares(panel: Axes) -> None:
    """Intervals of few runs reach far beyond 0 and 1: the axis need not; nor need it magnify rounding."""
    low, high = panel.get_ylim()
    middle = (low + high) / 2
    panel.set_ylim(max(min(low, middle - 0.1), -0.1), min(max(high, middle + 0.1), 1.1))


def _say(panel: Axes, text: str) -> None:
    """Words in place of what cannot be drawn."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color=GREY, backgroundcolor=PAPER)


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
        row[0].set_title(fitted(looks[method].label, WIDTH - 0.7, 9), loc="left", fontsize=9)
        row[0].set_ylabel("density (root scale)")
    for split, panel in zip(SPLITS, grid[0], strict=True):
        panel.annotate(
            split, (0.5, 1), xytext=(0, 18), xycoords="axes fraction", textcoords="offset points", ha="center"
        )
    hide_inner_axes(grid)
    grid[0, 0].set_yticks([tick for tick in ROOT_TICKS if tick < highest])
    grid[0, 0].xaxis.set_major_formatter("{x:g}")
    behind = "".join(f" Grey: {fitted(looks[key].label, 1.8, 8)}." for key in grey)
    figure.supxlabel(
        f"Largest softmax score of a wrong class.{behind} Dashed: means with their intervals",
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


def _draw_mean(panel: Axes, mean: Mapping[str, Any], look: Look, *, height: float) -> None:
    along: dict[str, Any] = {"color": look.colour, "transform": panel.get_xaxis_transform()}
    (line,) = panel.plot([mean["estimate"]] * 2, [0, 1], linewidth=0.9, linestyle=(0, (4, 2)), **along)
    hover(line, estimated(look.label, mean))
    panel.plot([mean["low"], mean["high"]], [height] * 2, linewidth=2.2, solid_capstyle="butt", **along)
