"""What does one see after `ltbv report`? The answer, the grid, and what must be known to read it.

The grid takes the terminal's width: at 80 columns a line a method, at 120 the differences below it, at 160 their
intervals too; narrower, its splits stand one below the other. Marks say what the colours say.
"""

import io
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ltbv.report import captions, legend
from ltbv.report.answer import answer
from ltbv.report.evidence import SHOWN, Evidence
from ltbv.report.grid import Grid, GridCell, GridRow
from ltbv.report.judgement import CLAIM, REFERENCE, UNJUDGED
from ltbv.report.names import printable
from ltbv.report.sheet import DOUBT, Sheet
from ltbv.report.tables import Tables
from ltbv.report.written import short, signed

PIPED = 120  # columns, where there is no terminal
MOST_VERDICTS, MOST_DIFFERENCES = 12, 12  # methods; of more, the page and the tables have them
WIDEST_NAME, NARROWEST_NAME = 30, 16
NARROWEST_HEAD = 6  # letters on a line of a head
HEADS = {"accuracy": "acc%", "bias": "bias", "variance": "var"}


def show(tables: Tables, evidence: Evidence, grid: Grid, others: Sequence[Sheet] = ()) -> str:
    """The text for standard output: in colour on a terminal, as wide as that is; plain in a pipe.

    `others` are shown as they are.
    """
    on_terminal = sys.stdout.isatty()
    width = max(40, shutil.get_terminal_size((PIPED, 24)).columns) if on_terminal else PIPED
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=on_terminal,
        force_jupyter=False,  # in a notebook rich would show it there, and give nothing back
        markup=False,
        emoji=False,
    )
    first, why = answer(tables, grid, evidence)
    console.print(Text(first, style="bold"))
    if why:
        console.print(Text(printable(why)))
    layout, beside = _layout(grid, width)
    for line in _grid(grid, layout, beside):
        console.print(line, no_wrap=True, overflow="ignore")
    console.print()
    for line in _notes(grid, halves=layout.differences):
        console.print(Text(line))
    for line in (captions.provenance(evidence), *captions.classes(evidence), *evidence.setting.made):
        console.print(Text(line))
    for sheet in others:
        console.print(Text(f"\n{printable(sheet.title)}"))
        console.print(_plain(sheet))
        console.print(Text(printable(sheet.caption)))
    if 0 < len(tables.verdicts) <= MOST_VERDICTS:
        console.print("\nVerdict (with its numbers: report.md)")
        for verdict in tables.verdicts:
            console.print(Padding(f"{printable(verdict.label)}: {printable(verdict.headline)}", (0, 0, 0, 2)))
    if tables.cautions:
        console.print()
    for line in tables.cautions:
        console.print(Text(f"! {printable(line)}", style="yellow"))
    text = _encodable(console.file.getvalue())
    return "\n".join(line.rstrip() for line in text.splitlines())


def _encodable(text: str) -> str:
    """With other signs of the same width where standard output lacks ours, and without what it lacks besides."""
    encoding = sys.stdout.encoding or "utf-8"
    for mark, plain in legend.PLAIN.items():
        try:
            mark.encode(encoding)
        except UnicodeEncodeError:
            text = text.replace(mark, plain)
    return text.encode(encoding, errors="replace").decode(encoding)


@dataclass(frozen=True)
class Layout:
    """How a grid is set: `digits` of a share, differences below the estimates or not, with half their interval or not;
    columns of the names, of a number and of a whole cell by quantity, and blanks between groups."""

    digits: int
    differences: bool
    halves: bool
    name: int
    numbers: dict[str, int]
    cells: dict[str, int]
    gap: int

    @classmethod
    def of(cls, grid: Grid, digits: int, differences: bool, halves: bool, gap: int) -> "Layout":
        """The narrowest that holds what is written."""
        numbers, cells = {}, {}
        for quantity in SHOWN:
            own = [cell for row in grid.rows for cell in row.cells if cell.quantity == quantity]
            texts = [_number(cell, digits) for cell in own]
            halved = [""]
            if differences:
                texts += [_difference(cell, digits) for cell in own]
                texts += [_plus_minus(cell.half, cell, digits) for cell in own if cell.state == REFERENCE]
                halved += [f" {_plus_minus(c.difference_half, c, digits)}" for c in own if halves and c.judged]
            numbers[quantity] = max(len(HEADS[quantity]) - 1, *map(len, texts))  # a head may stand over marks too
            cells[quantity] = numbers[quantity] + max(1, *map(len, halved)) + 1
        longest = 1 + max(len(printable(row.label)) for row in grid.rows)
        return cls(digits, differences, halves, min(WIDEST_NAME, max(NARROWEST_NAME, longest)), numbers, cells, gap)

    @property
    def of_group(self) -> int:
        return sum(self.cells.values()) + self.gap

    def narrowed(self, width: int, beside: int) -> "Layout":
        """With names as wide as so many groups leave room for."""
        return replace(self, name=max(NARROWEST_NAME, min(self.name, width - beside * self.of_group)))


def _layout(grid: Grid, width: int) -> tuple[Layout, int]:
    """The richest layout with all groups beside each other; or how many of the plainest are."""
    few = len(grid.others) <= MOST_DIFFERENCES
    tried = [Layout.of(grid, 3, True, True, 1), Layout.of(grid, 3, True, False, 2)] if few else []
    tried += [Layout.of(grid, 3, False, False, 2), Layout.of(grid, 2, False, False, 0)]
    for layout in tried:
        number = len(grid.groups)
        if NARROWEST_NAME + number * layout.of_group <= width + 1:  # nothing stands behind the last mark
            return layout.narrowed(width + 1, number), number
    plainest = tried[-1]
    beside = 2 if NARROWEST_NAME + 2 * plainest.of_group <= width + 1 else 1
    return plainest.narrowed(width + 1, beside), beside


def _grid(grid: Grid, layout: Layout, beside: int) -> Iterable[Text]:
    """Its lines; of a narrow terminal, several grids one below the other."""
    for at in range(0, len(grid.groups), beside):
        groups = grid.groups[at : at + beside]
        yield Text()
        yield Text((" " * layout.name + "".join(f"{legend.NAMES[g]:<{layout.of_group}}" for g in groups)).rstrip())
        heads = "".join(f"{HEADS[q]:>{layout.numbers[q]}}".ljust(layout.cells[q]) for q in SHOWN) + " " * layout.gap
        line = (" " * layout.name + heads * len(groups)).rstrip()
        yield Text(line)
        yield Text("─" * (layout.name + len(groups) * layout.of_group - layout.gap - 1))
        yield from _row(grid.reference, groups, layout)
        if layout.differences:
            yield from _halves(grid.reference, groups, layout)
        for kind, rows in grid.families:
            if kind:
                yield Text(printable(kind), style="dim")
            for row in rows:
                yield from _row(row, groups, layout)
                if layout.differences:
                    yield from _differences(row, grid, groups, layout)


Parts = list[tuple[str, str]]  # texts and their styles


def _line(name: str, cells: Iterable[Parts], layout: Layout, style: str = "") -> Text:
    """A name, then cells, each filled up to its width."""
    line = Text(name.ljust(layout.name), style=style)
    for at, parts in enumerate(cells):
        for text, of in parts:
            line.append(text, style=of)
        quantity = SHOWN[at % len(SHOWN)]
        line.append(" " * (layout.cells[quantity] - sum(len(text) for text, _ in parts)))
        if quantity == SHOWN[-1]:
            line.append(" " * layout.gap)
    line.rstrip()
    return line


def _of(row: GridRow, groups: tuple[str, ...]) -> list[GridCell]:
    return [row.at(group, quantity) for group in groups for quantity in SHOWN]


def _row(row: GridRow, groups: tuple[str, ...], layout: Layout) -> Iterable[Text]:
    """A method's estimates; what its name is too long for stands below."""
    first, *more = textwrap.wrap(printable(row.label), layout.name - 1, subsequent_indent="  ") or ["?"]
    yield _line(first, [_estimate(cell, layout) for cell in _of(row, groups)], layout)
    for name in more:
        yield Text(name)


def _number(cell: GridCell, digits: int) -> str:
    """The estimate; with two digits, a 1 and 100 % take no more columns than others."""
    text = short(cell.estimate, cell.quantity, digits)
    return text.replace("1.00", "1.0").replace("100.0", "100") if digits == 2 else text


def _difference(cell: GridCell, digits: int) -> str:
    return signed(cell.difference, cell.quantity, digits) if cell.judged else ""


def _plus_minus(value: float, cell: GridCell, digits: int) -> str:
    return f"±{short(value, cell.quantity, digits)}" if np.isfinite(value) else ""


def _estimate(cell: GridCell, layout: Layout) -> Parts:
    text = f"{_number(cell, layout.digits):>{layout.numbers[cell.quantity]}}"
    colour = {True: "blue", False: "yellow", None: ""}[cell.better]
    mark = legend.mark(cell)
    if cell.state == UNJUDGED or cell.why:
        return [(f"{text}{mark}", "dim")]
    if cell.doubtful:
        return [(text, "dim"), (mark or DOUBT, colour)]
    if cell.state == CLAIM:
        return [(f"{text}{mark}", f"bold {colour}")]
    return [(text, ""), (mark, colour)]


def _halves(row: GridRow, groups: tuple[str, ...], layout: Layout) -> Iterable[Text]:
    """± half the intervals of the reference."""
    texts = [(cell, _plus_minus(cell.half, cell, layout.digits)) for cell in _of(row, groups)]
    if any(text for _, text in texts):
        cells = ([(f"{text:>{layout.numbers[cell.quantity]}}", "dim")] for cell, text in texts)
        yield _line("  ± half 95 %", cells, layout, "dim")


def _differences(row: GridRow, grid: Grid, groups: tuple[str, ...], layout: Layout) -> Iterable[Text]:
    """The differences from the reference, of what is judged."""
    texts = []
    for cell in _of(row, groups):
        text = f"{_difference(cell, layout.digits):>{layout.numbers[cell.quantity]}}"
        if layout.halves and cell.judged:
            text += f" {_plus_minus(cell.difference_half, cell, layout.digits)}"
        texts.append(text)
    if any(text.strip() for text in texts):
        named = f"  - {printable(grid.reference.label)}"
        yield _line(
            named if len(named) < layout.name else "  difference", ([(text, "dim")] for text in texts), layout, "dim"
        )


def _notes(grid: Grid, *, halves: bool) -> list[str]:
    reference = printable(grid.reference.label)
    return [
        f"▸ better  ◂ worse than {reference}: a claim, holds after Holm's correction   ▹ ◃ the 95 % interval excludes"
        " 0, no claim   (blank) open   † not judged",
        f"{legend.ranked(grid, halves=halves)} Bias, variance: shares (0-1), lower is better. {legend.NEVER}",
        *(f"† {line}" for line in legend.unjudged(grid)),
        *filter(None, [legend.doubtful(grid)]),
    ]


def _plain(sheet: Sheet) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="")
    for at, column in enumerate(sheet.columns):
        # a head over several lines, as narrow as its words and what stands below: names need the room
        narrowest = max(NARROWEST_HEAD, *map(len, (*column.full.split(), *(row[at].text for row in sheet.rows))))
        head = "\n".join(textwrap.wrap(column.full, narrowest)) if column.numeric else column.full
        table.add_column(Text(head), justify="right" if column.numeric else "left")
    for row in sheet.rows:
        table.add_row(*(Text(printable(cell.text)) for cell in row))
    return table
