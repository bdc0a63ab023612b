"""What is said twice in a file, is it compared, and is it said which is used?"""

import json

import numpy as np
import pytest
from laid import refusal, write

from ltbv import analyse
from ltbv.report.elsewhere import read_elsewhere
from ltbv.sklearn import bootstrap

COUNTS = [400, 60, 20, 5]
N, C, R = 80, len(COUNTS), 3
LABELS = np.arange(N) % C


def logits_of(run: int) -> np.ndarray:
    return np.random.default_rng(run).normal(size=(N, C)) + 1.5 * np.eye(C)[LABELS]


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def adjusted(run: int) -> np.ndarray:
    """Predictions after a threshold was moved for the tail: not the argmax everywhere, and not by chance."""
    return (logits_of(run) + np.linspace(0, 1, C)).argmax(1)


def read(directory, source=None):
    (directory / "counts.json").write_text(json.dumps(COUNTS))
    found = read_elsewhere({"ce": source or directory / "ce"}, directory / "counts.json")
    return found, [line for line in found.setting.notes if "not used:" not in line]


SCORES = {
    "logits.npz": lambda z: {"logits": z},
    "half.npz": lambda z: {"logits": z.astype(np.float16)},
    "probs.npz": lambda z: {"probs": softmax(z)},
    "rounded.csv": lambda z: {"probs": softmax(z).round(2)},
}


@pytest.mark.parametrize("form", SCORES)
def test_predictions_that_are_not_those_of_the_scores_are_counted(tmp_path, form):
    differ = 0
    for run in range(R):
        z = logits_of(run)
        path = tmp_path / f"ce/{run}.{form.partition('.')[2]}"
        write(path, label=LABELS, pred=adjusted(run), **SCORES[form](z))
        of_scores = next(iter(SCORES[form](z).values()))
        differ += int((of_scores[np.arange(N), adjusted(run)] < of_scores.max(1)).sum())
    found, notes = read(tmp_path)
    assert 0 < differ < N and np.array_equal(found.reference.predictions, [adjusted(run) for run in range(R)])
    assert [line for line in notes if "highest score beside" in line] == [
        f"ce: {differ} of {R * N} predictions are not the class of the highest score beside them; the predictions are"
        " used as they are, scores for the hardest negatives alone."
    ]


@pytest.mark.parametrize("form", SCORES)
def test_ties_and_rounding_contradict_nothing(tmp_path, form):
    for run in range(R):
        z = logits_of(run)
        z[::5] = z[::5].round(1)
        z[::10, 1] = z[::10].max(1)
        path = tmp_path / f"ce/{run}.{form.partition('.')[2]}"
        write(path, label=LABELS, pred=C - 1 - z[:, ::-1].argmax(1), **SCORES[form](z))  # the highest of those that tie
    assert not [line for line in read(tmp_path)[1] if "highest score beside" in line]


SHUFFLED = np.random.default_rng(9).permutation(N)


@pytest.mark.parametrize("form", SCORES)
@pytest.mark.parametrize("what", ["another order", "from one"])
def test_predictions_in_another_order_than_the_scores_are_refused(tmp_path, form, what):
    z = logits_of(0)
    pred = z.argmax(1)[SHUFFLED] if what == "another order" else (z.argmax(1) + 1) % C
    path = tmp_path / f"ce/0.{form.partition('.')[2]}"
    write(path, label=LABELS, pred=pred, **SCORES[form](z))
    message = refusal(read, tmp_path)
    assert message.startswith(f"{path}: its predictions are the class of the highest of its scores in ")
    assert "of 80 rows only, as if by chance" in message and message.endswith("take out what is not to be used")


def test_scores_that_are_nearly_constant_say_nothing_of_the_order(tmp_path):
    z = logits_of(0) + 9 * np.eye(C)[0]
    write(tmp_path / "ce/0.npz", labels=LABELS, preds=LABELS, logits=z)
    found, notes = read(tmp_path)
    assert (found.reference.predictions == LABELS).all() and any(
        "of 80 predictions are not the class" in n for n in notes
    )


def test_logits_and_probs_of_two_models_are_refused(tmp_path):
    z = logits_of(0)
    write(tmp_path / "ce/0.npz", labels=LABELS, logits=z.astype(np.float16), probs=softmax(z).astype(np.float32))
    assert (read(tmp_path)[0].reference.predictions == z.astype(np.float16).argmax(1)).all()
    write(tmp_path / "ce/0.npz", labels=LABELS, logits=z, probs=softmax(logits_of(1)))
    differ = int((z.argmax(1) != logits_of(1).argmax(1)).sum())
    assert f"has logits and probs that are highest for different classes at {differ} of 80 points" in refusal(
        read, tmp_path
    )


@pytest.mark.parametrize("several", [False, True])
def test_what_a_study_writes_is_held_against_itself(tmp_path, several):
    def fields(run: int, change: int) -> dict[str, np.ndarray]:
        p = softmax(logits_of(run))
        others = np.where(np.eye(C)[LABELS] == 1, -1, p)
        label = p.argmax(1)
        label[:change] = (label[:change] + 1) % C
        own = {"label": label, "negative": others.argmax(1)}
        return own | {"p_true": p[np.arange(N), LABELS], "p_negative": others.max(1)}

    for change in (0, 7):
        of_runs = [fields(run, change) for run in range(R)]
        if several:
            write(tmp_path / "ce.npz", **{k: np.stack([f[k] for f in of_runs]) for k in of_runs[0]}, labels=LABELS)
        else:
            for run, of_run in enumerate(of_runs):
                write(tmp_path / f"ce/{run}.npz", **of_run, labels=LABELS)
        notes = read(tmp_path, tmp_path / "ce.npz" if several else None)[1]
        said = [line for line in notes if "highest score beside" in line]
        assert [line.split(" predictions")[0] for line in said] == ([f"ce: {R * 7} of {R * N}"] if change else [])


RIGHT = {
    "booleans": lambda right: right,
    "numbers": lambda right: right.astype(int),
    "text": lambda right: np.where(right, "True", "False"),
}
NOT_TEXT = ("booleans", "numbers")


@pytest.mark.parametrize(("form", "how"), [("csv", how) for how in RIGHT] + [("npz", how) for how in NOT_TEXT])
def test_right_and_wrong_are_held_against_label_and_prediction(tmp_path, how, form):
    pred = adjusted(0)
    right = pred == LABELS
    write(tmp_path / f"ce/0.{form}", label=LABELS, pred=pred, correct=RIGHT[how](right))
    assert not [line for line in read(tmp_path)[1] if "correct" in line]
    other = right ^ (np.arange(N) < 3)
    write(tmp_path / f"ce/0.{form}", label=LABELS, pred=pred, correct=RIGHT[how](other))
    assert (
        f"ce: 0.{form} has 'correct', which label and prediction contradict in 3 of 80 rows; these two are used."
        in (read(tmp_path)[1])
    )
    write(tmp_path / f"ce/0.{form}", label=LABELS, pred=pred, correct=RIGHT[how](right[SHUFFLED]))
    assert "as if by chance" in refusal(read, tmp_path)


def test_the_share_that_is_right_may_be_told_in_any_form(tmp_path):
    pred = adjusted(0)
    share = float((pred == LABELS).mean())
    for claimed in (share, 100 * share, round(share, 2), np.array([share])):
        write(tmp_path / "ce/0.npz", label=LABELS, pred=pred, accuracy=claimed)
        assert not [line for line in read(tmp_path)[1] if "accuracy" in line]
    for run in range(5):
        write(tmp_path / f"ce/{run}.npz", label=LABELS, pred=pred, accuracy=share - 0.1)
    notes = [line for line in read(tmp_path)[1] if "accuracy" in line or "more" in line]
    assert notes[0] == (
        f"ce: 0.npz has 'accuracy' {share - 0.1:.4g}, but {share:.1%} of its predictions are the label; these are used."
    )
    assert len(notes) == 4 and notes[-1] == "ce: and so 2 times more."
    frame = {"run": np.repeat([0, 1], N), "sample": np.tile(np.arange(N), 2), "label": np.tile(LABELS, 2)}
    preds = np.concatenate([pred, LABELS])
    write(tmp_path / "all.csv", **frame, pred=preds, acc=np.repeat([round(100 * share, 1), 99.0], N))
    notes = [line for line in read(tmp_path, tmp_path / "all.csv")[1] if "acc" in line]
    assert notes == ["ce: all.csv has 'acc' 99, but 100.0% of its predictions are the label; these are used."]


def test_predictions_twice_in_one_file_of_all_runs(tmp_path):
    preds = np.stack([adjusted(run) for run in range(R)])
    write(tmp_path / "all.npz", preds=preds, predictions=preds, labels=LABELS, accuracy=(preds == LABELS).mean(1))
    assert np.array_equal(read(tmp_path, tmp_path / "all.npz")[0].reference.predictions, preds)
    write(tmp_path / "all.npz", preds=preds, predictions=preds[::-1], labels=LABELS)
    assert "has 'preds' and 'predictions', which differ" in refusal(read, tmp_path, tmp_path / "all.npz")


def test_ties_of_several_runs_in_one_file_are_counted_once(tmp_path):
    p = np.tile([0.4, 0.4, 0.1, 0.1], (N, 1))
    rows = {"run": np.repeat(np.arange(R), N), "sample": np.tile(np.arange(N), R), "label": np.tile(LABELS, R)}
    write(tmp_path / "all.csv", **rows, probs=np.tile(p, (R, 1)))
    notes = read(tmp_path, tmp_path / "all.csv")[1]
    assert f"ce: rounded scores tie in {R * N} of {R * N} predictions; the lower class is taken." in notes


def test_an_estimator_whose_predictions_are_not_those_of_its_probabilities(tmp_path):
    class Platt:
        """As SVC(probability=True): `predict` and `predict_proba` are two models."""

        def fit(self, X, y):
            self.classes_ = np.unique(y)

        def predict(self, X):
            return self.classes_[adjusted(0)]

        def predict_proba(self, X):
            return softmax(logits_of(0))

    X = np.zeros((N, 1))
    found = bootstrap({"ce": Platt()}, X, LABELS, X, LABELS, runs=2)
    differ = int((adjusted(0) != logits_of(0).argmax(1)).sum())
    assert any(f"ce: {2 * differ} of {2 * N} predictions are not the class of the highest" in n for n in found.cautions)
    assert not any("highest score beside" in n for n in analyse({"ce": logits_of(0)[None]}, LABELS, COUNTS).cautions)


@pytest.mark.parametrize("form", ["npz", "csv"])
def test_two_fields_that_name_the_runs_may_not_contradict(tmp_path, form):
    """A run whose rows are of several seeds: points of one run and of another would be taken for one run."""
    rows = {"run": np.repeat([0, 1], N), "sample": np.tile(np.arange(N), 2), "label": np.tile(LABELS, 2)}
    rows["pred"] = np.concatenate([adjusted(0), adjusted(1)])
    path = tmp_path / f"all.{form}"
    write(path, **rows, seed=np.repeat([7, 9], N))
    assert np.array_equal(read(tmp_path, path)[0].reference.predictions, rows["pred"].reshape(2, N))
    write(path, **rows, seed=np.arange(2 * N) % 2)
    assert "has 'run' and 'seed', which differ: rows of run '0' have seed '0' and '1'; take out" in refusal(
        read, tmp_path, path
    )
    write(path, **rows, seed=np.arange(2 * N) + 100)  # one a row: of augmentation
    assert np.array_equal(read(tmp_path, path)[0].reference.predictions, rows["pred"].reshape(2, N))
