"""What does a table look like before it is Markdown, LaTeX or HTML? Columns, rows of cells, a caption."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ltbv.report.evidence import HIGHER_IS_BETTER

BETTER, WORSE, UNCLEAR, DOUBTFUL = "better", "worse", "unclear", "doubtful"
DOUBT = "?"
WHY_DOUBTFUL = (
    "Grey with a question mark: a corrected bias below 0, which no bias is. The correction went too far there; no more"
    " is known than that the bias is near 0, within its interval."
)
NOTHING = "-"


@dataclass(frozen=True)
class Cell:
    """`value` is what a column sorts by (None: the text); `mark` is BETTER, WORSE, UNCLEAR, DOUBTFUL or
    empty."""

    text: str
    value: float | None = None
    mark: str = ""


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
    """A finished table, text only. The first column names the row; `long` ones are for looking up, not for reading."""

    key: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    long: bool = False


def word(text: str, value: float | None = None) -> Cell:
    return Cell(str(text), value)


def number(value: float, quantity: str = "", *, sign: str = "", digits: int = 3) -> Cell:
    """Accuracy in percent with a decimal, shares with `digits`; a dash for what cannot be known. A bias is doubtful
    below 0, but for what has a `sign`: a difference."""
    text, mark = formatted(value, quantity, sign=sign, digits=digits), ""
    if not sign and is_doubtful(value, quantity):
        text, mark = text + DOUBT, DOUBTFUL
    return Cell(text, _sortable(value), mark)


def is_doubtful(value: float, quantity: str) -> bool:
    """No bias is below 0: where a corrected one is shown so, the table says that it is not to be believed."""
    return quantity == "bias" and value <= -0.0005


def why_doubtful(rows: Iterable[Iterable[Cell]]) -> str:
    """What the caption of such rows must say, with a blank before it; nothing where no cell is doubtful."""
    return f" {WHY_DOUBTFUL}" if any(cell.mark == DOUBTFUL for row in rows for cell in row) else ""


def formatted(value: float, quantity: str = "", *, sign: str = "", digits: int = 3) -> str:
    """The text of `number`."""
    if not np.isfinite(value):
        return NOTHING
    text = f"{100 * value:{sign}.1f}" if quantity == "accuracy" else f"{value:{sign}.{digits}f}"
    return text.replace("-", "", 1) if text.startswith("-") and not float(text) else text


def estimate(row: Mapping[str, float], quantity: str) -> Cell:
    """The estimate with half its interval, where there is one."""
    cell = number(row["estimate"], quantity)
    if not np.isfinite(row["low"]):
        return cell
    return replace(cell, text=f"{cell.text} ± {formatted((row['high'] - row['low']) / 2, quantity)}")


def difference(row: Mapping[str, float], quantity: str) -> Cell:
    """The difference from the reference: starred and marked where its interval excludes 0."""
    value = row["reference_difference"]
    if not np.isfinite(value):
        return Cell("")
    if not (row["difference_low"] > 0 or row["difference_high"] < 0):
        return Cell(formatted(value, quantity, sign="+"), _sortable(value), UNCLEAR)
    better = (value > 0) == (quantity in HIGHER_IS_BETTER)
    return Cell(f"{formatted(value, quantity, sign='+')}*", _sortable(value), BETTER if better else WORSE)


def closing(total: float, terms: Sequence[float], digits: int = 4) -> list[str]:
    """Total and signed terms that add up to it, rounded so that the printed numbers add up too.

    Each printed number is within a unit of its last digit: where plain rounding does not add up, the terms that it
    moved farthest are moved back.
    """
    unit = 10.0**-digits
    if not np.isfinite([total, *terms]).all():
        return [NOTHING] * (1 + len(terms))
    exact = np.asarray(terms) / unit
    rounded = np.rint(exact)
    missing = int(np.rint(total / unit) - rounded.sum())
    for at in np.argsort(np.sign(missing) * (rounded - exact))[: abs(missing)]:
        rounded[at] += np.sign(missing)
    return [f"{value * unit:.{digits}f}" for value in (np.rint(total / unit), *rounded)]


def _sortable(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
