"""Are the figures drawn from the tables alone, the same way every time, whatever the names?"""

import io
import re
import zlib
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from drawn import colliding, marks, words
from fontTools.subset import Options
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure

from ltbv import stats
from ltbv.report import curves, figures, lines, style, tables, topics
from ltbv.report.hover import said
from ltbv.report.names import printable, shortened, wrapped
from ltbv.report.study import read_study
from ltbv.report.topics.splits import with_cautions
from ltbv.report.written import short

AWKWARD = 'a,b "c" $\\alpha$ \\textbf{d} & <script>e</script> % # _ ^ {\t\n名前'


def draw(path) -> list[Figure]:
    evidence = read_study(path)
    built = tables.build(evidence)
    with style.house_style():
        return [one.figure for one in topics.drawn(built, evidence, style.looks(evidence.names))]


def files(drawn: list[Figure]) -> list[bytes]:
    with style.house_style():
        return [style.rendered(figure, kind) for figure in drawn for kind in ("png", "pdf")]


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
    drawn = draw(study(runs=4, points=4, **others))
    assert [content[:4] for content in files(drawn)] == [b"\x89PNG", b"%PDF"] * len(drawn)
    for figure in drawn:
        assert not colliding(figure)


EXPERTS = {"ride": {"family": "ride", "experts": 3, "adds_to": "ce"}, "ride2": {"family": "ride", "experts": 2}}


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("more", [0, 7, 32])
def test_many_methods_with_all_there_is_to_say_of_experts(study, more):
    others = {f"m{i}": f"RIDE (3 experts) + distillation, {i} times, " + AWKWARD[: 3 * i] for i in range(more)}
    recipes = EXPERTS | {key: {"adds_to": "ride", "family": AWKWARD, "experts": i} for i, key in enumerate(others, 1)}
    routed = {"ride": 3} | {key: 2 + i % 5 for i, key in enumerate(others) if i % 4 == 0}
    drawn = draw(
        study(ride="RIDE", ride2="RIDE (2 experts)", runs=4, points=3, recipes=recipes, routed=routed, **others)
    )
    assert len(drawn) == 9
    if more == 7:  # lines, with names in all scripts: what is drawn of 35 methods is that of ten, with more of it
        assert all(files(drawn))
    for figure in drawn:
        assert not colliding(figure)
        assert figure.get_figheight() < 10 or more == 32


def test_the_reference_may_have_labels_alone(study):
    evidence = read_study(study(ride="RIDE", runs=4, points=4))
    ce, ride = evidence.methods
    bare = replace(evidence, methods=(replace(ce, p_true=None, p_negative=None, negatives=None), ride))
    built = tables.build(bare)
    with style.house_style():
        figure = figures.hardest_negatives(built.histogram, built.hardest_negatives, style.looks(bare.names))
    assert len(figure.axes) == 3 and not colliding(figure)
    assert not any("Grey" in text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_lines_show_the_same_numbers_as_panels(study):
    others = {f"m{i}": f"Method {i}" for i in range(9)}
    evidence = read_study(study(runs=4, points=4, **others))
    built, looks = tables.build(evidence), style.looks(evidence.names)
    with style.house_style():
        classes = lines.by_class(built.curves, built.profile, looks)
    bias = built.curves[(built.curves.quantity == "bias") & (built.curves.method == "m0")]
    cells = classes.axes[1].collections[0].get_array()
    np.testing.assert_allclose(cells[0], -bias.reference_difference)


@pytest.mark.parametrize("number", [1, 9])
def test_points_and_intervals_are_those_of_the_table(study, number):
    evidence = read_study(study(points=4, **{f"m{i}": f"Method {i}" for i in range(number)}))
    built, looks = tables.build(evidence), style.looks(evidence.names)
    table = with_cautions(built)
    with style.house_style():
        figure = (lines if number > 8 else figures).bias_variance(table, looks)
    rows = table.set_index(["method", "group", "quantity"])
    drawn = marks(figure, {look.label: key for key, look in looks.items()})
    assert set(drawn) == set(rows.index)
    ends = 0
    for at, mark in drawn.items():
        (value,) = mark.get_xdata() if number > 8 else mark.get_ydata()
        beyond = mark.get_marker() in "<>"
        assert short(rows.estimate[at], at[2]) in words(figure) if beyond else value == rows.estimate[at]
        assert (mark.get_markerfacecolor() == style.PAPER) == (rows.why[at] != "" and not beyond)
    for panel in figure.axes:
        for collection in panel.collections:
            ends += sum(len(path.vertices) for path in collection.get_paths())
    assert ends >= 2 * len(rows)


@pytest.mark.parametrize("outlier, clipped", [("m2", True), ("ce", False)])
def test_one_method_far_from_the_others_does_not_set_the_axis(study, outlier, clipped):
    evidence = read_study(study(points=4, **{f"m{i}": f"Method {i}" for i in range(4)}))
    built, looks = tables.build(evidence), style.looks(evidence.names)
    table = with_cautions(built)
    values = pd.DataFrame({"estimate": 0.2, "low": 0.18, "high": 0.22}, index=table.index)
    table[["estimate", "low", "high"]] = values + 0.6 * (table[["method"]] == outlier).to_numpy()
    with style.house_style():
        figure = figures.bias_variance(table, looks)
    drawn = marks(figure, {look.label: key for key, look in looks.items()})
    for (method, _, _), mark in drawn.items():
        (value,), (low, high) = mark.get_ydata(), mark.axes.get_ylim()
        arrow = value == high and mark.get_markersize() == 3
        assert arrow == (clipped and method == outlier)
        assert value == (high if arrow else 0.8 if method == outlier else 0.2) and low <= value <= high
    assert (".800" in words(figure)) == clipped and not colliding(figure)


def test_dots_and_means_say_what_they_are(study):
    evidence = read_study(study(ride="RIDE", points=4, num_classes=50))
    built, looks = tables.build(evidence), style.looks(evidence.names)
    with style.house_style():
        along = curves.by_class(built.classes, built.curves, built.profile, looks)
        negatives = figures.hardest_negatives(built.histogram, built.hardest_negatives, looks)
    own = built.classes[(built.classes.method == "ride") & (built.classes.quantity == "bias")]
    by_name = {
        f"{evidence.class_names[int(c)]}: bias {short(v, 'bias', minus='−')}"
        for c, v in zip(own.group, own.estimate, strict=True)
    }
    assert by_name in [set(said(line.get_gid() or "")) for line in along.axes[1].lines]
    texts = [text for panel in negatives.axes for line in panel.lines for text in said(line.get_gid() or "")]
    assert any(text.startswith("RIDE, few: mean .") for text in texts)


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("num_classes", [2, 37, 100])
def test_any_number_of_classes_can_be_drawn(study, num_classes):
    drawn = draw(study(ride="RIDE", mine=AWKWARD, runs=4, points=2, num_classes=num_classes))
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
    drawn = draw(study(ride="RIDE", runs=1, num_classes=2))
    assert all(files(drawn))
    words = {text.get_text() for figure in drawn for text in figure.findobj(matplotlib.text.Text)}
    assert {"unknown with so few runs", "no test points"} <= words


def test_the_same_study_gives_the_same_bytes(study):
    path = study(ride="RIDE", runs=4, points=4)
    assert files(draw(path)) == files(draw(path))


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
    assert shortened("a name that is long + router", 17) == "a name t…+ router"
    assert (shortened("a\nb", 3), shortened("\t", 3)) == ("a b", "?")


@pytest.mark.parametrize("wide", [0.05, 0.4, 1.1, 9.0])
@pytest.mark.parametrize("name", ["", "CE", "RIDE (3 experts) + distillation, AV To. illicit", AWKWARD])
def test_a_name_is_cut_to_the_most_letters_that_fit(name, wide):
    lengths = range(3, max(4, min(len(name), 400)) + 1)
    fit = [shortened(name, letters) for letters in lengths if style.inches(shortened(name, letters), 8) <= wide]
    assert style.fitted(name, wide, 8) == (fit[-1] if fit else shortened(name, 3))


def test_fonts_are_embedded_as_letters_without_tables_for_setting_text():
    with style.house_style():
        figure = Figure((3, 2))
        figure.text(0.1, 0.5, "fine, AV, .5")
        content = style.rendered(figure, "pdf")
    streams = [zlib.decompress(of) for of in re.findall(rb"\nstream\r?\n(x.*?)\r?\nendstream", content, re.DOTALL)]
    fonts = [TTFont(io.BytesIO(of)) for of in streams if of[:4] == b"\0\1\0\0"]
    assert fonts
    for font in fonts:
        assert {"glyf", "loca", "head"} <= set(font.keys()) and not set(style.LAYOUT_TABLES) & set(font.keys())
    assert not set(style.LAYOUT_TABLES) & set(Options._drop_tables_default)  # set back
