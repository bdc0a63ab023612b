"""What does a drawn figure show? Its texts that touch, and its marks by what they are called."""

import re
import warnings
from itertools import combinations

import matplotlib
from matplotlib.lines import Line2D

from ltbv.report.hover import said

SAID = re.compile(r"(?P<label>.*), (?P<group>all|many|medium|few): (?P<quantity>\w+) ")


def colliding(figure) -> list[str]:
    """Texts of a drawn figure that lie on another one, or beyond its page."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.draw_without_rendering()  # all is laid out, and no picture is made
    hidden = {
        tick.label1
        for panel in figure.axes
        for axis, (low, high) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim()))
        for tick in axis.get_major_ticks()
        if not (axis.get_visible() and low <= tick.get_loc() <= high)
    }
    texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_visible() and t.get_text() and t not in hidden]
    boxes = {text: text.get_window_extent() for text in texts}
    page = figure.bbox.padded(1)
    beyond = [t.get_text() for t, box in boxes.items() if not (page.contains(*box.min) and page.contains(*box.max))]
    return beyond + [
        f"{a.get_text()} | {b.get_text()}" for a, b in combinations(texts, 2) if boxes[a].overlaps(boxes[b])
    ]


def marks(figure, keys) -> dict[tuple[str, ...], Line2D]:
    """The marks that say something on hover, by method, group and quantity; `keys` are methods by label."""
    named = [(line, *said(line.get_gid() or "")) for line in figure.findobj(Line2D)]
    named = [(line, SAID.match(text[0])) for line, *text in named if text]
    found = {(keys[of["label"]], of["group"], of["quantity"]): line for line, of in named}
    assert len(found) == len(named)
    return found


def words(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
