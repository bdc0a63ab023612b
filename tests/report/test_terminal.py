"""Can the table be read: within 100 columns, without colour, in a pipe?"""

import re

import pytest

from ltbv.report import tables, terminal
from ltbv.report.study import read_study

LONG = "A method of one's own whose [bold]name[/] goes on :smile: for longer than anybody should write"


def show(path) -> str:
    evidence = read_study(path)
    return terminal.show(tables.build(evidence), evidence)


@pytest.fixture
def on_terminal(monkeypatch):
    """Pretend that standard output is a terminal with colours and so many columns."""

    def pretend(columns: int) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.delenv("NO_COLOR", raising=False)

    return pretend


def test_in_a_pipe_it_is_plain_and_fits_100_columns(study):
    text = show(study(ride="RIDE", mine=LONG))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "A method of" in text and "[bold]name[/]" in text and ":smile:" in text


def test_estimates_intervals_and_differences(study):
    path = study(ride="RIDE")
    evidence = read_study(path)
    built = tables.build(evidence)
    text = terminal.show(built, evidence)
    corrected = text[: text.index("Plug-in")].splitlines()
    first = next(i for i, line in enumerate(corrected) if line.startswith("RIDE"))
    estimates, widths, differences = (line.split() for line in corrected[first : first + 3])
    row = built.splits.set_index(["method", "group", "quantity"]).loc[("ride", "all", "accuracy")]
    assert estimates[1] == f"{100 * row.estimate:.1f}"
    assert widths[1] == f"±{50 * (row.high - row.low):.1f}"
    star = "*" if row.difference_low > 0 or row.difference_high < 0 else ""
    assert differences[:3] == ["-", "CE", f"{100 * row.reference_difference:+.1f}{star}"]
    assert [len(line) for line in (estimates, widths, differences)] == [13, 13, 14]


def test_plug_in_values_stand_apart(study):
    path = study()
    evidence = read_study(path)
    built = tables.build(evidence)
    text = terminal.show(built, evidence)
    plug_in = built.splits.set_index(["group", "quantity"]).loc[("all", "variance")].plug_in
    before, after = text.split("Plug-in values")
    assert f"{plug_in:.3f}"[1:] in after and f"{plug_in:.3f}"[1:] not in before


def test_the_caption_says_how_the_runs_came_about(study):
    text = " ".join(show(study(ride="RIDE", runs={"ce": range(6), "ride": range(4)})).split())
    assert "glyphs-lt: 12 classes, 325 training images a run (head 100, imbalance 50), 120 test points" in text
    assert "Scheme subsample; two runs share, in the mean of all pairs," in text
    assert "Runs R: CE 6, RIDE 4." in text
    assert "95% interval, for new training runs and new test images" in text
    assert "! RIDE has 4 runs and CE 6" in text


def test_one_run_shows_dashes_and_no_intervals(study):
    text = show(study(ride="RIDE", runs=1))
    assert "  ±" not in text.split("\n± half")[0] and "*" not in text.split("\n± half")[0]
    assert "! 1 runs: no intervals" in text
    before, plug_in = text.split("Plug-in values")
    (line,) = (line for line in plug_in.splitlines() if line.startswith("CE "))
    assert line.split()[3::3] == ["-"] * 4  # one run has no variance, plug-in or not


def test_green_is_better_red_is_worse_and_both_have_a_star(study, on_terminal):
    on_terminal(100)
    path = study(ride="RIDE", mine="Mine", runs=8)
    evidence = read_study(path)
    built = tables.build(evidence)
    text = terminal.show(built, evidence)
    green, red = (re.findall(rf"\x1b\[{code}m *([^\x1b]+?)\x1b", text) for code in (32, 31))
    assert green and all(value.endswith("*") for value in green + red)
    rows = built.splits[built.splits.quantity.isin(terminal.SHORT)]
    excludes_0 = (rows.difference_low > 0) | (rows.difference_high < 0)
    assert len(green) + len(red) == excludes_0.sum()
    better = (rows.reference_difference > 0) == (rows.quantity == "accuracy")
    assert len(green) == (excludes_0 & better).sum()


def test_a_narrow_terminal_gets_the_groups_below_each_other(study, on_terminal):
    on_terminal(80)
    text = re.sub(r"\x1b\[[\d;]*m", "", show(study(ride="RIDE", mine=LONG)))
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"all +many\n", text) and re.search(r"medium +few\n", text)


def test_a_bias_below_0_is_grey_and_says_why(study, on_terminal):
    evidence = read_study(study(ride="RIDE", runs=8))
    built = tables.build(evidence)
    rows = built.splits
    here = (rows.method == "ce") & (rows.group == "many") & (rows.quantity == "bias")
    below = built.instead(splits=rows.assign(estimate=rows.estimate.where(~here, -0.0123)))
    plain = terminal.show(below, evidence)
    assert plain.count("-.012?") == 1 and "which no bias is" in plain
    on_terminal(100)
    assert re.search(r"\x1b\[90m *-\.012\?\x1b", terminal.show(below, evidence))
    positive = built.instead(splits=rows.assign(estimate=rows.estimate.abs()))
    assert "which no bias is" not in terminal.show(positive, evidence)


def test_numbers_keep_to_their_width():
    assert terminal._number(1.0, "accuracy") == "100.0 "
    assert terminal._number(-0.1234, "bias", "+", "*") == "-.123*"
    assert terminal._number(1.0, "bias", "+", "*") == "+1.00*"
    assert terminal._number(float("nan"), "bias") == "    - "
