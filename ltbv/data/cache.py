"""Where do made images wait for the next start? In one file a recipe, under a directory that may vanish at any time.

Nothing depends on the cache: a file that is missing, damaged or cannot be written only costs the time to make it again.
"""

import contextlib
import hashlib
import json
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ltbv.temporary import beside

Arrays = dict[str, np.ndarray]


def directory() -> Path:
    """`LTBV_CACHE`, else `XDG_CACHE_HOME/ltbv`, else `~/.cache/ltbv`. It need not exist."""
    if own := os.environ.get("LTBV_CACHE"):
        return Path(own)
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "ltbv"


def content_key(recipe: dict) -> str:
    """16 hex digits that say what is in a file: equal for equal recipes, whatever the order of their fields."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def load_or_make(name: str, recipe: dict, shapes: dict[str, tuple[int, ...]], make: Callable[[], Arrays]) -> Arrays:
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
        _write(path, arrays)
    return arrays


def _read(path: Path, shapes: dict[str, tuple[int, ...]]) -> Arrays | None:
    try:
        with zipfile.ZipFile(path) as stored:
            return {name: _read_array(stored, name, shape) for name, shape in shapes.items()}
    except Exception:  # a damaged zip or header raises almost anything, and the cure is always the same
        return None


def _read_array(stored: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What the header promises is compared before memory is taken for it."""
    with stored.open(f"{name}.npy") as member:
        version, expected = np.lib.format.read_magic(member), (shape, False, np.dtype(np.uint8))
        if version != (1, 0) or np.lib.format.read_array_header_1_0(member) != expected:
            raise ValueError(f"{name} is another array")
        content = bytearray(member.read(math.prod(shape)))
        # The zip container compares a CRC at the end of a member, so a flipped bit is found here too.
        if member.read(1) or len(content) < math.prod(shape):
            raise ValueError(f"{name} is longer or shorter than its shape")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _write(path: Path, arrays: Arrays) -> None:
    """Write beside `path`, rename last: a file that exists is whole. A cache that cannot be written is no error."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = beside(path)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink()
            raise
