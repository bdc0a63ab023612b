"""How are predictions read from a table of text or parquet? In chunks of rows; one file holds one run or many.

    run      name of the run (absent: one run)          pred       predicted class id
    sample   names the test point (absent: by order)    p_0, p_1, … probability of each class
    label    true class id (absent: --labels)
Either `pred` or all of `p_0` … is there; with both, `pred` is the prediction.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from ltbv.errors import Refusal, words_of
from ltbv.report.elsewhere.rows import BLOCK, MOST_POINTS, PROBS, Rows, as_ids

MOST_ROWS = 10 * MOST_POINTS  # of all runs together; a small .parquet file can claim any number
WHOLE = re.compile(r"-?[0-9]{1,18}")


def read_table(path: Path, run: str, num_classes: int, *, labelled: bool) -> Rows:
    """The rows of a .csv or .parquet file.

    run       name of the run where there is no column of that name
    labelled  labels are given elsewhere, the column may be absent
    """
    columns = _columns(path)
    scores = _score_columns(path, columns, num_classes)
    wanted = [name for name in ("run", "sample", "label", "pred") if name in columns]
    missing = [
        name for name, needed in (("label", not labelled), ("pred", not scores)) if needed and name not in wanted
    ]
    if missing:
        either = " (nor p_0, p_1, …)" if "pred" in missing else ""
        raise Refusal(f"{path} has no column {missing[0]!r}{either}; it has: {', '.join(map(repr, columns[:8]))}")
    # without any of the columns of text, one score tells how many rows there are
    frame = _frame(path, wanted or scores[:1], whole=not scores)
    ids = {name: _class_ids(frame[name], f"{path}: {name}") for name in ("label", "pred") if name in wanted}
    codes, names = (
        pd.factorize(_text(path, frame["run"])) if "run" in wanted else (np.zeros(len(frame), np.intp), [run])
    )

    def blocks() -> Iterator[np.ndarray]:
        for chunk in _frames(path, scores, max(1, BLOCK // num_classes)):
            with _reading(path):
                values = chunk[scores].to_numpy(np.float64)
            yield values

    return Rows(
        path,
        tuple(str(name) for name in names),
        codes,
        labels=ids.get("label"),
        ids=as_ids(_text(path, frame["sample"]), str(path)) if "sample" in wanted else None,
        preds=ids.get("pred"),
        kind=PROBS if scores else None,
        blocks=blocks if scores else None,
    )


def read_label_columns(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Column `label` (N,) and, where there is one, `sample` (N,) of a table."""
    columns = _columns(path)
    if "label" not in columns:
        raise Refusal(f"{path} has no column 'label'; it has: {', '.join(map(repr, columns[:8]))}")
    wanted = [name for name in ("sample", "label") if name in columns]
    frame = _frame(path, wanted)
    ids = as_ids(_text(path, frame["sample"]), str(path)) if "sample" in wanted else None
    return _class_ids(frame["label"], f"{path}: label"), ids


def _score_columns(path: Path, columns: list[str], num_classes: int) -> list[str]:
    """p_0 … p_{C-1} in this order, or nothing where the file has no such columns."""
    there = {name for name in columns if re.fullmatch(r"p_[0-9]+", name)}
    if not there:
        return []
    wanted = [f"p_{k}" for k in range(num_classes)]
    if missing := [name for name in wanted if name not in there]:
        raise Refusal(f"{path} has no column {missing[0]!r}, but there are {num_classes} classes")
    if beyond := sorted(there - set(wanted)):
        raise Refusal(f"{path} has a column {beyond[0]!r}, but there are only {num_classes} classes")
    return wanted


def _columns(path: Path) -> list[str]:
    """Names of the columns, each of which is there once."""
    with _reading(path):
        if path.suffix.lower() == ".parquet":
            columns = list(_parquet(path).schema_arrow.names)
        else:
            header = pd.read_csv(path, header=None, nrows=1, dtype=str, na_filter=False, encoding="utf-8-sig")
            columns = [str(name).strip() for name in header.iloc[0]]
    if repeated := [name for name, times in Counter(columns).items() if times > 1]:
        raise Refusal(f"{path} has the column {repeated[0]!r} {columns.count(repeated[0])} times")
    return columns


def _frame(path: Path, columns: list[str], *, whole: bool = True) -> pd.DataFrame:
    """All rows of these columns."""
    parts, rows = [], 0
    for chunk in _frames(path, columns, 100_000, whole=whole):
        parts += [chunk] if len(chunk) else []
        rows += len(chunk)
        if rows > MOST_ROWS:
            raise Refusal(f"{path} has more than {MOST_ROWS:,} rows")
    if not parts:
        raise Refusal(f"{path} has a header and no rows")
    return pd.concat(parts, ignore_index=True)


def _frames(path: Path, columns: list[str], rows: int, *, whole: bool = True) -> Iterator[pd.DataFrame]:
    """Consecutive rows of these columns: p_… as numbers, or others as they are (text, in a .csv).

    whole  look at all columns, so that rows longer than the header are refused; takes longer
    """
    if path.suffix.lower() == ".parquet":
        with _reading(path):
            for batch in _parquet(path).iter_batches(batch_size=rows, columns=columns):
                yield batch.to_pandas()
        return
    names = _columns(path)
    numbers = columns[0].startswith("p_")
    with (
        _reading(path),
        pd.read_csv(
            path,
            names=names,
            header=0,
            usecols=None if whole else columns,
            dtype={name: np.float64 if numbers and name in columns else str for name in names},
            na_filter=numbers,
            chunksize=rows,
            encoding="utf-8-sig",
        ) as chunks,
    ):
        for chunk in chunks:
            # pandas takes the first values of rows for an index where every row is longer than the header
            if not isinstance(chunk.index, pd.RangeIndex):
                raise Refusal(f"{path} has {len(names)} columns in its header, but more in its rows")
            yield chunk[columns]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (Refusal, GeneratorExit):
        raise
    except Exception as error:  # ParserError, UnicodeDecodeError, ValueError, OSError, pyarrow's own
        raise Refusal(f"{path} cannot be read as {path.suffix[1:]}: {words_of(error)}") from error


def _parquet(path: Path):
    if importlib.util.find_spec("pyarrow") is None:
        raise Refusal(f"{path} needs pyarrow: pip install pyarrow, or save the table as .csv")
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path)


def _text(path: Path, column: pd.Series) -> np.ndarray:
    """Names (n,) as text, whatever type a parquet file gives them."""
    with _reading(path):
        return column.astype(str).to_numpy(object)


def _class_ids(column: pd.Series, where: str) -> np.ndarray:
    """Class ids (n,) int64; their range is not checked here."""
    if column.dtype.kind in "iu":
        return column.to_numpy(np.int64)
    text = column.astype(str)
    whole = text.str.fullmatch(WHOLE.pattern).to_numpy(bool)
    if not whole.all():
        at = int((~whole).argmax())
        raise Refusal(f"{where} is {text.iloc[at]!r} in row {at} (from 0); class ids are integers")
    return text.to_numpy(object).astype(np.int64)
