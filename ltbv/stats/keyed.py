"""What does a table know that an array does not? Which of its values are missing, and what its rows are called.

`np.asarray` drops both: a masked value becomes the number behind the mask, and rows of a shuffled table stand in the
order of the shuffle. So what is missing is refused, and what has names is matched by them, never by order. Names that
are 0, 1, 2, … in order say no more than the order does; those of any other index do.

No library of tables is imported: they are known by what they have (`iloc` of pandas, `dims` of xarray).
"""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import numpy as np

from ltbv.errors import Refusal

Keys = Sequence[Hashable] | None  # names along an axis, None: there are none, or they are 0, 1, 2, … in order


class Index(Protocol):
    """What names an axis of a table: of pandas, or of xarray."""

    def tolist(self) -> list[Hashable]:
        """The names."""


def keyed(values: Any, name: str, dimensions: int | None = None) -> tuple[np.ndarray, list[Keys]]:
    """Values as an array, and the names along each of its axes, or of so many `dimensions` that it should have; `name`
    is what to call them in a refusal.

    A list of tables or masked arrays, one a run, is stacked: each is matched to the first. Refused: missing values.
    """
    if isinstance(values, list | tuple) and any(_says_more(one) for one in values):
        parts = [keyed(one, f"{name}[{at}]") for at, one in enumerate(values)]
        (first, keys), shapes = parts[0], {part.shape for part, _ in parts}
        if len(shapes) > 1:
            raise Refusal(f"{name} are arrays of different shapes: {', '.join(map(str, sorted(shapes)[:4]))}")
        same = [first]
        for at, (part, own) in enumerate(parts[1:], 1):
            for axis, (found, wanted) in enumerate(zip(own, keys, strict=True)):
                part = matched(part, axis, found, wanted, f"{name}[{at}]", f"{name}[0]")
            same.append(part)
        return np.stack(same), _so_many([None, *keys], dimensions)
    if missing := _missing(values):
        raise Refusal(
            f"{name} have {missing:,} missing values (masked or NA); a value is needed for each: leave out the"
            " test points that have none, everywhere"
        )
    array = np.ma.getdata(values) if np.ma.isMaskedArray(values) else np.asarray(values)
    if array.dtype == object and hasattr(values, "iloc") and len(set(map(type, array.flat))) == 1:
        array = np.array(array.tolist())  # numbers or text, as pandas keeps them where some may be missing
    return array, _so_many([_telling(keys) for keys in _axes(values, array.ndim)], dimensions)


def plain(values: Any, name: str) -> np.ndarray:
    """Values as an array; refused where some are missing, or an index says more than their order."""
    array, axes = keyed(values, name)
    for keys in axes:
        if keys is not None:
            raise Refusal(
                f"{name} have the index {_some(keys)}, and nothing says what it stands for; if they are in order, give"
                " them as an array, .to_numpy()"
            )
    return array


def matched(values: np.ndarray, axis: int, keys: Keys, wanted: Keys, name: str, others: str) -> np.ndarray:
    """`values` with `axis` in the order of the names `wanted`, those of `others`; refused where one side has none or
    other ones."""
    if keys == wanted:
        return values
    if keys is None or wanted is None:
        table, bare = (others, name) if keys is None else (name, others)
        known = [*(wanted or ())] if keys is None else keys
        raise Refusal(
            f"{table} have the index {_some(known)} and {bare} have none, or 0, 1, 2, …: nothing says that they are in"
            f" one order; give both with the same index, or, if they are in one order, {table} as an array, .to_numpy()"
        )
    place = {key: at for at, key in enumerate(keys)}
    if len(place) < len(keys) or len(set(wanted)) < len(wanted):
        raise Refusal(f"{name} and {others} have indexes that differ and repeat: give each row a name of its own")
    there = set(wanted)
    for mine, theirs, side, other in ((keys, there, name, others), (wanted, place, others, name)):
        if strangers := [key for key in mine if key not in theirs]:
            raise Refusal(f"{side} have {len(strangers)} names that {other} have not, such as {strangers[0]!r}")
    return np.take(values, [place[key] for key in wanted], axis)


def _so_many(axes: list[Keys], dimensions: int | None) -> list[Keys]:
    """Who wants another number of dimensions refuses the array by its shape, and asks for no names then."""
    return axes if dimensions in (None, len(axes)) else [None] * dimensions


def _axes(values: Any, dimensions: int) -> list[Index | None]:
    """The names along each axis of what has an index."""
    if hasattr(values, "iloc") and hasattr(values, "index"):
        return [values.index, values.columns] if hasattr(values, "columns") else [values.index]
    if hasattr(values, "dims") and hasattr(values, "indexes"):
        return [values.indexes.get(dimension) for dimension in values.dims]
    return [None] * dimensions


def _telling(index: Index | None) -> Keys:
    """Names as a list, unless they are 0, 1, 2, … in order."""
    keys = None if index is None else index.tolist()
    return None if keys is None or keys == list(range(len(keys))) else keys


def _missing(values: Any) -> int:
    """How many values are masked or NA. NaN among floating point numbers is a value, which no array drops."""
    if np.ma.isMaskedArray(values):
        return int(np.ma.count_masked(values))
    if not callable(getattr(values, "isna", None)):
        return 0
    types = [values.dtype] if hasattr(values, "dtype") else list(values.dtypes)
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iufb" for dtype in types):
        return 0
    return int(np.asarray(values.isna()).sum())


def _says_more(values: Any) -> bool:
    return np.ma.isMaskedArray(values) or callable(getattr(values, "isna", None)) or hasattr(values, "indexes")


def _some(keys: Sequence[Hashable]) -> str:
    return ", ".join(repr(key)[:40] for key in keys[:3]) + (", …" if len(keys) > 3 else "")
