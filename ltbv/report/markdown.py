"""The report as Markdown, for a README or a pull request. Names stay text, whatever they hold."""

import re
from collections.abc import Sequence

from ltbv.report import captions, legend
from ltbv.report.evidence import SHOWN, Evidence
from ltbv.report.grid import Grid, GridCell, GridRow
from ltbv.report.judgement import CLAIM, INTERVAL
from ltbv.report.names import printable
from ltbv.report.sheet import DOUBT, Sheet
from ltbv.report.verdict import Verdict
from ltbv.report.written import short

ACTIVE = re.compile(r"([\\`*_\[\]<>#|~$&^@]|:(?=\w+:)|^[-+=])")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, also within a table."""
    return ACTIVE.sub(r"\\\1", printable(text))


def table(sheet: Sheet) -> str:
    """A GitHub table under its title, the caption below."""
    rule = [":--" if not column.numeric else "--:" for column in sheet.columns]
    lines = [[escaped(column.full) for column in sheet.columns], rule]
    lines += [[escaped(cell.text) for cell in row] for row in sheet.rows]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {escaped(sheet.title)}\n\n{body}\n\n{escaped(sheet.caption)}\n"


def verdict(one: Verdict) -> str:
    """The headline, then a line for each answer."""
    answers = "\n".join(f"- {escaped(a.question)} {escaped(a.text)}" for a in one.answers)
    return f"### {escaped(one.label)}\n\n**{escaped(one.headline)}**\n\n{answers}\n"


def document(
    setting: Sequence[str],
    verdicts: Sequence[Verdict],
    sheets: Sequence[Sheet],
    cautions: Sequence[str],
    *,
    answer: Sequence[str] = (),
    first: str = "",
) -> str:
    """The answer and the grid (`first`), verdict, tables, warnings; tables that are for looking up stay out."""
    parts = ["# Bias and variance\n"]
    parts += [f"**{escaped(answer[0])}** {' '.join(map(escaped, answer[1:]))}".rstrip() + "\n"] if answer else []
    parts += [first, "## Setting\n"] if first else []
    parts += [escaped(" ".join(setting)) + "\n"]
    parts += ["## Verdict\n", *map(verdict, verdicts)] if verdicts else []
    parts += ["## Tables\n", *(table(sheet) for sheet in sheets if not sheet.long)]
    parts += ["## Warnings\n", *(f"- {escaped(line)}" for line in cautions), ""] if cautions else []
    return "\n".join(parts)


MARKED = {CLAIM: ("**{}**", "*{}*"), INTERVAL: ("{}▹", "{}◃")}  # state -> better, worse


def grid(of: Grid, evidence: Evidence) -> str:
    """The grid as a GitHub table: bold is a claim of better, italic of worse; the caption below says the rest."""
    over = [f"{legend.name(group, of.groups)}: acc % | bias | variance" for group in of.groups]
    lines = [f"| | {' | '.join(over)} |", f"|---|{'---:|' * len(SHOWN) * len(of.groups)}"]
    lines.append(_grid_row(of, of.reference))
    for kind, rows in of.families:
        lines += [f"| {escaped(kind)}: |{' |' * len(SHOWN) * len(of.groups)}"] if kind else []
        lines += (_grid_row(of, row) for row in rows)
    reference = escaped(of.reference.label)
    caption = [
        f"Bold: better than {reference}, italic: worse, a claim after Holm's correction. ▹ better, ◃ worse by the 95 %"
        " interval only. Unmarked: open." + (" † not judged." if of.unjudged else ""),
        f"{escaped(legend.ranked(of))} Bias and variance are shares, corrected for the number of runs, lower is better."
        f" {escaped(legend.NEVER)}",
        *(f"† {escaped(line)}" for line in legend.unjudged(of)),
        *filter(None, [escaped(legend.doubtful(of))]),
        escaped(captions.provenance(evidence)),
    ]
    return "\n".join([*lines, "", *caption]) + "\n"


def _grid_row(of: Grid, row: GridRow) -> str:
    return f"| {escaped(row.label)} | {' | '.join(map(_grid_cell, of.shown(row)))} |"


def _grid_cell(cell: GridCell) -> str:
    text = escaped(short(cell.estimate, cell.quantity) + DOUBT * cell.doubtful)
    if cell.state in MARKED:
        return MARKED[cell.state][not cell.better].format(text)
    return text + legend.mark(cell)
