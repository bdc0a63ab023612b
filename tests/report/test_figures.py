"""Are the figures drawn from the tables alone, the same way every time, whatever the names?"""

from itertools import combinations

import matplotlib
import numpy as np
import pytest

from ltbv import stats
from ltbv.report import curves, figures, style, tables
from ltbv.report.names import printable, wrapped
from ltbv.report.study import read_study

AWKWARD = 'a,b "c" $\\alpha$ \\textbf{d} & <script>e</script> % # _ ^ {\t\n名前'


def draw(path):
    evidence = read_study(path)
    built = tables.build(evidence)
    with style.house_style():
        drawn = [figure for _, figure, _ in figures.drawn(built, style.looks(evidence.names))]
        return drawn, [style.rendered(figure, kind) for figure in drawn for kind in ("png", "pdf")]


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


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize(
    "others",
    [
        {},
        {"ride": "RIDE"},
        {f"m{i}": f"Method {i}, " + "long " * 4 * i + AWKWARD for i in range(5)},
    ],
    ids=["ce", "two", "six"],
)
def test_no_text_lies_on_another_or_beyond_the_page(study, others):
    drawn, files = draw(study(runs=4, points=4, **others))
    assert [content[:4] for content in files] == [b"\x89PNG", b"%PDF"] * len(drawn)
    for figure in drawn:
        assert not colliding(figure)


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("num_classes", [2, 37, 100])
def test_any_number_of_classes_can_be_drawn(study, num_classes):
    drawn, _ = draw(study(ride="RIDE", mine=AWKWARD, runs=4, points=2, num_classes=num_classes))
    for figure in drawn:
        assert not colliding(figure)


def test_curves_are_those_of_the_table(study):
    evidence = read_study(study(ride="RIDE", points=4, num_classes=50))
    built = tables.build(evidence)
    with style.house_style():
        figure = curves.by_class(built.classes, built.curves, built.profile, style.looks(evidence.names))
    bias = built.curves[(built.curves.method == "ride") & (built.curves.quantity == "bias")]
    drawn = next(
        line for line in figure.axes[1].lines if line.get_color() == style.COLOURS[0] and len(line.get_xdata()) == 20
    )
    np.testing.assert_array_equal(drawn.get_ydata(), bias.estimate)
    (first, *_), (last, *_) = bias["first"], bias["last"]
    ids = evidence.by_count[first : last + 1]
    (by_hand,) = (
        one.estimate
        for one in stats.summarize(stats.Record(evidence.methods[1].predictions, evidence.labels), {"bin": ids})
        if one.quantity == "bias"
    )
    assert bias.estimate.iloc[0] == by_hand


def test_a_single_run_and_an_empty_split_can_be_drawn(study):
    drawn, _ = draw(study(ride="RIDE", runs=1, num_classes=2))
    words = {text.get_text() for figure in drawn for text in figure.findobj(matplotlib.text.Text)}
    assert {"unknown with so few runs", "no test points"} <= words


def test_the_same_study_gives_the_same_bytes(study):
    path = study(ride="RIDE", runs=4, points=4)
    assert draw(path)[1] == draw(path)[1]


def test_points_and_intervals_are_those_of_the_table(study):
    evidence = read_study(study(ride="RIDE", points=4))
    built = tables.build(evidence)
    with style.house_style():
        figure = figures.bias_variance(built.splits, style.looks(evidence.names))
    table = built.splits.set_index(["method", "quantity", "group"]).sort_index()
    for panel, quantity in zip(figure.axes, ("bias", "variance"), strict=True):
        points = [line.get_ydata() for line in panel.lines if len(line.get_xdata()) == 4]
        for method, drawn in zip(("ce", "ride"), points, strict=True):
            np.testing.assert_array_equal(drawn, table.loc[(method, quantity)].estimate[list(tables.GROUPS)])


def test_a_method_looks_the_same_whoever_else_is_there():
    few, many = style.looks({"ce": "CE", "a": "A"}), style.looks({"ce": "CE", "a": "A", "b": "B"})
    assert few["a"] == many["a"] and few["ce"].colour == style.GREY
    looks = style.looks({str(i): "" for i in range(43)})
    assert len({(look.colour, look.marker) for look in looks.values()}) == 43


def test_our_style_does_not_leak():
    before = dict(matplotlib.rcParams)
    matplotlib.rcParams["text.usetex"] = True
    with style.house_style():
        assert not matplotlib.rcParams["text.usetex"] and not matplotlib.rcParams["text.parse_math"]
    assert matplotlib.rcParams["text.usetex"]
    matplotlib.rcParams["text.usetex"] = False
    assert dict(matplotlib.rcParams) == before


def test_names():
    assert printable("a\tb\x1b[31m\nc") == "a b [31m c"
    assert wrapped("one two three", 7, 2) == ["one two", "three"]
    assert wrapped("one two three four five", 9, 2) == ["one two", "three…"]
    assert wrapped(" \n", 5, 1) == ["?"]
