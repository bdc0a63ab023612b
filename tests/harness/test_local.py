"""Real worker processes, on the embedded data set cut down: killed anywhere, asked again, equal to the last bit."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from contents import alive, children, everything, wait_for, workers_of

from ltbv.files import read_arrays
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request
from ltbv.store import Store

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds worker processes in /proc")

METHODS = ("ce", "tau_norm")
OPTIONS = ["--runs", "4", "--head", "20", "--imbalance", "10", "--epochs", "2", "--stack", "2"]


def request(store: Path, methods=METHODS, jobs: int = 2, runs: int = 4) -> Request:
    return Request.of(methods=methods, runs=runs, store=store, head=20, imbalance=10, epochs=2, stack=2, jobs=jobs)


def command(store: Path, *methods: str) -> list[str]:
    asked = [word for method in methods or METHODS for word in ("--method", method)]
    return [sys.executable, "-m", "ltbv.cli", "bootstrap", *asked, *OPTIONS, "--study", str(store), "-q"]


STRANGERS: set[int] = set()


@pytest.fixture(scope="module", autouse=True)
def strangers() -> None:
    """What other tests of this process left running (multiprocessing keeps its resource tracker) is no worker."""
    STRANGERS.update(children(os.getpid()))


def hired() -> set[int]:
    """The workers that a command within this process has at the moment."""
    return children(os.getpid()) - STRANGERS


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of a study that one worker made, never interrupted."""
    store = tmp_path_factory.mktemp("whole") / "study"
    assert prepare(request(store, jobs=1)).run(lambda event: None) == []
    assert not list(store.rglob("*.part")) and not hired()
    return everything(store)


def test_two_workers_make_the_same_bytes_as_one(whole, tmp_path):
    assert prepare(request(tmp_path / "study", jobs=2)).run(lambda event: None) == []
    assert everything(tmp_path / "study") == whole
    assert not hired()


def test_workers_killed_at_several_moments_cost_their_chunks_and_nothing_else(whole, tmp_path):
    """The worker dies in the middle of the first chunk and a fresh one in the middle of the second."""
    draw, events = random.Random(0), []
    moments = {draw.randrange(2, 20), 40 + draw.randrange(20)}

    def tell(event: dict) -> None:
        events.append(event)
        if len(events) in moments:
            for worker in hired():
                os.kill(worker, signal.SIGKILL)

    failures = prepare(request(tmp_path / "study", jobs=1)).run(tell)
    assert failures and all("signal 9" in line and "\n" not in line for line in failures)
    assert not hired()
    for path in (tmp_path / "study").rglob("*.npz"):
        read_arrays(path)  # what exists is whole
        name = str(path.relative_to(tmp_path / "study"))
        assert path.read_bytes() == whole[name]
    assert prepare(request(tmp_path / "study", jobs=1)).run(lambda event: None) == []
    assert {
        name: content for name, content in everything(tmp_path / "study").items() if not name.endswith(".part")
    } == whole
    assert all(Store(tmp_path / "study").failures(method) == {} for method in METHODS), "made after all"


def test_the_driver_killed_at_several_moments_leaves_no_worker_and_the_same_command_finishes(whole, tmp_path):
    store = tmp_path / "study"
    draw = random.Random(1)
    for files in (0, draw.randint(3, 7)):  # while workers start; when some of the files are there
        driver = subprocess.Popen(command(store), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        workers: set[int] = set()

        def far_enough(files=files, driver=driver, workers=workers) -> bool:
            workers |= workers_of(driver.pid)
            return driver.poll() is not None or (workers and len(list(store.rglob("r*.npz"))) >= files)

        try:
            wait_for(far_enough)
            time.sleep(draw.uniform(0, 0.2))
        finally:
            driver.kill()
            driver.communicate()
        assert workers
        wait_for(lambda workers=workers: not any(map(alive, workers)), seconds=30)
        for path in store.rglob("*.npz"):
            assert path.read_bytes() == whole[str(path.relative_to(store))], "what exists is whole and right"
    done = subprocess.run(command(store), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {name: content for name, content in everything(store).items() if not name.endswith(".part")} == whole


OWN = """
    import os
    import signal
    import sys
    import time
    from dataclasses import dataclass

    import torch

    from ltbv.losses import cross_entropy
    from ltbv.methods.base import Loss, Method, Objective, Stage


    def raises(logits, labels, counts):
        raise RuntimeError("the wrong shape:\\n  (3, 4)\\n  (4, 3)")


    def dies(logits, labels, counts):
        print("last words", flush=True)
        os._exit(3)


    def breaks(logits, labels, counts):
        os.kill(os.getpid(), signal.SIGSEGV)


    def devours(logits, labels, counts):
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory is short


    def diverges(logits, labels, counts):
        return cross_entropy(logits, labels) * float("nan")


    def speaks(logits, labels, counts):
        print('{"kind": "ended"}', flush=True)
        return cross_entropy(logits, labels)


    def forks(logits, labels, counts):
        # As a loader of data may: the child lives on where the parent is killed.
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


    RAISES, DIES, BREAKS, DEVOURS, DIVERGES, SPEAKS, FORKS = (
        Method(loss.__name__, loss.__name__.title(), stages=(Stage("all", Loss(loss)),))
        for loss in (raises, dies, breaks, devours, diverges, speaks, forks)
    )
"""


@pytest.fixture
def own_path(tmp_path) -> dict[str, str]:
    """An environment in which methods of one's own can be imported."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine.py").write_text(textwrap.dedent(OWN))
    here = os.pathsep.join([str(tmp_path / "package"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": here}


def test_a_method_that_raises_or_diverges_fails_with_its_reason_and_the_others_finish(own_path, tmp_path):
    methods = ("mine:RAISES", "mine:DIVERGES", "mine:SPEAKS", "ce")
    asked = [*command(tmp_path / "study", *methods), "--runs", "1", "--jobs", "1"]
    done = subprocess.run(asked, capture_output=True, text=True, env=own_path)
    store = Store(tmp_path / "study")
    assert done.returncode == 1 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and all(line.startswith("ltbv: ") for line in lines), done.stderr
    assert "raises" in lines[0] and "RuntimeError: the wrong shape: (3, 4) (4, 3)" in " ".join(lines[0].split())
    assert "diverges" in lines[1] and "diverged" in lines[1]
    assert store.methods() == ["ce", "speaks"] or set(store.methods()) == {"ce", "speaks"}


def test_a_method_that_ends_the_process_fails_and_the_other_chunks_finish(own_path, tmp_path):
    asked = [*command(tmp_path / "study", "ce", "mine:DIES"), "--runs", "1", "--jobs", "1"]
    done = subprocess.run(asked, capture_output=True, text=True, env=own_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "code 3" in done.stderr and "logs" in done.stderr
    assert Store(tmp_path / "study").runs("ce") == [0]
    assert any("last words" in log.read_text() for log in (tmp_path / "study" / "logs").iterdir())


def test_a_worker_that_is_killed_while_a_child_of_its_own_lives_is_missed_at_once(own_path, tmp_path):
    asked = [*command(tmp_path / "study", "mine:FORKS", "ce"), "--runs", "1", "--jobs", "1", "--retries", "0"]
    with (tmp_path / "said").open("w") as said:  # a pipe the child would hold open
        driver = subprocess.Popen(asked, stdout=said, stderr=said, env={**own_path, "LTBV_TEST_MARK": str(tmp_path)})
    try:
        assert driver.wait(120) == 1
    finally:
        driver.kill()
        for child in orphans(str(tmp_path)):
            os.kill(child, signal.SIGKILL)
    (line,) = (tmp_path / "said").read_text().splitlines()
    assert line.startswith("ltbv: forks, run 0: ") and "ended by signal 9" in line
    assert Store(tmp_path / "study").runs("ce") == [0]


def orphans(mark: str) -> list[int]:
    """Processes that were given this mark."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"LTBV_TEST_MARK={mark}".encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
    return found


ENDS = {"DIES": "ended with code 3", "BREAKS": "ended by signal 11", "DEVOURS": "ended by signal 9"}


@pytest.mark.parametrize("names", [["DIES"], ["BREAKS"], ["DEVOURS"], [*ENDS, "RAISES"]])
def test_only_the_method_that_ends_the_process_fails_and_the_others_of_its_chunk_are_done(own_path, tmp_path, names):
    study = Store(tmp_path / "study")
    asked = command(study.path, *(f"mine:{name}" for name in names), "ce", "mine:SPEAKS", "tau_norm")
    done = subprocess.run([*asked, "--retries", "0"], capture_output=True, text=True, env=own_path, timeout=300)
    assert done.returncode == 1
    for method in ("ce", "speaks", "tau_norm"):
        assert study.runs(method) == [0, 1, 2, 3] and not study.failures(method)
    lines = done.stderr.splitlines()
    assert len(lines) == 2 * len(names)
    for name in names:
        assert study.runs(name.lower()) == []
        own = [line for line in lines if line.startswith(f"ltbv: {name.lower()}, run ")]
        assert len(own) == 2 and all(ENDS.get(name, "RuntimeError") in line for line in own)
        assert sorted(study.failures(name.lower())) == [0, 1, 2, 3]


def test_a_log_that_cannot_be_opened_is_a_failure_and_not_silence(tmp_path):
    """Whatever keeps a worker from starting, its chunk was not done, and that is said."""
    store = tmp_path / "study"
    job = prepare(request(store, ("ce",), jobs=1, runs=1))
    Store(store).open(job.study.asked(), {}, {})
    (store / "logs").write_text("in the way")
    try:
        failures = job.run(lambda event: None)
    except Exception as error:  # a refusal would do as well
        failures = [str(error)]
    assert failures and "logs" in failures[0]


# FAULT: workers look for the standard library in the current directory first (`python -m`, and sys.path handed on).
def test_files_of_ones_own_with_the_names_of_library_modules_do_no_harm(tmp_path):
    for name in ("queue", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the one you want')\n")
    asked = [str(Path(sys.executable).with_name("ltbv")), *command(tmp_path / "study", "ce")[3:], "--runs", "1"]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Store(tmp_path / "study").runs("ce") == [0]


def test_a_worker_that_says_what_is_no_event_fails_its_chunks_and_nothing_waits_for_it(tmp_path, monkeypatch):
    """Chunks that wait for a stage of such a one too: they are tried, and fail by themselves."""
    module = sys.modules["ltbv.harness.executors.local"]

    def babble(order, log, number):
        code = "import sys; sys.stdin.readline(); print('Traceback: no JSON', flush=True); sys.stdin.read()"
        log.parent.mkdir(exist_ok=True)
        return subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)

    monkeypatch.setattr(module, "_start_worker", babble)
    failures = prepare(request(tmp_path / "study", jobs=3)).run(lambda event: None)
    assert len(failures) == 4 and all("said what is no event" in line and "\n" not in line for line in failures)
    assert not hired() and not Store(tmp_path / "study").workers()
