"""How is a .csv read quickly, whatever its width? Line by line; long runs of numbers are parsed as one.

Lines without a quote, nearly all, are cut at commas around the numbers; the others go through Python's csv. A row with
another number of fields than the header is refused.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from ltbv.errors import Refusal

AT_ONCE = 100_000  # rows of text that are kept as Python's own


def names(path: Path) -> list[str]:
    """The header."""
    with _opened(path) as file:
        return _header(file)


def fields(path: Path, wanted: Sequence[str], most: int) -> dict[str, np.ndarray]:
    """These columns as text, (n,) objects each; more than `most` rows are refused."""
    with _opened(path) as file:
        header = _header(file)
        rows = _rows(path, file, len(header), _places(header, wanted))
        parts: list[list[np.ndarray]] = []
        read = 0
        while some := [row for _, row in zip(range(AT_ONCE), rows, strict=False)]:
            read += len(some)
            if read > most:
                raise Refusal(f"{path} has more than {most:,} rows")
            parts.append([np.array(column, object) for column in zip(*some, strict=True)])
    if not parts:
        raise Refusal(f"{path} has a header and no rows")
    return {name: np.concatenate(of_column) for name, of_column in zip(wanted, zip(*parts, strict=True), strict=True)}


def numbers(path: Path, wanted: Sequence[str], rows: int) -> Iterator[np.ndarray]:
    """These columns as float64, `rows` rows at a time."""
    with _opened(path) as file:
        header = _header(file)
        lines, start = _joined(path, file, len(header), _places(header, wanted)), 0
        while some := [line for _, line in zip(range(rows), lines, strict=False)]:
            text = io.StringIO("\n".join(some).replace(",", "\n"))  # one column is parsed faster than many
            try:
                column = pd.read_csv(
                    text, header=None, dtype=np.float64, skip_blank_lines=False, quoting=csv.QUOTE_NONE
                )
                yield column.to_numpy().reshape(len(some), len(wanted))
            except ValueError as error:
                raise _no_number(path, some, wanted, start) or error from error
            start += len(some)


def _opened(path: Path) -> TextIO:
    return open(path, encoding="utf-8-sig", newline="")


def _header(file: TextIO) -> list[str]:
    for line in file:
        if fields := _split(line, file):
            return [name.strip() for name in fields]
    raise ValueError("No columns to parse from file")


def _places(header: list[str], wanted: Sequence[str]) -> list[int]:
    at = {name: place for place, name in enumerate(header)}
    return [at[name] for name in wanted]


def _split(line: str, file: TextIO) -> list[str]:
    """The fields of a row that begins with this line; none for an empty line."""
    if '"' in line:
        return next(csv.reader(chain([line], file), strict=True))
    bare = line.rstrip("\r\n")
    return bare.split(",") if bare else []


def _rows(path: Path, file: TextIO, width: int, at: Sequence[int]) -> Iterator[Sequence[str]]:
    """The fields at these places, of each row."""
    if (hole := _hole(width, at)) is None:
        read, take = csv.reader(file, strict=True), itemgetter(*at) if len(at) > 1 else lambda row: (row[at[0]],)
        for row, whole in enumerate(read):
            if len(whole) == width:
                yield take(whole)
            elif whole:
                raise _other_width(path, row, len(whole), width)
        return
    first, last = hole
    for row, line in enumerate(file):
        if '"' in line:
            whole = _split(line, file)
        elif bare := line.rstrip("\r\n"):
            if bare.count(",") != width - 1:
                raise _other_width(path, row, bare.count(",") + 1, width)
            head = bare.split(",", first)
            tail = head.pop().rsplit(",", width - last)[1:] if last < width else []
            whole = [*head[:first], *[""] * (last - first), *tail]
        else:
            continue
        if len(whole) != width:
            raise _other_width(path, row, len(whole), width)
        yield [whole[place] for place in at]


def _hole(width: int, at: Sequence[int]) -> tuple[int, int] | None:
    """The longest run of places, first to last - 1, that are not wanted; None where it is short."""
    edges = [-1, *sorted(at), width]
    first, last = max(((a + 1, b) for a, b in zip(edges, edges[1:], strict=False)), key=lambda hole: hole[1] - hole[0])
    return (first, last) if last - first > 8 else None


def _joined(path: Path, file: TextIO, width: int, at: Sequence[int]) -> Iterator[str]:
    """The fields at these places with commas between them, of each row."""
    first, last = at[0], at[-1] + 1
    together = list(at) == list(range(first, last))
    for row, line in enumerate(file):
        if '"' in line or not together:
            if not (whole := _split(line, file)):
                continue
            if len(whole) != width:
                raise _other_width(path, row, len(whole), width)
            yield ",".join([whole[place] for place in at])
        elif bare := line.rstrip("\r\n"):
            if bare.count(",") != width - 1:
                raise _other_width(path, row, bare.count(",") + 1, width)
            rest = bare.split(",", first)[-1] if first else bare
            yield rest.rsplit(",", width - last)[0] if last < width else rest


def _other_width(path: Path, row: int, found: int, width: int) -> Refusal:
    return Refusal(f"{path} has {found} fields in row {row} (from 0), but {width} columns in its header")


def _no_number(path: Path, lines: list[str], wanted: Sequence[str], start: int) -> Refusal | None:
    for row, line in enumerate(lines, start):
        for name, word in zip(wanted, line.split(","), strict=False):
            try:
                float(word)
            except ValueError:
                return Refusal(f"{path} has {word[:40]!r} in row {row} (from 0) of {name!r}, which is no number")
    return None
