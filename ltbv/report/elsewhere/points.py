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
        self._own  # noqa: B018  (ids that repeat are refused here)

    def named(self, name: str) -> "Points":
        """The same, and this guess is right."""
        unused = tuple(other for other in self.unused if other != name)
        return replace(self, ids=self.guesses[name], guesses={}, unused=unused)

    @cached_property
    def _own(self) -> "_Ids | None":
        return None if self.ids is None else _Ids.of(self.ids, self.source)

    def place(self, ids: np.ndarray | None, labels: np.ndarray | None, size: int, where: str) -> np.ndarray:
        """Position (n,) among these points of each of the `size` rows of a run; refused unless they are the same."""
        if size != self.labels.size:
            raise Refusal(f"{where} has {size} test points, but {self.source} has {self.labels.size}")
        at = np.arange(size)
        if ids is not None and self._own is not None:
            at = self._own.find(ids, where)
        elif ids is not None:
            _check_order(ids, where, self.source)
        elif self.ids is not None:
            _check_order(self.ids, self.source, where)
        if labels is not None and (differs := labels != self.labels[at]).any():
            row = int(differs.argmax())
            of = f"row {row} (from 0)" if ids is None else f"sample {str(ids[row])!r}"
            raise Refusal(
                f"{where} has label {labels[row]} for {of} where {self.source} has {self.labels[at][row]}"
                f" ({differs.sum()} of {size} labels differ)"
            )
        return at


@dataclass(frozen=True)
class _Ids:
    """Names (N,) of the test points of a `source`, all different: as they stand, in order, and where in it each was."""

    names: np.ndarray
    sorted: np.ndarray
    order: np.ndarray
    source: str

    @classmethod
    def of(cls, names: np.ndarray, source: str) -> "_Ids":
        """Refused: names that repeat."""
        order = np.argsort(names, kind="stable")
        found = names[order]
        same = np.flatnonzero(found[1:] == found[:-1])
        if same.size:
            repeated = str(found[same[0]])
            raise Refusal(
                f"{source} has sample {repeated!r} {np.count_nonzero(names == repeated)} times; ids must differ"
            )
        return cls(names, found, order, source)

    def find(self, names: np.ndarray, where: str) -> np.ndarray:
        """The row (N,) of each of these names, in whatever order; refused where they are others."""
        if np.array_equal(names, self.names):
            return np.arange(names.size)
        others = _Ids.of(names, where)
        if not np.array_equal(others.sorted, self.sorted):
            unknown = np.setdiff1d(names, self.names)
            raise Refusal(f"{where} has {unknown.size} samples that {self.source} has not, such as {str(unknown[0])!r}")
        at = np.empty(names.size, np.intp)
        at[others.order] = self.order
        return at


def settle(given: Points | None, ids: np.ndarray | None, labels: np.ndarray | None, where: str) -> Points:
    """The test points, from the first run (`ids`, `labels`, `where`) and what a file of labels has `given`.

    Where only one of the two has ids, these must be in order: then the other is taken to be in that order too. Labels
    without ids that repeat as a whole are those of several runs, and refused.
    """
    if given is None:
        if labels is None:
            raise Refusal(f"{where} has no labels: give them with --labels FILE")
        _refuse_repeated(labels, ids, where)
        return Points(labels, ids, where)
    if given.ids is None:
        _refuse_repeated(given.labels, ids, given.source)
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
