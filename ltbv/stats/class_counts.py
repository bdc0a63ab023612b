"""Which class does a count belong to? A map or an indexed Series says so by its keys, an array by its order."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.keyed import keyed, plain

WHOLE = re.compile(r"\s*([0-9]{1,15})(\.0*)?\s*")
MOST_CLASSES = 10**6


def class_counts(counts: Any) -> np.ndarray:
    """Numbers of each class (C,) in the order of class ids, checked no further.

    counts  an array or a list in the order of class ids; or class id -> number (dict, `collections.Counter`, pandas
            Series such as `value_counts` gives): a class without a key has 0. Keys that are no whole numbers are
            refused: nothing says which class id they are
    """
    keys = keys_of(counts)
    if keys is None:
        return plain(counts, "train_counts")
    ids = class_ids(keys)
    values = list(counts.values()) if isinstance(counts, Mapping) else keyed(counts, "train_counts")[0].tolist()
    if ids is None:
        raise Refusal(
            f"train_counts has the keys {', '.join(map(repr, keys[:3]))}{', …' if len(keys) > 3 else ''}, which are no"
            " class ids; give an array in the order of class ids, or class id -> number"
        )
    return np.asarray(by_id(ids, values, "train_counts"))


def keys_of(counts: Any) -> list[Any] | None:
    """The keys of a map, or the index of a pandas Series; None for what is in order."""
    if isinstance(counts, Mapping):
        return list(counts)
    index = getattr(counts, "index", None)
    return None if index is None or callable(index) else list(index)


def class_ids(keys: Sequence[Any]) -> list[int] | None:
    """What keys are as class ids, if all are whole numbers: of any type, or their digits."""
    found = [whole for key in keys if (whole := _whole(key)) is not None]
    return found if len(found) == len(keys) else None


def _whole(key: Any) -> int | None:
    if isinstance(key, str):
        digits = WHOLE.fullmatch(key) if key.isascii() else None
        return int(digits[1]) if digits else None
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return int(key)
    return int(key) if isinstance(key, float | np.floating) and float(key).is_integer() else None


def by_id(ids: Sequence[int], values: Sequence[Any], where: str, num_classes: int | None = None) -> list[Any]:
    """The values in the order of their class ids, 0 where an id is missing; `where` is what to call them in a refusal.

    Refused: an id twice, or outside 0 to C - 1; and where 0 is missing, since the ids may then count from 1.
    """
    if not len(ids):
        raise Refusal(f"{where} has no class")
    order = sorted(ids)
    if repeated := [a for a, b in zip(order, order[1:], strict=False) if a == b]:
        raise Refusal(f"{where} has class id {repeated[0]} twice")
    if order[0] != 0:
        cure = 'if class 0 has no training image, say so: "0": 0'
        raise Refusal(f"{where} has class ids from {order[0]} to {order[-1]}; class ids count from 0 ({cure})")
    if order[-1] >= (most := num_classes or MOST_CLASSES):
        raise Refusal(f"{where} has class id {order[-1]}; class ids go from 0 to {most - 1:,}")
    of_id = dict(zip(ids, values, strict=True))
    return [of_id.get(c, 0) for c in range(num_classes or order[-1] + 1)]
