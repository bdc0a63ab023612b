"""Which test points are the predictions about, and in what order? The first run says; the others are matched to it."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.texts import natural


@dataclass(frozen=True)
class Points:
    """Test points: `labels` (N,) true class ids, `ids` (N,) text or None (matched by order), `source` to name in
    messages. `guesses`: name of a field -> what may be ids, see `guesses`; `unused`:
    names of fields that say nothing."""

    labels: np.ndarray
    ids: np.ndarray | None
    source: str
    guesses: dict[str, np.ndarray] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ids is None:
            return
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if same.size:
            repeated = str(self._sorted[same[0]])
            raise Refusal(
                f"{self.source} has sample {repeated!r} {np.count_nonzero(self.ids == repeated)} times; ids must differ"
            )

    def named(self, name: str) -> "Points":
        """The same, and this guess is right."""
        unused = tuple(other for other in self.unused if other != name)
        return replace(self, ids=self.guesses[name], guesses={}, unused=unused)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.ids, kind="stable")

    @cached_property
    def _sorted(self) -> np.ndarray:
        return self.ids[self._order]

    def place(self, ids: np.ndarray | None, labels: np.ndarray | None, size: int, where: str) -> np.ndarray:
        """Position (n,) among these points of each of the `size` rows of a run; refused unless they are the same."""
        if size != self.labels.size:
            raise Refusal(f"{where} has {size} test points, but {self.source} has {self.labels.size}")
        if ids is None and self.ids is None:
            at = np.arange(size)
        elif ids is None or self.ids is None:
            sides = [(self.ids, self.source), (ids, where)]
            (known, with_ids), (_, without) = sorted(sides, key=lambda side: side[0] is None)
            _check_order(known, with_ids, without)
            at = np.arange(size)
        else:
            at = np.arange(size) if np.array_equal(ids, self.ids) else self._find(ids, where)
        if labels is not None and (differs := labels != self.labels[at]).any():
            row = int(differs.argmax())
            of = f"row {row} (from 0)" if ids is None else f"sample {str(ids[row])!r}"
            raise Refusal(
                f"{where} has label {labels[row]} for {of} where {self.source} has {self.labels[at][row]}"
                f" ({differs.sum()} of {size} labels differ)"
            )
        return at

    def _find(self, ids: np.ndarray, where: str) -> np.ndarray:
        others = Points(self.labels, ids, where)  # refuses ids that repeat
        if not np.array_equal(others._sorted, self._sorted):
            unknown = np.setdiff1d(ids, self.ids)
            raise Refusal(f"{where} has {unknown.size} samples that {self.source} has not, such as {str(unknown[0])!r}")
        at = np.empty(ids.size, np.intp)
        at[others._order] = self._order
        return at


def settle(given: Points | None, ids: np.ndarray | None, labels: np.ndarray | None, where: str) -> Points:
    """The test points, from the first run (`ids`, `labels`, `where`) and what a file of labels has `given`.

    Where only one of the two has ids, these must be in order: then the other is taken to be in that order too. Labels
    without ids that repeat as a whole are those of several runs, and refused.
    """
    if given is None and labels is None:
        raise Refusal(f"{where} has no labels: give them with --labels FILE")
    source = where if given is None else given.source
    if given is None or given.ids is None:
        _refuse_repeated(labels if given is None else given.labels, ids, source)
    if given is None:
        return Points(labels, ids, where)
    if ids is not None and ids.size != given.labels.size:
        raise Refusal(f"{where} has {ids.size} test points, but {given.source} has {given.labels.size}")
    if given.ids is not None or ids is None:
        return given
    _check_order(ids, where, given.source)
    return Points(given.labels, ids, f"{given.source} (in the order of {where})")


def _check_order(ids: np.ndarray, where: str, without: str) -> None:
    """Refuses ids of one side that are not in order, since rows of the other cannot be told apart then."""
    keys = list(map(natural, ids.tolist()))
    if ids.tolist() != sorted(ids.tolist()) and keys != sorted(keys):
        raise Refusal(
            f"{where} has sample ids that are not in order and {without} has none: give them everywhere, or"
            " nowhere, all rows in one order"
        )


def _refuse_repeated(labels: np.ndarray, ids: np.ndarray | None, where: str) -> None:
    """Refuses labels (N,) without ids that are one list of them, again and again, each time with some label twice."""
    if ids is not None:
        return
    classes, size = np.unique(labels).size, labels.size
    periods = (period for period in range(classes, size // 2 + 1) if not size % period)
    period = next((period for period in periods if np.array_equal(labels[period:], labels[:-period])), classes)
    if period > classes:
        raise Refusal(
            f"{where} has labels that repeat after {period} rows, {size // period} times in all: if these are runs,"
            " name them in a field run; if they are test points of their own, name them in a field sample"
        )
