"""How does a figure look? One appearance a method everywhere, text that survives print, equal bytes for equal data.

Seaborn draws where there are raw rows to estimate from: training curves (`epochs`). All else comes with finished
estimates and intervals, and matplotlib alone draws it: dodged points and heat maps of seaborn showed nothing more of
these, in 1.5 to 2.5 times the time.
"""

import io
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font

from ltbv.report.names import printable, shortened

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

WIDTH = 7.2  # inches: a page with two columns
MOST_BY_COLOUR = 8  # methods that one tells apart by colour; of more, a line each, coloured by kind
SMALL, TINY = 7, 6  # points, where there are many
# Every colour that stands for something has a name here, so that a theme can map each to one of its own.
INK, PAPER, GREY = "#000000", "#FFFFFF", "#555555"
GUIDE, RULE = "#E4E4EA", "#999999"  # lines that lead the eye; the line of the reference, the edges of splits
UNJUDGED_COLOUR = "#8A8C95"  # what a caution stands at
# Paul Tol's "bright" scheme, told apart with every kind of colour vision. Markers repeat later than colours, so that
# those of a first row stay apart in black and white. Of more than MOST_BY_COLOUR methods each has a line with its name,
# and the look of its kind, which stands over it.
COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
SPLIT_COLOURS = {"many": "#222255", "medium": "#555590", "few": "#8C8CC0"}  # dark to light: no method's colours
SPLIT_MARKS = {"many": ("#222255", "s"), "medium": ("#3377BB", "D"), "few": ("#CC5500", "o")}  # on thin lines
FLOW_COLOURS, FLOW_MOST = "PuOr_r", 8  # of confusion flow; orange: more than expected, purple: less
MARKERS = ("s", "^", "D", "v", "P", "X", "p")
FONT = "DejaVu Sans"  # comes with matplotlib; what it lacks is taken from those that are installed here
ELSE = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "PingFang SC", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "WenQuanYi Zen Hei", "Arial Unicode MS", "Noto Sans Devanagari"),
)
LAYOUT_TABLES = ("GDEF", "GPOS", "GSUB")  # of a font
SETTINGS: "dict[RcKeyType, Any]" = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.grid.axis": "y",
    "grid.color": GUIDE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # names may hold a $
    # One weight and Latin letters only, unless a name has others: every further set is a font to embed, .1 s a file.
    "axes.unicode_minus": False,
    "figure.dpi": 200,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "ltbv",
}


@dataclass(frozen=True)
class Look:
    """A method in a figure; `kind` is the heading that it stands under, where there are many."""

    label: str
    colour: str
    marker: str
    kind: str = ""


def looks(names: Mapping[str, str], kinds: Mapping[str, str] | None = None) -> dict[str, Look]:
    """Appearance by method key, of labels by key; the first is the reference, in grey.

    kinds  by key: of more than MOST_BY_COLOUR methods, all of a kind have one colour and one marker; where there is
           one kind only, it is no heading
    """
    others = list(names)[1:]
    kinds = {key: kinds[key] for key in others} if kinds and len(names) > MOST_BY_COLOUR else {}
    places = {kind: place for place, kind in enumerate(dict.fromkeys(kinds.values()))}
    found = {}
    for i, (key, label) in enumerate(names.items()):
        kind = kinds.get(key, "")
        place = places.get(kind, i - 1)
        kind = kind if len(places) > 1 else ""
        colour, marker = (COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]) if i else (GREY, "o")
        found[key] = Look(label, colour, marker, kind)
    return found


@cache
def families() -> list[str]:
    """The fonts of a text, the first that has a letter for each; only those that there are."""
    installed = {font.name for font in fontManager.ttflist}
    return [FONT, *(family for family in ELSE if family in installed)]


@lru_cache(4096)  # a report measures the same names for each of its figures
def inches(text: str, points: float) -> float:
    """How wide a line of text is."""
    font = get_font([fontManager.findfont(family) for family in families()])
    font.set_size(points, 72)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        font.set_text(text)
    return font.get_width_height()[0] / 64 / 72


def fitted(name: str, wide: float, points: float) -> str:
    """A name on one line of at most so many inches; the middle gives way where it is longer."""
    most = max(4, min(len(name), 400))
    if inches(shortened(name, most), points) <= wide:
        return shortened(name, most)
    # One letter more is wider: halving asks a tenth as often as trying each number, of .002 s where many fonts are.
    letters = bisect_right(range(4, most), wide, key=lambda letters: inches(shortened(name, letters), points)) + 3
    return shortened(name, letters)


def titled(name: str, wide: float, points: float, most: int = 2) -> str:
    """A name on at most `most` lines of so many inches; what does not fit gives way in the middle."""
    words, lines = " ".join(printable(name).split()).split(" "), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if inches(longer, points) <= wide or not lines[-1] or len(lines) == most:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(fitted(line, wide, points) for line in lines)


def legible(colour: tuple[float, ...]) -> str:
    """INK or PAPER, whichever has the higher contrast (WCAG 2) on an RGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return PAPER if np.dot(linear, (0.2126, 0.7152, 0.0722)) < 0.179 else INK


@contextmanager
def house_style() -> Iterator[None]:
    """Our settings within, whatever the user's matplotlibrc says; theirs again after."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        matplotlib.rcParams["font.family"] = families()
        yield


def hide_inner_axes(grid: np.ndarray, *, y: bool = True) -> None:
    """Of panels that share their axes: ticks below the last row, and (if `y`) left of the first column only.

    Ticks are most of what it costs to draw a small panel.
    """
    for panel in grid[:-1].flat:
        panel.xaxis.set_visible(False)
    for panel in grid[:, 1:].flat if y else ():
        panel.yaxis.set_visible(False)


@contextmanager
def _letters_only() -> Iterator[None]:
    """Fonts are embedded without their tables for setting text: it is set already, and to read them takes .05 s a file.

    matplotlib offers no choice of the tables; the defaults of its subsetter are changed, and set back.
    """
    from fontTools.subset import Options

    defaults = Options._drop_tables_default
    Options._drop_tables_default = [*defaults, *LAYOUT_TABLES]
    try:
        yield
    finally:
        Options._drop_tables_default = defaults


def rendered(figure: Figure, kind: str) -> bytes:
    """The file of a figure, `kind` 'png' or 'pdf'; without a date, so that equal figures are equal bytes."""
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}}[kind]
    buffer = io.BytesIO()
    with warnings.catch_warnings(), _letters_only() if kind == "pdf" else nullcontext():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in a script the font lacks
        figure.savefig(buffer, format=kind, metadata=metadata)
    figure.set_layout_engine("none")  # what is laid out once need not be for the next file
    return buffer.getvalue()
