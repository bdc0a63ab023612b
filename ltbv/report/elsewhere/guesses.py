"""Which field names the test points, where no name says so? One whose values are the same in every run.

A field whose values merely differ in every row, such as a rank or a time, differs from run to run too: it is not used,
and test points are taken by order. Numbers with a fraction may be losses: they are names only where the labels have
them too, or runs have the same ones in another order.

The numbers 0 to N - 1 of an unknown name may be ranks as well: any two such fields have the same values. Where they
stand in another order elsewhere, labels must stand beside them on both sides and tell it; else they are refused, since
neither by name nor by order would be sure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.points import Points
from ltbv.report.elsewhere.roles import ALIASES, DOCUMENTED, plain
from ltbv.report.elsewhere.rows import NUMBER, Rows

KNOWN = (*DOCUMENTED["ids"], *ALIASES["ids"], *ALIASES["row"])


@dataclass(frozen=True)
class Agreement:
    """What all files agree on. `every` reads the rows of each, and is asked only where something must be guessed;
    `given` are the labels of a file of their own."""

    every: Callable[[], Iterable[Rows]]
    given: Points | None

    def labels(self) -> Points | None:
        """The labels of a file of their own, with names of test points if the predictions have the same."""
        if self.given is None or not self.given.guesses:
            return self.given
        name = self._chosen(self.given.guesses, self._of_labels, self.given.source)
        return self.given if name is None else self.given.named(name)

    def settled(self, rows: Rows) -> Rows:
        """The rows with names of test points if all agree on them, else without."""
        if not rows.guesses.ids:
            return rows
        if (name := self._chosen(rows.guesses.ids, self._of_runs, str(rows.path))) is None:
            rows.guesses.unnamed()
            return rows
        return rows.with_(
            ids=rows.guesses.ids[name],
            guessed_ids=name if name in rows.guesses.strangers else None,
            unused=tuple(other for other in rows.unused if other != name),
        )

    def _chosen(self, names: Iterable[str], agreed: set[str], where: str) -> str | None:
        """The likeliest of the names that all agree on; refused where that may be ranks, and there is no other."""
        found = [name for name in names if name in agreed]
        if found and (sure := [name for name in found if name not in self._ranks]):
            return sure[0]
        if found:
            raise Refusal(
                f"{where} has {found[0]!r}, the numbers of as many rows, in another order elsewhere: these may name the"
                " test points or rank them; call it sample if it names them, in all files, or take it out"
            )
        return None

    @property
    def _ranks(self) -> set[str]:
        """Names of fields that may be ranks."""
        return self._found[2]

    @property
    def _of_runs(self) -> set[str]:
        return self._found[0]

    @property
    def _of_labels(self) -> set[str]:
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[set[str], set[str], set[str]]:
        """Names of fields of the runs, and of the file of labels, whose values are the same everywhere, and which of
        them may be ranks."""
        said: dict[str, _Values] = {}
        differ: set[str] = set()
        moved: set[str] = set()
        ranks: set[str] = set()
        known: _Values | None = None
        for rows in self.every():
            labels = rows.labels
            if rows.ids is not None and known is None:
                known = _Values.of(rows.ids[rows.run_of == 0], None)
            for name, ids in rows.guesses.ids.items():
                for run in range(len(rows.runs)):
                    own = rows.run_of == run
                    values = _Values.of(ids[own], None if labels is None else labels[own])
                    if not (first := said.setdefault(name, values)).agrees(values):
                        differ.add(name)
                    elif not np.array_equal(first.order, values.order):
                        moved.add(name)
                        ranks |= {name} if first.may_be_ranks(values, name) else set()
        runs = {name: values for name, values in said.items() if name not in differ}
        if self.given is None or (self.given.ids is None and not self.given.guesses):
            return {name for name, values in runs.items() if name in moved or not values.fractions}, set(), ranks
        if self.given.ids is not None:
            own = _Values.of(self.given.ids, self.given.labels)
            ranks |= {name for name, values in runs.items() if own.may_be_ranks(values, name)}
            return {name for name, values in runs.items() if own.agrees(values)}, set(), ranks
        of_labels = {name: _Values.of(ids, self.given.labels) for name, ids in self.given.guesses.items()}
        others = {**runs, **({} if known is None else {"sample": known})}
        sure = {name for name, values in runs.items() if name in moved or not values.fractions}
        both = {name for name, own in of_labels.items() if any(own.agrees(values) for values in others.values())}
        for name in both:
            for other, values in others.items():
                if of_labels[name].agrees(values) and of_labels[name].may_be_ranks(values, name, other):
                    ranks |= {name, other}
        if both:
            return {n for n, values in runs.items() if any(of_labels[of].agrees(values) for of in both)}, both, ranks
        return sure, both, ranks


@dataclass(frozen=True)
class _Values:
    """Names sorted, where they stood, and the labels beside them; labels tell numbers that are names from ranks."""

    names: np.ndarray
    order: np.ndarray
    labels: np.ndarray | None

    @classmethod
    def of(cls, names: np.ndarray, labels: np.ndarray | None) -> "_Values":
        order = np.argsort(names, kind="stable")
        return cls(names[order], order, None if labels is None else labels[order])

    @property
    def fractions(self) -> bool:
        """Are these numbers that are not whole?"""
        names = self.names.tolist()
        return not all(map(str.isdigit, names)) and all(map(NUMBER.fullmatch, names))

    def agrees(self, other: "_Values") -> bool:
        if not np.array_equal(self.names, other.names):
            return False
        if self.labels is None or other.labels is None or not all(map(NUMBER.fullmatch, self.names.tolist())):
            return True
        return np.array_equal(self.labels, other.labels)

    def may_be_ranks(self, other: "_Values", *names: str) -> bool:
        """Are these 0, 1, 2, … or 1, 2, 3, … under a name that says nothing, in another order on the other side, and no
        labels beside them tell that they are names? Labels that are sorted by them tell nothing: ranks may be, too."""
        if np.array_equal(self.order, other.order) or all(plain(name) in KNOWN for name in names):
            return False
        if not all(map(str.isdigit, self.names.tolist())):
            return False
        by_number = np.argsort(numbers := self.names.astype(object).astype(int), kind="stable")
        if numbers[by_number[0]] not in (0, 1) or (np.diff(numbers[by_number]) != 1).any():
            return False
        if self.labels is None or other.labels is None:
            return True
        return bool(np.count_nonzero(np.diff(self.labels[by_number])) < np.unique(self.labels).size)
