"""Is what happens told, whole, and does telling it never cost a study?"""

import json
import os
import threading
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import ltbv
from ltbv.errors import Refusal
from ltbv.files import Lines, read_arrays
from ltbv.harness import journal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import EpochEnded, Event, Halved, ImagesSeen, Unwritten
from ltbv.harness.outlook import as_json
from ltbv.harness.request import Request
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage

FAIR = ("ce", "tau_norm")
PUBLIC = [kind for kind in Event.__subclasses__() if kind.public]


def request(store: Path, methods=FAIR, runs=2, **asked) -> Request:
    return Request.of(methods, runs, store, **{"dataset": "tiny-lt", "executor": "inline"} | asked)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def kinds(told: list[dict]) -> list[str]:
    return [record["kind"] for record in told]


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_everything_is_in_one_file_and_the_epochs_are_those_of_the_study(executor, tiny_lt, tmp_path, monkeypatch):
    if executor == "local":  # other processes, which know no tiny-lt
        monkeypatch.chdir(tmp_path)
        asked = {"dataset": "glyphs-lt", "epochs": 2, "head": 10, "imbalance": 2.0, "jobs": 2, "executor": "local"}
    else:
        asked = {}
    study, path = tmp_path / "study", tmp_path / "events.jsonl"
    assert prepare(request(study, stack=1, events=path, **asked)).run(lambda event: None) == []
    told = records(path)
    assert {tuple(record)[: len(journal.ENVELOPE)] for record in told} == {tuple(journal.ENVELOPE)}
    assert {record["format"] for record in told} == {journal.FORMAT}
    assert {record["study"] for record in told} == {str(study)} and len({record["command"] for record in told}) == 1
    assert all(datetime.fromisoformat(record["time"]).utcoffset() is not None for record in told)
    assert kinds(told)[0] == "command_begun" and kinds(told)[-1] == "command_ended" and told[-1]["how"] == "done"
    begun = told[0]
    shared = begun["methods"]["ce"]["stages"]["representation"]
    assert shared in begun["methods"]["tau_norm"]["stages"].values() and begun["settings"]["epochs"] == 2
    assert sorted(record["run"] for record in told if record["kind"] == "predicted") == [0, 0, 1, 1]
    assert kinds(told).count("stage_begun") == kinds(told).count("stage_ended") == 2, "what methods share, once"
    for run in range(2):
        epochs = [one for one in told if one["kind"] == "epoch_ended" and one["runs"] == [run]]
        assert [(one["epoch"], one["epochs"], one["stage_key"]) for one in epochs] == [(1, 2, shared), (2, 2, shared)]
        kept = read_arrays(study / "stages" / shared / f"r{run:03}.npz")
        np.testing.assert_array_equal([one["loss"][0] for one in epochs], kept["loss_by_epoch"])
        np.testing.assert_array_equal([one["accuracy"][0] for one in epochs], kept["accuracy_by_epoch"])


def test_a_function_hears_what_a_file_would_have(tiny_lt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"dataset": "tiny-lt", "executor": "inline", "quiet": True}
    told: list[dict] = []
    ltbv.bootstrap(FAIR, 2, tmp_path / "a", events=told.append, **asked)
    ltbv.bootstrap(FAIR, 2, tmp_path / "b", events="b.jsonl", **asked)
    own = ("time", "elapsed", "study", "command", "seconds")
    plain = [[{k: v for k, v in one.items() if k not in own} for one in of] for of in (told, records(Path("b.jsonl")))]
    assert plain[0] == plain[1] and json.loads(json.dumps(told)) == told


def test_two_commands_write_to_one_file_and_a_second_one_with_nothing_to_do_says_so(tiny_lt, tmp_path):
    path = tmp_path / "events.jsonl"
    assert prepare(request(tmp_path / "s", events=path)).run(lambda event: None) == []
    assert prepare(request(tmp_path / "s", events=path)).run(lambda event: None) == []
    told = records(path)
    assert kinds(told)[-2:] == ["command_begun", "command_ended"] and len({one["command"] for one in told}) == 2


def test_what_fails_is_told_and_what_is_not_finite_is_null(tiny_lt, tmp_path, own_methods):
    def diverges(logits, labels, counts):
        return cross_entropy(logits, labels, counts) * float("nan")

    own_methods.MINE = Method("mine", "Mine", stages=(Stage("all", Loss(diverges)),))
    path = tmp_path / "events.jsonl"
    assert prepare(request(tmp_path / "s", ("own_methods:MINE",), events=path)).run(lambda event: None)
    told = records(path)
    assert [one["loss"] for one in told if one["kind"] == "epoch_ended"] == [[None], [None]] * 2
    failed = [one for one in told if one["kind"] == "failed"]
    assert [one["methods"] for one in failed] == [["mine"]] * 2 and "diverged" in failed[0]["why"]
    assert told[-1]["how"] == "failed" and told[-1]["failures"] == len(failed)


def test_an_interrupted_command_says_so(tiny_lt, tmp_path):
    def tell(event: Event) -> None:
        if isinstance(event, EpochEnded):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(request(tmp_path / "s", events=tmp_path / "e")).run(tell)
    assert records(tmp_path / "e")[-1]["how"] == "stopped"


def test_a_file_that_cannot_be_is_refused_before_anything_is_written(tiny_lt, tmp_path):
    (tmp_path / "mine.toml").write_text("runs = 20\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    wrong = {
        "-": "give a file; /dev/stderr is standard error",
        tmp_path / "mine.toml": "holds something else than events, and is left alone",
        tmp_path / "pipe": "nobody reads from it; start the reader first",
        tmp_path / "folder": "it is a directory",
        tmp_path / "no" / "events.jsonl": f"no directory {tmp_path / 'no'}; make it first",
        tmp_path / "study" / "events.jsonl": f"give one beside it: {tmp_path / 'study'}.jsonl",
    }
    for path, words in wrong.items():
        with pytest.raises(Refusal, match=words):
            prepare(request(tmp_path / "study", events=Path(path))).run(lambda event: None)
    assert not (tmp_path / "study").exists() and (tmp_path / "mine.toml").read_text() == "runs = 20\n"


def test_a_refused_study_leaves_no_empty_file(tiny_lt, tmp_path):
    job = prepare(request(tmp_path / "study", events=tmp_path / "events.jsonl"))
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.txt").write_text("mine")
    with pytest.raises(Refusal, match="is not a study"):
        job.run(lambda event: None)
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_loses_events_and_never_the_study(tiny_lt, tmp_path):
    heard: list[Event] = []
    assert prepare(request(tmp_path / "s", events=Path("/dev/full"))).run(heard.append) == []
    assert [event for event in heard if isinstance(event, Unwritten)] == [
        Unwritten("/dev/full", "No space left on device")
    ]
    assert (tmp_path / "s" / "predictions" / "ce" / "r001.npz").exists()


def test_a_function_that_raises_loses_events_and_is_asked_again(tiny_lt, tmp_path):
    heard, told = [], []

    def listener(record: dict) -> None:
        told.append(record)
        raise ValueError("no such run")

    assert prepare(request(tmp_path / "s")).run(heard.append, listener) == []
    (lost,) = [event for event in heard if isinstance(event, Unwritten)]
    assert lost.to == "listener" and lost.why == "ValueError: no such run" and kinds(told)[-1] == "command_ended"


def test_a_line_that_was_cut_off_ends_before_the_next_begins(tmp_path):
    path = tmp_path / "lines"
    path.write_text('{"format": 1, "kind"')
    with Lines(path, lambda line: True, "lines") as lines:
        lines.write("whole")
    assert path.read_text() == '{"format": 1, "kind"\nwhole\n'


def test_a_line_that_another_is_writing_just_now_was_not_cut_off(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    path.write_text("whole\n")
    seen = iter([False, True])
    monkeypatch.setattr("ltbv.files.lines._ends_whole", lambda path: next(seen))
    with Lines(path, lambda line: True, "lines") as lines:
        lines.write("next")
    assert path.read_text() == "whole\nnext\n" and not list(seen)


def test_lines_of_several_writers_stay_whole(tmp_path):
    path = tmp_path / "lines"

    def write(letter: str) -> None:
        with Lines(path, lambda line: True, "lines") as lines:
            for _ in range(200):
                lines.write(letter * 3000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = path.read_text().splitlines()
    assert len(found) == 800 and {(len(line), len(set(line))) for line in found} == {(3000, 1)}


def test_commands_for_schedulers_write_to_the_same_file(tiny_lt, tmp_path):
    job = prepare(request(tmp_path / "s", executor="local", events=tmp_path / "e.jsonl"))
    (chunk, *_) = json.loads(as_json(job))["chunks"]
    assert f"--events {tmp_path / 'e.jsonl'}" in chunk["command"] and not (tmp_path / "e.jsonl").exists()


def test_every_field_that_is_told_is_explained():
    for kind in PUBLIC:
        own = [one for one in fields(kind) if one.name not in ("time", "host")]
        assert kind.__doc__ and own and all(one.metadata.get("help") for one in own), kind
    assert ImagesSeen not in PUBLIC and Halved in PUBLIC
    assert [kind.kind() for kind in (EpochEnded, Halved)] == ["epoch_ended", "halved"]
