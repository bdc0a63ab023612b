"""How do the verdicts answer one question? A row a method, and a line that counts them: so that neither says what the
claims, or a caution at one, do not."""

import pandas as pd

from ltbv.report.sheet import Column, Sheet, word
from ltbv.report.topic import Tables
from ltbv.report.verdict import NO, OPEN, YES, Verdict
from ltbv.report.written import signed

MOST_LED = 4  # methods named in a line


def sheet(tables: Tables, key: str, title: str, *about: str) -> Sheet:
    """What each verdict says to the questions `about`, in columns if there are several; for the page alone, since all
    other forms have the verdicts."""
    shown = [verdict for verdict in tables.verdicts if any(name in verdict.said for name in about)]
    asked = {name: verdict.said[name].question for verdict in shown for name in about if name in verdict.said}
    lines = []
    for verdict in shown:
        said = [verdict.said.get(name) for name in asked]
        lines.append((word(verdict.label), *(word("" if one is None else one.text) for one in said)))
    columns = [Column(question if len(asked) > 1 else "answer", numeric=False) for question in asked.values()]
    return Sheet(key, title, "", (Column("method", numeric=False), *columns), tuple(lines), in_words=True)


def by_answer(tables: Tables, part: str) -> dict[str, list[Verdict]]:
    """Verdicts by their answer of the tail, or of the head (`part`): yes, no, open."""
    return {of: [verdict for verdict in tables.verdicts if getattr(verdict, part) == of] for of in (YES, NO, OPEN)}


def leading(splits: pd.DataFrame, verdicts: list[Verdict], group: str, most: str) -> str:
    """': A +15.9, B +13.9 points lead' of accuracy in a group, the largest differences first; `most` is said where
    there are more methods than are named. Nothing of none."""
    accuracy = splits[(splits["quantity"] == "accuracy") & (splits["group"] == group)].set_index("method")
    of = [(verdict.label, float(accuracy.loc[verdict.method, "reference_difference"])) for verdict in verdicts]
    of.sort(key=lambda pair: -abs(pair[1]))
    named = ", ".join(f"{label} {signed(value, 'accuracy', minus='−')}" for label, value in of[:MOST_LED])
    return f": {named} points{f' {most}' if len(of) > MOST_LED else ''}" if of else ""
