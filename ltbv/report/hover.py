"""What does one read when pointing at a mark of a figure? Words that drawing code hangs on it, and the page shows."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from matplotlib.artist import Artist

from ltbv.report.names import printable
from ltbv.report.written import short, signed

START, BETWEEN = "hover:", ","
MINUS = "−"


def hover(artist: Artist, *texts: str) -> None:
    """Say `texts` of an artist: one of the whole, or one for each of its marks in the order in which they are drawn.

    They travel in the artist's gid, which the SVG of a figure has as an id, and PNG and PDF have not. Where an artist
    draws another number of marks than there are texts (some lie beyond the axes), nothing is shown; nor is an empty
    text.
    """
    artist.set_gid(START + BETWEEN.join(quote(text, safe=" ") for text in texts))


def estimated(label: str, row: Mapping[str, Any]) -> str:
    """Of a row of a table with an interval: 'RIDE, few: bias .373 (.324 to .422)'; accuracy in percent."""
    quantity = row["quantity"]
    value, *ends = (short(row[name], quantity, minus=MINUS) for name in ("estimate", "low", "high"))
    interval = f" ({ends[0]} to {ends[1]})" if np.isfinite(row["low"]) else ""
    return f"{printable(label)}, {row['group']}: {quantity} {value}{' %' * (quantity == 'accuracy')}{interval}"


def differing(label: str, row: Mapping[str, Any], name: str = "reference_difference") -> str:
    """Of a row with a paired difference: 'RIDE, few: bias −.249 (−.284 to −.214)'; empty where there is none."""
    if not np.isfinite(row[name]):
        return ""
    quantity = row["quantity"]
    value, *ends = (signed(row[of], quantity, minus=MINUS) for of in (name, "difference_low", "difference_high"))
    interval = f" ({ends[0]} to {ends[1]})" if np.isfinite(row["difference_low"]) else ""
    return f"{printable(label)}, {row['group']}: {quantity} {value}{interval}"


def said(gid: str) -> Sequence[str]:
    """The texts of a gid; none of one that is no such."""
    return [unquote(text) for text in gid.removeprefix(START).split(BETWEEN)] if gid.startswith(START) else ()
