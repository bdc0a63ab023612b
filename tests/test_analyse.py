"""Does `analyse` say of arrays what a report says of files?"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.report import analysis, captions
from ltbv.report.analysis import analyse
from ltbv.report.elsewhere import read_elsewhere

COUNTS = [400, 60, 30, 5]
RUNS, POINTS, CLASSES = 5, 24, len(COUNTS)
LABELS = np.arange(POINTS) % CLASSES


def logits_of(seed: int) -> np.ndarray:
    """(R, N, C) float32."""
    noise = np.random.default_rng(seed).normal(size=(RUNS, POINTS, CLASSES))
    return (noise + 1.5 * np.eye(CLASSES)[LABELS]).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def refusal(*args, **options) -> str:
    with pytest.raises(Refusal) as refused:
        analyse(*args, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_labels_probabilities_and_logits_agree():
    logits = {"mine": logits_of(1), "ce": logits_of(0)}
    found = analyse(logits, LABELS, COUNTS)
    by_probability = analyse({key: softmax(z) for key, z in logits.items()}, LABELS, COUNTS)
    by_label = analyse({key: z.argmax(2) for key, z in logits.items()}, LABELS, COUNTS)
    assert found.evidence.names == {"ce": "ce", "mine": "mine"}
    assert_frame_equal(found.all, by_probability.all)
    assert_frame_equal(found.all, by_label.all)
    assert_frame_equal(found.hardest_negatives, by_probability.hardest_negatives, rtol=1e-4)
    assert len(by_label.hardest_negatives) == 0
    assert any("predicted labels alone" in line for line in by_label.cautions)


def test_a_reference_that_is_not_there_is_refused():
    message = refusal({"one": logits_of(0), "two": logits_of(1)}, LABELS, COUNTS, "ec")
    assert message == "unknown reference 'ec'; there is: one, two"


def test_what_a_report_may_be_asked_an_analysis_may_be_too():
    asked = {"ce": logits_of(0), "mine": logits_of(1)}
    strict = analyse(asked, LABELS, COUNTS, margin=0.0, exact=False)
    assert any("0 points" in answer.question for answer in strict.tables.verdicts[0].answers)
    assert replace(strict, margin=0.5).tables.verdicts != strict.tables.verdicts
    assert strict == strict and "ce" in repr(strict) and len(repr(strict)) < 200


def test_it_is_what_the_statistics_say():
    logits = logits_of(0)
    found = analyse(logits, LABELS, COUNTS, class_names=np.array(list("abcd")))
    by_hand = {e.quantity: e for e in stats.summarize(stats.Record(logits.argmax(2), LABELS), {"few": np.array([3])})}
    row = found.all.set_index(["method", "group", "quantity"]).loc["ce", "few", "variance"]
    assert (row["estimate"], row["low"]) == (by_hand["variance"].estimate, by_hand["variance"].low)
    assert set(found.classes["class_name"]) == set("abcd")
    hardest = stats.hardest_negative(logits, LABELS)
    method = found.evidence.reference
    assert np.allclose(method.p_true, hardest.p_true, atol=1e-6)
    assert np.allclose(method.p_negative, hardest.score, atol=1e-6)
    assert np.array_equal(method.negatives, hardest.label)


def test_it_is_what_the_same_arrays_in_files_say(tmp_path):
    logits = logits_of(0)
    for run, of_run in enumerate(logits):
        np.savez(tmp_path / f"{run}.npz", logits=of_run, labels=LABELS)
    (tmp_path / "counts.txt").write_text("\n".join(map(str, COUNTS)))
    from_files = read_elsewhere({"ce": tmp_path}, tmp_path / "counts.txt").reference
    in_memory = analyse(logits, LABELS, COUNTS).evidence.reference
    for name in ("predictions", "p_true", "p_negative", "negatives"):
        assert np.array_equal(getattr(from_files, name), getattr(in_memory, name))


def test_runs_may_come_one_by_one_and_nothing_is_changed():
    logits = logits_of(0)
    before = logits.copy()
    found = analyse({"ce": list(logits)}, LABELS.tolist(), COUNTS)
    assert_frame_equal(found.all, analyse(logits, LABELS, np.array(COUNTS)).all)
    assert np.array_equal(logits, before)


def test_the_kind_can_be_said():
    cosines = logits_of(0).clip(0, 1)
    assert "taken for probabilities, has probabilities that sum to" in refusal(cosines, LABELS, COUNTS)
    assert analyse(cosines, LABELS, COUNTS, kind="logits").evidence.reference.p_true.max() < 0.6
    assert "has negative probabilities in row" in refusal(logits_of(0), LABELS, COUNTS, kind="probs")
    assert "unknown kind of predictions 'prob' (did you mean 'probs'?)" in refusal(cosines, LABELS, COUNTS, kind="prob")
    assert "is float32 of shape (24, 4)" in refusal(cosines, LABELS, COUNTS, kind="labels")


def test_methods_may_be_called_by_numbers():
    sweep = {tau: logits_of(at) for at, tau in enumerate((0.0, 0.5, np.float64(1.0)))}
    found = analyse(sweep, LABELS, COUNTS, reference=0.5)
    assert list(found.evidence.names) == ["0.5", "0.0", "1.0"] and set(found.all.method) == set(found.evidence.names)
    assert analyse(sweep, LABELS, COUNTS, reference="0.5").evidence.names == found.evidence.names
    assert refusal({1: logits_of(0), "1": logits_of(0)}, LABELS, COUNTS) == "two methods are called '1'"
    assert refusal({1: logits_of(0)}, LABELS, COUNTS, 2) == "unknown reference '2'; there is: 1"


def test_one_run_says_nothing_of_variance():
    found = analyse(logits_of(0)[:1], LABELS, COUNTS).all
    known = found[found.estimate.notna()]
    assert set(known.quantity) == {"accuracy", "error", "hardest_negative", "hardest_above_true"} & set(known.quantity)
    assert {"unbiased_variance", "biased_variance", "hits", "variance_low"} <= set(found.quantity) - set(known.quantity)


def test_tensors_of_any_type_are_what_arrays_are():
    torch = pytest.importorskip("torch")
    logits = logits_of(0).astype(np.float16).astype(np.float32)
    right = analyse(logits, LABELS, COUNTS)
    for values in (torch.tensor(logits), torch.tensor(logits, requires_grad=True), torch.tensor(logits).half()):
        found = analyse({"ce": values}, torch.tensor(LABELS), torch.tensor(COUNTS))
        assert_frame_equal(found.all, right.all)
    coarse = torch.tensor(logits, requires_grad=True).bfloat16()
    rounded = analyse(coarse.detach().float().numpy(), LABELS, COUNTS)
    assert_frame_equal(analyse(coarse, LABELS, COUNTS).all, rounded.all)
    softmax_of_bfloat16 = torch.softmax(coarse, -1)
    assert (abs(softmax_of_bfloat16.float().sum(-1) - 1) > 1e-3).any()
    assert analyse(softmax_of_bfloat16, LABELS, COUNTS).evidence.reference.p_true is not None


def test_columns_and_tables_of_labels_are_labels():
    predicted = logits_of(0).argmax(2)
    right = analyse(predicted, LABELS, COUNTS).all
    assert_frame_equal(analyse(predicted[:, :, None], LABELS[:, None], COUNTS).all, right)
    assert_frame_equal(analyse({"ce": pd.DataFrame(predicted)}, pd.Series(LABELS), COUNTS).all, right)


DIGITS = {
    "two decimals": lambda p: p.round(2),
    "three decimals": lambda p: p.round(3),
    "six decimals": lambda p: p.round(6),
    "two digits": lambda p: np.vectorize(lambda value: float(f"{value:.2g}"))(p),
    "three digits": lambda p: np.vectorize(lambda value: float(f"{value:.3g}"))(p),
}


@pytest.mark.parametrize("digits", DIGITS)
@pytest.mark.parametrize("seed", range(3))
def test_rounded_probabilities_are_probabilities(digits, seed):
    draw = np.random.default_rng(seed)
    classes = 60
    labels = np.arange(180) % classes
    p = draw.dirichlet(np.full(classes, 0.3), (4, labels.size))
    rounded = DIGITS[digits](p)
    found = analyse(rounded, labels, [500] * classes, kind="probs")
    assert np.allclose(found.evidence.reference.predictions, rounded.argmax(2))
    assert np.allclose(found.evidence.reference.p_true, p[:, np.arange(180), labels], atol=0.05)
    off = np.abs(rounded.sum(2) - 1).max()
    assert any("probabilities are rounded" in line for line in found.cautions) == (off >= 1e-3)


def test_what_rounding_does_not_explain_is_refused():
    p = softmax(logits_of(0)).round(3)
    assert "has probabilities that sum to 1.5" in refusal(p * 1.5, LABELS, COUNTS, kind="probs")
    p[0, 3] += 0.01
    assert "not 1 (each row must, but for rounding), in row 3" in refusal(p, LABELS, COUNTS, kind="probs")
    assert "sum to 100 in each row, like percentages" in refusal(softmax(logits_of(0)) * 100, LABELS, COUNTS)
    percent = (softmax(logits_of(0)) * 100).round(0)
    assert "not 1 (divide them by 100), in row" in refusal(percent, LABELS, COUNTS, kind="probs")
    assert "not 1 (divide them by 255), in row" in refusal(percent * 2.55, LABELS, COUNTS, kind="probs")


def as_bfloat16(p: np.ndarray) -> np.ndarray:
    bits = p.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


COARSE = {
    "bfloat16": as_bfloat16,
    "float16": lambda p: p.astype(np.float16),
    "text of float16": lambda p: np.vectorize(lambda value: float(str(np.float16(value))))(p),
    "8 bits": lambda p: np.rint(p * 255) / 255,
    "8 bits, cut off": lambda p: np.floor(p * 255) / 255,
    "8 bits in float32": lambda p: (np.rint(p * 255) / 255).astype(np.float32),
}


@pytest.mark.parametrize("stored", [np.float32, np.float64])
@pytest.mark.parametrize("form", COARSE)
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_probabilities_may_have_been_rounded_before_they_were_stored(form, stored, spread):
    labels = np.arange(180) % 60
    p = np.random.default_rng(3).dirichlet(np.full(60, spread), (4, labels.size))
    rounded = COARSE[form](p).astype(stored)
    found = analyse(rounded, labels, [500] * 60, kind="probs").evidence.reference
    assert np.array_equal(found.predictions, rounded.argmax(2))


def test_class_ids_that_count_from_1_are_refused_by_name():
    draw = np.random.default_rng(0)
    predicted = np.where(draw.random((RUNS, POINTS)) < 0.8, LABELS, draw.integers(0, CLASSES, (RUNS, POINTS)))
    from_one = refusal(predicted, LABELS, [0, *COUNTS])
    assert "the training counts have class 4, but not 0" in from_one and "seem to count from 1, off by one" in from_one
    assert "the labels of the test points seem to count from 1" in refusal(predicted, LABELS + 1, [*COUNTS, 0])
    both = refusal(predicted + 1, LABELS, COUNTS)
    assert "class ids go from 0 to 3, and these seem to count from 1" in both
    without_tail = np.minimum(predicted, CLASSES - 2)
    assert "the predictions seem to count from 1, off by one" in refusal(without_tail + 1, LABELS, COUNTS)
    few = LABELS[LABELS < 3]
    assert "the labels of the test points seem to count from 1" in refusal(np.stack([few] * 3), few + 1, COUNTS)
    assert analyse(np.stack([few + 1] * 3), few + 1, COUNTS).evidence is not None
    assert analyse(predicted, LABELS, [*COUNTS, 9]).evidence is not None
    assert analyse(predicted, LABELS, [0, *COUNTS[1:]]).evidence is not None


def test_a_split_of_which_nothing_is_known_is_left_out_of_the_caption():
    evidence = analyse(logits_of(0), LABELS, COUNTS, few=20).evidence
    shared = np.array([0.4, 0.3, 0.3, np.nan])
    (line,) = (
        line
        for line in captions.setting(replace(evidence, setting=replace(evidence.setting, shared=shared)))
        if line.startswith("Scheme")
    )
    assert "in many" in line and "in medium" in line and "nan" not in line and "in few" not in line


def test_blocks_are_only_a_matter_of_memory(monkeypatch):
    whole = analyse(logits_of(0), LABELS, COUNTS)
    monkeypatch.setattr(analysis, "BLOCK", 3 * CLASSES)
    assert_frame_equal(whole.hardest_negatives, analyse(logits_of(0), LABELS, COUNTS).hardest_negatives)


def test_the_whole_report_is_written(tmp_path):
    text = analyse({"ce": logits_of(0), "mine": logits_of(1)}, LABELS, COUNTS).write(tmp_path / "out")
    assert "mine" in text and repr(text) == text  # a prompt and a notebook show it as it is
    assert (tmp_path / "out/tables/splits.csv").exists()


@pytest.mark.parametrize(
    ("predictions", "labels", "counts", "complaint"),
    [
        (logits_of(0)[0], LABELS, COUNTS, "ce, run 0 is float32 of shape (4,); a method is integer labels (R, N)"),
        (logits_of(0)[:, :-1], LABELS, COUNTS, "ce, run 0 has 23 test points, but there are 24 labels"),
        (logits_of(0).argmax(2)[:, :-1], LABELS, COUNTS, "ce, run 0 has 23 test points, but there are 24 labels"),
        (logits_of(0), LABELS, COUNTS[:-1], "labels go up to 3, but there are 3 classes"),
        (logits_of(0), LABELS, [*COUNTS, 5], "ce, run 0 has scores of 4 classes, but there are 5"),
        (logits_of(0) * np.nan, LABELS, COUNTS, "ce, run 0 has logits that are NaN or +inf in row 0 (from 0)"),
        (np.full((2, POINTS), 4), LABELS, COUNTS, "ce, run 0: prediction is 4 in row 0 (from 0)"),
        (logits_of(0), LABELS + 0.5, COUNTS, "labels must be integer class ids; got float64"),
        (logits_of(0), LABELS, [1.0, 2, 3, 4], "train_counts must be (C,) integers; got float64 of shape (4,)"),
        (logits_of(0), LABELS, [1, 2, 3, -4], "train_counts has -4 training images for class 3"),
        ({}, LABELS, COUNTS, "no predictions are given"),
        ([], LABELS, COUNTS, "ce has no runs"),
        ([], LABELS, None, "ce has no runs"),
        (logits_of(0)[:, :, :3], LABELS, None, "labels go up to 3, but there are 3 classes"),
        (
            {"ce": logits_of(0), "mine": np.zeros((2, POINTS, 5))},
            LABELS,
            None,
            "has scores of 4 classes, but there are 5",
        ),
        ([logits_of(0)[0], softmax(logits_of(0)[1])], LABELS, COUNTS, "ce: run '0' has logits and run '1' has probs"),
    ],
)
def test_arrays_that_cannot_be(predictions, labels, counts, complaint):
    assert complaint in refusal(predictions, labels, counts)


def test_without_training_counts_all_classes_and_each_are_spoken_of():
    logits = logits_of(0)
    for predictions in (logits, logits.argmax(2), softmax(logits)):
        found = analyse({"ce": predictions, "mine": predictions[::-1]}, LABELS)
        whole = found.all.set_index(["method", "group", "quantity"])["estimate"]
        with_counts = analyse({"ce": predictions}, LABELS, COUNTS).all.set_index(["method", "group", "quantity"])
        assert whole["ce", "all", "variance"] == with_counts.estimate["ce", "all", "variance"]
        assert np.isnan(whole["ce", "few", "variance"]) and len(found.classes) == 2 * 3 * CLASSES
        assert any("no training counts are given" in line and "4 classes" in line for line in found.cautions)
    assert len(analyse(logits.argmax(2), LABELS, class_names=list("abcde")).evidence.class_names) == 5
    assert "labels go up to 3, but there are 2 classes" in refusal(logits, LABELS, class_names=["a", "b"])
    assert "give train_counts too" in refusal(logits, LABELS, many=50)


def test_runs_that_come_one_after_the_other_need_no_counts_either():
    runs = (run for run in logits_of(0))
    assert len(analyse({"ce": runs}, LABELS).evidence.reference.runs) == RUNS


def test_scores_say_what_labels_do_not():
    """Brier score by its definition, top-3 by order, and the parts of both losses from the scores in memory."""
    logits = logits_of(0)
    other = analyse(logits, LABELS).tables.other_scores.set_index(["group", "quantity"])["estimate"]
    brier = ((softmax(logits.astype(float)) - np.eye(CLASSES)[LABELS]) ** 2).sum(2)
    assert other["all", "brier"] == pytest.approx(brier.mean(), abs=1e-6)  # classes have as many points
    above = (logits > np.take_along_axis(logits, LABELS[None, :, None], 2)).sum(2)
    assert other["all", "top_3_accuracy"] == (above < 3).mean()
    assert "top_5_accuracy" not in other["all"]  # of 4 classes
    by_kind = []
    for scores in (logits, softmax(logits)):
        tables = analyse(scores, LABELS).tables
        assert tables.other_scores.set_index(["group", "quantity"])["estimate"]["all", "brier"] == pytest.approx(
            brier.mean(), abs=1e-6
        )
        by_kind.append(tables.probability_losses.set_index(["group", "quantity"])["estimate"]["all"])
    parts = stats.cross_entropy(logits, LABELS)
    assert by_kind[0]["cross_entropy_variance"] == pytest.approx(parts.variance.mean(), abs=1e-6)
    np.testing.assert_allclose(*by_kind, atol=1e-6)
    certain = np.eye(CLASSES, dtype=np.float32)[logits.argmax(2)]
    assert any("probability of 0" in line for line in analyse(certain, LABELS).cautions)


def test_names_of_another_number():
    message = refusal(logits_of(0), LABELS, COUNTS, class_names=["a"])
    assert message == "there are 1 class names, but train_counts has 4 classes"
