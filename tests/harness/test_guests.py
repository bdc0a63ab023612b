"""Code of others: whatever it does, one clear line, nothing lost, nothing waiting for ever."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from contents import alive, wait_for, workers_of

from ltbv.errors import Refusal
from ltbv.guest import guest, imported
from ltbv.harness.bootstrap import prepare
from ltbv.harness.describe import COLUMNS, listing
from ltbv.harness.request import Request
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS, find
from ltbv.methods.base import Loss, Method, Stage
from ltbv.store import Store

OWN = """
    import getpass, os, sys

    from ltbv import Method, Stage
    from ltbv.losses import cross_entropy
    from ltbv.methods.base import Loss


    def asks(logits, labels, counts):
        input("go on? ")


    def reads(logits, labels, counts):
        if os.read(0, 1) == b"":
            raise EOFError("nothing to read")


    def stops(logits, labels, counts):
        breakpoint()


    def password(logits, labels, counts):
        raise PermissionError(repr(getpass.getpass(stream=sys.stderr)))


    def exits(logits, labels, counts):
        sys.exit("of its own will")


    def waits(logits, labels, counts):
        import time
        print("in hand", file=sys.stderr, flush=True)
        while True:
            time.sleep(60)


    for loss in (asks, reads, stops, password, exits, waits):
        globals()[loss.__name__.upper()] = Method(loss.__name__, "X", stages=(Stage("all", Loss(loss)),))
"""
SHAPE = ["--runs", "1", "--head", "20", "--imbalance", "10", "--epochs", "1", "--jobs", "1", "-q"]


def command(store: Path, *methods: str, executor: str = "local") -> list[str]:
    asked = [word for method in methods for word in ("--method", method)]
    program = [sys.executable, "-m", "ltbv.cli", "bootstrap", *asked, *SHAPE]
    return [*program, "--study", str(store), "--executor", executor]


@pytest.fixture
def own_path(tmp_path) -> dict[str, str]:
    """An environment in which methods of one's own can be imported."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine.py").write_text(textwrap.dedent(OWN))
    here = os.pathsep.join([str(tmp_path / "package"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": here, "PYTHONBREAKPOINT": "pdb.set_trace"}


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_code_that_waits_for_an_answer_is_told_that_there_is_none(own_path, tmp_path, executor):
    """Standard input of the command is a pipe that stays open and silent. Methods beside it are done."""
    fails = {"asks": "EOFError", "stops": "BdbQuit", "exits": "SystemExit: of its own will"}
    if executor == "local":  # whose worker has nobody at file descriptor 0 and at its terminal either
        fails |= {"reads": "EOFError: nothing to read", "password": "EOFError"}
    asked = command(tmp_path / "study", *(f"mine:{name.upper()}" for name in fails), "ce", executor=executor)
    with subprocess.Popen(asked, stdin=-1, stdout=-1, stderr=-1, text=True, env=own_path) as driver:
        late = threading.Timer(120, driver.kill)
        late.start()
        lines = driver.stderr.read().splitlines()  # `communicate` would close the input
        late.cancel()
        assert driver.wait(10) == 1, lines
    told = [line for line in lines if line.startswith("ltbv: ")]
    assert len(told) == len(fails), lines
    for line, (name, why) in zip(told, fails.items(), strict=True):
        assert line.startswith(f"ltbv: {name}, run 0: ") and why in line
    assert Store(tmp_path / "study").runs("ce") == [0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds worker processes in /proc")
@pytest.mark.parametrize("silent", ["stopped", "in a method that waits"])
def test_an_interrupted_command_does_not_wait_for_a_worker_that_says_nothing(own_path, tmp_path, silent):
    store = Store(tmp_path / "study")
    methods = ("ce",) if silent == "stopped" else ("mine:WAITS",)
    asked = [*command(store.path, *methods), "--epochs", "500"]
    driver = subprocess.Popen(
        asked, stdout=-1, stderr=-1, text=True, env=own_path, preexec_fn=lambda: signal.signal(signal.SIGINT, int_)
    )
    try:
        begun = (lambda: workers_of(driver.pid)) if silent == "stopped" else (lambda: is_in_hand(store))
        wait_for(lambda: driver.poll() is not None or begun())
        (worker,) = workers_of(driver.pid)
        assert {holder["pid"] for holder in store.workers().values()} == {driver.pid}
        if silent == "stopped":
            os.kill(worker, signal.SIGSTOP)
        driver.send_signal(signal.SIGINT)
        _, said = driver.communicate(timeout=30)
    finally:
        driver.kill()
    assert driver.returncode == 130 and said.splitlines()[-1].startswith("ltbv: stopped; finished runs are kept")
    wait_for(lambda: not alive(worker), 10)
    assert store.workers() == {} and not list(store.path.glob("locks/driver-*"))


int_ = signal.default_int_handler


def is_in_hand(store: Store) -> bool:
    return any("in hand" in log.read_text() for log in store.path.glob("logs/runs-*"))


# In this process


def test_a_guest_neither_ends_the_process_nor_is_answered(capsys):
    leave, typed = os._exit, sys.stdin
    with pytest.raises(SystemExit, match=r"os._exit\(3\) was called"), guest():
        os._exit(3)
    with pytest.raises(EOFError), guest():
        input()
    assert (os._exit, sys.stdin) == (leave, typed)


@pytest.mark.parametrize("last", ["sys.exit(0)", "os._exit(0)", "raise SystemExit", "input()", "raise MemoryError"])
def test_a_module_that_ends_the_process_when_it_is_imported_is_refused(tmp_path, monkeypatch, last):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "leaves_at_once.py").write_text(f"import os, sys\n{last}\n")
    with pytest.raises(Refusal, match="method 'leaves_at_once:X' cannot be imported") as refusal:
        find("leaves_at_once:X")
    assert "\n" not in str(refusal.value)


def bring(monkeypatch, *points: tuple[str, str]) -> None:
    """Entry points of installed packages."""
    found = [EntryPoint(name, value, "ltbv.methods") for name, value in points]

    def entry_points(group, name=None):
        return [point for point in found if name in (None, point.name)]

    monkeypatch.setattr("ltbv.methods.registry.entry_points", entry_points)


def test_a_name_that_two_packages_bring_is_refused_with_both(monkeypatch, own_methods):
    own_methods.ONE = Method("one", "One", stages=(Stage("all", Loss(cross_entropy)),))
    bring(monkeypatch, ("mine", "own_methods:ONE"), ("mine", "elsewhere:TWO"))
    with pytest.raises(Refusal, match="'mine' is brought by several packages.* elsewhere:TWO, own_methods:ONE"):
        find("mine")
    assert find("own_methods:ONE").key == "one"
    assert any(row[0] == "mine" and "several packages" in row[1] for row in listing("glyphs-lt"))
    bring(monkeypatch, ("mine", "own_methods:ONE"), ("mine", "own_methods:ONE"))  # one package, seen twice
    assert find("mine").key == "one"


def test_a_package_that_brings_the_name_of_one_of_ours_is_told(monkeypatch, tiny_lt, tmp_path):
    bring(monkeypatch, ("ce", "elsewhere:CE"))
    assert find("ce") is METHODS["ce"]
    note = "method 'ce' is ltbv's own; that of another package is asked for as elsewhere:CE"
    assert note in prepare(Request.of(methods=("ce",), runs=1, store=tmp_path, dataset="tiny-lt")).notes()
    row = listing("glyphs-lt")[-1]
    assert row[0] == "ce" and "elsewhere:CE" in row[1] and len(row) == len(COLUMNS)


def test_a_file_that_a_package_hides_is_not_taken_for_it(tmp_path, monkeypatch):
    """Also where the package has the attribute: its method would be trained, without a word."""
    monkeypatch.syspath_prepend(tmp_path / "installed")
    monkeypatch.chdir(tmp_path)
    for where in (tmp_path, tmp_path / "installed"):
        where.mkdir(exist_ok=True)
        (where / "hidden_one.py").write_text("answer = __file__\n")
    installed = tmp_path / "installed" / "hidden_one.py"
    with pytest.raises(Refusal, match="^method 'hidden_one:answer' would come from .*hides hidden_one.py of this"):
        imported("method", "hidden_one:answer", "")
    assert imported("method", "hidden_one:answer", "", name="brought") == str(installed)
    (tmp_path / "hidden_one.py").unlink()
    assert imported("method", "hidden_one:answer", "") == str(installed)
