"""What do the logits of R runs amount to? Brier score and cross-entropy, parted, in one look at each block of points.

Blocks are as small as a processor's cache, and looked at in the same memory (`Desk`), so that what is held does not
grow with points x classes. Formulas are in `probability`; what is made of them in `loss_parts`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.measured import FEWEST_RUNS, Logits, Measured
from ltbv.stats.probability import (
    BrierTerms,
    CrossEntropyTerms,
    block_points,
    check_shape,
    check_top,
    refuse_where,
)
from ltbv.stats.splits import by_class, divide_by_class
from ltbv.stats.votes import blocks

OF_LOGITS = ("brier", "brier_bias", "brier_variance", "cross_entropy", "cross_entropy_bias", "cross_entropy_variance")
BEYOND_HALF = 2.0**16  # no finite float16 is as large
WIDER = np.float32(2.0**112)  # between the biases of the exponents of float16 and float32


@dataclass(frozen=True, eq=False)
class ReadBefore:
    """Logits that were looked at already: what `measure_logits` has to say of them all, and how they are read again,
    a slice of n points -> (R, n, C)."""

    measured: dict[str, Measured]
    read: Callable[[slice], np.ndarray]

    def __call__(self, block: slice) -> np.ndarray:
        return self.read(block)


def measure_logits(logits: Logits, runs: int, labels: np.ndarray, num_classes: int) -> dict[str, Measured]:
    """Brier score and cross-entropy of R runs, with their parts; formulas in `brier` and `cross_entropy`.

    Names: 'brier', 'brier_bias', 'brier_variance' (unbiased) and 'cross_entropy', 'cross_entropy_bias',
    'cross_entropy_variance' (jackknife). With a run left out the cross-entropy variance is corrected by scaling: the
    jackknife of a jackknife would need every pair of runs.

    logits  (R, N, C) array, or a function that reads those of a slice of test points, (R, n, C): only a block is held
            at a time. Every logit must be finite here; infinite values have no mean. Exponentials of float16 logits are
            taken in float32: rounding to float16 moved a logit a thousand times as far
    """
    if isinstance(logits, ReadBefore):
        return logits.measured
    read = logits if callable(logits) else lambda block: logits[:, block]
    parts, desk = LogitParts(runs, labels, num_classes), Desk()
    size = block_points(runs, np.shape(read(slice(0, 1)))[-1])
    for block in blocks(labels.size, size):
        kept, here = check_shape("logits", read(block), labels[block])
        z, top = desk.laid([*kept])
        check_top(top)
        if len(z) != runs:
            raise Refusal(f"logits have {len(z)} runs and predictions {runs}: give both for the same runs")
        if np.isneginf(z.min()):
            bad = np.logical_not(np.isfinite(z)).any(2)
            refuse_where(bad, f"logits are -inf (test points {block.start} to {block.stop - 1})")
        parts.add(block, z, top, desk.free(z))
    return parts.measured()


class Desk:
    """Room for one block of logits, the same for each: memory that is handed back is slow to get again."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[int, np.dtype], np.ndarray] = {}

    def laid(self, kept: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Logits (R, n, C), those of each run, as floats that are counted with, float32 of float16 and else float64,
        and the largest of each row (R, n). They hold until the next ones are laid."""
        half = all(of.dtype == np.float16 for of in kept)
        z = self._room(0, (len(kept), *kept[0].shape), np.dtype(np.float32 if half else np.float64))
        for row, of in zip(z, kept, strict=True):
            if half:  # the bits in their new places; the exponent is put right below
                np.left_shift(of.view(np.int16), 13, out=row.view(np.int32), dtype=np.int32)
            else:
                row[...] = of
        if not half:
            return z, z.max(-1)
        bits = z.view(np.int32)
        np.bitwise_and(bits, np.int32(-0x70002000), out=bits)  # of the sign, which fills all above, one bit stays
        np.multiply(z, WIDER, out=z)
        top = z.max(-1)
        if top.max() >= BEYOND_HALF or z.min() <= -BEYOND_HALF:  # what is infinite or NaN looks like a number now
            z[...] = kept
            top = z.max(-1)
        return z, top

    def free(self, like: np.ndarray) -> np.ndarray:
        """Room to work in, of the shape of the logits that are laid."""
        return self._room(1, like.shape, like.dtype)

    def _room(self, which: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        room, size = self._rooms.get((which, dtype)), int(np.prod(shape))
        if room is None or room.size < size:
            room = self._rooms[which, dtype] = np.empty(size, dtype)
        return room[:size].reshape(shape)


class LogitParts:
    """OF_LOGITS of R runs at N points with `labels` (N,), of finite logits that are added block by block."""

    def __init__(self, runs: int, labels: np.ndarray, num_classes: int) -> None:
        self.runs, self.labels, self.num_classes = runs, labels, num_classes
        self._values = {name: np.empty((2, labels.size)) for name in OF_LOGITS}  # corrected, plug-in
        self._sums = np.zeros((len(OF_LOGITS), runs, num_classes)) if runs >= FEWEST_RUNS else None

    def add(self, block: slice, z: np.ndarray, top: np.ndarray, out: np.ndarray) -> None:
        """The logits `z` (R, n, C) of a block of points, the largest of each row, `top` (R, n), and room to work in."""
        runs, values, here = self.runs, self._values, self.labels[block]
        nothing = np.full(here.size, np.nan)  # a single run agrees with itself
        terms = CrossEntropyTerms.of(z, here, top=top, out=out)
        loss, plug_in = terms.loss.mean(0), terms.variance() if runs > 1 else nothing
        variance = terms.variance_jackknife() if runs > 1 else nothing
        values["cross_entropy"][:, block] = loss
        values["cross_entropy_variance"][:, block] = variance, plug_in
        values["cross_entropy_bias"][:, block] = loss - variance, loss - plug_in

        np.subtract(z, terms.log_sum[..., None].astype(z.dtype), out=out)
        squares = BrierTerms.of(np.exp(out, out=out), here, out=out)
        loss, plug_in = squares.loss.mean(0), squares.spread.mean(0) if runs > 1 else nothing
        variance = plug_in * (runs / (runs - 1) if runs > 1 else np.nan)
        values["brier"][:, block] = loss
        values["brier_variance"][:, block] = variance, plug_in
        values["brier_bias"][:, block] = loss - variance, loss - plug_in

        if self._sums is not None:
            loss_out = (terms.loss.sum(0) - terms.loss) / (runs - 1)
            variance_out = terms.variance_out() * (runs - 1) / (runs - 2)
            brier_out, brier_variance_out = squares.left_out()
            of_brier = brier_out, brier_out - brier_variance_out, brier_variance_out
            self._add_by_class(np.stack([*of_brier, loss_out, loss_out - variance_out, variance_out]), here)

    def _add_by_class(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Adds (OF_LOGITS, R, n) to the sums of the classes of n points."""
        assert self._sums is not None, "asked where there are enough runs"
        classes, place = np.unique(labels, return_inverse=True)
        lines = rows.reshape(-1, labels.size)
        places = place + classes.size * np.arange(len(lines))[:, None]
        sums = np.bincount(places.ravel(), lines.ravel(), minlength=len(lines) * classes.size)
        self._sums[..., classes] += sums.reshape(*rows.shape[:2], classes.size)

    def measured(self) -> dict[str, Measured]:
        """OF_LOGITS, all points having been added."""
        counts = np.bincount(self.labels, minlength=self.num_classes)
        left_out = [None] * len(OF_LOGITS) if self._sums is None else divide_by_class(self._sums, counts)
        return {
            name: Measured(corrected, by_class(plug_in, self.labels, self.num_classes), without)
            for (name, (corrected, plug_in)), without in zip(self._values.items(), left_out, strict=True)
        }
