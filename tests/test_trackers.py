"""Events become runs of a tracker: a value once, shared stages in every method that stands on them, accuracies at the
end."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import ltbv
from ltbv.cli import main
from ltbv.errors import Refusal
from ltbv.report.study import read_study
from ltbv.trackers.records import records
from ltbv.trackers.told import Place, Told, accuracies


class Heard:
    """A tracker that keeps what it is told."""

    def __init__(self):
        self.values, self.ended = {}, {}

    def scalar(self, place, settings, tag, value, step, at):
        assert (place, tag, step) not in self.values, "a value is told once"
        self.values[place, tag, step] = value

    def end(self, place, settings, accuracies):
        self.ended[place] = accuracies


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """CE and then cRT, which stands on CE's stage, in two commands with one file of events."""
    folder = tmp_path_factory.mktemp("trackers")
    asked = {"study": folder / "study", "epochs": 2, "head": 12, "imbalance": 4, "executor": "inline", "quiet": True}
    for methods in (["ce"], ["ce", "crt"]):
        analysis = ltbv.bootstrap(methods, 2, events=folder / "e.jsonl", **asked)
    analysis.all.to_csv(folder / "all.csv", index=False)
    return folder


def heard(path):
    tracker = Heard()
    told = Told([tracker])
    for record in records(path):
        told.hear(record)
    told.end(lambda line: None)
    return tracker


def test_every_method_has_the_curves_of_the_stages_that_it_stands_on(trained):
    found, study = heard(trained / "e.jsonl"), str(trained / "study")
    told = [json.loads(line) for line in (trained / "e.jsonl").read_text().splitlines()]
    epochs = [one for one in told if one["kind"] == "epoch_ended"]
    assert {one["stage"] for one in epochs} == {"representation", "classifier"}
    for one in epochs:
        for method in ("ce", "crt") if one["stage"] == "representation" else ("crt",):
            for run, loss, right in zip(one["runs"], one["loss"], one["accuracy"], strict=True):
                place = Place(study, method, run)
                assert found.values[place, f"{one['stage']}/loss", one["epoch"]] == loss
                assert found.values[place, f"{one['stage']}/accuracy", one["epoch"]] == right
    assert len(found.values) == sum(2 * len(one["runs"]) * (1 + (one["stage"] == "representation")) for one in epochs)
    assert set(found.ended) == {Place(study, method, run) for method in ("ce", "crt") for run in (0, 1)}


def test_accuracies_are_those_of_the_report(trained):
    found, evidence = accuracies(trained / "study"), read_study(trained / "study")
    own = pd.read_csv(trained / "all.csv").set_index(["method", "group", "quantity"])["estimate"]
    for method in evidence.methods:
        assert set(found[method.key, 0]) == {name for name, ids in evidence.groups.items() if ids.size} > {"all"}
        for name in found[method.key, 0]:
            mean = np.mean([found[method.key, run][name] for run in method.runs])
            assert mean == pytest.approx(own[method.key, name, "accuracy"], abs=1e-12)


def test_what_is_told_again_and_lines_that_are_cut_off_change_nothing(trained, tmp_path):
    whole = (trained / "e.jsonl").read_bytes()
    again = tmp_path / "again.jsonl"
    again.write_bytes(whole + whole[: whole.index(b"\n") // 2] + b"\n" + whole + whole[:20])
    assert heard(again).values == heard(trained / "e.jsonl").values


def test_a_study_that_is_gone_has_its_curves_still(trained, tmp_path):
    moved = tmp_path / "moved.jsonl"
    moved.write_text((trained / "e.jsonl").read_text().replace(json.dumps(str(trained / "study")), '"/nowhere/s"'))
    said = []
    told = Told([tracker := Heard()])
    for record in records(moved):
        told.hear(record)
    told.end(said.append)
    assert len(said) == 1 and said[0].startswith("no accuracies of /nowhere/s")
    assert tracker.values and all(found == {} for found in tracker.ended.values())


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "No such file or directory; give what ltbv bootstrap --events wrote"),
        ("", "there is no event in it"),
        ("hello\n", "has a line that is none: 'hello'"),
        ('{"format": 7, "kind": "x", "study": "s", "command": "c"}\n', "are of format 7, and 1 is read here"),
        ("[1]\n", "has a line that is none"),
    ],
)
def test_what_holds_no_events_is_refused(tmp_path, content, line):
    path = tmp_path / "e.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Refusal, match=line):
        list(records(path))
    with pytest.raises(Refusal, match="no.* event|none|format|No such file"):
        list(records(path, follow=True)) if content else list(records(path))


def test_a_file_is_followed_until_every_command_has_ended(trained):
    assert [one["kind"] for one in records(trained / "e.jsonl", follow=True)][-1] == "command_ended"


def test_no_tracker_and_one_that_is_not_there_are_refused(trained, monkeypatch):
    file = str(trained / "e.jsonl")
    found = CliRunner().invoke(main, ["track", file])
    assert found.exit_code == 2 and "Give --tensorboard DIR, --mlflow URI, or both" in found.output
    for name, module, option in (("TensorBoard", "tensorboard", "--tensorboard"), ("MLflow", "mlflow", "--mlflow")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        found = CliRunner().invoke(main, ["track", file, option, "x"])
        assert found.exit_code == 2 and f"{name} is asked for" in found.output
        assert f"pip install 'ltbv[{module}]'" in found.output


def test_tensorboard_shows_them(trained, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = ["track", str(trained / "e.jsonl"), "--tensorboard", str(tmp_path / "boards")]
    assert CliRunner().invoke(main, words).exit_code == 0
    at = tmp_path / "boards" / "study" / "crt" / "run-001"
    shown = EventAccumulator(str(at)).Reload()
    told = heard(trained / "e.jsonl")
    place = Place(str(trained / "study"), "crt", 1)
    for tag in ("representation/loss", "classifier/loss"):
        values = {one.step: one.value for one in shown.Scalars(tag)}
        assert values == pytest.approx({step: of for (p, t, step), of in told.values.items() if (p, t) == (place, tag)})
    assert shown.Scalars("accuracy/all")[0].value == pytest.approx(told.ended[place]["all"])
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2 and "holds something already" in again.output


def test_mlflow_shows_them_and_told_again_nothing_is_twice(trained, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # which needs no database
    uri = Path(tmp_path / "mlruns").as_uri()
    for _ in range(2):
        found = CliRunner().invoke(main, ["track", str(trained / "e.jsonl"), "--mlflow", uri])
        assert found.exit_code == 0, found.output
    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("study").experiment_id])
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}
    (one,) = (run for run in runs if run.info.run_name == "crt run 1")
    assert one.data.params["epochs"] == "2" and one.data.params["method"] == "crt"
    history = client.get_metric_history(one.info.run_id, "representation/loss")
    assert [of.step for of in history] == [1, 2]
    told = heard(trained / "e.jsonl").ended[Place(str(trained / "study"), "crt", 1)]
    assert one.data.metrics["accuracy/all"] == pytest.approx(told["all"])
