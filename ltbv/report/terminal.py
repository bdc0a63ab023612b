"""What does one see after `ltbv report`? The split-wise table of the literature, with what is needed to read it.

Corrected estimates come first, each over the half-width of its interval and its difference from the reference; plug-in
values stand in a block of their own, so that the two are never mixed. Sign and star say what the colours say.
"""

import io
import shutil
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ltbv.report import captions
from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, Evidence
from ltbv.report.names import printable, wrapped
from ltbv.report.sheet import DOUBT, WHY_DOUBTFUL, Sheet, is_doubtful
from ltbv.report.tables import Tables

SHORT = {"accuracy": "acc %", "bias": "bias", "variance": "var"}
WIDTH = 100
WIDTH_OF_NAMES, WIDTH_OF_VALUE = 16, 6
WIDTH_OF_GROUP = len(SHORT) * (1 + WIDTH_OF_VALUE)


def show(tables: Tables, evidence: Evidence, others: Sequence[Sheet] = ()) -> str:
    """The tables as text for standard output: in colour on a terminal, plain in a pipe, at most 100 columns.

    `others` are shown as they are.
    """
    on_terminal = sys.stdout.isatty()
    width = min(WIDTH, shutil.get_terminal_size().columns) if on_terminal else WIDTH
    console = Console(file=io.StringIO(), width=width, force_terminal=on_terminal, markup=False, emoji=False)
    beside = next(n for n in (4, 2, 1) if n == 1 or width >= WIDTH_OF_NAMES + n * WIDTH_OF_GROUP)
    shown = [GROUPS[i : i + beside] for i in range(0, len(GROUPS), beside)]  # on a narrow terminal, several tables
    rows = tables.splits.set_index(["method", "group", "quantity"])

    console.print(Text("\n".join(captions.setting(evidence))))
    console.print("\nEstimates, corrected for the number of runs")
    for groups in shown:
        console.print(_corrected(rows, evidence, groups))
    console.print(Text(_reading(evidence)))
    shown_biases = tables.splits[tables.splits["quantity"] == "bias"]["estimate"]
    if any(is_doubtful(value, "bias") for value in shown_biases):
        console.print(Text(WHY_DOUBTFUL))
    console.print("\nPlug-in values, as published tables have them: compare at equal R only")
    for groups in shown:
        console.print(_plug_in(rows, evidence, groups))
    for sheet in others:
        console.print(Text(f"\n{printable(sheet.title)}"))
        console.print(_plain(sheet))
        console.print(Text(printable(sheet.caption)))
    if tables.verdicts:
        console.print("\nVerdict (with its numbers: report.md)")
    for verdict in tables.verdicts:
        console.print(Padding(f"{printable(verdict.label)}: {printable(verdict.headline)}", (0, 0, 0, 2)))
    if tables.cautions:
        console.print()
    for line in tables.cautions:
        console.print(Text(f"! {printable(line)}", style="yellow"))
    encoding = sys.stdout.encoding or "utf-8"
    text = console.file.getvalue().encode(encoding, errors="replace").decode(encoding)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _corrected(rows: pd.DataFrame, evidence: Evidence, groups: tuple[str, ...]) -> Table:
    table = _table(groups)
    for method in evidence.methods:
        cells = _cells(rows, method.key, groups)
        first, *others = _name_lines(method.label)
        table.add_row(first, *(_estimate(cell["estimate"], quantity) for quantity, cell in cells), style="bold")
        for name in others:
            table.add_row(name, style="bold")
        if any(np.isfinite(cell["low"]) for _, cell in cells):
            table.add_row("  ±", *(_half_width(cell, quantity) for quantity, cell in cells))
        if method is not evidence.reference:
            table.add_row(_minus(evidence), *(_difference(cell, quantity) for quantity, cell in cells))
    return table


def _plug_in(rows: pd.DataFrame, evidence: Evidence, groups: tuple[str, ...]) -> Table:
    table = _table(groups)
    for method in evidence.methods:
        values = (_number(cell["plug_in"], quantity) for quantity, cell in _cells(rows, method.key, groups))
        table.add_row("\n".join(_name_lines(method.label)), *values)
    return table


def _table(groups: tuple[str, ...]) -> Table:
    """An empty table; over its columns, the quantities of each group."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False, header_style="")
    table.add_column("", width=WIDTH_OF_NAMES - 1, no_wrap=True)
    for group in groups:
        for quantity, short in SHORT.items():
            over = group if quantity == "accuracy" else ""
            header = f"{over:>{WIDTH_OF_VALUE}}\n{short + ' ':>{WIDTH_OF_VALUE}}"
            table.add_column(header, width=WIDTH_OF_VALUE, no_wrap=True)
    return table


def _plain(sheet: Sheet) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="")
    for column in sheet.columns:
        table.add_column(Text(column.full), justify="right" if column.numeric else "left")
    for row in sheet.rows:
        table.add_row(*(Text(printable(cell.text)) for cell in row))
    return table


def _cells(rows: pd.DataFrame, method: str, groups: tuple[str, ...]) -> list[tuple[str, pd.Series]]:
    return [(quantity, rows.loc[(method, group, quantity)]) for group in groups for quantity in SHORT]


def _name_lines(label: str) -> list[str]:
    return wrapped(label, WIDTH_OF_NAMES - 1, lines=3)


def _minus(evidence: Evidence) -> str:
    """Name of the line of differences."""
    named = f"  - {printable(evidence.reference.label)}"
    return named if len(named) < WIDTH_OF_NAMES else "  difference"


def _number(value: float, quantity: str, sign: str = "", mark: str = " ") -> str:
    """Accuracy in percent with one decimal, the others as .123, a dash for what cannot be known; then the mark."""
    if not np.isfinite(value):
        text = "-"
    elif quantity == "accuracy":
        text = f"{100 * value:{sign}.1f}"
    else:
        text = f"{value:{sign}.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:{sign}.2f}"
    return f"{text}{mark}".rjust(WIDTH_OF_VALUE)  # by hand: rich would drop a blank at the end


def _estimate(value: float, quantity: str) -> Text:
    """Grey with a question mark where a bias cannot be."""
    doubtful = is_doubtful(value, quantity)
    text = _number(value, quantity, mark=DOUBT if doubtful else " ")
    return Text(text, style="not bold bright_black" if doubtful else "")


def _half_width(cell: pd.Series, quantity: str) -> str:
    if not np.isfinite(cell["low"]):
        return ""
    return ("±" + _number((cell["high"] - cell["low"]) / 2, quantity).lstrip()).rjust(WIDTH_OF_VALUE)


def _difference(cell: pd.Series, quantity: str) -> Text:
    """With its sign; starred, and green or red, where the paired interval excludes 0; grey elsewhere."""
    difference = cell["reference_difference"]
    excludes_0 = cell["difference_low"] > 0 or cell["difference_high"] < 0
    text = _number(difference, quantity, sign="+", mark="*" if excludes_0 else " ")
    better = (difference > 0) == (quantity in HIGHER_IS_BETTER)
    return Text(text, style="bright_black" if not excludes_0 else "green" if better else "red")


def _reading(evidence: Evidence) -> str:
    reference = printable(evidence.reference.label)
    return (
        f"{captions.INTERVAL}. Below it the difference from {reference}, paired by run; * where its interval excludes"
        " 0. Bias and variance are shares (0-1), lower is"
        " better."
    )
