"""How did loss and training accuracy go by epoch? A panel a stage, the mean and the range over its runs.

The only figure that seaborn draws: raw rows of runs are what it estimates from. It is imported here, when the figure is
drawn, and by nothing else.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ltbv.report.hover import hover
from ltbv.report.names import printable, shortened
from ltbv.report.style import WIDTH, fitted, inches
from ltbv.report.training import MOVING, SHORT
from ltbv.report.written import short

COLUMNS, MOST_PANELS = 3, 12
WIDEST_TITLE = 2.1  # inches: beyond it lies the title of the next panel
LOSS, ACCURACY, COLLAPSED = "#222255", "#AA7722", "#CC3311"
DASHED = (0, (3, 1.5))
FEW_EPOCHS = 5  # so few that a line alone shows little


def shown(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(method, stage) of those that are drawn, MOST_PANELS at most: with a caution first, too short to tell last."""
    doubt = (table["state"] == MOVING) | (table["collapsed"] != "")
    rank = np.where(doubt, 0, np.where(table["state"] == SHORT, 2, 1))
    of = table.assign(rank=rank).groupby(["method", "stage"], sort=False)["rank"].min()
    return of.sort_values(kind="stable").index[:MOST_PANELS].tolist()


def training(
    curves: pd.DataFrame, table: pd.DataFrame, order: list[tuple[str, str]], names: Mapping[str, str]
) -> Figure:
    """Panels of `order`, from the rows of each epoch and the table of stages and runs."""
    import seaborn

    columns = min(COLUMNS, len(order))
    rows = -(-len(order) // columns)
    titles = [_title(names[method], shortened(stage, 20)) for method, stage in order]
    more = 0.14 * any("\n" in title for title in titles)  # inches of a second line
    height = 0.55 + more + (1.35 + more) * rows
    figure = Figure((WIDTH, height))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.06, 0.42 / height, 0.93, 1 - (0.25 + more) / height, wspace=0.3, hspace=0.45 + 1.2 * more)
    counted = bool(curves["accuracy"].notna().any())
    of_stage = dict(iter(curves.groupby(["method", "stage"])))
    failed = table[table["collapsed"] != ""].groupby(["method", "stage"])["run"].agg(set).to_dict()
    for at, panel in enumerate(grid.flat):
        if at >= len(order):
            panel.set_visible(False)
            continue
        method, stage = key = order[at]
        own, right = of_stage[key], panel.twinx()
        line = {"data": own, "x": "epoch", "errorbar": ("pi", 100), "legend": False}
        line |= {"marker": "."} if own["epoch"].max() < FEW_EPOCHS else {}
        who = f"{printable(names[method])}, {printable(stage)}"
        seaborn.lineplot(**line, y="loss", ax=panel, color=LOSS, linewidth=1.1)
        hover(panel.lines[-1], _said(who, own, "loss"))
        if own["accuracy"].notna().any():
            seaborn.lineplot(**line, y="accuracy", ax=right, color=ACCURACY, linewidth=1, linestyle=DASHED)
            hover(right.lines[-1], _said(who, own, "accuracy"))
        for run in sorted(failed.get(key, ())):
            of_run = own[own["run"] == run]
            (lost,) = panel.plot(of_run["epoch"], of_run["loss"], color=COLLAPSED, linewidth=0.7)
            hover(lost, f"{who}: run {run} collapsed")
            right.plot(of_run["epoch"], of_run["accuracy"], color=COLLAPSED, linewidth=0.7, linestyle=DASHED)
        _axes(panel, right, own)
        last = at % columns == columns - 1 or at == len(order) - 1
        right.set_yticks([0, 0.5, 1] if last and counted else [], ["0", ".5", "1"] if last and counted else [])
        panel.set_title(titles[at], loc="left")
    words = "Epoch. Line: loss" + " (left); dashed: share of training images right (right)" * counted
    figure.supxlabel(words, fontsize=8, y=0.06 / height, va="bottom")
    return figure


def _title(name: str, stage: str) -> str:
    """On two lines where one would reach into the next panel."""
    whole = f"{printable(name)}: {stage}"
    return whole if inches(whole, 8) <= WIDEST_TITLE else f"{fitted(name, WIDEST_TITLE, 8)}:\n{stage}"


def _said(who: str, own: pd.DataFrame, quantity: str) -> str:
    """'CE, representation: loss 4.610 in the first epoch, .030 in the last (.020 to .050 by run)'."""
    known = own[own[quantity].notna()]
    first, last = (known.loc[known["epoch"] == end, quantity] for end in (known["epoch"].min(), known["epoch"].max()))
    of = [short(value, quantity) for value in (first.mean(), last.mean(), last.min(), last.max())]
    name, unit = ("training accuracy", " %") if quantity == "accuracy" else (quantity, "")
    return f"{who}: {name} {of[0]}{unit} in the first epoch, {of[1]}{unit} in the last ({of[2]} to {of[3]} by run)"


def _axes(panel: Axes, right: Axes, own: pd.DataFrame) -> None:
    last = own["epoch"].max()
    panel.set_xlim(1 - 0.03 * last, last + 0.03 * last)
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    panel.yaxis.set_major_locator(MaxNLocator(4))
    panel.set(xlabel="", ylabel="")
    panel.grid(axis="y")
    panel.set_axisbelow(True)
    right.set(ylim=(0, 1), xlabel="", ylabel="")
    right.tick_params(axis="y", colors=ACCURACY, length=0)
