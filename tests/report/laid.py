"""Files as people lay them out, and what is said of those that cannot be: for tests of what is read from elsewhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltbv.errors import Refusal

FORMS = (".npz", ".csv", ".parquet")


def write(path: Path, **fields) -> None:
    """One run, or labels, as .npz, .csv or .parquet, as the path says; in a table, (n, C) is C columns p_0, p_1, …"""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, **fields)
        return
    tables = {name for name, values in fields.items() if np.ndim(values) == 2}
    frame = pd.DataFrame({name: values for name, values in fields.items() if name not in tables})
    for name in tables:
        frame = frame.assign(**{f"p_{k}": of_class for k, of_class in enumerate(np.transpose(fields[name]))})
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)


def write_text(path: Path, text: str | bytes) -> Path:
    """The same path, with this in it."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(call: Callable, *args, most: int = 600, **options) -> str:
    """What a call is refused with: one line, of no more than so many characters."""
    with pytest.raises(Refusal) as refused:
        call(*args, **options)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < most
    return str(refused.value)
