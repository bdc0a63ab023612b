"""How is a value written? Values stay numbers until a renderer asks here."""

from collections.abc import Sequence

import numpy as np

NOTHING = "-"
UNITS = {12: "T", 9: "G", 6: "M", 3: "k"}
SURE = 0.001  # p below which no more is said


def formatted(value: float, quantity: str = "", *, sign: str = "", digits: int = 3) -> str:
    """Accuracy in percent with a decimal, shares with `digits`; a dash for what cannot be known."""
    if not np.isfinite(value):
        return NOTHING
    text = f"{100 * value:{sign}.1f}" if quantity == "accuracy" else f"{value:{sign}.{digits}f}"
    return text.replace("-", "", 1) if text.startswith("-") and not float(text) else text


def size(value: float) -> str:
    """Thousands, millions or more."""
    if not np.isfinite(value):
        return NOTHING
    power = next((power for power in UNITS if value >= 10.0**power), 0)
    return f"{value / 10.0**power:.1f} {UNITS[power]}" if power else f"{value:.0f}"


def p_value(value: float) -> str:
    return f"<{SURE}" if value < SURE else formatted(value)


def closing(total: float, terms: Sequence[float], digits: int = 4) -> list[float]:
    """Total and signed terms that add up to it, rounded so that the printed numbers add up too; NaN where one is.

    Each printed number is within a unit of its last digit: where plain rounding does not add up, the terms that it
    moved farthest are moved back.
    """
    unit = 10.0**-digits
    if not np.isfinite([total, *terms]).all():
        return [float("nan")] * (1 + len(terms))
    exact = np.asarray(terms) / unit
    rounded = np.rint(exact)
    missing = int(np.rint(total / unit) - rounded.sum())
    for at in np.argsort(np.sign(missing) * (rounded - exact))[: abs(missing)]:
        rounded[at] += np.sign(missing)
    return [float(value * unit) for value in (np.rint(total / unit), *rounded)]


def short(value: float, quantity: str, digits: int = 3, *, minus: str = "-") -> str:
    """As `formatted`, without the 0 before the point: 42.6, .458."""
    text = formatted(value, quantity, digits=digits)
    if quantity != "accuracy" and np.isfinite(value):
        text = text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
    return text.replace("-", minus, 1) if np.isfinite(value) else text


def signed(value: float, quantity: str, digits: int = 3, *, minus: str = "-") -> str:
    """A difference, with its sign on a rounded zero too: +9.5, -.122, -.000."""
    if not np.isfinite(value):
        return NOTHING
    return f"{minus if value < 0 else '+'}{short(abs(value), quantity, digits)}"
