"""Does the grid say of each number what claims, verdicts and cautions say, and the same in every form?"""

import re
from dataclasses import replace

import numpy as np
import pytest

from ltbv.errors import Refusal
from ltbv.report import gridview, latex, legend, markdown, tables
from ltbv.report.analysis import Analysis, analyse
from ltbv.report.answer import answer
from ltbv.report.claims import barred
from ltbv.report.evidence import GROUPS, SHOWN
from ltbv.report.grid import LIMITS, _round_up, grid, ranking
from ltbv.report.judgement import CLAIM, INTERVAL, OPEN, REFERENCE, UNJUDGED
from ltbv.report.rows import estimate, record
from ltbv.report.study import read_study
from ltbv.report.verdict import NO, YES
from ltbv.report.verdict import OPEN as NOT_SHOWN

OF_CLAIMS = {"accuracy": "error", "bias": "bias", "variance": "variance"}


@pytest.fixture(scope="module")
def judged(shared_study):
    """A study with a method whose votes are near uniform in the tail, and one with a run that failed."""
    labels = {"ce": "CE", "ride": "RIDE", "tau_norm": "tau-norm", "broken": "Broken"}
    evidence = read_study(shared_study(labels, runs=10, points=40))
    draw = np.random.default_rng(0)
    *others, broken = evidence.methods
    ride = others[1]
    few = np.isin(evidence.labels, evidence.splits["few"])
    scattered = ride.predictions.copy()
    scattered[:, few] = draw.integers(0, 12, (10, few.sum()))
    failed = broken.predictions.copy()
    failed[3] = draw.integers(0, 12, failed.shape[1])
    others[1] = replace(ride, predictions=scattered)
    evidence = replace(evidence, methods=(*others, replace(broken, predictions=failed)))
    built = tables.build(evidence)
    return evidence, built, grid(built, evidence)


def test_every_cell_has_the_first_state_that_fits(judged):
    evidence, built, of = judged
    records = {method.key: record(evidence, method) for method in evidence.methods}
    doubts = barred({key: estimate(evidence, one) for key, one in records.items()}, evidence)
    of_claims = {(row.method, row.group, row.quantity): row.no_claim for row in built.claims.itertuples()}
    held = {(row.method, row.group, row.quantity): row.holds for row in built.claims.itertuples() if row.holds}
    seen = set()
    for row in of.others:
        for cell in row.cells:
            at = (row.key, cell.group, OF_CLAIMS[cell.quantity])
            clear = cell.difference_low > 0 or cell.difference_high < 0
            why = of_claims.get(at, doubts[row.key].get(at[1:], ""))
            assert why or at[1:] not in doubts[row.key]
            expected = UNJUDGED if why else CLAIM if at in held else INTERVAL if clear else OPEN
            assert (cell.state, cell.why) == (expected, why)
            if cell.state == CLAIM:
                assert cell.better == (held[at] == "lower") and cell.group != "all"
            seen.add(cell.state)
    assert seen == {UNJUDGED, CLAIM, INTERVAL, OPEN}
    assert {cell.state for cell in of.reference.cells} == {REFERENCE}


def test_no_claim_stands_where_a_caution_does(judged):
    evidence, built, of = judged
    cells = {(row.key, c.group, OF_CLAIMS[c.quantity]): c for row in of.others for c in row.cells}
    for row in built.claims.itertuples():
        assert not (row.holds and cells[row.method, row.group, row.quantity].state == UNJUDGED)
        assert (row.no_claim != "") == (cells[row.method, row.group, row.quantity].state == UNJUDGED)
    uniform = cells["ride", "few", "bias"], cells["ride", "few", "variance"]
    assert all(cell.why == "votes are near uniform" for cell in uniform)
    assert cells["broken", "medium", "error"].why.startswith("it holds only without run 3 of Broken")


def test_two_methods_are_both(judged):
    """Of the grid and the verdicts two are kept."""
    evidence, built, of = judged
    two = replace(of, families=(("", of.others[:2]),))
    kept = {row.key for row in two.others}
    built = replace(built, verdicts=tuple(verdict for verdict in built.verdicts if verdict.method in kept))

    def said(answers, states):
        return answer(with_verdicts(built, *answers), with_tail(two, states), evidence)

    assert said([(YES, YES)] * 2, [CLAIM] * 2) == (
        "Both methods beat CE in the tail; both keep the head.",
        "In the tail, bias and variance fall with both methods.",
    )
    first, why = said([(YES, NO)] * 2, [CLAIM, OPEN])
    assert first == "Both methods beat CE in the tail; neither keeps the head."
    assert why.startswith("In the tail, bias falls with 1 and variance with 1 of the two; variance ")


def test_the_answer_counts_what_the_verdicts_say(judged):
    evidence, built, of = judged
    verdicts = {verdict.method: verdict for verdict in built.verdicts}
    beating = [key for key, verdict in verdicts.items() if verdict.tail == YES]
    first, why = answer(built, of, evidence)
    assert first.startswith(f"{len(beating)} of 3 methods" if beating else "None of 3 methods")
    for quantity in ("bias", "variance"):
        few = [row.at("few", quantity) for row in of.others]
        known = [cell for cell in few if cell.state != UNJUDGED]
        falling = sum(cell.state == CLAIM and cell.better for cell in known)
        said = f"{quantity} falls with {falling} of {len(known)}" if known else f"{quantity} can be judged for none"
        assert said in why.replace("3 that can be judged", "3")


def with_tail(of, states):
    """The same grid with a state of bias and variance in the tail for each method, a claim that both are better."""
    of_rows = zip(of.others, states, strict=True)
    rows = tuple(
        replace(
            row,
            cells=tuple(
                replace(cell, state=state, better=True)
                if cell.group == "few" and cell.quantity != "accuracy"
                else replace(cell, state=OPEN)
                for cell in row.cells
            ),
        )
        for row, state in of_rows
    )
    return replace(of, families=(("", rows),))


@pytest.mark.parametrize(
    "states, said",
    [
        ([CLAIM] * 3, "In the tail, bias and variance fall with all 3 methods."),
        ([CLAIM, UNJUDGED, UNJUDGED], "bias falls with 1 and variance with 1 of the one that can be judged;"),
        ([CLAIM, OPEN, UNJUDGED], "bias falls with 1 and variance with 1 of the 2 methods that can be judged;"),
        ([CLAIM, CLAIM, OPEN], "bias falls with 2 and variance with 2 of all 3;"),
    ],
)
def test_why_counts_in_the_words_of_a_person(judged, states, said):
    evidence, built, of = judged
    assert said in answer(built, with_tail(of, states), evidence)[1]


def with_verdicts(built, *answers):
    """The same tables, verdicts with these answers of tail and head."""
    verdicts = (replace(v, tail=tail, head=head) for v, (tail, head) in zip(built.verdicts, answers, strict=True))
    return replace(built, verdicts=tuple(verdicts))


@pytest.mark.parametrize(
    "answers, said",
    [
        ([(YES, YES)] * 3, "All 3 methods beat CE in the tail; all of them keep the head."),
        ([(YES, YES), (YES, NO), (YES, NO)], "All 3 methods beat CE in the tail; only RIDE keeps the head."),
        (
            [(YES, YES), (YES, NOT_SHOWN), (NO, NO)],
            "2 of 3 methods beat CE in the tail; only RIDE is shown to keep the head.",
        ),
        ([(NO, NO), (YES, NO), (NOT_SHOWN, YES)], "1 of 3 methods beats CE in the tail; it loses in the head."),
        ([(YES, NO), (YES, NO), (NO, YES)], "2 of 3 methods beat CE in the tail; neither keeps the head."),
        ([(NO, YES), (NOT_SHOWN, NO), (NO, NO)], "None of 3 methods is shown to beat CE in the tail."),
    ],
)
def test_the_answer_in_words(judged, answers, said):
    evidence, built, of = judged
    assert answer(with_verdicts(built, *answers), of, evidence)[0] == said


def test_one_method_is_named_in_the_answer_and_one_training_set_is_said(study):
    evidence = read_study(study(ride="RIDE", runs=10, points=30))
    built = tables.build(evidence)
    of = grid(built, evidence)
    assert answer(with_verdicts(built, (YES, NOT_SHOWN)), of, evidence)[0] == (
        "RIDE beats CE in the tail; whether it keeps the head is open."
    )
    assert answer(built, of, evidence)[1] == built.verdicts[0].headline
    one_set = replace(evidence, setting=replace(evidence.setting, scheme="seed_only"))
    assert answer(with_verdicts(built, (YES, YES)), of, one_set)[0].startswith("Of this one training set: RIDE beats")
    open_one = answer(with_verdicts(built, (NOT_SHOWN, NOT_SHOWN)), of, one_set)[0]
    assert open_one.startswith("Of this one training set: RIDE is not shown")
    alone = read_study_of_ce(evidence)
    assert answer(*alone)[0] == "Only CE was measured: there is nothing to compare it with."


def read_study_of_ce(evidence):
    alone = replace(evidence, methods=evidence.methods[:1])
    built = tables.build(alone)
    return built, grid(built, alone), alone


def test_methods_are_ranked_by_what_one_chooses(judged):
    evidence, built, _ = judged
    for rank in ("all", "few:bias", "variance", "many:accuracy"):
        group, quantity = ranking(rank)
        values = [row.at(group, quantity).estimate for row in grid(built, evidence, rank).others]
        assert values == sorted(values, reverse=quantity == "accuracy")
    for wrong in ("tail", "few:recall", ""):
        with pytest.raises(Refusal, match="ranking"):
            ranking(wrong)


def test_nine_methods_stand_by_kind_the_kind_with_the_best_first(study):
    others = {f"m{i}": f"Method {i}" for i in range(9)}
    recipes = {key: {"kind": ("Loss", "Sampling", "")[i % 3]} for i, key in enumerate(others)}
    evidence = read_study(study(runs=3, points=4, recipes=recipes, **others))
    built = tables.build(evidence)
    of = grid(built, evidence)
    assert {kind for kind, _ in of.families} == {"Loss", "Sampling", "Other"} and of.dense
    best = [rows[0].at("all", "accuracy").estimate for _, rows in of.families]
    assert best == sorted(best, reverse=True)
    fewer = replace(evidence, methods=evidence.methods[:5])
    assert [kind for kind, _ in grid(tables.build(fewer), fewer).families] == [""]


def test_an_axis_is_round_and_holds_nine_of_ten_intervals(judged):
    _, built, of = judged
    for quantity, limit in of.limits.items():
        assert any(np.isclose(limit, step * 10.0**power) for step in LIMITS for power in range(-5, 2))
        cells = [c for row in of.others for c in row.cells if c.quantity == quantity and c.judged]
        ends = [max(abs(c.difference_low), abs(c.difference_high)) for c in cells]
        assert np.mean(np.array(ends) <= limit) >= 0.9
    assert [_round_up(value) for value in (0.0101, 0.15, 0.39, 1.0, 8.5)] == [0.015, 0.15, 0.4, 1.0, 10.0]


def test_every_form_has_the_same_marks(judged):
    evidence, built, of = judged
    states = [(cell.state, cell.better) for row in of.others for cell in row.cells]
    claims = {better: states.count((CLAIM, better)) for better in (True, False)}
    above = {better: states.count((INTERVAL, better)) for better in (True, False)}
    unjudged = sum(state == UNJUDGED for state, _ in states)
    with_reference = unjudged + sum(cell.why != "" for cell in of.reference.cells)

    body = markdown.grid(of, evidence).split("\n\n")[0]
    assert len(re.findall(r"\*\*[\d.]+\*\*", body)) == claims[True]
    assert len(re.findall(r"(?<!\*)\*[\d.]+\*(?!\*)", body)) == claims[False]
    assert (body.count("▹"), body.count("◃"), body.count("†")) == (above[True], above[False], with_reference)

    rows = latex.grid(of, evidence).split(r"\midrule")[2]
    found = [rows.count(rf"\{name}{{") for name in ("ltbvclaimbetter", "ltbvclaimworse", "ltbvabove", "ltbvbelow")]
    assert found == [claims[True], claims[False], above[True], above[False]]
    assert rows.count(r"\ltbvunjudged{") == unjudged and rows.count(" & ") == 12 * len(of.others)

    looks = [gridview.look(cell) for row in of.others for cell in row.cells]
    assert [looks.count(look) for look in ("b", "w", "hb", "hw", "u")] == [*found, unjudged]

    html = Analysis(evidence)._repr_html_()
    in_cells = html.split("<tbody>")[1].split("</tbody>")[0]
    assert [in_cells.count(f"<s>{mark}") for mark in "▸◂▹◃†"] == [*found, with_reference]


def test_right_is_better_for_every_quantity(judged):
    _, _, of = judged
    shown = [one for row in of.others for one in zip(row.cells, gridview._row(row, of)["cells"], strict=True)]
    drawn = [(cell, view) for cell, view in shown if view["mark"]]
    assert {cell.quantity for cell, _ in drawn} == set(SHOWN)
    for cell, view in drawn:
        assert (view["at"] > 50) == cell.better or abs(view["at"] - 50) < 0.2
        assert 0 <= view["at"] <= 100 and view["mark"].isalpha()


def test_what_is_not_judged_is_said_by_method_and_split(judged):
    _, _, of = judged
    lines = " ".join(legend.unjudged(of))
    assert "RIDE: bias and variance in few: votes are near uniform." in lines
    assert "Broken: accuracy in medium: it holds only without run 3 of Broken" in lines


def test_few_runs_take_the_bias_of_every_method_and_nothing_else(study):
    evidence = read_study(study(ride="RIDE", runs=6, points=30))
    built = tables.build(evidence)
    of = grid(built, evidence)
    assert legend.unjudged(of)[0] == "Every method: bias: 6 runs are fewer than 10."
    assert {c.quantity for row in of.rows for c in row.cells if c.why.startswith("6 runs")} == {"bias"}


def test_a_notebook_shows_the_most_accurate_of_many_and_takes_no_name_for_markup():
    draw = np.random.default_rng(0)
    labels = np.arange(40) % 4
    found = {"ce": draw.integers(0, 4, (5, 40))}
    found |= {f"<b>{i}": np.where(draw.random((5, 40)) < i / 12, labels, found["ce"]) for i in range(12)}
    html = analyse(found, labels, [400, 60, 30, 5])._repr_html_()
    rows = re.findall(r'<th scope="row">(.*?)</th>', html)
    assert rows[:2] == ["ce", "&lt;b&gt;11"] and len(rows) == 8 and "5 more methods" in html
    assert len(html) < 20_000 and "<b>" not in html


def test_a_single_method_and_an_empty_split_have_a_grid(study):
    evidence = read_study(study(runs=2, num_classes=2, points=3))
    built = tables.build(evidence)
    of = grid(built, evidence)
    assert not of.others and len(of.reference.cells) == len(GROUPS) * len(SHOWN)
    for text in (markdown.grid(of, evidence), latex.grid(of, evidence)):
        assert "nan" not in text.lower()
