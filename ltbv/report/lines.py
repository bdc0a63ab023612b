"""How do tables of many methods look? One line a method, named at its left, in place of a panel or a colour each.

The same figures as in `figures` and `curves`, for more methods than one tells apart by colour; they grow by a line
a method and still fit a printed page with forty. Nothing is computed here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ltbv.report.curves import along, at_places
from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, SHOWN, SPLITS
from ltbv.report.hover import differing, estimated, hover
from ltbv.report.names import printable
from ltbv.report.style import (
    GREY,
    GUIDE,
    INK,
    MOST_BY_COLOUR,
    PAPER,
    RULE,
    SMALL,
    TINY,
    UNJUDGED_COLOUR,
    WIDTH,
    Look,
    fitted,
    inches,
)
from ltbv.report.written import short

LINE, WIDEST_NAME, ASIDE = 0.17, 2.4, 0.1  # inches of a line, of its name at most, and beside it
BETWEEN = 0.14  # inches between blocks of panels
LETTER = 0.062  # inches that a letter of SMALL size takes
HELD, FARTHEST = 0.9, 1.5  # share of the methods that an axis holds at least; it holds all that reach so far beyond
MOST_WHOLE, BRIEF = 1000, 16  # cells that say all there is on hover; letters of a label in one that does not
BETTER_WORSE = "RdBu"  # blue: better, red: worse
SHADES = (0.1, 0.2, 0.5, 1.0)  # the ends of a colour bar: the least that holds HELD of the differences


def are_many(looks: Mapping[str, Look]) -> bool:
    """More methods than one tells apart by colour?"""
    return len(looks) > MOST_BY_COLOUR


def of_methods(looks: Sequence[Look], columns: int, **rooms: Any) -> tuple[Figure, np.ndarray, np.ndarray]:
    """A figure with a line for each method, its panels, and the places of the lines; each kind under a heading."""
    headings, places = [], []
    at = 0
    for i, look in enumerate(looks):
        if look.kind and look.kind != looks[i - 1].kind:
            headings.append((at, look))
            at += 1
        places.append(at)
        at += 1
    figure, panels, left = grid([look.label for look in looks], places, at, columns, **rooms)
    for place, look in headings:
        panels[0].annotate(
            fitted(look.kind, left, 8),
            (0, place),
            xytext=(-72 * left, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    return figure, panels, np.array(places)


def grid(
    names: Sequence[str],
    places: Sequence[float],
    lines: float,
    columns: int,
    *,
    above: float = 0.5,
    below: float = 0.45,
    wspace: float = 0.1,
    blocks: int = 1,
) -> tuple[Figure, np.ndarray, float]:
    """A figure of so many `lines`, in `columns` panels side by side, with names at some places, and the inches that
    these may take; `above` and `below` are inches of room. Panels are in so many `blocks` with a wider gap between."""
    height = above + LINE * lines + below
    figure = Figure((WIDTH, height))
    panels = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    shown = [fitted(name, WIDEST_NAME, SMALL) for name in names]
    left = max(1.2, *(inches(name, SMALL) for name in shown))
    beside = (left + 2 * ASIDE) / WIDTH
    figure.subplots_adjust(beside, below / height, 1 - 0.12 / WIDTH, 1 - above / height, wspace=wspace)
    _apart(panels, blocks)
    panels[0].set_ylim(lines - 0.5, -0.5)
    panels[0].set_yticks(places, shown, fontsize=SMALL)
    for panel in panels:
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
    for panel in panels[1:]:
        panel.yaxis.set_visible(False)
    return figure, panels, left + ASIDE


def _apart(panels: Sequence[Axes] | np.ndarray, blocks: int) -> None:
    """Panels a little narrower, so that between blocks there is BETWEEN more."""
    each, first = len(panels) // blocks, panels[0].get_position()
    whole = panels[-1].get_position().x1 - first.x0
    narrower = 1 - BETWEEN / WIDTH * (blocks - 1) / whole
    for at, panel in enumerate(panels if blocks > 1 else ()):
        was = panel.get_position()
        left = first.x0 + (was.x0 - first.x0) * narrower + at // each * BETWEEN / WIDTH
        panel.set_position((left, was.y0, was.width * narrower, was.height))


def guide(panel: Axes, at: Sequence[float] | np.ndarray) -> None:
    """Thin lines that lead the eye from a name to its marks: one path, which a page holds in a third of the bytes."""
    x, y = np.tile([0, 1, np.nan], len(at)), np.repeat(at, 3)
    panel.plot(x, y, transform=panel.get_yaxis_transform(), color=GUIDE, linewidth=0.6, zorder=0)


def few_ticks(panel: Axes, low: float, high: float, times: float = 1) -> None:
    """The axis from `low` to `high`, with two ticks, or one where two would touch or reach into the next panel; labels
    are `times` the value."""
    panel.set_xlim(low, high)
    wide = panel.get_position().width * WIDTH
    fitting: list[list[tuple[float, str]]] = []
    for bins in range(1, 9):
        ticks = [(tick, _short(times * tick)) for tick in MaxNLocator(bins).tick_values(low, high)]
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
    """Accuracy, bias and variance by split: a point with its interval for each method, a dashed line through the
    reference. What few methods lie far from is an arrow at the edge, with its value."""
    figure, panels, at = of_methods([*looks.values()], len(SHOWN) * len(GROUPS), wspace=0.16, blocks=len(SHOWN))
    of_panel = dict(iter(splits.groupby(["quantity", "group"])))
    for place, quantity in enumerate(SHOWN):
        side = panels[len(GROUPS) * place : len(GROUPS) * (place + 1)]
        better = "higher" if quantity in HIGHER_IS_BETTER else "lower"
        unit = ", %" if quantity == "accuracy" else ""
        over(figure, [*side], f"{quantity.capitalize()}{unit} ({better} is better)")
        for group, panel in zip(GROUPS, side, strict=True):
            own = of_panel[quantity, group].set_index("method").loc[list(looks)]
            panel.set_title(group, fontsize=SMALL)
            few_ticks(panel, *robust(own), 100 if quantity == "accuracy" else 1)
            points(panel, at, own.reset_index().assign(group=group, quantity=quantity), looks.values())
            reference = own["estimate"].iloc[0]
            panel.axvline(reference, color=RULE, linewidth=0.8, linestyle=(0, (4, 2)), zorder=0.5)
    name = fitted(next(iter(looks.values())).label, 2, 8)
    below(figure, f"Dashed: {name}. Every panel has its own scale; arrows: beyond it, with the value")
    return figure


def robust(rows: pd.DataFrame) -> tuple[float, float]:
    """The ends of an axis: those of the intervals of HELD of the methods, the reference (the first) among them, or of
    all where that is at most FARTHEST times as wide."""
    known = rows[np.isfinite(rows["estimate"])]
    if known.empty:
        return -0.1, 1.1
    low, high = (known[end].fillna(known["estimate"]) for end in ("low", "high"))
    middle = known["estimate"].median()
    far = np.maximum((low - middle).abs(), (high - middle).abs())
    kept = far.rank(method="first") <= np.ceil(HELD * len(known))
    kept.iloc[0] |= known.index[0] == rows.index[0]
    most = high[kept].max() - low[kept].min()
    if high.max() - low.min() <= FARTHEST * most:
        kept[:] = True
    return reach(low[kept], high[kept], least=0.02, limits=(-0.1, 1.1))


def points(panel: Axes, at: np.ndarray, rows: pd.DataFrame, looks: Iterable[Look]) -> None:
    """An estimate with its interval on each line: hollow where a caution stands at it, an arrow beyond the axis."""
    guide(panel, at)
    looks = list(looks)
    first, last = panel.get_xlim()
    panel.hlines(at, rows["low"], rows["high"], color=[look.colour for look in looks], linewidth=1)
    for y, row, look in zip(at, rows.to_dict("records"), looks, strict=True):
        estimate = row["estimate"]
        if not np.isfinite(estimate):
            continue
        if first <= estimate <= last:
            face = PAPER if row["why"] else look.colour
            shown: dict[str, Any] = {"color": look.colour, "mfc": face, "mew": 0.8, "markersize": 3.5, "clip_on": False}
            (mark,) = panel.plot([estimate], [y], look.marker, **shown)
        else:
            mark = beyond(panel, estimate, y, look.colour, short(estimate, row["quantity"]))
        hover(mark, estimated(look.label, row))


def beyond(panel: Axes, value: float, y: float, colour: str, text: str) -> Line2D:
    """An arrow at the end of the axis that a value lies beyond, and the value beside it."""
    first, last = panel.get_xlim()  # from left to right, also where the axis is reversed
    right = abs(value - last) < abs(value - first)
    edge, side, marker = (last, "right", ">") if right else (first, "left", "<")
    (arrow,) = panel.plot([edge], [y], marker, color=colour, markersize=3, clip_on=False)
    panel.annotate(
        text,
        (edge, y),
        xytext=(-4 if right else 4, 0),
        textcoords="offset points",
        ha=side,
        va="center_baseline",
        fontsize=TINY,
        color=UNJUDGED_COLOUR if colour == UNJUDGED_COLOUR else INK,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.3},
    )
    return arrow


def hardest_negatives(table: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Where the scores of hardest negatives lie, by split: quantiles as lines, the mean as a point."""
    shown = {key: look for key, look in looks.items() if key in set(table["method"])}
    figure, panels, at = of_methods([*shown.values()], len(SPLITS), above=0.35)
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
        panel.vlines(of["quantile_0.5"], at - 0.35, at + 0.35, color=INK, linewidth=0.9)
        for y, mean, look in zip(at, of["mean"], shown.values(), strict=True):
            (mark,) = panel.plot([mean], [y], look.marker, color=look.colour, markersize=3.5, mfc=PAPER, mew=0.8)
            hover(mark, f"{printable(look.label)}, {split}: mean {short(mean, 'mean')}")
        panel.set_title(split)
        panel.set_xlim(-0.02, 1.02)
        panel.set_xticks([0.25, 0.5, 0.75], [".25", ".5", ".75"], fontsize=SMALL)
    below(figure, "Largest softmax score of a wrong class. Lines: 10 to 90 % and 25 to 75 %, bar: median, point: mean")
    return figure


def cells(
    panel: Axes,
    values: np.ndarray,
    colours: str,
    norm: Normalize,
    at: np.ndarray | None = None,
    *,
    said: Sequence[str] = (),
) -> None:
    """A coloured cell for each line (row of `values`, at whole numbers `at`) and column, centred on whole numbers;
    `said` is what each says on hover, row by row."""
    texts = np.array(said or [""] * values.size, object).reshape(values.shape)
    if at is not None:  # lines between are empty
        spread, between = (np.full((max(at) + 1, values.shape[1]), of, object) for of in (np.nan, ""))
        spread[at], between[at] = values, texts
        values, texts = spread.astype(float), between
    rows, columns = values.shape
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    mesh = panel.pcolormesh(*edges, values, cmap=colours, norm=norm, edgecolor=PAPER, linewidth=0.4, clip_on=False)
    if said:
        hover(mesh, *texts.flat)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.set_xlim(-0.5, columns - 0.5)


def by_class(curves: pd.DataFrame, profile: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Along the tail: how much each method differs from the reference in neighbouring classes, most images at the left.

    Blue is better and red worse, whether it is accuracy or bias. The scale is one that holds HELD of the differences.
    """
    reference, *others = looks
    figure, panels, at = of_methods([looks[key] for key in others], 3, above=0.35, below=0.85, wspace=0.05)
    sizes = curves["reference_difference"].abs().dropna()
    most = next((shade for shade in SHADES if (sizes <= shade).mean() >= HELD), SHADES[-1])
    more = " or more" * bool((sizes > most).any())
    of = dict(iter(curves.groupby("quantity")))
    brief = len(curves) > MOST_WHOLE
    for quantity, panel in zip(SHOWN, panels, strict=True):
        wide = of[quantity].pivot(index="method", columns="first", values="reference_difference").loc[others]
        sign = 1 if quantity in HIGHER_IS_BETTER else -1
        own = {method: rows for method, rows in of[quantity].groupby("method")}
        said = [text for key in others for text in _bins_said(looks[key].label, own[key], profile, brief=brief)]
        cells(panel, sign * wide.to_numpy(float), BETTER_WORSE, Normalize(-most, most), at, said=said)
        bins = of[quantity][of[quantity]["method"] == others[0]]
        last = len(bins) - 1
        ends = at_places(profile, (0, -1))
        panel.set_xticks([0, last] if last else [0], ends[: last + 1], fontsize=SMALL)
        for label, side in zip(panel.get_xticklabels(), ("left", "right"), strict=False):
            label.set_horizontalalignment(side)
        panel.set_title(quantity)
        splits = profile["split"].iloc[bins["first"]].to_numpy()
        panel.vlines(np.flatnonzero(splits[1:] != splits[:-1]) + 0.5, -0.5, at[-1] + 0.5, color=GREY, linewidth=1)
    height = figure.get_figheight()
    bar = figure.add_axes((panels[0].get_position().x0, 0.42 / height, 2.2 / WIDTH, 0.09 / height), label="bar")
    shades = np.linspace(-1, 1, 41)
    bar.pcolormesh(np.linspace(-most, most, 42), (0, 1), shades[None], cmap=colormaps[BETTER_WORSE])
    bar.set_yticks([])
    bar.set_xticks([-most, 0, most], [f"{most:g}{more} worse", "0", f"{most:g}{more} better"], fontsize=SMALL)
    bar.tick_params(length=0, pad=1)
    grey = fitted(looks[reference].label, 2, 8)
    below(figure, f"{along(profile)}. Colour: better or worse than {grey}")
    return figure


def _bins_said(label: str, rows: pd.DataFrame, profile: pd.DataFrame, *, brief: bool = False) -> list[str]:
    """Of each bin of a method: 'RIDE, 38 to 29 images: bias −.249 (−.284 to −.214)'; ids where images are not known.

    brief   without the interval, and of a long label the beginning: a page holds thousands of these
    """
    if brief and len(label) > BRIEF:
        label = label[: BRIEF - 1].rstrip() + "…"
    unit = " images" if profile["train_count"].notna().all() else ""
    texts = []
    for row in rows.sort_values("first").to_dict("records"):
        ends = dict.fromkeys(at_places(profile, (row["first"], row["last"])))
        where = f"{'' if unit else 'class id '}{' to '.join(ends)}{unit}"
        ends_of = {"difference_low": np.nan} if brief else {}
        texts.append(differing(label, {**row, "group": where, **ends_of}))
    return texts
