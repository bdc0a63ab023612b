"""Does a figure on the page follow the theme, say its values, and stay small, with equal bytes for equal figures?"""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ltbv.report import lines, style, tables, topics, vector
from ltbv.report.hover import hover, said
from ltbv.report.study import read_study
from ltbv.report.vector import _path
from ltbv.report.written import signed

LIGHT_GROUND, DARK_GROUND = "#ffffff", "#121418"


def drawn(draw=lambda panel: None, key="one", label="a figure") -> tuple[str, str]:
    """The SVG and the style of a figure with one panel."""
    with style.house_style():
        figure = Figure((3, 2))
        draw(figure.subplots())
        found = vector.Drawn()
        return found.add(key, vector.rendered(figure), label=label), found.style


def contrast(one: str, other: str) -> float:
    """Of two colours, as the WCAG has it: 1 to 21."""

    def luminance(colour: str) -> float:
        of = np.array(to_rgb(colour))
        linear = np.where(of <= 0.04045, of / 12.92, ((of + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_it_is_xml_without_fonts_dates_pictures_or_colours_of_its_own():
    def draw(panel):
        panel.plot([0, 1], [0, 1], "o-", color="#4477AA", label='<b>&"')
        panel.pcolormesh(np.arange(9.0).reshape(3, 3), cmap="PuOr_r")
        panel.set_title('<b>&" Grüße 名前')

    text, of_style = drawn(draw)
    root = ElementTree.fromstring(text)
    assert root.attrib["class"] == "figure" and root.attrib["role"] == "img" and root.attrib["aria-label"] == "a figure"
    assert '<b>&" Grüße 名前' in {element.text for element in root.iter("text")}
    known = {"svg", "g", "defs", "path", "use", "text", "clipPath", "rect"}
    assert {element.tag for element in root.iter()} <= known
    assert "#4477" not in text and "style=" not in text and "font-family" not in text + of_style
    assert "@media screen and (prefers-color-scheme: dark)" in of_style and "--m4477aa: #4477aa" in of_style
    classes = set(re.findall(r'class="(f\d+)"', text))
    assert classes and classes == set(re.findall(r"\.figure \.(f\d+) ", of_style))


def test_coordinates_have_two_decimals_and_bytes_are_equal():
    def draw(panel):
        panel.plot(np.linspace(0, 1, 7), np.linspace(0, 1, 7) ** 2, ".")

    once, again = drawn(draw), drawn(draw)
    assert once == again
    assert not re.search(r"\d\.\d{3}", once[0]) and re.search(r"\d\.\d\d\b", once[0])


def test_figures_share_styles_and_no_id():
    found, texts = vector.Drawn(), []
    with style.house_style():
        for key in ("one", "two"):
            figure = Figure((3, 2))
            figure.subplots().plot([0, 1], [0, 1], "s", color="#EE6677")
            texts.append(found.add(key, vector.rendered(figure), label=key))
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in texts]
    assert ids[0] and not ids[0] & ids[1]
    for own, text in zip(ids, texts, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)) <= {(i, "") for i in own} | {
            ("", i) for i in own
        }
    assert re.findall(r'class="(f\d+)"', texts[0]) == re.findall(r'class="(f\d+)"', texts[1])


def test_marks_say_what_was_hung_on_them():
    def draw(panel):
        (several,) = panel.plot([1, 2, 3], [1, 2, 3], "o", color="#4477AA")
        hover(several, "first, 1 %", "<second>: α", "third & last")
        hover(panel.axvline(2, color="#228833"), "a line")
        (wrong,) = panel.plot([1, 2], [1, 2], "^", color="#AA3377")
        hover(wrong, "one of two", "two of two", "of none")

    text, _ = drawn(draw)
    root = ElementTree.fromstring(text)
    titled = [(element.tag, element.find("title").text) for element in root.iter() if element.find("title") is not None]
    assert titled == [("use", "first, 1 %"), ("use", "<second>: α"), ("use", "third & last"), ("g", "a line")]
    assert "hover:" not in text


def test_a_dark_theme_turns_lightness_round_and_keeps_everything_readable():
    assert (
        contrast(vector.darkened("#000000"), DARK_GROUND) > 12
        and contrast(vector.darkened("#ffffff"), DARK_GROUND) < 1.2
    )
    for colour in (*style.COLOURS, style.GREY):
        assert contrast(vector.darkened(colour, mark=True), DARK_GROUND) > 4.5
    for at in np.linspace(0, 1, 21):  # letters on coloured cells: black on light ones, white on dark ones
        cell = matplotlib.colors.to_hex(matplotlib.colormaps[style.FLOW_COLOURS](at))
        letters = max(("#000000", "#ffffff"), key=lambda of: contrast(of, cell))
        assert contrast(vector.darkened(cell), vector.darkened(letters)) > 3


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("number", [1, 9])
def test_the_first_figure_says_every_estimate_with_its_interval(study, number):
    names = {f"m{i}": f"Method {i}" for i in range(number)}
    evidence = read_study(study(runs=4, points=4, **names))
    built = tables.build(evidence)
    with style.house_style():
        first = next(topics.drawn(built, evidence, style.looks(evidence.names)))
        text = vector.Drawn().add(first.key, vector.rendered(first.figure), label="")
    row = built.splits.set_index(["method", "group", "quantity"]).loc["m0", "few", "variance"]
    wanted = " ".join(f"{value:.3f}".replace("0.", ".") for value in (row.estimate, row.low, row.high))
    titles = re.findall(r"<title>(.*?)</title>", text)
    assert f"Method 0, few: variance {wanted.split()[0]} ({wanted.split()[1]} to {wanted.split()[2]})" in titles
    assert len(set(titles)) == len(titles) == (1 + number) * 4 * len(set(first.data["quantity"]))


@pytest.mark.parametrize("split", style.SPLIT_COLOURS)
def test_bars_of_each_split_are_seen_in_both_themes(split):
    colour = style.SPLIT_COLOURS[split]
    assert contrast(colour, LIGHT_GROUND) >= 3 and contrast(vector.darkened(colour), DARK_GROUND) >= 3


def test_every_mark_bar_and_cell_of_every_figure_says_what_it_is(study, tmp_path):
    """Of few and of many methods; dots of single classes, which are a reference's too, are left out."""
    for number in (1, 9):
        names = {"ride": "RIDE", "ride2": "RIDE 2"} | {f"m{i}": f"Method {i}" for i in range(number)}
        recipes = {"ride": {"family": "RIDE", "experts": 3, "adds_to": "ce"}, "ride2": {"family": "RIDE", "experts": 2}}
        path = study(runs=4, points=4, recipes=recipes, routed={"ride": 3}, **names).rename(tmp_path / f"s{number}")
        evidence = read_study(path)
        built = tables.build(evidence)
        with style.house_style():
            drawings = list(topics.drawn(built, evidence, style.looks(evidence.names)))
        assert {of.key for of in drawings} == {
            *("differences", "bias_variance", "by_class", "counts", "hardest_negatives", "flow"),
            *("usage", "additions", "experts"),
        }
        for of in drawings:
            panels = [panel for panel in of.figure.axes if panel.get_label() != "bar"]
            marked = [line for panel in panels for line in panel.lines if line.get_marker() not in ("None", ".")]
            marked = [line for line in marked if np.isfinite(line.get_xydata().astype(float)).all()]
            meshes = [mesh for panel in panels for mesh in panel.collections if isinstance(mesh, QuadMesh)]
            bars = [bar for panel in panels for bar in panel.patches if isinstance(bar, Rectangle)]
            bars += panels[0].patches if of.key == "counts" else []
            bars = [bar for bar in bars if of.key != "differences"]  # those are stripes behind every other method
            silent = [one for one in (*marked, *meshes, *bars) if not any(said(one.get_gid() or ""))]
            assert not silent and (marked or meshes or bars or of.key in ("by_class", "hardest_negatives")), of.key


def test_a_cell_says_its_difference_and_an_empty_one_nothing(study):
    evidence = read_study(study(runs=4, points=4, num_classes=30, **{f"m{i}": f"Method {i}" for i in range(9)}))
    built = tables.build(evidence)
    looks = style.looks(evidence.names, dict.fromkeys(evidence.names, "Loss") | {"m8": "Experts"})
    with style.house_style():
        text = vector.Drawn().add(
            "by_class", vector.rendered(lines.by_class(built.curves, built.profile, looks)), label=""
        )
    titles = re.findall(r"<title>(.*?)</title>", text)
    own = built.curves[built.curves["reference_difference"].notna()]
    assert len(titles) == len(own) and all(titles), "cells under the headings of kinds are empty"
    row = own[(own["method"] == "m3") & (own["quantity"] == "variance")].iloc[-1]
    images = " to ".join(
        dict.fromkeys(str(int(built.profile["train_count"].iloc[row[at]])) for at in ("first", "last"))
    )
    assert (
        f"Method 3, {images} images: variance {signed(row.reference_difference, 'variance', minus='−')} ("
        in "".join(title for title in titles if title.startswith(f"Method 3, {images} "))
    )


def test_one_method_far_away_does_not_take_the_colour_from_the_others(study):
    evidence = read_study(study(runs=4, points=4, num_classes=30, **{f"m{i}": f"Method {i}" for i in range(19)}))
    built, looks = tables.build(evidence), style.looks(evidence.names)
    for outlier, words in ((0.9, "0.1 or more worse"), (0.05, "0.1 worse")):
        values = np.where(built.curves["method"] == "m4", outlier, 0.05)
        curved = built.curves.assign(reference_difference=np.where(built.curves["method"] == "ce", np.nan, values))
        with style.house_style():
            figure = lines.by_class(curved, built.profile, looks)
        assert words in {tick.get_text() for tick in figure.axes[-1].get_xticklabels()}


def test_a_rectangle_is_its_corner_and_its_sides_and_other_paths_are_as_they_were():
    assert _path("M10 20L15.5 20L15.5 28L10 28L10 20") == "M10 20h5.5v8h-5.5z"
    assert _path("M10 20L15.5 20L15.5 12L10 12Z") == "M10 20h5.5v-8h-5.5z"
    for other in ("M10 20L15 20L15 28L11 28L10 20", "M10 20L15 21L15 28L10 28L10 20", "M0 0L1 1"):
        assert _path(other) == other
