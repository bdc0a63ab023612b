"""What is missing, cut into chunks: by hand for a stage that methods share, and for what stands on it."""

import json

import pytest

from ltbv.harness import bootstrap
from ltbv.harness.bootstrap import prepare
from ltbv.harness.chunks import Chunk, whole
from ltbv.harness.events import Ended, Event, Failed, ImagesSeen
from ltbv.harness.plan import Predicting, Training
from ltbv.harness.request import Request
from ltbv.store import Store

METHODS = ("ce", "tau_norm", "crt", "ride", "ride_distil")


def job(path, methods=METHODS, runs=4, **asked):
    return prepare(Request.of(methods, runs, path, dataset="tiny-lt", stack=2, epochs=1, **asked))


def key(asked, method: str, stage: int = 0) -> str:
    return asked.recipes[method]["stages"][stage]["key"]


def test_tasks_are_each_stage_once_after_what_it_needs(tiny_lt, tmp_path):
    asked = job(tmp_path / "s", runs=2, executor="inline")
    of = [task.stage.name if isinstance(task, Training) else "" for task in asked.tasks]
    shown = [(task.name, stage, len(task.needs)) for task, stage in zip(asked.tasks, of, strict=True)]
    assert shown == [
        *[("ce", "representation", 0), ("ce", "", 1), ("tau_norm", "", 1), ("crt", "classifier", 1), ("crt", "", 1)],
        *[("ride", "experts", 0), ("ride", "", 1)],
        *[("ride_distil", "teacher", 0), ("ride_distil", "experts", 1), ("ride_distil", "", 1)],
    ]
    done: set[str] = set()
    for task in asked.tasks:
        assert set(task.needs) <= done
        done |= {task.key} if isinstance(task, Training) else set()


def test_a_stage_that_is_there_needs_nothing_below_it(tiny_lt, tmp_path):
    assert job(tmp_path / "s", ("crt",), runs=1, executor="inline").run(lambda event: None) == []
    store = Store(tmp_path / "s")
    asked = job(store.path, ("crt",), runs=1, executor="inline")
    store.stage_file(key(asked, "crt", 0), 0).unlink()
    store.prediction_file("crt", 0).unlink()
    (left,) = job(store.path, ("crt",), runs=1, executor="inline").tasks
    assert isinstance(left, Predicting) and left.needs == ()


def test_whole_chunks_are_a_stack_each(tiny_lt, tmp_path):
    asked = job(tmp_path / "s", jobs=2)
    assert asked.chunks == [Chunk((0, 1), METHODS), Chunk((2, 3), METHODS)] == whole(asked.tasks)


def test_with_more_processes_than_stacks_shared_stages_and_methods_are_chunks(tiny_lt, tmp_path):
    asked = job(tmp_path / "s", jobs=64)
    first = [chunk for chunk in asked.chunks if chunk.runs == (0, 1)]
    ce = key(asked, "ce")
    assert first[0] == Chunk((0, 1), (), (("ce", "representation"),), makes=(ce,), part="ce-representation")
    by_method = {chunk.methods: chunk.after for chunk in first if chunk.methods}
    assert by_method[("ce",)] == by_method[("tau_norm",)] == by_method[("crt",)] == (ce,)
    assert len(first) * 2 == len(asked.chunks) == asked.jobs, "as many as have work"
    assert len({chunk.log for chunk in asked.chunks}) == len(asked.chunks), "each has its own log"
    for chunk in asked.chunks:
        assert Chunk.read(json.loads(json.dumps(chunk.as_json()))) == chunk


def test_a_shared_stage_may_stand_on_a_shared_stage(tiny_lt, tmp_path):
    """Each that stands on both waits for both; only what is missing is waited for."""
    asked = job(tmp_path / "s", ("ce", "ride_distil", "ride_distil_routed"), runs=1, jobs=9)
    makers = {made: chunk for chunk in asked.chunks for made in chunk.makes}
    for chunk in asked.chunks:
        for needed in chunk.after:
            assert needed in makers and asked.chunks.index(makers[needed]) < asked.chunks.index(chunk)
    assert len(makers) >= 2


def test_one_process_for_each_core_and_no_more_than_have_work(tiny_lt, tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "_cores", lambda: 3)
    assert job(tmp_path / "s").jobs == 3
    assert job(tmp_path / "s", ("ce",)).jobs == 2
    assert job(tmp_path / "s", executor="inline").jobs == 1


@pytest.mark.parametrize(
    "event", [ImagesSeen(7), Failed(("ce", "mine"), (0, 1), "no\nmemory"), Ended("memory", "full"), Ended()]
)
def test_events_are_told_as_a_line_and_read_as_they_were(event):
    line = json.dumps(event.as_json())
    assert "\n" not in line and Event.read(json.loads(line)) == event
