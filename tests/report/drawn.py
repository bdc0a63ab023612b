"""What does a drawn figure show? Its texts that touch, and its marks by what they are called."""

from itertools import combinations
from urllib.parse import unquote

import matplotlib
from matplotlib.lines import Line2D

from ltbv.report import style


def colliding(figure) -> list[str]:
    """Texts of a drawn figure that lie on another one, or beyond its page."""
    style.rendered(figure, "png")
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


def marks(figure) -> dict[tuple[str, ...], Line2D]:
    """The marks that have a name, by what it says: method, group, quantity."""
    named = [line for line in figure.findobj(Line2D) if line.get_gid()]
    found = {tuple(map(unquote, line.get_gid().split(":")[1:])): line for line in named}
    assert len(found) == len(named)
    return found


def words(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
