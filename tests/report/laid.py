"""Files as people lay them out, and what is said of those that cannot be: for tests of what is read from elsewhere."""

import importlib.util
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ltbv.errors import Refusal

FORMS = (".npz", ".csv", ".parquet")
PRETENDED = b"pretended parquet"


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
    elif importlib.util.find_spec("pyarrow") is None:
        path.write_bytes(PRETENDED + pickle.dumps(frame))
    else:
        frame.to_parquet(path)


class PretendedParquet:
    """What of pyarrow's ParquetFile is used, where there is no pyarrow: batches of rows as pandas has them."""

    def __init__(self, path: Path):
        self.frame = pickle.loads(path.read_bytes().removeprefix(PRETENDED))
        self.schema_arrow = SimpleNamespace(names=list(self.frame.columns))

    def iter_batches(self, batch_size: int, columns: list[str]) -> Iterator[SimpleNamespace]:
        for start in range(0, len(self.frame), batch_size):
            batch = self.frame[columns].iloc[start : start + batch_size]
            yield SimpleNamespace(to_pandas=lambda ignore_metadata, batch=batch: batch)


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
