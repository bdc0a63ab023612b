"""What do the logits say that a study keeps? Each file is read once, all runs of a method together, a
block of points at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal, words_of
from ltbv.files import Damaged, read_rows
from ltbv.stats.logits import Desk, LogitParts
from ltbv.stats.measured import Measured
from ltbv.stats.probability import block_points
from ltbv.stats.ranks import ranks_of
from ltbv.stats.votes import blocks

LOGITS = "logits"
PIECE = 2**16  # logits of a run that are read at once
MOST_OPEN = 100  # files at once: systems allow a process 256 or more


def look(
    paths: Sequence[Path], labels: np.ndarray, num_classes: int, cure: str
) -> tuple[np.ndarray, dict[str, Measured] | None]:
    """What the logits of the runs in these files say, each read once, all runs together: ranks of the true class (R, N)
    and the parts of losses; None where a logit is not finite."""
    size = block_points(len(paths), num_classes)
    rows = size * max(1, PIECE // (size * num_classes))
    tables = [_rows(path, at < MOST_OPEN, rows, (labels.size, num_classes), cure) for at, path in enumerate(paths)]
    desk, parts, start = Desk(), LogitParts(len(paths), labels, num_classes), 0
    ranks, finite = np.empty((len(paths), labels.size), np.min_scalar_type(num_classes)), True
    for of_runs in zip(*tables, strict=True):
        for inner in blocks(len(of_runs[0]), size):
            block = slice(start + inner.start, start + inner.stop)
            z, top = desk.laid([of[inner] for of in of_runs])
            if (nothing := np.isnan(top)).any():
                of, number = int(nothing.any(1).argmax()), nothing.sum(1)
                raise Refusal(
                    f"{paths[of]} cannot be: its logits are NaN at {number[of]} of the points {block.start} to"
                    f" {block.stop - 1}; {cure}"
                )
            ranks[:, block] = ranks_of(z, labels[block])
            finite = finite and bool(np.isfinite(top).all() and np.isfinite(z.min()))
            if finite:
                parts.add(block, z, top, desk.free(z))
        start += len(of_runs[0])
    return ranks, parts.measured() if finite else None


def _rows(path: Path, streamed: bool, rows: int, wanted: tuple[int, int], cure: str) -> Iterator[np.ndarray]:
    """The logits (N, C) of a run, so many rows at once: while they are looked at, or all read before."""

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        if shape != wanted or dtype.kind != "f":
            raise Refusal(f"{path} has logits of type {dtype} and shape {shape}; {cure}")

    try:
        parts = read_rows(path, LOGITS, rows, check)
        yield from parts if streamed else [*parts]
    except Damaged as damage:
        raise damaged(path, damage, cure) from damage


def damaged(path: Path, damage: Damaged, cure: str) -> Refusal:
    return Refusal(f"{path} is damaged ({words_of(damage.__cause__ or damage)}); {cure}")
