"""A study has an identity: a command never writes into another study than the one that it opened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from contents import everything, wait_for

from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import Event, Predicted, StageBegun
from ltbv.harness.request import Request
from ltbv.store import Store, locks
from ltbv.store.locks import Busy, held, holders

ASKED = {"dataset": "tiny-lt", "seed": 0}
RECIPE = {"key": "aa", "label": "CE", "order": 0, "stages": []}
FIELDS = {"label": np.arange(3)}


def request(store: Path, **asked) -> Request:
    asked = {"methods": ("ce", "tau_norm"), "runs": 2, "stack": 1, **asked}
    return Request.of(store=store, dataset="tiny-lt", executor="inline", **asked)


def opened(path: Path, *, seed: int = 0, force: bool = False) -> Store:
    store = Store(path)
    store.open(ASKED | {"seed": seed}, {}, {}, force=force)
    return store


def moved_away(store: Store) -> None:
    store.path.rename(store.path.with_name("elsewhere"))
    opened(store.path, seed=1)


def deleted(store: Store) -> None:
    shutil.rmtree(store.path)
    opened(store.path)  # the same settings even


def forced(store: Store) -> None:
    opened(store.path, seed=1, force=True)


def forced_alike(store: Store) -> None:
    opened(store.path, force=True)


@pytest.mark.parametrize("replace", [moved_away, deleted, forced, forced_alike])
def test_nothing_is_written_into_a_study_that_took_the_place_of_ones_own(tmp_path, replace):
    store = opened(tmp_path / "study")
    store.write(store.prediction_file("ce", 0), FIELDS)
    replace(store)
    before = everything(store.path)
    acts = {
        "a file": lambda: store.write(store.prediction_file("ce", 1), FIELDS),
        "bytes": lambda: store.write_bytes(store.stage_file("0" * 16, 0), b"weights"),
        "a failure": lambda: store.note_failure("ce", 1, "why"),
        "runs": lambda: store.working([1]).__enter__(),
    }
    for name, act in acts.items():
        with pytest.raises(Refusal, match=f"{store.path} is another study now.*nothing is written") as refusal:
            act()
        assert "\n" not in str(refusal.value), name
    (store.path / "failures" / "ce").mkdir(parents=True)
    (store.path / "failures" / "ce" / "r001.txt").write_text("of the new study")
    store.forget_failure("ce", 1)
    assert (store.path / "failures" / "ce" / "r001.txt").exists()
    assert everything(store.path) == before and not list(store.path.rglob("*.part"))


@pytest.mark.parametrize("replace", [moved_away, deleted])
def test_a_study_that_is_replaced_while_a_file_is_written_is_left_alone(tmp_path, monkeypatch, replace):
    """Between the first look and the name of the file."""
    store, sync = opened(tmp_path / "study"), os.fsync

    def slow(descriptor: int) -> None:
        sync(descriptor)
        monkeypatch.setattr(os, "fsync", sync)
        replace(store)

    monkeypatch.setattr(os, "fsync", slow)
    with pytest.raises(Refusal, match="another study now|No such file"):
        store.write(store.path / "samples.npz", FIELDS)
    assert everything(store.path) == {}


@pytest.mark.parametrize("moment", [StageBegun, Predicted])
def test_a_command_whose_study_is_replaced_under_way_fails_in_a_line_each_and_the_new_study_is_whole(
    tiny_lt, tmp_path, moment
):
    study, fresh = tmp_path / "study", []
    assert prepare(request(tmp_path / "alone", seed=1)).run(lambda event: None) == []

    def tell(event: Event) -> None:
        if isinstance(event, moment) and not fresh:
            study.rename(tmp_path / "old")
            fresh.append(prepare(request(study, seed=1)).run(lambda event: None))

    try:
        lines = prepare(request(study)).run(tell)
    except Refusal as refusal:
        lines = [str(refusal)]
    assert fresh == [[]] and lines and all("is another study now" in line and "\n" not in line for line in lines)
    assert everything(study) == everything(tmp_path / "alone")
    assert not list(study.glob("failures/*/*")) and not list(study.glob("progress/*"))


def test_identities_differ_and_stay(tmp_path):
    first = opened(tmp_path / "a").identity
    assert first and opened(tmp_path / "a").identity == first == Store(tmp_path / "a").known_as()
    assert opened(tmp_path / "b").identity != first
    assert opened(tmp_path / "a", force=True).identity != first


# Locks


def test_a_command_holds_its_study_for_its_lifetime_and_force_waits_for_nobody(tiny_lt, tmp_path):
    """Not only while a run is in hand: while its workers start, and between two chunks."""
    store, seen = Store(tmp_path), []

    def tell(event: Event) -> None:
        (driver,) = [name for name in holders(tmp_path / "locks") if name.startswith("driver-")]
        with pytest.raises(Refusal, match="is being worked on by process .*before --force"):
            prepare(request(tmp_path, seed=1, force=True)).run(lambda event: None)
        seen.append(driver)

    job = prepare(request(tmp_path))
    with job.opened():  # no run is in hand
        tell(Event())
        assert store.workers() == {}
        assert prepare(request(tmp_path, methods=("crt",))).run(lambda event: None) == [], "others may add"
    assert prepare(request(tmp_path)).run(tell) == []
    assert len(set(seen)) == 2 and store.study()["asked"]["seed"] == 0
    assert not list(tmp_path.glob("locks/driver-*")), "let go of, and removed"
    assert prepare(request(tmp_path, seed=1, force=True)).run(lambda event: None) == []


HOLD = """
import sys, time
from pathlib import Path
from ltbv.store.locks import held
with held(Path(sys.argv[1]), ["r000"], "runs 0"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path, monkeypatch):
    """Another process of this machine, which holds the soft lock of run 0 and is stopped."""
    monkeypatch.setenv("LTBV_LOCKS", "soft")
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("note", ["there", "gone", "of a process that is gone"])
def test_a_soft_lock_of_a_stopped_process_of_this_machine_is_its_own_however_old(holder, tmp_path, note):
    long_ago = time.time() - 10 * locks.STALE
    os.utime(tmp_path / "r000.soft", (long_ago, long_ago))
    beside = tmp_path / "r000.json"
    if note == "gone":
        beside.unlink()
    with pytest.raises(Busy), held(tmp_path, ["r000"], "another"):
        pass
    if note == "of a process that is gone":
        told = json.loads(beside.read_text())
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        beside.write_text(json.dumps(told | {"pid": ended.pid}))
        os.utime(tmp_path / "r000.soft")  # the note is of the holder before: this one has just taken the lock
        with pytest.raises(Busy), held(tmp_path, ["r000"], "another"):
            pass
    holder.kill()
    holder.wait()
    with held(tmp_path, ["r000"], "another"):
        pass


def test_what_a_killed_command_left_of_its_lock_is_swept(tiny_lt, tmp_path):
    prepare(request(tmp_path, methods=("ce",))).open()
    for end in ("lock", "json"):
        note = {"host": "here", "pid": 1, "since": 0, "doing": "x"}
        (tmp_path / "locks" / f"driver-0a0a0a0a.{end}").write_text(json.dumps(note))
    assert prepare(request(tmp_path, force=True)).run(lambda event: None) == []
    wait_for(lambda: not list(tmp_path.glob("locks/driver-*")), seconds=1)
