"""Do laid-out tables say what the tidy ones say, and do names survive Markdown, LaTeX and JSON?"""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from ltbv.report import captions, latex, machine, markdown, tables, topics
from ltbv.report.sheet import BETTER, DOUBTFUL, UNBOUNDED, UNCLEAR, WHY_DOUBTFUL, WORSE, estimate, number
from ltbv.report.study import read_study
from ltbv.report.written import closing, formatted

AWKWARD = [
    *("a,b", 'say "c"', "$\\alpha$ \\& 5% #_^~{}", "<script>alert(1)</script>", "tab\there", "new\nline", "=1+1"),
    *("名前", "Жαωé", "| a | *b* `c`", "\\input{x}", "--?`!`''"),
]
COST = {"parameters": 466e3, "macs": 69.5e6, "macs_with_norm": 71e6, "training_images_times_macs": 1.5e14}


@pytest.fixture
def full(study):
    """Evidence with everything that is optional, and names to stumble over."""
    path = study(ride="RIDE & 'co' \\$_^", mine="<b>|Mine|", class_names=AWKWARD, runs=9, points=4)
    evidence = read_study(path)
    ce, ride, mine = evidence.methods
    used = np.random.default_rng(0).integers(1, 4, ride.predictions.shape)
    ride = replace(ride, experts_used=used, cost={name: 1.1 * of for name, of in COST.items()})
    return replace(evidence, methods=(replace(ce, cost=COST), ride, mine))


@pytest.fixture
def made(full):
    built = tables.build(full)
    return built, {sheet.key: sheet for sheet in topics.printed(built, full)}


def test_every_row_has_every_column(made):
    _, of = made
    assert list(of) == [
        *("overview", "verdicts", "splits", "plug_in", "tail", "head", "in_words"),
        *("claims", "identity", "hardest_negatives", "gaps", "flow", "pairs"),
        *("cost", "experts", "usage", "other_accuracies", "test_priors", "wins", "calibration"),
        *("brier", "cross_entropy", "classes"),
    ]
    for sheet in of.values():
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}
        assert "scheme subsample" in sheet.caption or sheet.in_words or sheet.key == "cost"


def test_marks_follow_the_intervals(made):
    built, of = made
    rows = built.splits.set_index(["method", "group", "quantity"])
    keys = {"RIDE & 'co' \\$_^": "ride", "<b>|Mine|": "mine"}
    seen = set()
    for row in of["splits"].rows:
        if row[0].text not in keys:
            assert all(cell.text == "" for cell in row[-3:])
            continue
        for quantity, cell in zip(("accuracy", "bias", "variance"), row[-3:], strict=True):
            of_row = rows.loc[(keys[row[0].text], row[1].text, quantity)]
            better = (of_row.reference_difference > 0) == (quantity == "accuracy")
            clear = of_row.difference_low > 0 or of_row.difference_high < 0
            assert cell.mark == ((BETTER if better else WORSE) if clear else UNCLEAR)
            assert cell.text.endswith("*") == clear
            seen.add(cell.mark)
    assert len(seen) > 1


def below_0(built, group="many"):
    """The same tables with a corrected bias of -.0123 in CE's head."""
    rows = built.splits
    here = (rows.method == "ce") & (rows.group == group) & (rows.quantity == "bias")
    return built.instead(splits=rows.assign(estimate=rows.estimate.where(~here, -0.0123)))


def test_a_bias_below_0_is_grey_and_the_caption_says_why(full, made):
    built, _ = made
    of = {sheet.key: sheet for sheet in topics.printed(below_0(built), full)}
    for key, column in (("overview", 5), ("splits", 3)):
        (cell,) = (cell for row in of[key].rows for cell in row if cell.mark == DOUBTFUL)
        assert cell.text.startswith("-0.012?") and WHY_DOUBTFUL in of[key].caption
        assert cell in [row[column] for row in of[key].rows]
        shown = markdown.table(of[key])
        assert "-0.012?" in shown.replace("\\", "") and "no bias is" in shown
        in_latex = latex.table(of[key])
        assert r"\ltbvdoubtful{\ensuremath{-}0.012{?}" in in_latex and r"\providecommand{\ltbvdoubtful}" in in_latex
    assert WHY_DOUBTFUL not in of["plug_in"].caption
    above = {sheet.key: sheet for sheet in topics.printed(below_0(built, group="none"), full)}
    assert WHY_DOUBTFUL not in above["overview"].caption


def test_a_bias_above_1_is_as_doubtful_as_one_below_0():
    assert number(1.0006, "bias").text == "1.001?" and number(1.0004, "bias").mark == ""
    assert number(1.2, "variance").mark == "" and number(1.2, "bias", sign="+").mark == ""


def test_a_bias_in_nats_may_be_above_1():
    row = {"estimate": 1.3, "low": np.nan, "high": np.nan}
    assert estimate(row, "bias", UNBOUNDED).text == "1.300" and estimate(row, "bias").text == "1.300?"
    assert estimate(row | {"estimate": -0.1}, "bias", UNBOUNDED).text == "-0.100?"


def test_what_is_shown_as_0_and_differences_below_0_are_not_doubtful():
    assert number(-0.0004, "bias").mark == "" and number(-0.0006, "bias").text == "-0.001?"
    assert number(-0.1, "bias", sign="+").mark == "" and number(-0.1, "variance").mark == ""


def test_the_printed_identity_closes(made):
    _, of = made
    for row in of["identity"].rows:
        error, bias, unbiased, hits = (round(1e4 * float(cell.text)) for cell in row[2:])
        assert error == bias + unbiased - hits
        for cell in row[2:]:
            assert abs(float(cell.text) - cell.value) <= 1.0001e-4


def test_rounding_that_would_not_close():
    printed = closing(0.30014, (0.10006, 0.10006, 0.10002))
    assert [f"{value:.4f}" for value in printed] == ["0.3001", "0.1000", "0.1001", "0.1000"]
    draws = np.random.default_rng(0).random((500, 3))
    for terms in draws * (1, 1, -1):
        total, *parts = (round(1e4 * value) for value in closing(terms.sum(), terms))
        assert total == sum(parts) and np.abs(np.array(parts) - 1e4 * terms).max() < 1.0001
    assert np.isnan(closing(float("nan"), (0.1, 0.2))).tolist() == [True] * 3


def test_numbers():
    assert formatted(0.5966, "accuracy") == "59.7"
    assert formatted(-0.00001, "bias", sign="+") == "0.000"
    assert formatted(float("nan")) == "-"


def test_cost_and_experts(made):
    built, of = made
    ce, ride = of["cost"].rows
    assert [cell.text for cell in ce[1:]] == ["466.0 k (1.00x)", "69.5 M (1.00x)", "71.0 M (1.00x)", "150.0 T (1.00x)"]
    assert ride[2].text == "76.5 M (1.10x)"
    assert built.experts.method.eq("ride").all() and built.experts.estimate.between(1, 3).all()
    assert built.experts.reference_difference.isna().all()


def test_old_studies_have_no_cost(study):
    evidence = read_study(study(ride="RIDE", runs=2))
    built = tables.build(evidence)
    optional = {"cost", "costs", "routed_cost", "routed_costs", "experts", "usage", "additions", "families"}
    assert not optional & {sheet.key for sheet in topics.printed(built, evidence)}
    assert not optional & built.tidy.keys()


def test_labels_alone_make_a_report_without_hardest_negatives(study):
    evidence = read_study(study(ride="RIDE", runs=4))
    bare = replace(
        evidence, methods=tuple(replace(m, p_true=None, p_negative=None, negatives=None) for m in evidence.methods)
    )
    built = tables.build(bare)
    assert "hardest_negatives" not in {sheet.key for sheet in topics.printed(built, bare)}
    whole = tables.build(evidence)
    assert built.splits.equals(whole.splits)


def test_markdown_keeps_names_as_text(made, full):
    built, of = made
    text = markdown.document(captions.setting(full), built.verdicts, list(of.values()), built.cautions)
    assert "\\<b\\>\\|Mine\\|" in text and "<b>" not in text
    table = text.split("### Accuracy, bias and variance by split")[1].split("\n\n")[1].splitlines()
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert cells == {14}
    assert "Every class" not in text
    assert markdown.escaped("a\n<x> | `y` :z:") == "a \\<x\\> \\| \\`y\\` \\:z:"


def test_latex_escapes_what_latex_reads(made):
    _, of = made
    for sheet in of.values():
        text = latex.table(sheet)
        body = text.split("\\midrule", 1)[1].replace("\\endhead\n", "")
        assert all(line.endswith("\\\\") for line in body.splitlines() if " & " in line)
        assert len(re.findall(r"(?<!\\)&", body.splitlines()[1])) == len(sheet.columns) - 1
        assert "\\input" not in text.split("\\usepackage", 1)[1]
    assert latex.escaped("5% & $x_1$ \\ {~^}#") == (
        "5\\% \\& \\$x\\_1\\$ \\textbackslash{} \\{\\textasciitilde{}\\textasciicircum{}\\}\\#"
    )
    assert latex.escaped("éЖλ") == "\\'{e}\\ltbvletter{Ж}{U+0416}\\ensuremath{\\lambda}"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_compiles(made, tmp_path):
    _, of = made
    lines = ["\\documentclass{article}\\usepackage{booktabs,longtable}\\begin{document}"]
    for key, sheet in of.items():
        (tmp_path / f"{key}.tex").write_text(latex.table(replace(sheet, rows=sheet.rows)), encoding="utf-8")
        lines.append(f"\\input{{{key}}}")
    (tmp_path / "all.tex").write_text("\n".join([*lines, "\\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_json_is_json_and_agrees_with_the_tables(made, full):
    built, _ = made
    whole = json.loads(machine.document(built, full))
    assert whole["classes"]["names"] == AWKWARD
    splits = whole["tables"]["splits"]
    assert splits["columns"] == list(tables.COLUMNS) and len(splits["data"]) == len(built.splits)
    estimate = splits["columns"].index("estimate")
    np.testing.assert_allclose([row[estimate] for row in splits["data"]], built.splits.estimate, atol=1e-9)
    assert whole["verdicts"][0]["answers"][0]["question"] == "Which claims hold against CE?"
    assert splits["data"][0][splits["columns"].index("p")] is None
