"""What does one read when pointing at a mark of a figure? Words that drawing code hangs on it, and the page shows."""

from collections.abc import Sequence
from urllib.parse import quote, unquote

from matplotlib.artist import Artist

START, BETWEEN = "hover:", ","


def hover(artist: Artist, *texts: str) -> None:
    """Say `texts` of an artist: one of the whole, or one for each of its marks in the order in which they are drawn.

    They travel in the artist's gid, which the SVG of a figure has as an id, and PNG and PDF have not. Where an artist
    draws another number of marks than there are texts (some lie beyond the axes), nothing is shown.
    """
    artist.set_gid(START + BETWEEN.join(quote(text, safe=" ") for text in texts))


def said(gid: str) -> Sequence[str]:
    """The texts of a gid; none of one that is no such."""
    return [unquote(text) for text in gid.removeprefix(START).split(BETWEEN)] if gid.startswith(START) else ()
