"""How does a figure of the report get into a program, a notebook or a paper's own figure? One kind at a time.

What is drawn is what the report draws, of the same tables, by the same functions. pyplot is never imported, and
settings of matplotlib are as they were when it is done.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from ltbv.errors import Refusal, unknown
from ltbv.report import differences, figures, grid, gridfigure, hover, lines, themes, topics
from ltbv.report.evidence import HIGHER_IS_BETTER, SHOWN, SPLITS, Evidence
from ltbv.report.style import MOST_BY_COLOUR, SETTINGS, Look, house_style, looks, titled
from ltbv.report.topic import Looks, Tables
from ltbv.report.topics.splits import with_cautions
from ltbv.stats.measured import FEWEST_RUNS

COLUMN = 3.5  # inches: of a page with two
GRID, DIFFERENCES, BIAS_VARIANCE = "grid", "differences", "bias_variance"


@dataclass(frozen=True)
class Kind:
    """A figure of the report: the table that it is drawn from, what it shows, and what it cannot be drawn without."""

    table: str
    shows: str
    needs: str


KINDS = {
    GRID: Kind("grid", "accuracy, bias and variance by split, in numbers, with what may be said of each", ""),
    DIFFERENCES: Kind(
        "grid",
        "paired differences from the reference, by split",
        f"a second method, {FEWEST_RUNS} runs or more of both, and training counts",
    ),
    BIAS_VARIANCE: Kind("splits", "accuracy, bias and variance by split, with intervals", ""),
    "by_class": Kind("curves", "accuracy, bias and variance along the tail, class by class", ""),
    "counts": Kind("profile", "training images of each class", "training counts"),
    "hardest_negatives": Kind("histogram", "scores of hardest negatives", "scores and training counts"),
    "flow": Kind("flows", "which split the hardest negatives of each split are of", "scores and training counts"),
    "usage": Kind("usage", "how many experts a router asks", "a method with a router"),
    "additions": Kind("additions", "what a method adds to the one below it", "a method built on another of these"),
    "experts": Kind("families", "what more experts bring", "methods that differ in their number of experts"),
    "training": Kind("epochs", "loss and accuracy by epoch", "a study whose training is known"),
}
PANELS = (DIFFERENCES, BIAS_VARIANCE)  # kinds that have a panel for each quantity


class Shown(Figure):
    """A figure that a notebook shows, whether or not pyplot was ever imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def plot(
    tables: Tables,
    evidence: Evidence,
    kind: str = DIFFERENCES,
    *,
    quantity: str | None = None,
    ax: Axes | None = None,
    theme: str = themes.LIGHT,
) -> Figure:
    """See `result.Analysis.plot`."""
    _check(kind, quantity, ax, theme)
    order = [row.key for row in grid.grid(tables, evidence).rows]
    appearance = looks(evidence.names, {method.key: method.kind or grid.OTHER for method in evidence.methods})
    look = {key: appearance[key] for key in order}
    if ax is not None:
        assert quantity is not None
        before = set(ax.findobj())
        _panel(ax, kind, quantity, tables, evidence, look)
        _finish([artist for artist in ax.findobj() if artist not in before], theme)
        root = ax.get_figure(root=True)
        assert root is not None
        return root
    dpi = matplotlib.rcParams["figure.dpi"]
    with house_style():
        matplotlib.rcParams["figure.dpi"] = dpi  # how large a screen shows it is the reader's matter
        figure = _figure(kind, quantity, tables, evidence, look)
        _settle(figure)
        _finish(figure.findobj(), theme)
    figure.__class__ = Shown  # whoever draws knows of no notebook
    return figure


def _check(kind: Any, quantity: Any, ax: Any, theme: Any) -> None:
    named = [("kind of plot", kind, KINDS), ("theme", theme, themes.THEMES)]
    named += [] if quantity is None else [("quantity of a plot", quantity, SHOWN)]
    for what, name, known in named:
        if not isinstance(name, str) or name not in known:
            raise unknown(what, name, known)
    if quantity is not None and kind not in PANELS:
        raise Refusal(f"plot {kind!r} is one for all quantities; those with a panel for each are: {', '.join(PANELS)}")
    if ax is not None and not isinstance(ax, Axes):
        raise Refusal(f"ax is a {type(ax).__name__}: give matplotlib Axes, such as one of those of plt.subplots()")
    if ax is not None and kind not in PANELS:
        raise Refusal(f"plot {kind!r} is a figure of its own; those that go into ax are: {', '.join(PANELS)}")
    if ax is not None and quantity is None:
        raise Refusal(f"plot {kind!r} has a panel for each quantity, and ax holds one: give quantity too, {_or(SHOWN)}")


def _figure(kind: str, quantity: str | None, tables: Tables, evidence: Evidence, look: Looks) -> Figure:
    if kind == GRID:
        return gridfigure.draw(grid.grid(tables, evidence))
    if quantity is not None:
        return _alone(kind, quantity, tables, evidence, look)
    (draw,) = (topic.figures[KINDS[kind].table] for topic in topics.TOPICS if KINDS[kind].table in topic.figures)
    drawing = draw(tables, evidence, look) if len(tables.named[KINDS[kind].table]) else None
    if drawing is None or not drawing.figure.axes:
        raise _nothing(kind)
    return drawing.figure


def _alone(kind: str, quantity: str, tables: Tables, evidence: Evidence, look: Looks) -> Figure:
    """One panel as wide as a column, its legend above."""
    rows = len(look) - 1 if kind == DIFFERENCES else 0
    legend = 1 if kind == DIFFERENCES else len(look)
    figure = Figure((COLUMN, max(1.8, 0.6 + 0.4 * rows) + 0.15 * legend), layout="constrained")
    panel = figure.subplots()
    _panel(panel, kind, quantity, tables, evidence, look)
    handles, _ = panel.get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside upper left", ncols=len(SPLITS) if kind == DIFFERENCES else 1)
    return figure


def _panel(panel: Axes, kind: str, quantity: str, tables: Tables, evidence: Evidence, look: Looks) -> None:
    """A quantity of a kind. What a legend says is in the labels of lines without points."""
    (_differences if kind == DIFFERENCES else _bias_variance)(panel, quantity, tables, look)
    for handle in _told(kind, look, tables):
        panel.add_line(handle)
    for name in panel.get_yticklabels():
        name.set_parse_math(False)  # names may hold a $


def _differences(panel: Axes, quantity: str, tables: Tables, look: Looks) -> None:
    shown = tables.grid[tables.grid["group"].isin(SPLITS) & tables.grid["reference_difference"].notna()]
    if not shown["difference_low"].notna().any():
        raise _nothing(DIFFERENCES)
    others = list(look)[1:]
    panel.set_ylim(len(others) - 0.5, -0.5)
    panel.set_yticks(range(len(others)), [titled(look[key].label, differences.WIDEST_NAME, 8, 3) for key in others])
    panel.tick_params(axis="y", length=0)
    differences.one(panel, shown, quantity, look, grid.axes(tables.grid)[quantity])


def _bias_variance(panel: Axes, quantity: str, tables: Tables, look: Looks) -> None:
    if lines.are_many(look):
        raise Refusal(
            f"a panel of {BIAS_VARIANCE!r} tells {MOST_BY_COLOUR} methods apart; here are {len(look)}: choose some,"
            " analysis.against(methods=[…]), or plot it without quantity"
        )
    shown = with_cautions(tables)
    own = shown[shown["quantity"] == quantity]
    figures.draw_groups(panel, own, look, figures.far(own, list(look)))
    better = "higher" if quantity in HIGHER_IS_BETTER else "lower"
    unit = ", %" if quantity == "accuracy" else ""
    panel.set_title(f"{quantity.capitalize()}{unit} ({better} is better)", loc="left")
    if quantity == "accuracy":
        panel.yaxis.set_major_formatter(figures.percent)


def _told(kind: str, look: Looks, tables: Tables) -> list[Line2D]:
    if kind == DIFFERENCES:
        return differences.splits_told(tables.grid)
    return [
        Line2D([], [], color=one.colour, marker=one.marker, markersize=4, linewidth=1, label=_label(one))
        for one in look.values()
    ]


def _label(look: Look) -> str:
    return titled(look.label, COLUMN - 0.6, 8)


def _settle(figure: Figure) -> None:
    """What matplotlib leaves until a figure is drawn is done by our settings, not by those of whoever draws it."""
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        if not isinstance(axis.get_major_locator(), FixedLocator) and "labelsize" not in axis.get_tick_params():
            axis.set_tick_params(labelsize=SETTINGS["xtick.labelsize"])  # how many ticks there are depends on it
    figure.draw_without_rendering()


def _finish(artists: Sequence[Artist], theme: str) -> None:
    """In the colours of a theme; words of the page's hover stay with the page."""
    for artist in artists:
        if hover.said(artist.get_gid() or ""):
            artist.set_gid(None)
    if theme == themes.DARK:
        themes.darken(artists)


def _nothing(kind: str) -> Refusal:
    return Refusal(f"plot {kind!r} has nothing to show here: it needs {KINDS[kind].needs}")


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"
