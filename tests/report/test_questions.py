"""Do the six questions have answers that no claim, verdict or caution contradicts, whatever is known?"""

import re
from dataclasses import replace

import numpy as np
import pytest

from ltbv.report import captions, gridview, latex, markdown, tables, terminal, topics
from ltbv.report.evidence import SPLITS
from ltbv.report.grid import grid
from ltbv.report.judgement import UNJUDGED
from ltbv.report.questions import ALONE, CONFUSED, COST, HEAD, NO_SPLITS, QUESTIONS, TAIL, TRUST, WHY
from ltbv.report.study import read_study
from ltbv.report.verdict import YES

METHODS = {"ride": "RIDE", "tau_norm": "tau-norm", "mine": "Mine"}
COSTS = {"ce": 100.0, "ride": 146.0, "tau_norm": 100.0, "mine": 100.4}


@pytest.fixture(scope="module")
def evidence(shared_study):
    recipes = {key: {"cost": {"macs": macs, "parameters": 1.0}} for key, macs in COSTS.items()}
    return read_study(shared_study({"ce": "CE", **METHODS}, runs=10, points=20, recipes=recipes))


def without_counts(evidence):
    return replace(evidence, train_counts=None, splits=dict.fromkeys(SPLITS, np.array([], int)))


def answered(evidence, **options):
    built = tables.build(evidence, **options)
    return built, topics.answered(built, evidence)


def test_every_question_is_answered_and_every_topic_has_one(evidence):
    _, answers = answered(evidence)
    assert list(answers) == list(QUESTIONS) and all(answer.endswith((".", ")")) for answer in answers.values())
    assert {topic.question for topic in topics.TOPICS} == set(QUESTIONS)


def test_answers_count_what_the_claims_say(evidence):
    built, answers = answered(evidence)
    claims = built.claims.set_index(["group", "quantity", "method"]).sort_index()
    better = (claims.loc["few", "error"].holds == "lower").sum()
    assert 0 < better < 3 and answers[TAIL].startswith(f"{better} of 3 better, ")
    kept = sum(verdict.head == YES for verdict in built.verdicts)
    assert answers[HEAD].startswith(f"Kept by {kept or 'none'} of 3")
    for group in ("few", "many"):
        for quantity in ("bias", "variance"):
            of = claims.loc[group, quantity]
            falls, rises = ((of.holds == way).sum() or "none" for way in ("lower", "higher"))
            judged = (of.no_claim == "").sum()
            wanted = f"{quantity} falls with {falls} and rises with {rises} of {judged}"
            wanted = wanted if judged else f"{quantity} can be judged with none"
            assert wanted in re.search(rf"in {group}, ([^;.]*)", answers[WHY])[1]
    assert answers[COST] == "2 of 3 ask no more multiply-adds for an image than CE; RIDE asks 1.46 times as many."
    assert answers[TRUST].startswith("10 paired runs; ")
    assert f"{(built.claims.holds != '').sum()} hold" in answers[TRUST]
    assert f"{len(built.cautions)} caution" in answers[TRUST]


def test_where_a_caution_stands_nothing_is_better(evidence):
    same = [replace(m, predictions=np.repeat(m.predictions[:1], len(m.runs), 0)) for m in evidence.methods]
    built, answers = answered(replace(evidence, methods=tuple(same)))
    assert (built.grid.state[built.grid.method != "ce"] == UNJUDGED).all()
    assert answers[TAIL] == "None of 3 is shown to be better, 3 open."
    assert answers[HEAD] == "Kept by none of 3, open with 3."
    assert answers[WHY].count("can be judged with none") == 4 and "falls" not in answers[WHY]
    assert "3 of 3 methods partly not judged" in answers[TRUST]


def test_scores_on_another_scale_are_never_the_least(evidence):
    built, answers = answered(evidence)
    least = re.search(r"least with (.*?): (\d+) %", answers[CONFUSED])
    key = next(key for key, label in METHODS.items() if label == least[1])
    faint = np.full_like(evidence.methods[0].p_true, 0.01)
    hot = [replace(m, p_true=faint, p_negative=faint) if m.key == key else m for m in evidence.methods]
    _, answers = answered(replace(evidence, methods=tuple(hot)))
    assert f"least with {least[1]}" not in answers[CONFUSED] and "(1 not compared)" in answers[CONFUSED]


def test_one_method_is_answered_with_its_numbers(evidence):
    built, answers = answered(evidence.of(None, ["ride"]))
    assert answers[TAIL] == built.verdicts[0].answers[1].text and answers[TAIL].startswith("Yes: few-shot accuracy +")
    assert re.match(r"(It is kept|It is worse|Open): many-shot accuracy ", answers[HEAD])
    assert answers[WHY] == built.verdicts[0].headline
    assert answers[COST] == "RIDE asks 1.46 times as many multiply-adds for an image as CE."


def test_what_is_not_known_is_said(evidence):
    _, alone = answered(replace(evidence, methods=evidence.methods[:1]))
    assert [alone[key] for key in (TAIL, HEAD, WHY, COST)] == [ALONE] * 4 and alone[TRUST].startswith("10 runs; ")
    bare = [replace(m, p_true=None, p_negative=None, negatives=None, cost=None) for m in evidence.methods]
    _, unknown = answered(without_counts(replace(evidence, methods=tuple(bare))))
    assert [unknown[key] for key in (TAIL, HEAD, WHY)] == [NO_SPLITS] * 3
    assert all(unknown[key].startswith("Not known: ") for key in (CONFUSED, COST))
    assert "nothing can be claimed" in unknown[TRUST]


def test_groups_without_classes_have_no_columns(evidence):
    bare = without_counts(evidence)
    built = tables.build(bare)
    of = grid(built, bare)
    assert of.groups == ("all",)
    view = gridview.view(of, bare)
    assert [group["key"] for group in view["groups"]] == ["all"] and len(view["columns"]) == 3
    assert all(len(row["cells"]) == 3 for row in [view["reference"], *(r for f in view["families"] for r in f["rows"])])
    for text in (markdown.grid(of, bare), latex.grid(of, bare), terminal.show(built, bare, of)):
        assert "few" not in re.sub(r"many, medium (and|or) few|few-shot", "", text)
    header = markdown.grid(of, bare).splitlines()
    assert len({line.count("|") for line in header[2 : 2 + len(of.rows)]}) == 1


def test_the_notes_say_what_each_screen_shows(evidence):
    built = tables.build(evidence)
    first = gridview.notes(grid(built, evidence))[0]
    on = {where: "".join(text for text, of in first if of in ("", where)) for where in ("wide", "narrow", "numbers")}
    assert "whiskers" in on["wide"] and "± half" in on["wide"] and "Marks show to which side" not in on["wide"]
    assert "whiskers" not in on["narrow"] and "±" not in on["narrow"] and "on top" not in on["narrow"]
    assert "CE, the reference, on top" in on["numbers"]


def test_the_caption_of_intervals_is_true_of_them(evidence):
    ends = tables.build(evidence).classes
    assert (ends.low < 0).any() and (ends.high > 1).any(), "they do not end at 0 and 1"
    assert "may reach below 0 or above 1" in captions.INTERVAL
