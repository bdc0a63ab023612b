"""Where do made images wait for the next start? In one file a recipe, under a directory that may vanish at any time.

Nothing depends on the cache: a file that is missing, damaged or cannot be written only costs the time to make it again.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.files import read_arrays, shape_of, write_arrays

Arrays = dict[str, np.ndarray]


def directory() -> Path:
    """`LTBV_CACHE`, else `XDG_CACHE_HOME/ltbv`, else `~/.cache/ltbv`. It need not exist."""
    if own := os.environ.get("LTBV_CACHE"):
        return Path(own).absolute()  # what lies there is told to workers, which may stand elsewhere
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "ltbv"


def content_key(recipe: dict[str, Any]) -> str:
    """16 hex digits that say what is in a file: equal for equal recipes, whatever the order of their fields."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def load_or_make(
    name: str, recipe: dict[str, Any], shapes: Mapping[str, tuple[int, ...]], make: Callable[[], Arrays]
) -> Arrays:
    """The uint8 arrays of `recipe`, read from `<directory>/<name>-<key>.npz`, or made by `make()` and kept there.

    shapes: name of each array -> its shape; a file that holds anything else counts as damaged.
    """
    try:
        path = directory() / f"{name}-{content_key(recipe)}.npz"
    except RuntimeError:  # no home directory
        return make()
    arrays = _read(path, shapes)
    if arrays is None:
        arrays = make()
        with contextlib.suppress(Refusal):  # a cache that cannot be written is no error
            write_arrays(path, arrays)
    return arrays


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Arrays | None:
    """The arrays that are expected, or None: whatever is amiss, the cure is the same."""
    try:
        if any(shape_of(path, name) != shape for name, shape in shapes.items()):
            return None
        arrays = read_arrays(path, shapes)
    except Refusal:
        return None
    return arrays if all(array.dtype == np.uint8 for array in arrays.values()) else None
