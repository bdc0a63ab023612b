"""What a person asks of a study under way, and what a flipped bit costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ltbv.cli import main
from ltbv.errors import Refusal
from ltbv.files import names_of, read_arrays, read_json, shape_of, write_arrays
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import Event, Halved, Predicted
from ltbv.harness.executors import dispatcher
from ltbv.harness.pulse import Pulse
from ltbv.harness.request import Request
from ltbv.harness.status import lines, status, verify
from ltbv.store import Store
from ltbv.store.locks import Busy, _remove, held, holders


@pytest.fixture
def study(tiny_lt, tmp_path) -> Store:
    """Two runs of CE and tau-norm."""
    asked = Request.of(
        methods=("ce", "tau_norm"), runs=2, store=tmp_path / "s", dataset="tiny-lt", executor="inline", stack=1
    )
    assert prepare(asked).run(lambda event: None) == []
    return Store(tmp_path / "s")


def test_done_left_and_failed(study):
    study.prediction_file("tau_norm", 1).unlink()
    study.prediction_file("ce", 0).unlink()
    study.note_failure("ce", 0, "training diverged")
    study.note_failure("ce", 1, "an old failure, made good since")
    found = status(study)
    ce, tau = found["methods"]
    assert (ce["done"], ce["failed"], ce["left"]) == ([1], {0: "training diverged"}, [])
    assert (tau["done"], tau["failed"], tau["left"]) == ([0], {}, [1])
    assert "1 run, 1 failed" in "\n".join(lines(found)) and "run 0: training diverged" in "\n".join(lines(found))


def test_json_is_json_and_says_who_works(study):
    with study.working([0, 1]):
        told = CliRunner().invoke(main, ["status", str(study.path), "--json"])
    found = json.loads(told.stdout)
    assert [(one["pid"], one["runs"]) for one in found["working"]] == [(os.getpid(), [0, 1])]
    assert json.loads(CliRunner().invoke(main, ["status", str(study.path), "--json"]).stdout)["working"] == []


@pytest.mark.parametrize("place", ["predictions/ce/r001.npz", "stages", "samples.npz"])
def test_verify_finds_a_flipped_bit_and_bootstrap_mends_it(study, place):
    path = study.path / place
    path = sorted(path.rglob("*.npz"))[0] if path.is_dir() else path
    whole = path.read_bytes()
    member = read_arrays(path)
    largest = max(member.values(), key=lambda array: array.nbytes).tobytes()
    content = bytearray(whole)
    content[whole.index(largest[:64]) + 5] ^= 0x10
    path.write_bytes(content)
    told = CliRunner().invoke(main, ["status", str(study.path), "--verify"])
    assert told.exit_code == 1 and f"{path.name}.damaged" in told.stdout and not path.exists()
    if place != "stages":
        asked = Request.of(methods=("ce", "tau_norm"), runs=2, store=study.path, dataset="tiny-lt", executor="inline")
        again = prepare(asked if place == "samples.npz" else asked)
        if place == "samples.npz":
            again.open()
        else:
            again.run(lambda event: None)
        assert path.read_bytes() == whole
    assert verify(study) == []


def test_every_single_flipped_bit_of_the_values_is_found(study, tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, {"a": np.arange(5, dtype=np.uint8), "b": np.ones((2, 2))})
    whole = path.read_bytes()
    for array in (np.arange(5, dtype=np.uint8).tobytes(), np.ones((2, 2)).tobytes()):
        first = whole.index(array)
        for place in range(first, first + len(array)):
            for bit in range(8):
                content = bytearray(whole)
                content[place] ^= 1 << bit
                path.write_bytes(content)
                with pytest.raises(Refusal, match="is not a whole .npz"):
                    read_arrays(path)


def test_a_file_that_promises_more_than_it_holds_is_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "huge.npz"
    write_arrays(path, {"a": np.zeros(7)})
    path.write_bytes(path.read_bytes().replace(b"(7,), ", b"(10**18,), "[:6]))
    np.savez(tmp_path / "whole.npz", a=np.zeros((1234, 7)))
    content = (tmp_path / "whole.npz").read_bytes().replace(b"(1234, 7)", b"(9999, 9)", 1)
    path.write_bytes(content)
    with pytest.raises(Refusal, match="is not a whole .npz of plain arrays"):
        read_arrays(path)
    np.savez_compressed(path, a=np.zeros(10**6))
    with pytest.raises(Refusal, match="is compressed"):
        read_arrays(path)
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(Refusal, match="holds Python objects"):
        read_arrays(path)


def test_arrays_come_back_as_they_were_and_shapes_without_reading(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {"f": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "s": np.array(3), "e": np.zeros((0, 4), np.uint8)}
    write_arrays(path, arrays)
    found = read_arrays(path)
    assert found.keys() == arrays.keys() == {*names_of(path)}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and (found[name] == array).all()
        assert found[name].flags.writeable and shape_of(path, name) == array.shape
    with pytest.raises(Refusal, match="is not a whole .npz"):
        read_arrays(path, ["absent"])


def test_large_json_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("ltbv.files.text.LARGEST_JSON", 10)
    (tmp_path / "a.json").write_text('{"a": "aaaaaaaaaaaaaaaa"}')
    with pytest.raises(Refusal, match="it has 25 bytes, ltbv writes at most 10"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("key", ["../../elsewhere", "/etc", "0" * 15, "G" * 16, 7, None])
def test_a_recipe_cannot_name_a_directory_elsewhere(study, key):
    path = study.path / "predictions" / "ce" / "recipe.json"
    recipe = json.loads(path.read_text())
    recipe["stages"][0]["key"] = key
    path.write_text(json.dumps(recipe))
    with pytest.raises(Refusal, match="is not a recipe as ltbv writes it"):
        study.discard("ce")
    assert study.prediction_file("ce", 0).exists()


# Locks


@pytest.fixture(params=["flock", "soft"])
def kind(request, monkeypatch) -> str:
    monkeypatch.setenv("LTBV_LOCKS", request.param)
    return request.param


HOLD = """
import sys, time
from pathlib import Path
from ltbv.store.locks import held
with held(Path(sys.argv[1]), ["r000", "r001"], "runs 0-1"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_says_who_has_it_and_is_let_go_when_its_holder_is_killed(kind, tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=rf"process {holder.pid} on .*: runs 0-1"), held(tmp_path, ["r001", "r002"], "b"):
            pass
        assert {name: one["pid"] for name, one in holders(tmp_path).items()} == dict.fromkeys(
            ("r000", "r001"), holder.pid
        )
        with held(tmp_path, ["r002"], "the lock that was refused beside r001 was let go"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with held(tmp_path, ["r000", "r001"], "after"):
        assert {one["pid"] for one in holders(tmp_path).values()} == {os.getpid()}
    assert holders(tmp_path) == {}


def test_a_soft_lock_that_nobody_touches_is_nobodys(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBV_LOCKS", "soft")
    soft = tmp_path / "r000.soft"
    soft.write_text("")
    (tmp_path / "r000.json").write_text(json.dumps({"host": "another-host", "pid": 1, "since": 0, "doing": "x"}))
    with pytest.raises(Busy, match="process 1 on another-host"), held(tmp_path, ["r000"], "b"):
        pass
    os.utime(soft, (0, 0))
    with held(tmp_path, ["r000"], "b"):
        pass


def test_a_soft_lock_that_was_taken_meanwhile_is_left_to_its_holder(tmp_path):
    """Two commands see a lock that is nobody's; the second is late, and finds the lock that the first has taken."""
    soft = tmp_path / "r000.soft"
    soft.write_text("left behind")
    os.utime(soft, (0, 0))
    seen = soft.stat()
    soft.unlink()
    soft.write_text("taken")
    _remove(soft, seen)
    assert soft.read_text() == "taken" and sorted(path.name for path in tmp_path.iterdir()) == ["r000.soft"]
    _remove(soft, soft.stat())
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_that_is_gone_before_it_is_read_is_no_damage(study, monkeypatch):
    of_stage = sorted(study.path.glob("stages/*/r000.npz"))[0]
    snapshot = of_stage.with_name("part-0-1.npz")
    snapshot.write_bytes(of_stage.read_bytes())

    def read(path):
        if path == snapshot:
            snapshot.unlink()
        return read_arrays(path)

    monkeypatch.setattr("ltbv.harness.status.read_arrays", read)
    assert verify(study) == []


def test_force_does_not_discard_what_another_command_works_on(study):
    asked = Request.of(
        methods=("ce",), runs=2, store=study.path, dataset="tiny-lt", executor="inline", stack=1, force=True
    )
    with study.working([1]), pytest.raises(Refusal, match="is being worked on by process"):
        prepare(asked).run(lambda event: None)
    assert study.runs("ce") == [0, 1]


def test_chunks_in_other_hands_are_left_until_they_are_free(tiny_lt, tmp_path, monkeypatch):
    """Another command has run 0 at first: run 1 is done before it."""
    monkeypatch.setattr(dispatcher, "PATIENCE", 0.01)
    store, order = Store(tmp_path / "s"), []
    asked = Request.of(methods=("ce",), runs=2, store=store.path, dataset="tiny-lt", executor="inline", stack=1)
    prepare(asked).open()
    other = store.working([0])
    other.__enter__()

    def tell(event: Event) -> None:
        if isinstance(event, Predicted):
            order.append(event.run)
            if event.run == 1:
                other.__exit__(None, None, None)

    assert prepare(asked).run(tell) == []
    assert order == [1, 0]


def test_a_chunk_command_of_the_list_does_its_chunk(tiny_lt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["--method", "ce", "--dataset", "tiny-lt", "--study", "s", "--runs", "4", "--stack", "2"]
    listed = json.loads(CliRunner().invoke(main, ["bootstrap", *asked, "--dry-run", "--json"]).stdout)
    assert [chunk["runs"] for chunk in listed["chunks"]] == ["0-1", "2-3"] and not Path("s").exists()
    words = listed["chunks"][1]["command"].split()
    assert words[:2] == ["ltbv", "run"]
    assert CliRunner().invoke(main, words[1:]).exit_code == 0
    assert Store("s").runs("ce") == [2, 3]
    assert CliRunner().invoke(main, listed["chunks"][0]["command"].split()[1:]).exit_code == 0
    assert Store("s").runs("ce") == [0, 1, 2, 3]


def test_a_thousand_runs_are_planned_and_told_of_in_a_moment(study):
    """Directories of many runs are read as a whole: the work grows with the runs, and no file is opened for each."""
    for method in ("ce", "tau_norm"):
        source = study.prediction_file(method, 0)
        for run in range(2, 2000):
            os.link(source, study.prediction_file(method, run))
    opened = []
    original = Path.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or original(self, *a, **k))
        found = status(study)
    assert len(found["methods"][0]["done"]) == 2000 and len(opened) < 20


def test_a_stack_that_does_not_fit_is_halved_and_a_single_run_that_does_not_fails_alone(tiny_lt, tmp_path, monkeypatch):
    """A device with room for two runs side by side, and for none of run 3."""
    import torch

    from ltbv.harness.trainer import Trainer

    real = Trainer.obtain

    def obtain(shop, method, stage):
        if len(shop.runs) > 2 or 3 in shop.runs:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(shop, method, stage)

    monkeypatch.setattr(Trainer, "obtain", obtain)
    events = []
    asked = Request.of(methods=("ce",), runs=5, store=tmp_path / "s", dataset="tiny-lt", executor="inline", stack=5)
    (failure,) = prepare(asked).run(events.append)
    assert failure == "ce, run 3: out of memory with a single run: CUDA out of memory"
    assert Store(tmp_path / "s").runs("ce") == [0, 1, 2, 4]
    assert [event.runs for event in events if isinstance(event, Halved)] == [(0, 1, 2, 3, 4), (2, 3, 4), (3, 4)]


def test_a_command_at_work_says_what_is_left_by_work(tiny_lt, tmp_path):
    """Of CE and three experts, which take longer: when CE is done, less than half is."""
    asked = Request.of(methods=("ce", "ride"), runs=1, store=tmp_path / "s", dataset="tiny-lt", executor="inline")
    job, seen = prepare(asked), []

    def tell(event: Event) -> None:
        if isinstance(event, Predicted) and event.method == "ce":
            note = next((tmp_path / "s" / "progress").glob("*.json"))
            Pulse(Store(tmp_path / "s"), counted.told, 1).beat()
            seen.append((status(Store(tmp_path / "s"))["commands"][0], read_json(note)))

    counted = job.progress()
    assert job.run(lambda event: (counted.hear(event), tell(event))) == []
    ((command, note),) = seen
    assert command["share"] == pytest.approx(counted_share(job)) and command["share"] < 0.45
    assert command["images"] / command["of"] == pytest.approx(0.5)
    assert command["seconds_left"] == note["left"]


def counted_share(job) -> float:
    of_ce, of_ride = (part.work for part in job.progress().parts.values())
    return of_ce / (of_ce + of_ride)
