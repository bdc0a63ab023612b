"""Are the nine claims those of `ltbv.stats`, and does the verdict say what they say?"""

from dataclasses import replace

import numpy as np
import pytest

from ltbv import stats
from ltbv.report import claims, tables
from ltbv.report.rows import record
from ltbv.report.study import read_study
from ltbv.report.verdict import NO, OPEN, YES, verdicts


def test_claims_agree_with_statistics_called_by_hand(study):
    evidence = read_study(study(ride="RIDE", runs=6))
    table = tables.build(evidence).claims
    assert list(table.columns) == list(claims.COLUMNS) and len(table) == 9
    ce, ride = evidence.methods
    shared = evidence.setting.shared
    by_hand = stats.compare(
        *(stats.Record(of.predictions, evidence.labels, shared=shared) for of in (ride, ce)), evidence.groups
    )
    of = {(d.group, d.quantity): d for d in by_hand}
    for row in table.itertuples():
        d = of[row.group, row.quantity]
        found = (row.difference, row.low, row.high, row.p, row.p_holm, row.detectable, row.pairing_gain)
        assert found == (d.estimate, d.low, d.high, d.p, d.p_holm, d.detectable, d.pairing_gain)
        told = d.p_holm <= 0.05 and row.quantity != "bias"  # six runs are too few for a bias
        assert row.holds == ("" if not told else "lower" if d.estimate < 0 else "higher")
        assert row.no_claim == ("6 runs are fewer than 10" if row.quantity == "bias" else "")


def test_the_exact_test_is_done_where_there_are_nine_runs(study):
    evidence = read_study(study(ride="RIDE", short="Short", runs={"ce": range(9), "ride": range(9), "short": range(5)}))
    built = tables.build(evidence)
    exact = built.claims.set_index("method").sign_flip_p_holm
    assert exact["ride"].notna().sum() == 6 and exact["short"].isna().all()
    ride = evidence.methods[1]
    splits = {name: evidence.splits[name] for name in ("many", "medium", "few")}
    by_hand = stats.sign_flip(
        stats.Record(ride.predictions, evidence.labels),
        stats.Record(evidence.reference.predictions, evidence.labels),
        splits,
    )
    of = {(flip.group, flip.quantity): flip.p for flip in by_hand}
    own = built.claims[built.claims.method == "ride"]
    assert own[own.quantity == "bias"].sign_flip_p.isna().all()  # it is a test of any difference, not of the bias
    of_others = own[own.quantity != "bias"]
    assert of_others.sign_flip_p.tolist() == [of[row.group, row.quantity] for row in of_others.itertuples()]
    assert any("Short: no exact sign-flip test, it needs 9 paired runs" in line for line in built.cautions)


def test_what_would_take_minutes_is_left_out_and_said(study, monkeypatch):
    evidence = read_study(study(ride="RIDE", runs=9))
    monkeypatch.setattr(claims, "QUICK", 1000)
    built = tables.build(evidence)
    assert built.claims.sign_flip_p.isna().all()
    assert any("done with --exact" in line for line in built.cautions)
    assert tables.build(evidence, exact=True).claims.sign_flip_p.notna().sum() == 6


def verdict_of(path, **options):
    (verdict,) = tables.build(read_study(path), **options).verdicts
    return verdict, {answer.question: answer for answer in verdict.answers}


def test_a_verdict_is_built_from_the_numbers(study):
    path = study(ride="RIDE", runs=9, points=40)
    verdict, answers = verdict_of(path)
    built = tables.build(read_study(path))
    accuracy = built.splits[(built.splits.quantity == "accuracy") & (built.splits.method == "ride")].set_index("group")
    few = accuracy.loc["few"]
    tail = answers["Is the tail better?"]
    assert few.difference_low > 0 and tail.answer == YES
    assert f"{100 * few.reference_difference:+.1f} points" in tail.text
    assert f"({100 * few.difference_low:+.1f} to {100 * few.difference_high:+.1f})" in tail.text
    holding = built.claims[built.claims.holds != ""]
    said = answers["Which claims hold against CE?"].text
    assert said.startswith(f"{len(holding)} of 6 after Holm's correction: lower")  # 9 runs: no bias is judged
    open_ones = said.split("An interval excludes 0")[1:]
    assert not any("bias" in part.split(". ")[0] for part in open_ones)
    assert "No claim is made of bias in many, medium and few: 9 runs are fewer than 10." in said
    assert verdict.headline.startswith("Lower ") and "a better tail" in verdict.headline
    assert answers["Does the exact sign-flip test agree?"].answer in (YES, NO)


def test_the_margin_decides_whether_the_head_is_kept(study):
    path = study(ride="RIDE", runs=6)
    many = tables.build(read_study(path)).splits.query(
        "method == 'ride' and group == 'many' and quantity == 'accuracy'"
    )
    (low,) = many.difference_low
    for margin, expected in ((abs(low) + 0.001, YES), (max(abs(low) - 0.001, 0), OPEN if low < 0 else YES)):
        _, answers = verdict_of(path, margin=margin)
        head = next(answer for question, answer in answers.items() if "head" in question)
        assert head.answer == expected
    assert next(q for q in verdict_of(path)[1] if "head" in q) == "Is the head kept, not worse by more than 1 point?"


def test_a_head_that_is_never_missed_on_twenty_images_is_not_said_to_be_kept(study):
    """Two head classes with ten test images each, all right in all runs of both: one of seven new ones may be wrong."""
    evidence = read_study(study(ride="RIDE", runs=10))
    labels, many = evidence.labels, np.isin(evidence.labels, evidence.splits["many"][:2])
    kept = np.flatnonzero(many | ~np.isin(labels, evidence.splits["many"]))
    methods = tuple(
        replace(
            of,
            predictions=np.where(many, labels, of.predictions)[:, kept],
            p_true=None,
            p_negative=None,
            negatives=None,
            sum_p2=None,
            ranks=None,
            logits=None,
        )
        for of in evidence.methods
    )
    found = tables.build(replace(evidence, labels=labels[kept], methods=methods))
    row = found.splits.query("method == 'ride' and group == 'many' and quantity == 'accuracy'").iloc[0]
    assert row.estimate == 1 and row.low < 0.9 and row.difference_low < -0.1
    (verdict,) = found.verdicts
    (head,) = (answer for answer in verdict.answers if "head" in answer.question)
    assert head.answer == OPEN and "a head that may be worse" in verdict.headline


def test_what_could_not_be_seen_is_named_with_its_size(study):
    path = study(twin="Twin of CE", runs=5)
    verdict, answers = verdict_of(path)
    table = tables.build(read_study(path)).claims
    left_open = table[(table.holds == "") & (table.no_claim == "")]
    text = answers["What could the study not have seen?"].text
    assert all(f"{row.detectable:.3f} in {row.group}" in text for row in left_open.itertuples())


def test_too_few_runs_leave_everything_open(study):
    verdict, answers = verdict_of(study(ride="RIDE", runs=2))
    assert verdict.headline == "Too few runs to compare it with CE."
    assert {answer.answer for answer in answers.values()} == {OPEN}
    assert (
        tables.build(read_study(study(ride="RIDE", runs={"ce": range(2), "ride": range(2)}))).claims.holds.eq("").all()
    )


def test_no_run_in_common_and_no_other_method(study):
    apart = tables.build(read_study(study(ride="RIDE", runs={"ce": range(4), "ride": range(4, 8)})))
    assert apart.claims.empty and apart.verdicts[0].headline == "Too few runs to compare it with CE."


def test_ce_alone_has_no_verdict(study):
    assert tables.build(read_study(study(runs=4))).verdicts == ()


def test_an_empty_split_is_open(study):
    path = study(ride="RIDE", runs=5, num_classes=3)
    evidence = read_study(path)
    evidence.splits.update({name: np.array([], int) for name in ("many", "few")}, medium=np.arange(3))
    (verdict,) = tables.build(evidence).verdicts
    answers = {answer.question: answer.answer for answer in verdict.answers}
    assert answers["Is the tail better?"] == OPEN
    assert verdict.headline.endswith("no few-shot classes, no many-shot classes.")


def of_claims(path, refuted=(), doubtful=()):
    """The claims of RIDE that t tells, and which of them hold if the exact test refutes some, or the votes of a group
    are near uniform, or near a tie."""
    evidence = read_study(path)
    table = tables.build(evidence).claims
    flips = table[["method", "group", "quantity", "sign_flip_p", "sign_flip_p_holm"]].copy()
    flips.loc[list(refuted), "sign_flip_p_holm"] = 0.06
    records = {method.key: record(evidence, method) for method in evidence.methods}
    estimates = {key: stats.summarize(of, evidence.groups) for key, of in records.items()}
    for key, group, low, high in doubtful:
        estimates[key] = [
            replace(one, estimate={"variance_low": low, "variance_high": high}.get(one.quantity, one.estimate))
            if one.group == group
            else one
            for one in estimates[key]
        ]
    differences = {"ride": stats.compare(records["ride"], records["ce"], evidence.groups)}
    return table.index[(table.p_holm <= 0.05) & (table.no_claim == "")], claims.claims(
        differences, flips, estimates, evidence
    )


def test_a_claim_needs_the_exact_test_too_where_it_was_done(study):
    path = study(ride="RIDE", runs=10, points=40)
    told, found = of_claims(path)
    assert len(told) > 1 and found.index[found.holds != ""].equals(told)
    of_error = [i for i in told if found.quantity[i] != "bias"][:1]
    _, found = of_claims(path, refuted=of_error)
    assert list(found.index[found.holds != ""]) == [i for i in told if i not in of_error]


@pytest.mark.parametrize(("low", "high"), [(0.7, 0.75), (0.3, 0.45)])
@pytest.mark.parametrize("key", ["ce", "ride"])
def test_no_claim_is_made_of_a_bias_that_a_caution_stands_at(study, key, low, high):
    path = study(ride="RIDE", runs=10, points=40)
    told, before = of_claims(path)
    of_bias = before.loc[told].query("quantity == 'bias'")
    assert len(of_bias)
    _, after = of_claims(path, doubtful=[(key, of_bias.group.iloc[0], low, high)])
    at = before.group == of_bias.group.iloc[0]
    of_uniform = ["bias", "variance"] if low > 0.6 else ["bias"]  # whose variance is a bracket only
    barred = before.index[at & before.quantity.isin(of_uniform)]
    assert list(after.index[after.holds != ""]) == [i for i in told if i not in barred]
    assert after.no_claim[of_bias.index[0]] != ""


def test_no_claim_is_made_of_a_bias_with_fewer_than_ten_pairs(study):
    """Ten runs of each are not enough where only nine of them are pairs."""
    path = study(ride="RIDE", runs={"ce": range(10), "ride": range(1, 11)}, points=40)
    table = tables.build(read_study(path)).claims
    of_bias = table[table.quantity == "bias"]
    assert (of_bias.p_holm <= 0.05).any() and of_bias.holds.eq("").all()
    assert set(of_bias.no_claim) == {"9 runs are fewer than 10"}


def test_the_headline_has_the_claims_that_hold_and_no_others(study):
    evidence = read_study(study(ride="RIDE", runs=9, points=40))
    built = tables.build(evidence)
    own = built.claims.assign(holds="")
    at = {(row.group, row.quantity): row.Index for row in own.itertuples()}
    own.loc[:, "difference"] = -0.1
    for holding, words in (
        ([], "No change of bias or variance is shown; "),
        ([("few", "variance", -0.1)], "Lower variance in few; a"),
        (
            [("many", "variance", -0.1), ("few", "variance", -0.1), ("few", "bias", 0.1), ("few", "error", -0.1)],
            "Lower variance in many and few; higher bias in few; a",
        ),
    ):
        found = own.copy()
        for group, quantity, difference in holding:
            found.loc[at[group, quantity], "difference"] = difference
            found.loc[at[group, quantity], "holds"] = "lower" if difference < 0 else "higher"
        (verdict,) = verdicts(evidence, built.splits, found, 0.01)
        assert verdict.headline.startswith(words)


def test_an_interval_that_excludes_0_and_is_no_claim_is_said(study):
    path = study(ride="RIDE", runs=9)
    built = tables.build(read_study(path))
    only = built.claims[(built.claims.holds == "") & ((built.claims.low > 0) | (built.claims.high < 0))]
    _, answers = verdict_of(path)
    said = "An interval excludes 0 and is no claim" in answers["Which claims hold against CE?"].text
    assert said == (len(only) > 0)
