"""What does one see after `ltbv report`? The split-wise table of the literature, with what is needed to read it.

Corrected estimates come first, each over the half-width of its interval and its difference from the reference; plug-in
values stand in a block of their own, so that the two are never mixed. Sign and star say what the colours say.
"""

import io
import shutil
import sys
import textwrap

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ltbv.report.evidence import GROUPS, SPLITS, Evidence
from ltbv.report.style import printable
from ltbv.report.tables import Tables

QUANTITIES = {"accuracy": ("acc %", 1), "bias": ("bias", -1), "variance": ("var", -1)}  # short name, better direction
WIDTH = 100
WIDTH_OF_GROUP = 21  # columns that the three quantities of a group take
FEWEST_FOR_NAMES = 14


def show(tables: Tables, evidence: Evidence) -> str:
    """The tables as text for standard output: in colour on a terminal, plain in a pipe, at most 100 columns."""
    terminal = sys.stdout.isatty()
    width = min(WIDTH, shutil.get_terminal_size().columns) if terminal else WIDTH
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False)
    parts = [Text(_setting(evidence))]
    a_row = 4 if width >= FEWEST_FOR_NAMES + 4 * WIDTH_OF_GROUP else 2
    rows = tables.splits.set_index(["method", "group", "quantity"])
    shown = [GROUPS[i : i + a_row] for i in range(0, len(GROUPS), a_row)]
    parts += [_corrected(rows, evidence, groups) for groups in shown]
    parts.append(Text(_reading(evidence)))
    plug_in_title = "\nPlug-in values, as in published tables: they move with the number of runs, compare at equal runs only"
    parts += [Text(plug_in_title), *(_plug_in(rows, evidence, groups) for groups in shown)]
    parts += [Text(f"! {printable(line)}", style="yellow") for line in tables.cautions]
    console.print(Group(*parts))
    encoding = sys.stdout.encoding or "utf-8"
    text = console.file.getvalue().encode(encoding, errors="replace").decode(encoding)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _corrected(rows: pd.DataFrame, evidence: Evidence, groups: tuple[str, ...]) -> Table:
    table = _table(groups)
    for method in evidence.methods:
        cells = [rows.loc[(method.key, group, quantity)] for group in groups for quantity in QUANTITIES]
        names = textwrap.wrap(printable(method.label), FEWEST_FOR_NAMES, max_lines=3, placeholder=" …") or [""]
        lines = [(name, [_value(c) if i == 0 else "" for c in cells]) for i, name in enumerate(names)]
        lines.append(("  ±", [_half_width(c) for c in cells]))
        lines.append((f"  - {evidence.reference.label}", [_difference(c) for c in cells]))
        for i, (name, values) in enumerate(lines):
            if any(values):
                table.add_row(name, *values, style="bold" if i == 0 else "", end_section=i == len(lines) - 1)
    return table


def _plug_in(rows: pd.DataFrame, evidence: Evidence, groups: tuple[str, ...]) -> Table:
    table = _table(groups)
    for method in evidence.methods:
        cells = [rows.loc[(method.key, group, quantity)] for group in groups for quantity in QUANTITIES]
        name = textwrap.fill(printable(method.label), FEWEST_FOR_NAMES, max_lines=3, placeholder=" …")
        table.add_row(name, *(_number(c["plug_in"], c.name[2]) for c in cells))
    return table


def _table(groups: tuple[str, ...]) -> Table:
    """An empty table whose columns are the quantities of each group, the group's name over the first of them."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False, header_style="")
    table.add_column("", min_width=FEWEST_FOR_NAMES)
    for group in groups:
        for i, (short, _) in enumerate(QUANTITIES.values()):
            table.add_column(f"{group if i == 0 else ''}\n{short}", justify="right", min_width=6, no_wrap=True)
    return table
