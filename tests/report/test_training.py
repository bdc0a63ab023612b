"""Did it train? Rules, the files that they are read from, and where the answer stands."""

import subprocess
import sys

import numpy as np
import pytest
from drawn import colliding

from ltbv.files import read_arrays, write_arrays
from ltbv.report import epochs, style, training, write_report
from ltbv.report.evidence import TrainedStage
from ltbv.report.study import read_study
from ltbv.report.tables import build
from ltbv.report.topics.training import answer
from ltbv.store import Store, provenance

COUNTS = np.array([60, 30, 10])  # one answer to all is right in 60 % of images
CE, HEAD, RIDE = "a" * 16, "b" * 16, "c" * 16
RECIPES = {
    "ce": {"stages": [{"key": CE, "name": "representation"}]},
    "crt": {"stages": [{"key": CE, "name": "representation"}, {"key": HEAD, "name": "classifier"}]},
    "ride": {"stages": [{"key": RIDE, "name": "experts"}]},
}
SETTLING = 4 * 0.5 ** np.arange(20.0)
LEARNING = 1 - 0.9 * 0.6 ** np.arange(20.0)


def stage(*losses, accuracy=None) -> TrainedStage:
    loss = np.array(losses, float)
    right = np.full(loss.shape, np.nan) if accuracy is None else np.array(accuracy, float)
    return TrainedStage("representation", tuple(range(len(loss))), loss, right)


def put(path, key, run, loss=SETTLING, accuracy=LEARNING, said=None, **more):
    """A stage file as a study has it."""
    store = Store(path)
    told = {} if loss is None else {"loss_by_epoch": np.array(loss, float)}
    told |= {} if accuracy is None else {"accuracy_by_epoch": np.array(accuracy, float)}
    said = {"stage": key, "run": run, "seed": 7, "from": {}} | (said or {})
    file = store.stage_file(key, run)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(file, provenance.sealed({"weight": np.arange(50.0), **told, **more}, said))
    return file


@pytest.fixture
def trained(study):
    """A study of CE, cRT and RIDE with stage files, which settled; `trained(runs=3)`."""

    def make(runs=3, **rest):
        path = study(crt="cRT", ride="RIDE", runs=runs, recipes=RECIPES, **{"points": 3} | rest)
        for run in range(runs):
            for key in (CE, HEAD, RIDE):
                put(path, key, run, loss=SETTLING + 0.01 * run)
        return path

    return make


# rules


def test_a_stage_has_settled_where_the_last_tenth_moved_little():
    even = np.linspace(10, 1, 20)  # at an even pace: 2 of 19 steps in the last tenth
    assert training.moved(stage(even))[0] == pytest.approx([2 / 19])
    assert training.state(stage(even)) == training.MOVING
    assert training.state(stage(SETTLING)) == training.SETTLED
    assert training.state(stage(SETTLING + 1000)) == training.SETTLED  # a constant does not matter
    assert training.state(stage(even + 1000)) == training.MOVING
    assert training.state(stage(even, SETTLING)) == training.SETTLED  # half of the runs had
    assert training.state(stage(even, even, SETTLING)) == training.MOVING


def test_another_loss_from_some_epoch_on_is_no_fall():
    """What it rose at the switch is not held against it; what it still falls after, or rises at the end, is."""
    first = 12 * 0.6 ** np.arange(14.0)
    after = 20 + 4 * 0.2 ** np.arange(6.0)
    switched = stage(np.concatenate([first, after]))
    assert training.fell(switched) == pytest.approx([first[0] - first[-1] + after[0] - after[-1]])
    assert training.state(switched) == training.SETTLED
    still = np.concatenate([first, np.linspace(24, 18, 6)])
    assert training.state(stage(still)) == training.MOVING
    at_the_end = np.concatenate([first, first[-1:] * np.ones(5), [20.0]])
    assert training.state(stage(at_the_end)) == training.MOVING


def test_accuracy_that_still_rises_has_not_settled():
    rising = np.linspace(0.2, 0.8, 20)
    assert training.state(stage(SETTLING, accuracy=[rising])) == training.MOVING
    assert training.state(stage(SETTLING, accuracy=[LEARNING])) == training.SETTLED


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_few_epochs_do_not_tell(epochs):
    flat = np.full((6, epochs), 0.1)
    some = stage(*(np.linspace(5, 1, epochs) for _ in range(5)), np.full(epochs, 50.0), accuracy=flat)
    assert training.state(some) == training.SHORT and training.collapsed(some, COUNTS) == {}
    assert np.isnan(training.moved(some)[0]).all() == (epochs == 1)


def test_a_run_that_answers_one_class_collapsed():
    few = 3 * np.sqrt(0.6 * 0.4 / 100)
    never, late = np.full(20, 0.61), np.r_[LEARNING[:10], np.full(10, 0.6)]
    late[0] = 0.62
    balanced = np.linspace(0.33, 0.6 + few, 20)  # images drawn evenly over classes: it learnt, from a third
    found = training.collapsed(stage(*[SETTLING] * 4, accuracy=[never, late, balanced, LEARNING]), COUNTS)
    assert set(found) == {0, 1} and found[0].startswith("61.0% of training images right")


def test_a_run_whose_loss_is_no_number_collapsed():
    broken = np.r_[SETTLING[:10], np.full(10, np.nan)]
    for loss in (broken, np.r_[SETTLING[:19], np.inf]):
        with np.errstate(all="ignore"):
            found = training.collapsed(stage(SETTLING, loss, SETTLING), COUNTS)
        assert found == {1: "its loss is not finite"}
    assert training.state(stage(broken)) == training.MOVING


def test_a_run_far_from_the_others_collapsed_where_that_is_much():
    runs = [SETTLING + 0.001 * k for k in range(8)]
    assert training.collapsed(stage(*runs), COUNTS) == {}
    assert list(training.collapsed(stage(*runs, SETTLING + 2), COUNTS)) == [8]  # half of what the others fell
    assert training.collapsed(stage(*runs, SETTLING + 0.3), COUNTS) == {}  # surely above, but by little
    assert training.collapsed(stage(*runs[:3], SETTLING + 2), COUNTS) == {}  # of four runs none can be told


# files


def test_curves_are_read_once_for_all_methods_and_no_weights_with_them(trained, monkeypatch):
    path = trained()
    file = Store(path).stage_file(CE, 1)
    content = bytearray(file.read_bytes())
    content[content.find(b"weight.npy") + 300] ^= 1  # a weight that cannot be read
    file.write_bytes(content)
    evidence = read_study(path)
    assert list(evidence.trained) == [CE, HEAD, RIDE] and evidence.of(methods=["crt"]).methods[1].stages == (CE, HEAD)
    of = evidence.trained[CE]
    assert (of.name, of.runs, of.loss.shape) == ("representation", (0, 1, 2), (3, 20))
    assert np.array_equal(of.loss[2], SETTLING + 0.02) and np.array_equal(of.accuracy[0], LEARNING)
    built = build(evidence)
    table = built.training
    assert not any("training" in line for line in built.cautions)
    assert answer(table) == "Of 3 stages, all 3 had settled; no run collapsed."
    assert table.groupby("stage", sort=False)["methods"].first().to_dict() == {
        "representation": "ce crt",
        "classifier": "crt",
        "experts": "ride",
    }
    assert built.epochs[["run", "epoch"]].drop_duplicates().shape[0] == 60 and "epochs" not in built.tidy


def test_files_that_are_not_there_are_told_once(trained):
    path = trained()
    for run in range(3):
        Store(path).stage_file(CE, run).unlink()
    Store(path).stage_file(RIDE, 0).unlink()
    put(path, RIDE, 1, loss=None, accuracy=None)
    evidence = read_study(path)
    assert {key: of.runs for key, of in evidence.trained.items()} == {HEAD: (0, 1, 2), RIDE: (2,)}
    lines = [line for line in build(evidence).cautions if "training curves" in line]
    assert lines == [
        "training curves are known from 4 of 9 stage files; the others are not there, or say nothing of them."
    ]


def test_without_any_file_there_is_no_table_and_no_figure(study, tmp_path):
    path = study(crt="cRT", runs=2, points=2, recipes=RECIPES)
    text = write_report(path, tmp_path / "report")
    assert "known from none of 4 stage files" in " ".join(text.split())
    assert not [file for file in (tmp_path / "report").rglob("training.*")]
    assert "Did it train?" not in (tmp_path / "report/report.html").read_text()


def test_files_of_before_have_no_accuracy(trained):
    path = trained(runs=1)
    put(path, RIDE, 0, accuracy=None)
    of = read_study(path).trained[RIDE]
    assert np.isnan(of.accuracy).all() and np.array_equal(of.loss[0], SETTLING)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"said": {"run": 2}}, "it is another file than its name says (run 2, not 1)"),
        ({"loss": SETTLING[None]}, "loss_by_epoch is of shape (1, 20)"),
        ({"loss": [], "accuracy": []}, "loss_by_epoch is of shape (0,)"),
        ({"accuracy": LEARNING[:4]}, "accuracy_by_epoch is not a share for each epoch"),
        ({"accuracy": LEARNING + 1}, "accuracy_by_epoch is not a share for each epoch"),
        ({"loss": SETTLING[:9], "accuracy": LEARNING[:9]}, "it has 9 epochs, most of the stage 20"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_costs_its_curve_only(trained, wrong, words):
    path = trained()
    put(path, RIDE, 1, **wrong)
    evidence = read_study(path)
    assert evidence.trained[RIDE].runs == (0, 2) and evidence.methods[2].runs == (0, 1, 2)
    (line,) = [line for line in evidence.setting.notes if "training curves" in line]
    assert f"1 of 9 stage files could not be used (the first: stages/{RIDE}/r001.npz: {words}" in line


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half an archive"], ids=["empty", "half"])
def test_a_damaged_file_costs_its_curve_only(trained, content):
    path = trained()
    Store(path).stage_file(RIDE, 1).write_bytes(content)
    evidence = read_study(path)
    assert evidence.trained[RIDE].runs == (0, 2)
    (line,) = [line for line in evidence.setting.notes if "training curves" in line]
    assert f"stages/{RIDE}/r001.npz" in line and "\n" not in line


# where it stands


def collapse(path, key, run):
    put(path, key, run, loss=np.full(20, 4.0), accuracy=np.full(20, 0.05))


def test_a_run_that_collapsed_is_a_fallen_one_to_the_claims(trained):
    """However accurate it is: here its predictions are like those of the others."""
    path = trained(runs=12, points=10)
    before = build(read_study(path)).claims.set_index(["method", "quantity", "group"])
    assert before["low_fallen"].isna().all()
    collapse(path, RIDE, 3)
    built = build(read_study(path))
    after = built.claims.set_index(["method", "quantity", "group"]).sort_index()
    assert after.loc["crt"]["low_fallen"].isna().all()
    judged = after["low_fallen"].unstack("quantity").loc["ride"]
    assert np.isfinite(judged[["error", "variance"]]).all(axis=None) and judged["bias"].isna().all()
    (line,) = [line for line in built.cautions if line.startswith("training collapsed")]
    assert line.startswith("training collapsed in run 3 of RIDE: experts (5.0% of training images right")


def test_a_claim_that_rests_on_collapsed_runs_is_none(trained, monkeypatch):
    """Both sides of a difference: of the reference, whose stage another method shares, it counts for both."""
    path = trained(runs=12, points=10)
    held = build(read_study(path)).claims
    assert (held[(held["method"] == "ride") & (held["quantity"] == "error")]["holds"] == "lower").any()
    for run in range(10):
        collapse(path, RIDE, run)
    claims = build(read_study(path)).claims
    own = claims[(claims["method"] == "ride") & claims["quantity"].isin(["error", "variance"])]
    was = held.loc[own.index, "holds"] != ""
    assert was.any() and not own[was]["holds"].any()
    assert own[was]["no_claim"].str.contains("run 0 of RIDE, .*run 9 of RIDE, whose training collapsed, or none").all()


def test_runs_that_collapsed_in_a_shared_stage_are_of_all_that_stand_on_it(trained):
    path = trained()
    collapse(path, CE, 2)
    evidence = read_study(path)
    assert [sorted(training.collapsed_runs(evidence, method)) for method in evidence.methods] == [[2], [2], []]
    (line,) = [line for line in build(evidence).cautions if line.startswith("training collapsed")]
    assert "run 2 of CE: representation, shared with 1 method more (" in line


def test_the_page_folds_table_and_figure_under_the_answer(trained, tmp_path):
    path = trained()
    even = np.linspace(10, 1, 20)
    for run in range(3):
        put(path, HEAD, run, loss=even)
        put(path, RIDE, run, loss=[2, 1], accuracy=[0.3, 0.4])
    text = " ".join(write_report(path, tmp_path / "report").split())
    assert "! training had not settled in 1 of 3 stages (cRT: classifier):" in text
    page = (tmp_path / "report/report.html").read_text()
    (fold,) = [part.split("</details>")[0] for part in page.split("<details>") if "Did it train?" in part]
    assert (
        "Of 3 stages, 1 had settled, 1 had not settled, 1 too short to tell (under 5 epochs); no run"
        in fold.split("</summary>")[0]
    )
    assert fold.count('<svg class="figure"') == 1 and '<table id="training"' in fold
    assert page.count("Loss (line, left axis)") == 2  # caption and words for those who do not see it, nowhere else
    assert "Did it train?" not in (tmp_path / "report/report.md").read_text()
    assert (
        (tmp_path / "report/figures/training.csv").read_text().startswith("method,stage,run,epoch,loss,accuracy\nce,")
    )
    assert "ride,experts,ride,1,2," in (tmp_path / "report/tables/training.csv").read_text()


def test_seaborn_is_asked_for_where_there_are_curves_only(trained, tmp_path):
    path = trained(runs=1)
    code = (
        "import sys\nfrom ltbv.report import write_report\n"
        f"write_report({str(path)!r}, {str(tmp_path / 'report')!r})\nprint('seaborn' in sys.modules)"
    )
    for there in (True, False):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(there)
        for key in (CE, HEAD, RIDE):
            Store(path).stage_file(key, 0).unlink(missing_ok=True)


def test_a_figure_shows_stages_with_a_caution_first_and_no_more_than_fit(study):
    keys = [f"{k:016x}" for k in range(15)]
    others = {f"m{k}": {"stages": [{"key": key, "name": "all of it"}]} for k, key in enumerate(keys)}
    path = study(runs=2, points=2, recipes=others, **{key: key.upper() for key in others})
    for key in keys:
        for run in range(2):
            put(path, key, run)
    put(path, keys[0], 0, loss=[2, 1], accuracy=None)
    put(path, keys[0], 1, loss=[2, 1], accuracy=None)
    for run in range(2):
        put(path, keys[13], run, loss=np.linspace(3, 1, 20))
    collapse(path, keys[14], 0)
    evidence = read_study(path)
    built = build(evidence)
    order = epochs.shown(built.training)
    assert [method for method, _ in order] == ["m13", "m14", *(f"m{k}" for k in range(1, 11))]
    figure = epochs.training(built.epochs, built.training, order, evidence.names)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert [title for title in titles if title] == [f"{method.upper()}: all of it" for method, _ in order]
    of = dict(zip(titles, figure.axes, strict=True))
    red = [line for line in of["M14: all of it"].lines if line.get_color() == epochs.COLLAPSED]
    assert [line.get_ydata().tolist() for line in red] == [[4.0] * 20]
    mean = of["M1: all of it"].lines[0].get_ydata()
    assert mean == pytest.approx(SETTLING)


def test_a_study_that_was_trained_says_how(tiny_lt, tmp_path):
    from ltbv.harness.bootstrap import prepare
    from ltbv.harness.request import Request

    asked = {"dataset": "tiny-lt", "executor": "inline", "scheme": "subsample", "head": 12, "imbalance": 4.0}
    job = prepare(Request.of(("ce", "crt"), 2, tmp_path / "study", epochs=6, **asked))
    assert job.run(lambda event: None) == []
    evidence = read_study(tmp_path / "study")
    assert evidence.methods[1].stages[0] == evidence.methods[0].stages[0]
    assert [of.name for of in evidence.trained.values()] == ["representation", "classifier"]
    for key, of in evidence.trained.items():
        files = [read_arrays(Store(tmp_path / "study").stage_file(key, run)) for run in of.runs]
        assert np.array_equal(of.loss, [file["loss_by_epoch"] for file in files])
        assert np.array_equal(of.accuracy, [file["accuracy_by_epoch"] for file in files])
        assert (of.accuracy >= 0).all()
    assert not any("training curves" in line for line in evidence.setting.notes)
    assert list(build(evidence).epochs.columns) == ["method", "stage", "run", "epoch", "loss", "accuracy"]


def test_long_names_of_a_stage_stand_on_two_lines_and_touch_nothing(study, trained):
    path = trained(runs=3)
    evidence = read_study(path)
    built = build(evidence)
    names = {key: f"RIDE (3 experts) + distillation {at}" for at, key in enumerate(evidence.names)}
    order = epochs.shown(built.training)
    with style.house_style():
        figure = epochs.training(built.epochs, built.training, order, names)
    titles = [title for panel in figure.axes if (title := panel.get_title(loc="left"))]
    assert len(titles) == len(order) and all(
        "\n" in title and names[of[0]] in title for title, of in zip(titles, order, strict=True)
    )
    assert not colliding(figure)


def test_where_no_curve_is_known_there_are_no_others(study):
    (line,) = (
        line for line in build(read_study(study(recipes=RECIPES, runs=3, points=3))).cautions if "curves" in line
    )
    assert "known from none of 3 stage files; they are not there" in line
