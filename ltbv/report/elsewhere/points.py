"""Which test points are the predictions about, and in what order? The first run says; the others are matched to it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ltbv.errors import Refusal


@dataclass(frozen=True)
class Points:
    """Test points: `labels` (N,) true class ids, `ids` (N,) text or None (matched by order), `source` to name in
    messages."""

    labels: np.ndarray
    ids: np.ndarray | None
    source: str

    def __post_init__(self) -> None:
        if self.ids is None:
            return
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if same.size:
            repeated = str(self._sorted[same[0]])
            raise Refusal(
                f"{self.source} has sample {repeated!r} {np.count_nonzero(self.ids == repeated)} times; ids must differ"
            )

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
        if (ids is None) != (self.ids is None):
            with_ids, without = (self.source, where) if ids is None else (where, self.source)
            raise Refusal(f"{with_ids} has sample ids and {without} has none: give them everywhere, or nowhere")
        at = np.arange(size) if ids is None or np.array_equal(ids, self.ids) else self._find(ids, where)
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

    Where only one of the two has ids, the labels given are taken to be in the order of the first run.
    """
    if given is None:
        if labels is None:
            raise Refusal(f"{where} has no labels: give them with --labels FILE")
        return Points(labels, ids, where)
    if ids is not None and ids.size != given.labels.size:
        raise Refusal(f"{where} has {ids.size} test points, but {given.source} has {given.labels.size}")
    if given.ids is not None and ids is not None:
        return given
    return Points(given.labels, ids, given.source if ids is None else f"{given.source} (in the order of {where})")
