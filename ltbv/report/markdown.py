"""The report as Markdown, for a README or a pull request. Names stay text, whatever they hold."""

import re
from collections.abc import Sequence

from ltbv.report.names import printable
from ltbv.report.sheet import Sheet
from ltbv.report.verdict import Verdict

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
    setting: Sequence[str], verdicts: Sequence[Verdict], sheets: Sequence[Sheet], cautions: Sequence[str]
) -> str:
    """Verdict, tables, warnings; tables that are for looking up stay out."""
    parts = ["# Bias and variance\n", escaped(" ".join(setting)) + "\n"]
    parts += ["## Verdict\n", *map(verdict, verdicts)] if verdicts else []
    parts += ["## Tables\n", *(table(sheet) for sheet in sheets if not sheet.long)]
    parts += ["## Warnings\n", *(f"- {escaped(line)}" for line in cautions), ""] if cautions else []
    return "\n".join(parts)
