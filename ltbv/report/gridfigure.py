"""How does the grid look as a figure? A row a method, accuracy, bias and variance by split in numbers, on a tint that
says what may be said of each. Nothing is judged here."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ltbv.report import gridview, legend
from ltbv.report.evidence import SHOWN
from ltbv.report.grid import Grid, GridRow
from ltbv.report.sheet import DOUBT
from ltbv.report.style import GREY, INK, PAPER, RULE, SMALL, TINY, UNJUDGED_COLOUR, WIDTH, fitted, inches

ROW, HEAD, FOOT, CELL = 0.2, 0.5, 0.32, 0.45  # inches
WIDEST_NAME = 1.6
BETTER, WORSE = "#4477AA", "#EE6677"
TINTS = {"b": (BETTER, 0.55), "hb": (BETTER, 0.2), "w": (WORSE, 0.55), "hw": (WORSE, 0.2)}  # colour, alpha
SAID = {"b": "better: a claim", "hb": "better by its interval", "w": "worse: a claim", "hw": "worse by its interval"}


def draw(grid: Grid) -> Figure:
    """The reference on top, then the methods in the order of the page, each kind under its name."""
    lines: list[GridRow | str] = [grid.reference]
    for kind, rows in grid.families:
        lines += [kind, *rows] if kind else rows
    names = [fitted(line if isinstance(line, str) else line.label, WIDEST_NAME, SMALL) for line in lines]
    columns = len(grid.groups) * len(SHOWN)
    left = max(0.8, *(inches(name, SMALL) for name in names)) + 0.15
    wide = min(WIDTH, max(left + CELL * columns + 0.1, 4.2))
    height = HEAD + ROW * len(lines) + FOOT
    figure = Figure((wide, height))
    panel = figure.add_axes((left / wide, FOOT / height, 1 - (left + 0.05) / wide, 1 - (HEAD + FOOT) / height))
    panel.set_xlim(0, columns)
    panel.set_ylim(len(lines), 0)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.grid(False)
    panel.set_yticks([at + 0.5 for at in range(len(lines))], names, fontsize=SMALL)
    for at, line in enumerate(lines):
        for place, cell in enumerate([] if isinstance(line, str) else grid.shown(line)):
            look = gridview.look(cell)
            if look in TINTS:
                colour, alpha = TINTS[look]
                panel.add_patch(Rectangle((place, at), 1, 1, facecolor=colour, alpha=alpha, edgecolor=PAPER))
            text = gridview.estimate(cell)
            text = f"{text.removesuffix(DOUBT)}†" if look == "u" else text
            colour = UNJUDGED_COLOUR if look == "u" else INK
            panel.text(place + 0.5, at + 0.5, text, ha="center", va="center", fontsize=SMALL, color=colour)
    panel.axhline(1, color=RULE, linewidth=0.6)
    panel.xaxis.tick_top()
    panel.set_xticks(
        [at + 0.5 for at in range(columns)], [gridview.COLUMNS[name][1] for _ in grid.groups for name in SHOWN]
    )
    panel.tick_params(axis="x", labelsize=SMALL)
    for at, group in enumerate(grid.groups):
        middle = (at + 0.5) * len(SHOWN)
        panel.annotate(
            legend.name(group, grid.groups),
            (middle, 1),
            xytext=(0, 16),
            xycoords=panel.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="bottom",
        )
        if at:
            panel.axvline(at * len(SHOWN), color=RULE, linewidth=0.6)
    _legend(figure, grid)
    return figure


def _legend(figure: Figure, grid: Grid) -> None:
    """What of it there is."""
    cells = [cell for row in grid.rows for cell in grid.shown(row)]
    there = {gridview.look(cell) for cell in cells}
    handles = [
        Patch(facecolor=colour, alpha=alpha, label=SAID[look])
        for look, (colour, alpha) in TINTS.items()
        if look in there
    ]
    signs = ["† not judged"] * ("u" in there) + [f"{DOUBT} a bias below 0 or above 1"] * any(
        cell.doubtful for cell in cells
    )
    handles += [Patch(facecolor="none", edgecolor="none", label=sign) for sign in signs]
    where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 0), "borderaxespad": 0.2, "labelcolor": GREY}
    figure.legend(
        handles=handles, ncols=max(1, len(handles)), fontsize=TINY, handlelength=1.2, columnspacing=1, **where
    )
