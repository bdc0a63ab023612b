"""Is a plot of an analysis the report's figure, wherever it is drawn, and does it leave everything else alone?"""

import io
import pickle
import subprocess
import sys
from itertools import product

import matplotlib
import numpy as np
import pytest
from drawn import colliding, words
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ltbv.errors import Refusal
from ltbv.report import columns, gridview
from ltbv.report.analysis import analyse
from ltbv.report.grid import grid
from ltbv.report.plot import KINDS, PANELS
from ltbv.report.result import Analysis
from ltbv.report.study import read_study
from ltbv.report.vector import darkened
from ltbv.stats.measured import FEWEST_RUNS

ODD = {"font.size": 21, "font.family": "serif", "axes.grid": True, "lines.linewidth": 5, "axes.unicode_minus": True}
ODD |= {"xtick.labelsize": 17, "xtick.direction": "in", "figure.facecolor": "#112233", "text.color": "#FF00FF"}


def settings() -> dict:
    return {name: dict.__getitem__(matplotlib.rcParams, name) for name in dict.keys(matplotlib.rcParams)}


@pytest.fixture(scope="module")
def analysis(shared_study) -> Analysis:
    return Analysis(read_study(shared_study({"ce": "CE", "ride": "RIDE", "tau_norm": "$x_1$ tau"}, runs=10, points=20)))


def made(number: int, classes: int = 6, runs: int = 6) -> Analysis:
    draw = np.random.default_rng(number)
    labels = np.arange(20 * classes) % classes
    right = draw.random((number, runs, labels.size)) < 0.5 + 0.4 * draw.random((number, 1, 1))
    predictions = np.where(right, labels, draw.integers(0, classes, right.shape))
    names = ["ce", *(f"method {k} of ${k}$" for k in range(1, number))]
    return analyse(dict(zip(names, predictions, strict=True)), labels, np.geomspace(500, 5, classes).astype(int))


def test_there_is_a_kind_for_every_figure_of_the_report():
    assert set(KINDS) == {"grid", *columns.FIGURES}
    assert all(f"'{kind}'" in Analysis.plot.__doc__ for kind in KINDS)


def test_it_is_the_report_s_figure_whatever_the_reader_s_settings(analysis, tmp_path):
    analysis.write(tmp_path)
    written = {path.stem for path in tmp_path.glob("figures/*.png")}
    assert written >= {"differences", "bias_variance", "by_class", "counts", "hardest_negatives", "flow"}
    for kind in sorted(written):
        with matplotlib.rc_context(ODD | {"figure.dpi": 200}):
            odd = png(analysis.plot(kind))
        with matplotlib.rc_context({"figure.dpi": 200}):
            figure = analysis.plot(kind)
            laid_out = figure.get_layout_engine() is not None  # once more whenever it is drawn
            assert png(figure) == odd, kind
        assert odd == (tmp_path / "figures" / f"{kind}.png").read_bytes() or laid_out, kind


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, metadata={"Software": None})
    return buffer.getvalue()


def test_nothing_else_is_touched(analysis):
    import matplotlib.pyplot as plt

    with matplotlib.rc_context(ODD | {"figure.dpi": 77}):
        before, open_before = settings(), plt.get_fignums()
        figures = [analysis.plot(kind, theme=theme) for kind in ("grid", *PANELS) for theme in ("light", "dark")]
        with pytest.raises(Refusal):
            analysis.plot("usage")
        assert settings() == before and plt.get_fignums() == open_before
        assert {figure.dpi for figure in figures} == {77}


def test_pyplot_is_not_imported_and_no_display_is_needed():
    code = """
import sys, numpy as np, ltbv
draw = np.random.default_rng(0)
analysis = ltbv.analyse({k: draw.integers(0, 3, (5, 30)) for k in ("ce", "mine")}, np.arange(30) % 3, [500, 50, 5])
assert analysis.plot()._repr_png_()[:4] == b"\\x89PNG"
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"MPLBACKEND": "tkagg"})
    assert done.returncode == 0, done.stderr


def test_a_figure_can_be_saved_pickled_and_shown_in_a_notebook(analysis, tmp_path):
    figure = analysis.plot("grid")
    assert isinstance(figure, Figure) and figure._repr_png_()[:4] == b"\x89PNG"
    for kind in ("grid", *PANELS, "counts"):
        again = pickle.loads(pickle.dumps(analysis.plot(kind)))
        assert words(again) >= {text for text in words(analysis.plot(kind)) if text}
    for form in ("pdf", "svg"):
        figure.savefig(tmp_path / f"figure.{form}")
    assert "hover" not in (tmp_path / "figure.svg").read_text()


@pytest.mark.parametrize("number", [1, 2, 40])
def test_with_one_method_with_two_and_with_forty(number):
    of = made(number)
    for kind in ("grid", "bias_variance", *(["differences"] * (number > 1))):
        assert not colliding(of.plot(kind)), kind
    if number == 1:
        with pytest.raises(Refusal, match="has nothing to show here: it needs a second method"):
            of.plot()
        with pytest.raises(Refusal, match="has nothing to show here: it needs a second method"):
            of.plot(quantity="bias")


def test_differences_ask_for_as_many_runs_as_they_need():
    """What the refusal asks for is enough, and one run less is not."""
    with pytest.raises(
        Refusal, match=f"it needs a second method, {FEWEST_RUNS} runs or more of both, and training counts"
    ):
        made(2, runs=FEWEST_RUNS - 1).plot()
    assert made(2, runs=FEWEST_RUNS).plot().axes


def test_the_grid_has_the_numbers_of_the_page(analysis):
    of = grid(analysis.tables, analysis.evidence)
    cells = [cell for row in of.rows for cell in of.shown(row)]
    shown = [text.get_text().removesuffix("†") for text in analysis.plot("grid").axes[0].texts]
    assert [text for text in shown if text in {gridview.estimate(cell) for cell in cells}] == [
        gridview.estimate(cell) for cell in cells
    ]
    names = [label.get_text() for label in analysis.plot("grid").axes[0].get_yticklabels()]
    assert names == [row.label for row in of.rows]


@pytest.mark.parametrize(("kind", "quantity"), [*product(PANELS, ("accuracy", "bias", "variance"))])
def test_a_panel_goes_into_axes_of_ones_own(analysis, kind, quantity):
    with matplotlib.rc_context(ODD):
        figure = Figure((7, 3))
        left, right = figure.subplots(1, 2)
        untouched = right.get_children()
        before = settings()
        assert analysis.plot(kind, quantity=quantity, ax=left) is figure
        assert settings() == before and right.get_children() == untouched
        figure.savefig("/dev/null", format="png")
        assert {label.get_fontsize() for label in left.get_yticklabels()} == {21.0}  # as the reader's settings say
    whole = analysis.plot(kind)
    (panel,) = (one for one in whole.axes if one.get_title(loc="left").lower().startswith(quantity))
    points = [
        [tuple(line.get_xydata()[0]) for line in one.lines if len(line.get_xydata()) == 1] for one in (left, panel)
    ]
    assert points[0] == points[1] and len(points[0]) >= 6
    _, told = left.get_legend_handles_labels()
    assert told == (["many", "medium", "few"] if kind == "differences" else ["CE", *_others(analysis)])


def _others(analysis: Analysis) -> list[str]:
    return [row.label for row in grid(analysis.tables, analysis.evidence).others]


def test_a_panel_alone_is_as_wide_as_a_column(analysis):
    for kind in PANELS:
        figure = analysis.plot(kind, quantity="bias")
        assert figure.get_figwidth() == 3.5 and len(figure.axes) == 1 and not colliding(figure)


def test_in_the_dark_every_colour_has_its_counterpart(analysis):
    light, dark = (
        {to_hex(line.get_color()) for line in analysis.plot("differences", theme=theme).findobj(Line2D)}
        for theme in ("light", "dark")
    )
    assert dark == {darkened(colour, mark=True) for colour in light} and light.isdisjoint(dark)
    figure = analysis.plot("differences", theme="dark")
    assert to_hex(figure.get_facecolor()) == darkened("#ffffff")
    (hollow,) = (one for one in figure.legends[0].legend_handles if one.get_label() == "interval excludes 0")
    assert max(to_rgb(hollow.get_markerfacecolor())) < 0.4 < min(to_rgb(hollow.get_markeredgecolor()))


def test_numbers_on_coloured_cells_stay_as_they_are_in_the_dark(analysis):
    def colours(theme: str) -> list[str]:
        panel = analysis.plot("flow", theme=theme).axes[0]
        return [to_hex(text.get_color()) for text in panel.texts if text.get_transform() == panel.transData]

    assert colours("light") == colours("dark") and len(colours("light")) == 9


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"kind": "diferences"},
            "unknown kind of plot 'diferences' (did you mean 'differences'?); there is: additions,",
        ),
        ({"kind": 3}, "unknown kind of plot '3'; there is: additions, bias_variance"),
        ({"kind": ["grid"]}, "unknown kind of plot"),
        ({"theme": "drak"}, "unknown theme 'drak' (did you mean 'dark'?); there is: dark, light"),
        ({"quantity": "error"}, "unknown quantity of a plot 'error'; there is: accuracy, bias, variance"),
        ({"kind": "grid", "quantity": "bias"}, "those with a panel for each are: differences, bias_variance"),
        ({"ax": 3, "quantity": "bias"}, "ax is a int: give matplotlib Axes"),
        ({"ax": Figure(), "quantity": "bias"}, "ax is a Figure: give matplotlib Axes"),
        ({"ax": Figure().subplots()}, "give quantity too, 'accuracy', 'bias' or 'variance'"),
        ({"ax": Figure().subplots(), "kind": "flow"}, "those that go into ax are: differences, bias_variance"),
        ({"kind": "usage"}, "plot 'usage' has nothing to show here: it needs a method with a router"),
        ({"kind": "training"}, "it needs a study whose training is known"),
    ],
)
def test_what_cannot_be_drawn_is_refused(analysis, asked, words):
    with pytest.raises(Refusal) as refused:
        analysis.plot(**asked)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_more_methods_than_a_panel_tells_apart_are_refused_with_the_cure():
    of = made(12)
    with pytest.raises(Refusal, match="tells 8 methods apart; here are 12: choose some, analysis.against"):
        of.plot("bias_variance", quantity="bias")
    assert of.against(methods=list(of.evidence.names)[:4]).plot("bias_variance", quantity="bias").axes
