"""How does a figure look on a dark ground? Every colour by its counterpart, as on the page in a dark theme."""

from collections.abc import Iterable
from typing import Any

from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from ltbv.report.vector import darkened

LIGHT, DARK = "light", "dark"
THEMES = (LIGHT, DARK)


def darken(artists: Iterable[Artist]) -> None:
    """Turn the colours of artists round; cells that are coloured by their value, and the letters on them, stay."""
    artists = list(artists)
    mapped = {id(artist.axes) for artist in artists if _is_mapped(artist)}
    for artist in artists:
        if isinstance(artist, Line2D):
            own = artist.get_color(), artist.get_markerfacecolor(), artist.get_markeredgecolor()
            line, face, edge = (_turned(colour, mark=True) for colour in own)  # before one of them sets another
            artist.set(color=line, markerfacecolor=face, markeredgecolor=edge)
        elif isinstance(artist, Text):
            if id(artist.axes) not in mapped or not _is_within(artist):
                artist.set_color(_turned(artist.get_color(), mark=True))
        elif isinstance(artist, Patch):
            artist.set_facecolor(_turned(artist.get_facecolor()))
            artist.set_edgecolor(_turned(artist.get_edgecolor()))
        elif isinstance(artist, Collection) and not _is_mapped(artist):
            artist.set_facecolor(_turned_all(artist.get_facecolor()))
            artist.set_edgecolor(_turned_all(artist.get_edgecolor()))


def _is_mapped(artist: Artist) -> bool:
    return isinstance(artist, AxesImage) or (isinstance(artist, Collection) and artist.get_array() is not None)


def _is_within(text: Text) -> bool:
    """Does a text stand at a place of the data, on a cell?"""
    return text.axes is not None and text in text.axes.texts and text.get_transform() == text.axes.transData


def _turned(colour: Any, mark: bool = False) -> Any:
    if isinstance(colour, str) and colour.lower() in ("none", "auto"):
        return colour
    *_, alpha = of = to_rgba(colour)
    return (*to_rgba(darkened(to_hex(of), mark))[:3], alpha)


def _turned_all(colours: Any) -> list[Any]:
    return [_turned(colour, mark=True) for colour in colours]
