"""How is a .parquet read? With pyarrow, where there is one, in batches of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ltbv.errors import Refusal, absent

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

AT_ONCE = 100_000  # rows


def names(path: Path) -> list[str]:
    """The columns."""
    return list(_file(path).schema_arrow.names)


def fields(path: Path, wanted: Sequence[str], most: int) -> dict[str, np.ndarray]:
    """These columns, (n,) each: numbers, or text; more than `most` rows are refused."""
    parts, rows = [], 0
    for frame in _frames(path, wanted, AT_ONCE):
        rows += len(frame)
        if rows > most:
            raise Refusal(f"{path} has more than {most:,} rows")
        parts.append(frame)
    if not rows:
        raise Refusal(f"{path} has a header and no rows")
    whole = pd.concat(parts, ignore_index=True)
    return {
        name: column.to_numpy() if column.dtype.kind in "iufb" else column.astype(str).to_numpy(object)
        for name, column in whole.items()
    }


def numbers(path: Path, wanted: Sequence[str], rows: int) -> Iterator[np.ndarray]:
    """These columns as float64, at least `rows` rows at a time: batches of few rows cost much with many columns."""
    for frame in _frames(path, wanted, 8 * rows):
        yield frame[list(wanted)].to_numpy(np.float64)


def _frames(path: Path, wanted: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    for batch in _file(path).iter_batches(batch_size=rows, columns=list(wanted)):
        yield batch.to_pandas(ignore_metadata=True)


def _file(path: Path) -> "ParquetFile":
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise absent(f"pyarrow, for {path},", error, "parquet") from error
    return ParquetFile(path)
