"""Which methods are better than the reference, where, and how surely? The grid: a row a method, accuracy, bias and
variance over all classes and in each split. It is the first thing that a reader sees, in every form of the report; what
may be said of a cell is judged in `judgement`, here it is put in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ltbv.errors import Refusal, unknown
from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, SHOWN, Evidence
from ltbv.report.judgement import CLAIM, INTERVAL, OPEN, REFERENCE, UNJUDGED
from ltbv.report.sheet import is_doubtful
from ltbv.report.topic import Tables

MOST_ROOMY = 8  # methods; more are denser, and by kind
LIMITS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
HELD, FARTHEST = 0.9, 1.5  # share of the intervals that an axis holds at least; it holds all that reach so far beyond
OTHER = "Other"
BEST = "all:accuracy"


@dataclass(frozen=True)
class GridCell:
    """One number with its difference from the reference, and what may be said of it: see `judgement`.

    better  is the difference to the good? None where there is none
    beyond  does it lie beyond the axis of its quantity?
    why     the caution that stands at it
    """

    group: str
    quantity: str
    estimate: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    state: str
    why: str
    better: bool | None
    beyond: bool

    @property
    def half(self) -> float:
        """Half the interval of the estimate."""
        return (self.high - self.low) / 2

    @property
    def difference_half(self) -> float:
        return (self.difference_high - self.difference_low) / 2

    @property
    def doubtful(self) -> bool:
        return is_doubtful(self.estimate, self.quantity)

    @property
    def judged(self) -> bool:
        """Is there a difference that may be shown?"""
        return self.state in (CLAIM, INTERVAL, OPEN) and bool(np.isfinite(self.difference))


@dataclass(frozen=True)
class GridRow:
    """A method and its cells, by group and quantity."""

    key: str
    label: str
    kind: str
    cells: tuple[GridCell, ...]

    def at(self, group: str, quantity: str) -> GridCell:
        return next(cell for cell in self.cells if (cell.group, cell.quantity) == (group, quantity))


@dataclass(frozen=True)
class Grid:
    """
    reference  its row; other rows are in `families`
    families   (kind, rows), best first in each, those with the best member first; one without a name where there are
               few methods, or no kinds
    limits     half the axis of each quantity, on which differences are drawn; NaN without any
    rank       what they are ranked by: a group and a quantity
    groups     that have classes; only these are shown
    """

    reference: GridRow
    families: tuple[tuple[str, tuple[GridRow, ...]], ...]
    limits: dict[str, float]
    rank: tuple[str, str]
    groups: tuple[str, ...] = GROUPS

    @property
    def others(self) -> tuple[GridRow, ...]:
        return tuple(row for _, rows in self.families for row in rows)

    @property
    def rows(self) -> tuple[GridRow, ...]:
        return (self.reference, *self.others)

    def shown(self, row: GridRow) -> tuple[GridCell, ...]:
        """The cells of a row in groups that have classes."""
        return tuple(cell for cell in row.cells if cell.group in self.groups)

    @property
    def dense(self) -> bool:
        return len(self.rows) > MOST_ROOMY

    @property
    def unjudged(self) -> dict[str, list[tuple[GridRow, list[GridCell]]]]:
        """Why -> methods with the cells that are not judged for it; of the reference, those with a caution."""
        found: dict[str, list[tuple[GridRow, list[GridCell]]]] = {}
        for row in self.rows:
            for why in dict.fromkeys(cell.why for cell in row.cells if cell.why):
                found.setdefault(why, []).append((row, [cell for cell in row.cells if cell.why == why]))
        return found

    @property
    def beyond(self) -> int:
        return sum(cell.beyond for row in self.others for cell in row.cells)


def ranking(rank: str) -> tuple[str, str]:
    """GROUP, QUANTITY or GROUP:QUANTITY, as 'few' or 'all:bias'; accuracy where no quantity is named."""
    group, _, quantity = rank.partition(":")
    if group in SHOWN and not quantity:
        group, quantity = GROUPS[0], group
    quantity = quantity or SHOWN[0]
    if group not in GROUPS:
        raise unknown("ranking", rank, [*GROUPS, "GROUP:QUANTITY as few:bias"])
    if quantity not in SHOWN:
        raise Refusal(f"ranking {rank!r} has the quantity {quantity!r}; there is: {', '.join(SHOWN)}")
    return group, quantity


def grid(tables: Tables, evidence: Evidence, rank: str = BEST) -> Grid:
    """The grid of a report, methods ranked by `rank`, best first: see `ranking`."""
    group, quantity = ranking(rank)
    if not len(evidence.groups[group]):
        there = ", ".join(name for name in GROUPS if len(evidence.groups[name]))
        raise Refusal(f"ranking {rank!r}: there are no classes in {group!r} here; there are in: {there}")
    limits = axes(tables.grid)
    of_method = {key: own.to_dict("records") for key, own in tables.grid.groupby("method", sort=False)}
    rows = [
        GridRow(method.key, method.label, method.kind or OTHER, _cells(of_method[method.key], limits))
        for method in evidence.methods
    ]
    sign = -1 if quantity in HIGHER_IS_BETTER else 1

    def place(row: GridRow) -> float:
        value = sign * row.at(group, quantity).estimate
        return value if np.isfinite(value) else np.inf

    reference, *others = rows
    others.sort(key=place)
    families: dict[str, list[GridRow]] = {}
    by_kind = len(rows) > MOST_ROOMY and any(row.kind != OTHER for row in others)
    for row in others:  # best first, so families are in the order of their best member
        families.setdefault(row.kind if by_kind else "", []).append(row)
    of_kind = tuple((kind, tuple(own)) for kind, own in families.items())
    groups = tuple(name for name in GROUPS if len(evidence.groups[name]))
    return Grid(reference, of_kind, limits, (group, quantity), groups)


def _cells(records: Sequence[Mapping[str, Any]], limits: dict[str, float]) -> tuple[GridCell, ...]:
    of = {(record["group"], record["quantity"]): record for record in records}
    found = []
    for group in GROUPS:
        for quantity in SHOWN:
            record = of[group, quantity]
            difference = record["reference_difference"]
            known = np.isfinite(difference) and record["state"] not in (REFERENCE, UNJUDGED)
            found.append(
                GridCell(
                    group,
                    quantity,
                    record["estimate"],
                    record["low"],
                    record["high"],
                    difference,
                    record["difference_low"],
                    record["difference_high"],
                    record["state"],
                    record["why"],
                    better=bool((difference > 0) == (quantity in HIGHER_IS_BETTER)) if known else None,
                    beyond=bool(known and abs(difference) > limits[quantity]),
                )
            )
    return tuple(found)


def axes(table: pd.DataFrame) -> dict[str, float]:
    """Half the axis of each quantity, on which differences are drawn; NaN without any. `table` is that of
    `judgement`."""
    return {quantity: _limit(table, quantity) for quantity in SHOWN}


def _limit(table: pd.DataFrame, quantity: str) -> float:
    """Half the axis of a quantity: the least round number that holds HELD of the judged intervals, or all of them where
    that is at most FARTHEST times as wide."""
    own = table[(table["quantity"] == quantity) & table["state"].isin((CLAIM, INTERVAL, OPEN))]
    ends = np.maximum(own["difference_low"].abs(), own["difference_high"].abs())
    ends = np.sort(ends[np.isfinite(ends)].to_numpy(float))
    if not ends.size or ends[-1] == 0:
        return float("nan")
    most, whole = (_round_up(value) for value in (ends[int(np.ceil(HELD * ends.size)) - 1], ends[-1]))
    return whole if whole <= FARTHEST * most * (1 + 1e-9) else most


def _round_up(value: float) -> float:
    """The least of LIMITS times a power of ten that is not below a value."""
    if value <= 0:
        return 0.001
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(f"{limit * power:.3g}" for limit in LIMITS if limit * power >= value * (1 - 1e-9)))
