"""How does a figure look? One appearance a method everywhere, text that survives print, equal bytes for equal data.

Seaborn draws where there are raw rows to estimate from: training curves (`epochs`). All else comes with finished
estimates and intervals, and matplotlib alone draws it: dodged points and heat maps of seaborn showed nothing more of
these, in 1.5 to 2.5 times the time.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

WIDTH = 7.2  # inches: a page with two columns
GREY = "#555555"
# Paul Tol's "bright" scheme, told apart with every kind of colour vision. Markers repeat later than colours, so that no
# two of 42 methods look the same, and those of a first row stay apart in black and white.
COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
SPLIT_COLOURS = {"many": "#222255", "medium": "#7777AA", "few": "#BBBBDD"}  # dark to light: no method's colours
FLOW_COLOURS, FLOW_MOST = "PuOr_r", 8  # of confusion flow; orange: more than expected, purple: less
MARKERS = ("s", "^", "D", "v", "P", "X", "p")
SETTINGS = {
    "font.family": "DejaVu Sans",
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
    "grid.color": "#DDDDDD",
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
    """A method in a figure."""

    label: str
    colour: str
    marker: str


def looks(names: Mapping[str, str]) -> dict[str, Look]:
    """Appearance by method key, of labels by key; the first is the reference, in grey."""
    found = {}
    for i, (key, label) in enumerate(names.items()):
        colour, marker = (COLOURS[(i - 1) % len(COLOURS)], MARKERS[(i - 1) % len(MARKERS)]) if i else (GREY, "o")
        found[key] = Look(label, colour, marker)
    return found


@contextmanager
def house_style() -> Iterator[None]:
    """Our settings within, whatever the user's matplotlibrc says; theirs again after."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def hide_inner_axes(grid: np.ndarray, *, y: bool = True) -> None:
    """Of panels that share their axes: ticks below the last row, and (if `y`) left of the first column only.

    Ticks are most of what it costs to draw a small panel.
    """
    for panel in grid[:-1].flat:
        panel.xaxis.set_visible(False)
    for panel in grid[:, 1:].flat if y else ():
        panel.yaxis.set_visible(False)


def rendered(figure: Figure, kind: str) -> bytes:
    """The file of a figure, `kind` 'png' or 'pdf'; without a date, so that equal figures are equal bytes."""
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}}[kind]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in a script the font lacks
        figure.savefig(buffer, format=kind, metadata=metadata)
    figure.set_layout_engine("none")  # what is laid out once need not be for the next file
    return buffer.getvalue()
