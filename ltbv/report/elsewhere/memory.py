"""How does what somebody has in memory become an array? Tensors of any type and device, lists, tables."""

from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    """Values as numpy has them. A tensor leaves its gradients and its device; bfloat16, which numpy lacks, is float32.

    No library of tensors is imported: they are known by what they can do.
    """
    if callable(getattr(values, "detach", None)):
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except TypeError:  # a type that numpy has not
        if not callable(getattr(values, "float", None)):
            raise
        array = np.asarray(values.float())
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def as_column(values: Any) -> np.ndarray:
    """The same, (n, 1) as (n,): so some libraries give one value a row."""
    array = as_array(values)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
