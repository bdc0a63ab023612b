"""How do tables of many methods look? One line a method, named at its left, in place of a panel or a colour each.

The same four figures as in `figures` and `curves`, for more methods than one tells apart by colour; they grow by a line
a method and still fit a printed page with forty. Nothing is computed here.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ltbv.report.curves import along, at_places
from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, SHOWN, SPLITS
from ltbv.report.hover import estimated, hover
from ltbv.report.names import shortened
from ltbv.report.style import FLOW_COLOURS, FLOW_MOST, GREY, WIDTH, Look

MOST_BY_COLOUR = 8  # methods; beyond, a line each
LINE, NAMES, LETTERS = 0.17, 2.1, 38  # inches of a line, inches of its name, letters of it
SMALL, LETTER = 7, 0.062  # points, and the inches that a letter of that size takes
GUIDE, REFERENCE = "#E4E4EA", "#999999"
BETTER_WORSE = "RdBu"  # blue: better, red: worse
SHADES = (0.1, 0.2, 0.5, 1.0)  # the ends of a colour bar: the least that holds all differences


def are_many(looks: Mapping[str, Look]) -> bool:
    """More methods than one tells apart by colour?"""
    return len(looks) > MOST_BY_COLOUR


def grid(
    names: Sequence[str], columns: int, *, above: float = 0.5, below: float = 0.45, wspace: float = 0.1
) -> tuple[Figure, np.ndarray]:
    """A figure with a line for each name, in `columns` panels side by side; `above` and `below` are inches of room."""
    height = above + LINE * len(names) + below
    figure = Figure((WIDTH, height))
    panels = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    figure.subplots_adjust(NAMES / WIDTH, below / height, 1 - 0.1 / WIDTH, 1 - above / height, wspace=wspace)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    panels[0].set_yticks(range(len(names)), [shortened(name, LETTERS) for name in names], fontsize=SMALL)
    for panel in panels:
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
    for panel in panels[1:]:
        panel.yaxis.set_visible(False)
    return figure, panels


def guide(panel: Axes, at: Sequence[float]) -> None:
    """Thin lines that lead the eye from a name to its marks."""
    panel.hlines(at, 0, 1, transform=panel.get_yaxis_transform(), color=GUIDE, linewidth=0.6, zorder=0)


def few_ticks(panel: Axes, low: float, high: float) -> None:
    """The axis from `low` to `high`, with two ticks, or one where two would touch or reach into the next panel."""
    panel.set_xlim(low, high)
    wide = panel.get_position().width * WIDTH
    fitting: list[list[tuple[float, str]]] = []
    for bins in range(1, 9):
        ticks = [(tick, _short(tick)) for tick in MaxNLocator(bins).tick_values(low, high)]
        room = {tick: wide * (tick - low) / (high - low) for tick, _ in ticks}
        inside = [(t, text) for t, text in ticks if _half(text) <= min(room[t], wide - room[t])]
        if len(inside) > 1:
            (first, one), (last, other) = inside[0], inside[-1]
            if room[last] - room[first] >= _half(one) + _half(other) + LETTER:
                fitting.append([inside[0], inside[-1]])
        fitting += [[one] for one in inside[:1]]
    chosen = max(fitting, key=len, default=[])
    panel.set_xticks([tick for tick, _ in chosen], [text for _, text in chosen], fontsize=SMALL)


def _short(tick: float) -> str:
    text = f"{tick:.10g}"
    return text.replace("0.", ".", 1) if abs(tick) < 1 else text


def _half(text: str) -> float:
    """Half the width of a tick's label, in inches."""
    return LETTER * len(text) / 2


def reach(*ends: pd.Series, least: float, limits: tuple[float, float]) -> tuple[float, float]:
    """From the lowest to the highest finite value, `least` wide or more, a little beyond them, within the limits."""
    values = np.concatenate([np.asarray(end, float) for end in ends])
    values = values[np.isfinite(values)]
    if not values.size:
        return limits
    low, high = values.min(), values.max()
    pad = max(0.05 * (high - low), (least - (high - low)) / 2)
    low, high = max(low - pad, limits[0]), min(high + pad, limits[1])
    return (low, high) if high > low else limits


def over(figure: Figure, panels: Sequence[Axes], text: str, *, above: float = 19) -> None:
    """Words over several panels."""
    first, last = panels[0].get_position(), panels[-1].get_position()
    top = first.y1 + above / 72 / figure.get_figheight()
    figure.text((first.x0 + last.x1) / 2, top, text, ha="center", va="bottom")


def below(figure: Figure, text: str) -> None:
    """What is needed to read the marks, under the panels."""
    figure.supxlabel(text, fontsize=8, y=0.06 / figure.get_figheight(), va="bottom")


def bias_variance(splits: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Bias and variance by split: a point with its interval for each method, a dashed line through the reference."""
    figure, panels = grid([look.label for look in looks.values()], 2 * len(GROUPS))
    of_panel = dict(iter(splits.groupby(["quantity", "group"])))
    at = np.arange(len(looks))
    for quantity, side in (("bias", panels[: len(GROUPS)]), ("variance", panels[len(GROUPS) :])):
        over(figure, side, f"{quantity.capitalize()} (lower is better)")
        for group, panel in zip(GROUPS, side, strict=True):
            own = of_panel[quantity, group].set_index("method").loc[list(looks)]
            panel.set_title(group)
            points(panel, at, own, looks.values())
            panel.axvline(own["estimate"].iloc[0], color=REFERENCE, linewidth=0.8, linestyle=(0, (4, 2)), zorder=0.5)
            few_ticks(panel, *reach(own["low"], own["high"], own["estimate"], least=0.02, limits=(-0.1, 1.1)))
    below(figure, f"Dashed: {shortened(next(iter(looks.values())).label, LETTERS)}. Every panel has its own scale")
    return figure


def points(panel: Axes, at: np.ndarray, rows: pd.DataFrame, looks: Sequence[Look]) -> None:
    """An estimate with its interval on each line."""
    guide(panel, at)
    looks = list(looks)
    panel.hlines(at, rows["low"], rows["high"], color=[look.colour for look in looks], linewidth=1)
    for y, row, look in zip(at, rows.to_dict("records"), looks, strict=True):
        (mark,) = panel.plot([row["estimate"]], [y], look.marker, color=look.colour, markersize=3.5)
        hover(mark, estimated(look.label, row))


def hardest_negatives(table: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Where the scores of hardest negatives lie, by split: quantiles as lines, the mean as a point."""
    shown = {key: look for key, look in looks.items() if key in set(table["method"])}
    figure, panels = grid([look.label for look in shown.values()], len(SPLITS), above=0.35)
    at = np.arange(len(shown))
    colours = [look.colour for look in shown.values()]
    of_panel = dict(iter(table.groupby(["group", "quantity"])))
    for split, panel in zip(SPLITS, panels, strict=True):
        of = {
            name: of_panel[split, name].set_index("method")["estimate"].loc[list(shown)]
            for name in ("mean", *(f"quantile_{share:g}" for share in (0.1, 0.25, 0.5, 0.75, 0.9)))
        }
        guide(panel, at)
        panel.hlines(at, of["quantile_0.1"], of["quantile_0.9"], color=colours, linewidth=0.8)
        panel.hlines(at, of["quantile_0.25"], of["quantile_0.75"], color=colours, linewidth=3, alpha=0.6)
        panel.vlines(of["quantile_0.5"], at - 0.35, at + 0.35, color="black", linewidth=0.9)
        for y, mean, look in zip(at, of["mean"], shown.values(), strict=True):
            panel.plot([mean], [y], look.marker, color=look.colour, markersize=3.5, mfc="white", mew=0.8)
        panel.set_title(split)
        panel.set_xlim(-0.02, 1.02)
        panel.set_xticks([0.25, 0.5, 0.75], [".25", ".5", ".75"], fontsize=SMALL)
    below(figure, "Largest softmax score of a wrong class. Lines: 10 to 90 % and 25 to 75 %, bar: median, point: mean")
    return figure


def flow(flows: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """From the split of the true class (panel) to that of its hardest negative (column); as in `figures.flow`."""
    shown = [key for key in looks if key in set(flows["method"])]
    figure, panels = grid([looks[key].label for key in shown], len(SPLITS), above=0.35, wspace=0.06)
    norm = LogNorm(1 / FLOW_MOST, FLOW_MOST, clip=True)
    of_true = dict(iter(flows.groupby("true")))
    for true, panel in zip(SPLITS, panels, strict=True):
        ratios = of_true[true].pivot(index="method", columns="negative", values="ratio")
        ratios = ratios.loc[shown, list(SPLITS)].to_numpy()
        cells(panel, ratios, FLOW_COLOURS, norm)
        for (i, j), ratio in np.ndenumerate(ratios):
            dark = max(ratio, 1 / ratio) > FLOW_MOST**0.5 if ratio > 0 else True
            words = f"{ratio:.2f}" if np.isfinite(ratio) else "-"
            panel.text(j, i, words, ha="center", va="center", color="white" if dark else "black", fontsize=SMALL)
        panel.set_xticks(range(len(SPLITS)), SPLITS, fontsize=SMALL)
        panel.set_title(f"true class in {true}")
    below(figure, "Hardest negative in. Numbers: times the softmax mass that equally likely wrong classes would take")
    return figure


def cells(panel: Axes, values: np.ndarray, colours: str, norm: Normalize) -> None:
    """A coloured cell for each line (row of `values`) and column, centred on whole numbers."""
    rows, columns = values.shape
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    panel.pcolormesh(*edges, values, cmap=colours, norm=norm, edgecolor="white", linewidth=0.4)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.set_xlim(-0.5, columns - 0.5)


def by_class(curves: pd.DataFrame, profile: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Along the tail: how much each method differs from the reference in neighbouring classes, most images at the left.

    Blue is better and red worse, whether it is accuracy or bias.
    """
    reference, *others = looks
    figure, panels = grid([looks[key].label for key in others], 3, above=0.35, below=0.85, wspace=0.05)
    largest = curves["reference_difference"].abs().max()
    most = next((shade for shade in SHADES if not largest > shade), SHADES[-1])
    of = dict(iter(curves.groupby("quantity")))
    for quantity, panel in zip(SHOWN, panels, strict=True):
        wide = of[quantity].pivot(index="method", columns="first", values="reference_difference").loc[others]
        sign = 1 if quantity in HIGHER_IS_BETTER else -1
        cells(panel, sign * wide.to_numpy(float), BETTER_WORSE, Normalize(-most, most))
        bins = of[quantity][of[quantity]["method"] == others[0]]
        last = len(bins) - 1
        ends = at_places(profile, (0, -1))
        panel.set_xticks([0, last] if last else [0], ends[: last + 1], fontsize=SMALL)
        for label, side in zip(panel.get_xticklabels(), ("left", "right"), strict=False):
            label.set_horizontalalignment(side)
        panel.set_title(quantity)
        splits = profile["split"].iloc[bins["first"]].to_numpy()
        panel.vlines(np.flatnonzero(splits[1:] != splits[:-1]) + 0.5, -0.5, len(others) - 0.5, color=GREY, linewidth=1)
    height = figure.get_figheight()
    bar = figure.add_axes((NAMES / WIDTH, 0.42 / height, 1.4 / WIDTH, 0.09 / height))
    shades = np.linspace(-1, 1, 41)
    bar.pcolormesh(np.linspace(-most, most, 42), (0, 1), shades[None], cmap=colormaps[BETTER_WORSE])
    bar.set_yticks([])
    bar.set_xticks([-most, 0, most], [f"{most:g} worse", "0", f"{most:g} better"], fontsize=SMALL)
    bar.tick_params(length=0, pad=1)
    grey = shortened(looks[reference].label, LETTERS)
    below(figure, f"{along(profile)}. Colour: better or worse than {grey}")
    return figure
