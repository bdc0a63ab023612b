"""A verdict never says what a caution forbids: its words are held against the claims and their cautions.

The studies are made up so that one thing is wrong in each: few runs, copies, a run that failed, votes near a tie, one
training set.
"""

import re
from functools import cache

import numpy as np
import pytest

from ltbv import analyse
from ltbv.report import captions, markdown, tables
from ltbv.report.answer import answer as answered
from ltbv.report.grid import grid
from ltbv.report.topics import nine_claims, splits
from ltbv.report.topics import tail as of_tail
from ltbv.report.verdict import NO, OPEN, YES, verdicts

CLASSES, POINTS = 9, 30
COUNTS = np.repeat([300, 50, 5], 3)
SPLIT = {"many": (0, 1, 2), "medium": (3, 4, 5), "few": (6, 7, 8)}
LABELS = np.repeat(np.arange(CLASSES), POINTS)


def predictions(seed: int, runs: int, right, spread: float = 1.0) -> np.ndarray:
    """(R, N): each point has a chance of its own to be right (`right` by split), and wrong classes are guessed anew."""
    draw = np.random.default_rng(seed)
    of_split = np.repeat(right, CLASSES // 3)[LABELS]
    chance = (of_split + spread * (draw.random(LABELS.size) - 0.5)).clip(0.02, 0.98)
    guesses = (LABELS + draw.integers(1, CLASSES, (runs, LABELS.size))) % CLASSES
    return np.where(draw.random((runs, LABELS.size)) < chance, LABELS, guesses)


def study(ce: np.ndarray, mine: np.ndarray, scheme: str = "subsample"):
    return analyse({"ce": ce, "mine": mine}, LABELS, COUNTS, scheme=scheme)


WORSE, BETTER = (0.75, 0.6, 0.4), (0.9, 0.8, 0.75)


def copied(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[:-1], values[:1]])


def failed(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[:-1], np.zeros_like(values[:1])])


STUDIES = {
    "sound": (predictions(1, 12, WORSE), predictions(1, 12, BETTER)),
    "few runs": (predictions(2, 5, WORSE), predictions(2, 5, BETTER)),
    "three runs": (predictions(3, 3, WORSE), predictions(3, 3, BETTER)),
    "copies": (predictions(4, 12, WORSE), copied(predictions(4, 12, BETTER))),
    "copies of the reference": (copied(predictions(5, 12, WORSE)), predictions(5, 12, BETTER)),
    "all copies": (predictions(6, 12, WORSE), np.repeat(predictions(6, 1, BETTER), 12, 0)),
    "a failed run": (predictions(7, 12, WORSE), failed(predictions(7, 12, BETTER))),
    "a failed run of the reference": (failed(predictions(8, 12, WORSE)), predictions(8, 12, BETTER)),
    "near a tie": (predictions(9, 12, (0.75, 0.6, 0.15), 0.1), predictions(9, 12, (0.9, 0.8, 0.3), 0.1)),
    "the other way": (predictions(10, 12, BETTER), predictions(10, 12, WORSE)),
}


@cache
def analysed(name: str, scheme: str = "subsample"):
    """One of STUDIES, which many tests look at, and none changes."""
    return study(*STUDIES[name], scheme)


@pytest.fixture(scope="module", params=STUDIES)
def found(request):
    of = analysed(request.param)
    return of.tables, of.tables.verdicts[0], {answer.question: answer for answer in of.tables.verdicts[0].answers}


def spoken(text: str) -> set[tuple[str, str, str]]:
    """(direction, quantity, split) of 'lower error in many and few, bias in few; higher variance in many'."""
    split = "(?:many|medium|few)"
    return {
        (direction, quantity, split_said)
        for part in text.lower().split("; ")
        for direction in re.findall("(lower|higher) ", part)
        for quantity, splits in re.findall(f"(error|bias|variance) in ({split}(?:(?:, | and ){split})*)", part)
        for split_said in re.findall(split, splits)
    }


def holding(built: tables.Tables) -> set[tuple[str, str, str]]:
    return {(row.holds, row.quantity, row.group) for row in built.claims.itertuples() if row.holds}


def test_the_headline_speaks_of_claims_alone(found):
    built, verdict, _ = found
    first, _, last = verdict.headline.rstrip(".").rpartition("; ")
    if not first:
        assert verdict.headline == "Too few runs to compare it with ce."
        return
    held = holding(built)
    assert spoken(first) == {claim for claim in held if claim[1] != "error"}
    assert ("a better tail" in last) == (("lower", "error", "few") in held)
    assert ("a worse tail" in last) == (("higher", "error", "few") in held)
    assert "the head worse" not in last or ("higher", "error", "many") in held


def test_what_a_caution_stands_at_is_answered_by_neither_yes_nor_no(found):
    built, _, answers = found
    barred = {(row.quantity, row.group): row.no_claim for row in built.claims.itertuples() if row.no_claim}
    tail, head = answers["Is the tail better?"], answers["Is the head kept, not worse by more than 1 point?"]
    for answer, group in ((tail, "few"), (head, "many")):
        if why := barred.get(("error", group)):
            assert answer.answer == OPEN and why in answer.text
    claims = answers["Which claims hold against ce?"].text
    untested = built.claims.p_holm.isna().all()
    assert untested or all(f": {why}." in claims for why in barred.values())
    unseen = answers.get("What could the study not have seen?")
    for row in built.claims[built.claims.no_claim != ""].itertuples():
        assert unseen is None or f"{row.detectable:.3f} in {row.group}" not in unseen.text


@pytest.mark.parametrize(
    ("name", "barred"),
    [
        ("sound", set()),
        ("few runs", {"bias"}),
        ("near a tie", {"bias", "variance"}),
        ("copies", {"error", "bias", "variance"}),
        ("copies of the reference", {"error", "bias", "variance"}),
        ("all copies", {"error", "bias", "variance"}),
        ("a failed run", {"error", "variance"}),
        ("a failed run of the reference", set()),  # every claim holds without it
    ],
)
def test_no_claim_is_made_where_a_caution_stands(name, barred):
    built = analysed(name).tables
    claims = built.claims
    assert set(claims[claims.no_claim != ""].quantity) == barred
    assert claims[claims.no_claim != ""].holds.eq("").all()
    if name == "sound":
        assert (claims.holds == "lower").sum() >= 6, "where nothing is wrong, claims are made"


def test_a_study_of_one_training_set_says_so_first():
    for scheme in ("seed_only", "bootstrap", "stratified_bootstrap"):
        (verdict,) = analysed("sound", scheme).tables.verdicts
        assert verdict.headline.startswith("Of this one training set: lower")
    (verdict,) = analysed("sound").tables.verdicts
    assert verdict.headline.startswith("Lower")


def test_an_interval_that_is_no_claim_decides_nothing():
    """The few-shot accuracy's interval excludes 0, and after Holm's correction or the exact test it is no claim."""
    of = analysed("sound")
    built = of.tables
    for change in ({"holds": ""}, {"holds": "", "no_claim": "the moon is full"}):
        claims = built.claims.copy()
        at = (claims.group == "few") & (claims.quantity == "error")
        for column, value in change.items():
            claims.loc[at, column] = value
        (verdict,) = verdicts(of.evidence, built.splits, claims, 0.01)
        tail = verdict.answers[1]
        assert tail.answer == OPEN and ("which is no claim" in tail.text or "the moon is full" in tail.text)
        judged = "no_claim" not in change
        assert f"a tail that {'may not have changed' if judged else 'cannot be judged'}" in verdict.headline


def test_the_tail_is_the_rarest_split_there_and_the_head_the_largest():
    """Counts between the thresholds: of the last third of the classes, or of the first, or of all."""
    ce, mine = STUDIES["sound"]
    for many, few, tail, head in (
        (True, False, "a better tail", "the head kept"),
        (False, True, "a better tail", "the head kept"),
        (False, False, "no few-shot classes", "no many-shot classes"),
    ):
        counts = [400 if many else 50] * (CLASSES // 3) + [50] * (CLASSES // 3) + [5 if few else 50] * (CLASSES // 3)
        found = analyse({"ce": ce, "mine": mine}, LABELS, counts)
        (verdict,) = found.tables.verdicts
        assert verdict.headline.endswith(f"; {tail}, {head}."), verdict.headline
        texts = [answer.text for answer in verdict.answers[1:3]]
        if not (many or few):
            assert "there are no few-shot test images" in texts[0] and "there are no many-shot test images" in texts[1]
            assert "All test images are of medium-shot classes" in found._repr_html_()
            continue
        assert texts[0].startswith(f"Yes: {'few' if few else 'medium'}-shot accuracy +"), texts
        assert texts[1].startswith(f"Yes: {'many' if many else 'medium'}-shot accuracy +"), texts
        end = "the tail" if many else "the head"
        assert f"mine beats ce in the tail; it keeps the head; {end} is medium here." in found._repr_html_()
        name = f"medium ({end.removeprefix('the ')})"
        assert name in markdown.grid(grid(found.tables, found.evidence), found.evidence)
        absent = "few" if many else "many"
        for sheet in (splits.overview, splits.by_split, splits.plug_in, nine_claims.sheet):
            of = sheet(found.tables, found.evidence)
            assert absent not in str(of.columns) + str(of.rows)


def test_several_methods_are_answered_for_the_rarest_split_there():
    """Where no class is few, better in medium is what is better in the tail: it is said first, and counted."""
    ce, better = STUDIES["sound"]
    counts = [400] * (CLASSES // 3) + [50] * (CLASSES - CLASSES // 3)
    found = analyse({"ce": ce, "same": STUDIES["the other way"][1], "mine": better}, LABELS, counts)
    said = answered(found.tables, grid(found.tables, found.evidence), found.evidence)
    assert said[0] == "1 of 2 methods, mine, beats ce in the tail; it keeps the head; the tail is medium here."
    assert "In the tail, bias falls with 1 and variance with " in said[1]
    assert of_tail.answer(found.tables, found.evidence).startswith("1 of 2 better, 1 open: mine +")
    assert splits.answer(found.tables, found.evidence).startswith("Claims: in medium, bias falls with ")
    assert "few" not in splits.answer(found.tables, found.evidence)


def test_a_split_of_one_size_is_not_from_itself_to_itself():
    assert [captions.sizes(np.array(of), ",") for of in ([1200, 61], [120], [5, 5], [1])] == [
        "1,200 to 61 images",
        "120 images",
        "5 images",
        "1 image",
    ]


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_the_variance_of_two_or_three_runs_is_hardly_known(runs):
    of = study(*(values[:runs] for values in STUDIES["sound"]))
    cells = of.tables.grid[of.tables.grid.quantity == "variance"]
    marked = cells.why.str.contains("hardly show how runs vary")
    assert marked.all() == (runs in (2, 3)) and marked.any() == marked.all()
    assert any("hardly anything is known of the variance" in line for line in of.cautions) == (runs in (2, 3))


def test_the_head_is_worse_only_where_that_is_a_claim():
    of = analysed("the other way")
    built = of.tables
    assert verdicts(of.evidence, built.splits, built.claims, 0.01)[0].answers[2].answer == NO
    claims = built.claims.assign(holds="")
    (verdict,) = verdicts(of.evidence, built.splits, claims, 0.01)
    assert verdict.answers[2].answer == OPEN and "the head worse" not in verdict.headline


def test_a_sound_study_has_its_verdict():
    (verdict,) = analysed("sound").tables.verdicts
    assert [answer.answer for answer in verdict.answers[1:3]] == [YES, YES]
    assert "a better tail, the head kept" in verdict.headline
