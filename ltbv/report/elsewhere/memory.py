"""How does what somebody has in memory become an array? Tensors of any type and device, lists, tables."""

from typing import Any

import numpy as np

from ltbv.errors import Refusal, words_of
from ltbv.stats.keyed import Keys, keyed


def as_array(values: Any, name: str) -> np.ndarray:
    """Values as numpy has them; `name` is what to call them in a refusal. See `as_keyed`."""
    return as_keyed(values, name)[0]


def as_keyed(values: Any, name: str, dimensions: int | None = None) -> tuple[np.ndarray, list[Keys]]:
    """The same, and the names along each axis (there should be so many), if a table's. Missing values are refused.

    A tensor leaves its gradients and its device; bfloat16, which numpy lacks, is float32. No library of tensors is
    imported: they are known by what they can do.
    """
    try:
        array, keys = _converted(values, name, dimensions)
    except Refusal:
        raise
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:  # whatever a library says
        words = f"{name} is a {type(values).__name__} that cannot be read as an array ({words_of(error)})"
        raise Refusal(
            f"{words}; give an array, a dense tensor with values, a table, or lists of equal length"
        ) from error
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array, keys


def _converted(values: Any, name: str, dimensions: int | None) -> tuple[np.ndarray, list[Keys]]:
    if callable(getattr(values, "detach", None)):
        values = values.detach().cpu()
    try:
        return keyed(values, name, dimensions)
    except TypeError:  # a type that numpy has not
        if not callable(getattr(values, "float", None)):
            raise
        return keyed(values.float(), name, dimensions)


def as_column(values: Any, name: str) -> tuple[np.ndarray, list[Keys]]:
    """The same, (n, 1) as (n,): so some libraries give one value a row."""
    array, keys = as_keyed(values, name)
    return (array[:, 0], keys[:1]) if array.ndim == 2 and array.shape[1] == 1 else (array, keys or [None])
