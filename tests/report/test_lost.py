"""What is said of lost classes is what the predictions say."""

import numpy as np

from ltbv.data.dataset import labels_of, make_ids
from ltbv.data.resample import lost_by_run
from ltbv.report.evidence import Evidence, MethodRuns
from ltbv.report.topics.lost_classes import caution, counted

COUNTS = np.array([3, 2, 1, 0])  # a class without images was never there
SAMPLES = [make_ids([0, 1, 2], [0, 0, 0]), make_ids([0, 0, 0], [0, 1, 2]), make_ids([0, 0, 1], [0, 1, 2])]
LOST = "2 of 3 resamples lost a class (up to 2 of them); "


def lost_note(samples, counts, methods) -> tuple[str, ...]:
    """The line of a report on these runs."""
    lost = lost_by_run(samples, counts)
    evidence = Evidence(np.empty(0, int), (), counts, {}, tuple(methods), setting=None, lost=lost)
    return caution(evidence, counted(evidence))


def method(label: str, *rows, runs=(0, 1, 2)) -> MethodRuns:
    return MethodRuns(label.lower(), label, runs, np.array(rows))


SEEN = method("CE", [0, 1, 2, 2], [0, 0, 0, 0], [1, 1, 0, 0])


def test_nothing_is_said_where_nothing_is_lost():
    assert lost_note(SAMPLES[:1], COUNTS, [method("CE", [0, 1, 2, 3], runs=(0,))]) == ()


def test_predictions_of_classes_not_seen_are_counted():
    assert lost_note(SAMPLES, COUNTS, [SEEN]) == (f"{LOST}no prediction is of a class that its run has not seen.",)
    shifted = method("Shifted", [0, 1, 2, 2], [1, 2, 0, 0], [2, 1, 0, 0])  # 2 of 4 and 1 of 4; all seen in run 0
    other = method("Other", [0, 1, 2, 2], [0, 0, 0, 0], [2, 2, 2, 2])
    said = "predictions of a class that their run has not seen: "
    assert lost_note(SAMPLES, COUNTS, [shifted, other]) == (f"{LOST}{said}Other 4 of 8, Shifted 3 of 8.",)
    assert lost_note(SAMPLES, COUNTS, [SEEN, shifted]) == (f"{LOST}{said}Shifted 3 of 8, the others none.",)


def test_runs_of_other_numbers_and_many_methods():
    some = [method(f"M{k}", [0, 0, 0, 2], runs=(1,)) for k in range(8)]
    assert lost_note(SAMPLES, COUNTS, some)[0].endswith("M4 1 of 4, 3 methods more.")
    assert lost_note(SAMPLES[:1] + SAMPLES[1:2], COUNTS, [method("CE", [1] * 4, runs=(7,))])[0].endswith("not seen.")


def test_a_study_says_what_its_predictions_say(tiny_lt, tmp_path):
    """Trained in a moment: balanced softmax is drawn to what it has not seen, and the line counts as one would."""
    from ltbv.harness.bootstrap import prepare
    from ltbv.harness.request import Request
    from ltbv.report import tables
    from ltbv.report.study import read_study

    asked = {"dataset": "tiny-lt", "executor": "inline", "scheme": "bootstrap", "head": 12, "imbalance": 12.0}
    job = prepare(Request.of(("ce", "balanced_softmax"), 8, tmp_path / "study", **asked))
    assert job.run(lambda event: None) == []
    evidence = read_study(tmp_path / "study")
    built = tables.build(evidence)
    (line,) = [note for note in built.cautions if "resamples lost a class" in note]
    lost = [np.setdiff1d(np.arange(5), labels_of(ids)) for ids in job.samples]
    assert any(map(len, lost))
    for of in evidence.methods:
        said = sum(np.isin(of.predictions[run], lost[run]).sum() for run in range(8))
        points = sum(of.predictions[run].size for run in range(8) if lost[run].size)
        assert (f"{of.label} {said} of {points}" in line) == (said > 0)
        row = built.lost_classes.set_index("method").loc[of.key]
        assert (row.unseen, row.predictions) == (said, points)
