"""What does a table look like before it is Markdown, LaTeX or HTML? Columns, rows of cells, a caption."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, Evidence
from ltbv.report.questions import TRUST
from ltbv.report.written import formatted, p_value, size

BETTER, WORSE, UNCLEAR, DOUBTFUL = "better", "worse", "unclear", "doubtful"
DOUBT, STAR = "?", "*"
SHARE, UNBOUNDED = 1.0, float("inf")  # the most that a bias can be: of the zero-one loss, and of others
WHY_DOUBTFUL = (
    "Grey with a question mark: a corrected bias below 0 or above 1, which no bias is. The correction went too far"
    " there; no more is known than that the bias is near 0, or 1, within its interval."
)
WHY_DOUBTFUL_LOSS = WHY_DOUBTFUL.replace(" or above 1", "").replace(", or 1,", "")
SHORT = {"accuracy": "acc. %", "bias": "bias", "variance": "variance"}


@dataclass(frozen=True)
class Cell:
    """A value with what belongs to it; `text` is how it is written.

    value     a number, words, or None for an empty cell
    quantity  'accuracy' is written in percent, 'size' in thousands and millions, 'p' to .001, the others as shares
    sign      '+' for a difference
    shown     the number that is printed, where it is not `value` to `digits`
    half      half its interval; (low, high) its ends; times: how many times something else it is
    star      its interval excludes 0
    mark      BETTER, WORSE, UNCLEAR, DOUBTFUL or empty
    place     what a column sorts by, where it is not the value
    """

    value: float | str | None = None
    quantity: str = ""
    sign: str = ""
    digits: int = 3
    shown: float | None = None
    half: float | None = None
    low: float | None = None
    high: float | None = None
    times: float | None = None
    star: bool = False
    mark: str = ""
    place: float | None = None

    @property
    def text(self) -> str:
        if isinstance(self.value, str):
            return self.value
        parts = [] if self.value is None else [self._number(self.value if self.shown is None else self.shown)]
        parts += [STAR] * self.star + [DOUBT] * (self.mark == DOUBTFUL)
        if self.half is not None:
            parts.append(f" ± {self._number(self.half, '')}" if parts else f"±{self._number(self.half, '')}")
        if self.low is not None and self.high is not None:
            parts.append(f" ({self._number(self.low)} to {self._number(self.high)})")
        if self.times is not None:
            parts.append(f" ({self.times:.2f}x)")
        return "".join(parts)

    @property
    def sorts_by(self) -> float | None:
        """The number that a column sorts by; None: the text."""
        if self.place is not None or isinstance(self.value, str) or self.value is None:
            return self.place
        return float(self.value) if np.isfinite(self.value) else None

    def _number(self, value: float, sign: str | None = None) -> str:
        if self.quantity == "size":
            return size(value)
        if self.quantity == "p":
            return p_value(value)
        return formatted(value, self.quantity, sign=self.sign if sign is None else sign, digits=self.digits)


@dataclass(frozen=True)
class Column:
    """`over` stands above neighbouring columns that share it; a `filtered` column has few values to choose from."""

    name: str
    over: str = ""
    numeric: bool = True
    filtered: bool = False

    @property
    def full(self) -> str:
        return f"{self.over} {self.name}".strip()


@dataclass(frozen=True)
class Sheet:
    """A finished table. The first column names the row.

    long      for looking up, not for reading: at the end of the page, and not in Markdown
    on_page   False: the page has the same numbers in rows that can be sorted
    asked     shown on the terminal too, since one asks for it
    answer    what it says, in a line: the page folds the table under it, and the drawing of the same key with it
    in_words  sentences that other forms have elsewhere: for the page alone
    question  of its topic; table: the name of what it lays out
    """

    key: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    long: bool = False
    on_page: bool = True
    asked: bool = False
    answer: str = ""
    in_words: bool = False
    question: str = TRUST
    table: str = ""


METHOD = Column("method", numeric=False, filtered=True)
SPLIT = Column("split", numeric=False, filtered=True)


def word(text: Any, place: float | None = None) -> Cell:
    """Words, which sort by `place` if they have one."""
    return Cell(str(text), place=place)


def number(value: float, quantity: str = "", *, sign: str = "", digits: int = 3, most: float = SHARE) -> Cell:
    """Accuracy in percent with a decimal, shares with `digits`; a dash for what cannot be known. A bias is doubtful
    below 0 and above `most`, but for what has a `sign`: a difference."""
    mark = DOUBTFUL if not sign and is_doubtful(value, quantity, most) else ""
    return Cell(value, quantity, sign, digits, mark=mark)


def is_doubtful(value: float, quantity: str, most: float = SHARE) -> bool:
    """No bias is below 0 or above `most`: of a corrected one shown so, the table says that it is not to be believed."""
    return quantity == "bias" and not -0.0005 < value < most + 0.0005 and value == value


def why_doubtful(rows: Iterable[Iterable[Cell]], most: float = SHARE) -> str:
    """What the caption of such rows must say, with a blank before it; nothing where no cell is doubtful."""
    why = WHY_DOUBTFUL if most == SHARE else WHY_DOUBTFUL_LOSS
    return f" {why}" if any(cell.mark == DOUBTFUL for row in rows for cell in row) else ""


def estimate(row: Mapping[str, float], quantity: str, most: float = SHARE) -> Cell:
    """The estimate with half its interval, where there is one; `most` as in `number`."""
    cell = number(row["estimate"], quantity, most=most)
    return replace(cell, half=(row["high"] - row["low"]) / 2) if np.isfinite(row["low"]) else cell


def difference(row: Mapping[str, float], quantity: str) -> Cell:
    """The difference from the reference: starred and marked where its interval excludes 0; nothing of the reference."""
    value = row["reference_difference"]
    if not np.isfinite(value):
        return Cell()
    clear = row["difference_low"] > 0 or row["difference_high"] < 0
    better = (value > 0) == (quantity in HIGHER_IS_BETTER)
    return Cell(value, quantity, "+", star=clear, mark=(BETTER if better else WORSE) if clear else UNCLEAR)


def magnitude(value: float, ratio: float) -> Cell:
    """Thousands, millions or more, and how many times something else it is."""
    return Cell(value, "size", times=ratio if value == value and ratio == ratio else None)


def indexed(table: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows of a table by some columns: method, group and quantity unless named."""
    rows = table.to_dict("records")
    return {tuple(row[column] for column in columns or ("method", "group", "quantity")): row for row in rows}


def by_split(
    table: pd.DataFrame,
    evidence: Evidence,
    quantities: Mapping[str, str],
    differ: Callable[[Mapping[str, Any], str], Cell],
    most: float = SHARE,
) -> tuple[tuple[Cell, ...], ...]:
    """A line a method and split: each quantity of `quantities` (of the table -> as it is written), then its difference
    from the reference as `differ` writes it; under METHOD, SPLIT and `beside_reference`. `most` as in `number`."""
    rows, lines = indexed(table), []
    for method in dict.fromkeys(table["method"]):
        for place, group in enumerate(GROUPS):
            cells = [(rows[method, group, quantity], written) for quantity, written in quantities.items()]
            lines.append(
                (
                    word(evidence.names[method]),
                    word(group, place),
                    *(estimate(cell, written, most) for cell, written in cells),
                    *(differ(cell, written) for cell, written in cells),
                )
            )
    return tuple(lines)


def beside_reference(quantities: Iterable[str], evidence: Evidence) -> tuple[Column, ...]:
    """Columns of some quantities, then of their differences from the reference."""
    names = tuple(quantities)
    minus = f"- {evidence.reference.label}"
    return (*(Column(name, "estimate") for name in names), *(Column(name, minus) for name in names))
