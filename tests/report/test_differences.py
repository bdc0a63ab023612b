"""Does the figure of differences show the grid: its numbers, its judgement, and what lies beyond its axis?"""

import numpy as np
import pandas as pd
import pytest
from drawn import colliding, marks, words

from ltbv.report import differences, flows, lines, style, tables, topics
from ltbv.report.evidence import GROUPS, SHOWN, SPLITS
from ltbv.report.grid import axes
from ltbv.report.hover import said
from ltbv.report.judgement import CLAIM, INTERVAL, OPEN, REFERENCE, UNJUDGED
from ltbv.report.study import read_study
from ltbv.report.written import short, signed

LONG = "A method with a name of forty characters"
FOREIGN = ("Método Ελληνικά Русский עברית", "名前がとても長い方法の名前", "다른 방법", "طريقة أخرى")
STATES = (CLAIM, INTERVAL, OPEN, UNJUDGED)


def made(number: int, outlier: float = 0.0) -> pd.DataFrame:
    """The grid of so many methods, m0 the reference; the last one is `outlier` more accurate, biased and variable."""
    draw = np.random.default_rng(number)
    rows = []
    for i in range(number):
        for at, (group, quantity) in enumerate((g, q) for g in GROUPS for q in SHOWN):
            far = outlier if i == number - 1 else 0.0
            value, half = draw.normal(far, 0.05), 0.01 + 0.02 * draw.random()
            ends = (value, value - half, value + half) if i else (np.nan,) * 3
            state = STATES[(i + at) % 4] if i else REFERENCE
            estimate = 0.4 + (value if i else 0.0)
            why = "votes are near uniform" if state == UNJUDGED else ""
            rows.append((f"m{i}", group, quantity, estimate, estimate - half, estimate + half, *ends, state, why))
    columns = ["method", "group", "quantity", "estimate", "low", "high"]
    columns += ["reference_difference", "difference_low", "difference_high", "state", "why"]
    return pd.DataFrame(rows, columns=columns)


def looks(number: int, kinds: int = 0) -> dict[str, style.Look]:
    names = {f"m{i}": ("CE", LONG, *FOREIGN, "Mine")[i % 7] + f" {i}" for i in range(number)}
    of_kind = {key: f"Kind {i % kinds} of a long name" for i, key in enumerate(names)} if kinds else None
    found = style.looks(names, of_kind)
    return dict(sorted(found.items(), key=lambda item: item[1].kind)) if kinds else found


def draw(grid: pd.DataFrame, look: dict[str, style.Look]):
    with style.house_style():
        return (differences.many if lines.are_many(look) else differences.by_split)(grid, look, axes(grid))


KEYS = {look.label: key for key, look in looks(42).items()}


@pytest.mark.parametrize("number", [2, 6, 42])
def test_marks_show_the_grid_and_its_judgement(number):
    grid = made(number)
    figure = draw(grid, looks(number))
    rows = grid[grid["group"].isin(SPLITS) & (grid["method"] != "m0")].set_index(["method", "group", "quantity"])
    drawn, limits = marks(figure, KEYS), axes(grid)
    assert set(drawn) == set(rows.index)
    for at, mark in drawn.items():
        row, (value,) = rows.loc[at], mark.get_xdata()
        assert signed(row.reference_difference, at[2], minus="−") in said(mark.get_gid())[0]
        if abs(row.reference_difference) > differences.EDGE * limits[at[2]]:
            assert mark.get_marker() in "<>" and signed(row.reference_difference, at[2]) in words(figure)
            continue
        assert value == row.reference_difference
        assert (mark.get_marker() == "x") == (row.state == UNJUDGED)
        assert (mark.get_markerfacecolor() != style.PAPER) == (row.state == CLAIM)
        assert (mark.get_color() == style.UNJUDGED_COLOUR) == (row.state in (OPEN, UNJUDGED))
        whiskers = [line.get_xdata() for line in mark.axes.lines if len(line.get_xdata()) == 2]
        assert any(tuple(ends) == (row.difference_low, row.difference_high) for ends in whiskers)


@pytest.mark.parametrize("number", [2, 42])
def test_right_is_better_whatever_the_quantity(number):
    grid = made(number)
    figure = draw(grid, looks(number))
    for (_, _, quantity), mark in marks(figure, KEYS).items():
        left, right = mark.axes.get_xlim()
        assert (left < right) == (quantity == "accuracy") and left == -right


@pytest.mark.parametrize("sign", [-1, 1])
def test_an_outlier_does_not_set_the_scale(sign):
    grid = made(42, outlier=0.55 * sign)
    figure = draw(grid, looks(42))
    far = grid[(grid["method"] == "m41") & grid["group"].isin(SPLITS)]
    for row in far.itertuples():
        mark = marks(figure, KEYS)[row.method, row.group, row.quantity]
        better = (row.reference_difference > 0) == (row.quantity == "accuracy")
        assert mark.get_marker() == (">" if better else "<")
        assert abs(mark.axes.get_xlim()[0]) < 0.3
        assert signed(row.reference_difference, row.quantity) in words(figure)
    with style.house_style():
        figure = lines.bias_variance(grid, looks(42))
    for row in grid[grid["method"] == "m41"].itertuples():
        mark = marks(figure, KEYS)[row.method, row.group, row.quantity]
        assert mark.get_marker() == (">" if sign > 0 else "<") and short(row.estimate, row.quantity) in words(figure)


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize(("number", "kinds"), [(2, 0), (6, 0), (9, 0), (42, 0), (42, 6)])
def test_no_text_is_cut_or_lies_on_another(number, kinds):
    grid, look = made(number, outlier=0.55), looks(number, kinds)
    assert number > 6 or LONG in look["m1"].label
    of_flow = pd.DataFrame(
        [(key, true, negative, 0.1 + i) for key in look for true in SPLITS for i, negative in enumerate(SPLITS)],
        columns=["method", "true", "negative", "ratio"],
    )
    with style.house_style():
        drawn = [draw(grid, look), (flows.many if lines.are_many(look) else flows.flow)(of_flow, look)]
        drawn += [lines.bias_variance(grid, look)] if lines.are_many(look) else []
        for figure in drawn:
            assert not colliding(figure)
            assert {text for text in words(figure) if "forty" in text and "…" not in text}  # whole, not cut


def test_methods_of_a_kind_look_alike_and_stand_under_its_name():
    look = looks(42, 6)
    kinds = {of.kind: (of.colour, of.marker) for key, of in look.items() if key != "m0"}
    assert len(kinds) == len(set(kinds.values())) == 6
    assert all((of.colour, of.marker) == kinds[of.kind] for key, of in look.items() if key != "m0")
    assert set(kinds) <= words(draw(made(42), look))
    assert not any(of.kind for of in looks(8, 6).values())
    alone = style.looks({str(i): "" for i in range(12)}, dict.fromkeys(map(str, range(12)), "Other"))
    assert {of.kind for of in alone.values()} == {""} and len({of.colour for of in alone.values()}) == 2


def test_numbers_of_flow_are_legible_on_their_colours():
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    def luminance(colour):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for share in np.linspace(0, 1, 101):
        cell = colormaps[style.FLOW_COLOURS](share)
        low, high = sorted((luminance(cell), luminance(to_rgb(style.legible(cell)))))
        assert (high + 0.05) / (low + 0.05) > 4.5


def test_names_are_fitted_by_their_width():
    for name in (LONG, *FOREIGN, "x" * 2000):
        assert style.inches(style.fitted(name, 1.5, 7), 7) <= 1.5
        assert all(style.inches(line, 9) <= 1.5 for line in style.titled(name, 1.5, 9).split("\n"))
    assert style.fitted(LONG, 2.4, 7) == LONG
    assert style.titled(LONG, 1.9, 9).replace("\n", " ") == LONG
    assert style.titled(" \n", 1, 9) == style.fitted("", 1, 9) == "?"


def test_words_for_those_who_do_not_see_it_carry_the_finding(study):
    evidence = read_study(study(ride="RIDE", tau_norm="tau-norm", runs=12))
    built = tables.build(evidence)
    with style.house_style():
        alts = {one.key: one.alt for one in topics.drawn(built, evidence, style.looks(evidence.names))}
    own = built.grid[(built.grid["method"] != "ce") & built.grid["group"].isin(SPLITS)]
    claims = own[own["state"] == CLAIM]
    assert len(claims)
    for (quantity, group), rows in claims.groupby(["quantity", "group"]):
        better = int(((rows["reference_difference"] > 0) == (quantity == "accuracy")).sum())
        sides = alts["differences"].split("Worse:")
        for count, words_of_side in ((better, sides[0]), (len(rows) - better, sides[1])):
            assert (f"{quantity} in {group} ({count})" in words_of_side) == (count > 0)
    assert f"Not judged: {(own['state'] == UNJUDGED).sum()} of {len(own)}." in alts["differences"]
    few = (
        built.grid[(built.grid["quantity"] == "accuracy") & (built.grid["group"] == "few")].set_index("method").estimate
    )
    best = f"{evidence.names[few.idxmax()]} in few ({100 * few.max():.1f})"
    assert best in alts["bias_variance"].split("Lowest")[0]
    for alt in alts.values():
        assert any(letter.isdigit() for letter in alt) and "nan" not in alt


def test_no_figure_of_differences_without_an_interval(study):
    evidence = read_study(study(ride="RIDE", runs=1))
    with style.house_style():
        drawn = [one.key for one in topics.drawn(tables.build(evidence), evidence, style.looks(evidence.names))]
    assert "bias_variance" in drawn and "differences" not in drawn
