"""Can the grid be read: as wide as the terminal, without colour, in a pipe, with names as long as people make them?"""

import re
from types import SimpleNamespace

import pytest

from ltbv.report import tables, terminal
from ltbv.report.grid import grid
from ltbv.report.study import read_study

LONG = "A method of one's own whose [bold]name[/] goes on :smile: for longer than anybody should write"
RULE = "─"


def show(path, built=None, **options) -> str:
    evidence = read_study(path)
    built = built or tables.build(evidence, **options)
    return terminal.show(built, evidence, grid(built, evidence))


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.fixture
def on_terminal(monkeypatch):
    """Pretend that standard output is a terminal with colours and so many columns."""

    def pretend(columns: int) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.delenv("NO_COLOR", raising=False)

    return pretend


def test_in_a_pipe_it_is_plain_and_fits_120_columns(study):
    text = show(study(ride="RIDE", mine=LONG))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120
    assert "A method of" in text and "[bold]name[/]" in text and ":smile:" in text


def test_it_is_given_back_in_a_notebook_too(study, monkeypatch):
    """rich shows in a notebook what is printed, whatever file it was to go to."""
    path = study(ride="RIDE")
    text = show(path)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert show(path) == text and "RIDE" in text


def test_the_answer_comes_first_then_the_grid_then_how_the_runs_came_about(study):
    lines = show(study(ride="RIDE", runs=10, points=20)).splitlines()
    assert "RIDE" in lines[0] and "in the tail" in lines[0]
    rule = next(at for at, line in enumerate(lines) if line.startswith(RULE))
    assert lines[rule - 2].split() == ["all", "many", "(head)", "medium", "few", "(tail)"]
    provenance = next(line for line in lines if line.startswith("glyphs-lt: 10 runs of each of 2 methods, each on its"))
    assert rule < lines.index(provenance)
    together = " ".join(lines)
    assert "own subsample of 325 images (100 to 2 a class), 30 epochs; 240 test images" in together
    assert "two runs share" in together


def test_estimates_half_intervals_and_differences(study):
    path = study(ride="RIDE", runs=10)
    evidence = read_study(path)
    built = tables.build(evidence)
    lines = show(path, built).splitlines()
    rule = next(at for at, line in enumerate(lines) if line.startswith(RULE))
    at = next(at for at, line in enumerate(lines) if at > rule and line.startswith("RIDE"))
    row = built.splits.set_index(["method", "group", "quantity"])
    own, reference = row.loc[("ride", "all", "accuracy")], row.loc[("ce", "all", "accuracy")]
    assert lines[at].split()[1].rstrip("▸◂▹◃†?") == f"{100 * own.estimate:.1f}"
    assert lines[at + 1].split()[:3] == ["-", "CE", f"{100 * own.reference_difference:+.1f}"]
    halves = lines[at - 1]
    assert halves.startswith("  ± half 95 %") and f"±{50 * (reference.high - reference.low):.1f}" in halves


@pytest.fixture(scope="module")
def names(shared_study):
    """Labels of all lengths; a study of methods that are called so, and its tables."""
    labels = {"mine": LONG, "short": "x", "other": "RIDE (3 experts) + distillation, routing"}
    path = shared_study({"ce": "CE", **labels}, runs=10, points=4)
    return labels, path, tables.build(read_study(path))


@pytest.mark.parametrize("columns", [45, 60, 80, 100, 120, 170, 250])
def test_the_grid_is_as_wide_as_the_terminal_and_no_name_breaks_it(names, on_terminal, columns):
    on_terminal(columns)
    labels, path, built = names
    text = plain(show(path, built))
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    grids = [at for at, line in enumerate(lines) if line.startswith(RULE)]
    assert len(grids) == (1 if columns >= 80 else 2 if columns >= 60 else 4)
    of_first = lines[grids[0] : (lines.index("", grids[0]))]
    layout, _ = terminal._layout(grid(built, read_study(path)), columns)
    shown = "".join(line[: layout.name] for line in of_first if not line.startswith("  - CE"))
    for label in labels.values():  # whole, in pieces at most
        assert "".join(label.split()) in "".join(shown.split())
    wide = max(len(line) for line in of_first)
    assert wide > 0.6 * columns or columns > 170
    with_halves = any(line.startswith("  - CE") and " ±" in line for line in of_first)
    assert with_halves == (columns >= 170)


def test_colours_say_what_the_marks_say(study, on_terminal):
    on_terminal(120)
    path = study(ride="RIDE", mine="Mine", runs=10, points=30)
    built = tables.build(read_study(path))
    text = show(path, built)
    better, worse = (re.findall(rf"\x1b\[1;{code}m *([^\x1b]+?)\x1b", text) for code in (34, 33))
    claims = built.claims[built.claims.holds != ""]
    good = claims.holds == "lower"
    assert len(better) == good.sum() > 0 and len(worse) == (~good).sum()
    assert all(value.endswith("▸") for value in better) and all(value.endswith("◂") for value in worse)


def test_where_an_encoding_lacks_the_marks_others_stand_for_them(study, monkeypatch):
    path = study(ride="RIDE", runs=10, points=30)
    built = tables.build(read_study(path))
    with_marks = show(path, built)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(encoding="latin-1"))
    assert terminal._encodable("12.3▸ .45◂ .67▹ .89◃ ±") == "12.3> .45< .67) .89( ±"
    monkeypatch.setattr("sys.stdout", SimpleNamespace(encoding="ascii"))
    plain_ones = terminal._encodable(with_marks)
    assert list(map(len, plain_ones.splitlines())) == list(map(len, with_marks.splitlines()))
    assert "▸" in with_marks and "?" not in plain_ones.split("\n\n")[1] and "----" in plain_ones


def test_many_methods_stand_by_kind_without_differences(study):
    others = {f"m{i}": f"Method {i}" for i in range(14)}
    recipes = {key: {"kind": "Odd" if i % 2 else "Even"} for i, key in enumerate(others)}
    text = show(study(runs=4, points=3, recipes=recipes, **others))
    assert "\nOdd\n" in text and "\nEven\n" in text and "  - CE" not in text
    assert "Verdict (with" not in text


def test_how_many_runs_there_are_and_what_they_forbid_is_said(study):
    text = " ".join(show(study(ride="RIDE", runs={"ce": range(6), "ride": range(4)})).split())
    assert "4 to 6 runs of each of 2 methods" in text
    assert "! RIDE has 4 runs and CE 6" in text


def test_one_run_shows_dashes_and_no_marks(study):
    text = show(study(ride="RIDE", runs=1))
    lines = [line for line in text.splitlines() if re.match(r"(CE|RIDE) ", line)]
    assert "  ±" not in text.split("\n▸")[0] and not any(set("▸◂▹◃") & set(line) for line in lines)
    assert "! 1 run: no intervals" in text
    assert lines[0].split()[3::3] == ["-"] * 4  # one run has no variance


def test_a_bias_below_0_is_grey_and_says_why(study, on_terminal):
    path = study(ride="RIDE", runs=10)
    evidence = read_study(path)
    built = tables.build(evidence)
    cells = built.grid.assign(why="")
    here = (cells.method == "ce") & (cells.group == "many") & (cells.quantity == "bias")
    below = built.instead(grid=cells.assign(estimate=cells.estimate.where(~here, -0.0123)))
    text = show(path, below)
    assert text.count("-.012?") == 1 and "which no bias is" in " ".join(text.split())
    on_terminal(120)
    assert re.search(r"\x1b\[2m *-\.012\x1b", show(path, below))
    positive = built.instead(grid=cells.assign(estimate=cells.estimate.abs()))
    assert "which no bias is" not in " ".join(show(path, positive).split())
