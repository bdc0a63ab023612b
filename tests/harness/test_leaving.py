"""SIGTERM, as schedulers send it before SIGKILL: what is trained is kept at the end of its epoch, nothing is lost."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from contents import wait_for

from ltbv.harness.leaving import ENDED, Leaving, heeding, is_leaving, leave_if_told
from ltbv.store import Store

SMALL = ["--method", "ce", "--head", "20", "--imbalance", "10", "--epochs", "8"]
BOOTSTRAP = ["bootstrap", "--runs", "2", "--stack", "1", "--jobs", "2"]
RUN = ["run", "0-1"]


def command(study: Path, asked: list[str]) -> subprocess.Popen:
    program = [sys.executable, "-m", "ltbv", *asked, *SMALL, "--study", str(study), "--events", f"{study}.jsonl"]
    return subprocess.Popen(program, stdout=-1, stderr=-1, text=True)


def told(study: Path) -> list[dict]:
    path = Path(f"{study}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def epochs(study: Path) -> list[tuple[tuple[int, ...], int]]:
    return [(tuple(one["runs"]), one["epoch"]) for one in told(study) if one["kind"] == "epoch_ended"]


@pytest.mark.parametrize(("asked", "chunks"), [(RUN, {(0, 1)}), (BOOTSTRAP, {(0,), (1,)})], ids=["one", "workers"])
def test_what_is_trained_is_kept_and_the_same_command_goes_on_there(tmp_path, asked, chunks):
    """No epoch is trained twice."""
    study = tmp_path / "study"
    first = command(study, asked)
    wait_for(lambda: first.poll() is not None or {runs for runs, _ in epochs(study)} == chunks)
    first.terminate()
    output, errors = first.communicate(timeout=120)
    assert (first.returncode, output) == (ENDED, ""), errors
    assert errors.splitlines()[-1].startswith("ltbv: told to end (SIGTERM); what was trained is kept"), errors
    assert not Store(study).workers() and Store(study).failures("ce") == {}
    assert len(list(study.rglob("part-*.npz"))) == len(chunks)
    assert told(study)[-1]["how"] == "stopped"
    again = command(study, asked)
    assert again.communicate(timeout=300)[1] is not None and again.returncode == 0
    assert sorted(epochs(study)) == [(runs, epoch) for runs in sorted(chunks) for epoch in range(1, 9)]


@pytest.fixture
def nobody_heeds() -> Iterator[None]:
    """Whatever has been imported here: Ray heeds SIGTERM in its own way."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@pytest.mark.usefixtures("nobody_heeds")
def test_it_is_heeded_in_its_block_only_and_heard_once():
    heard = []
    with pytest.raises(Leaving), heeding(lambda: heard.append(1)):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL  # or this process would end
        leave_if_told()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert is_leaving()
        leave_if_told()
    assert heard == [1] and not is_leaving() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("nobody_heeds")
def test_whoever_heeds_it_already_goes_on_doing_so_and_other_threads_hear_none():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with heeding():
            signal.raise_signal(signal.SIGTERM)
            assert not is_leaving()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)

    def elsewhere() -> None:
        with heeding():
            heard.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert heard[-1] is signal.SIG_DFL
