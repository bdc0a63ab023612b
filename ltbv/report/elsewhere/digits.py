"""With how many digits were scores written? Few digits make ties, and sums of probabilities that are not quite 1."""

import numpy as np

FLOAT16, BFLOAT16, ROUNDED = "float16", "bfloat16", "rounded"
MOST_DECIMALS = 6
LEVELS = (255, 65535)  # of whole numbers of 8 and 16 bits that were divided by the largest
FEWEST_DECIMALS = 2  # one is too few to tell rounding from another scale


def coarseness(z: np.ndarray, stored_as: np.dtype) -> str:
    """What makes ties likely among scores (n, C), float32 or float64: 'float16', 'bfloat16', 'rounded', or nothing.

    stored_as  the type that they had in the file
    """
    if stored_as == np.float16:
        return FLOAT16
    if z.dtype == np.float32 and _are_bfloat16(z):
        return BFLOAT16
    few = z[: max(1, 4096 // max(1, z.shape[1]))]
    finite = np.where(np.isfinite(few), few, 0)
    if _are_multiples(finite, 4).all():
        return ROUNDED
    with np.errstate(over="ignore", invalid="ignore"):  # whatever they are stored as now, they may have been rounded
        if _are_bfloat16(few) and _are_bfloat16(z):
            return BFLOAT16
        return FLOAT16 if all(np.array_equal(of.astype(np.float16), of, equal_nan=True) for of in (few, z)) else ""


def _are_bfloat16(z: np.ndarray) -> bool:
    """Has each of these (n, C) no more digits than a bfloat16?"""
    single = z.astype(np.float32)
    return not (single.view(np.uint32) & 0xFFFF).any() and np.array_equal(single, z, equal_nan=True)


def _are_multiples(z: np.ndarray, decimals: int) -> np.ndarray:
    """Is every value of a row a multiple of 10^-decimals? (n,) bool."""
    near = max(1e-3, 1.5 * np.finfo(z.dtype).eps * 10.0**decimals)
    with np.errstate(over="ignore", invalid="ignore"):  # of huge logits
        scaled = z * 10.0**decimals
        return (np.abs(scaled - np.rint(scaled)) < near * np.maximum(1, np.abs(z))).all(1)


def is_rounded(p: np.ndarray, tolerance: float) -> np.ndarray:
    """May rounding explain that probabilities (n, C) sum to something else than 1? (n,) bool.

    Values that are all multiples of a unit u, or that have s digits each (u is that of the last), were up to u/2 larger
    or smaller: the sum of the true values lies between sum p - (u/2 each that is not 0) and sum p + (u/2 each).
    """
    total, explained = p.sum(1, dtype=np.float64), np.zeros(len(p), bool)
    positive = p > 0
    for decimals in range(FEWEST_DECIMALS, MOST_DECIMALS + 1):
        unit = np.full(p.shape, 10.0**-decimals)
        explained |= _are_multiples(p, decimals) & _reaches_one(total, unit, positive, unit, tolerance)
    for levels in LEVELS:
        scaled, unit = p.astype(np.float64) * levels, np.full(p.shape, 1 / levels)  # may be cut off, not rounded
        steps = (np.abs(scaled - np.rint(scaled)) < 1e-2).all(1)
        explained |= steps & _reaches_one(total, 2 * unit, positive, 2 * unit, tolerance)
    magnitude = np.floor(np.log10(np.where(positive, p, 1), dtype=np.float64) + 1e-6)
    for digits in (2, 3, 4):
        unit = 10.0 ** (magnitude - digits + 1)
        whole = np.where(positive, p / unit, 0)
        exact = (np.abs(whole - np.rint(whole)) < 1e-3).all(1)
        explained |= exact & _reaches_one(total, unit, positive, np.where(positive, unit, 0), tolerance)
    return explained


def _reaches_one(
    total: np.ndarray, unit: np.ndarray, positive: np.ndarray, above: np.ndarray, tolerance: float
) -> np.ndarray:
    least, most = total - (unit * positive).sum(1) / 2, total + above.sum(1) / 2
    return (least <= 1 + tolerance) & (most >= 1 - tolerance) & (total > 0)
