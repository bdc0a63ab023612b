"""A cluster of two nodes on this machine, with a token: processes, a node and the driver are lost, the study is not.

Left out with `pytest -k "not test_ray"`; what needs no cluster is tested where there is no Ray too.
"""

import contextlib
import importlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from contents import everything, wait_for

from ltbv.errors import Refusal
from ltbv.harness.bootstrap import Job, prepare
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import (
    Ended,
    Event,
    Failed,
    Halved,
    HeldElsewhere,
    ImagesSeen,
    Predicted,
    StageBegun,
    TriedAgain,
)
from ltbv.harness.executors.cluster import driver, node
from ltbv.harness.executors.cluster.driver import Cluster as Driver
from ltbv.harness.executors.cluster.exchange import Token, names, token, write_back
from ltbv.harness.executors.cluster.node import Result, Told
from ltbv.harness.executors.cluster.reach import reached
from ltbv.harness.request import Request
from ltbv.harness.work import Order
from ltbv.store import Store

of_ray = importlib.import_module("ltbv.harness.executors.ray")

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None or not Path("/proc/self/stat").exists(),
    reason='needs Ray, pip install "ltbv[ray]", and /proc to find its processes',
)

METHODS = ("ce", "tau_norm")
OPTIONS = ["--runs", "4", "--head", "20", "--imbalance", "10", "--epochs", "2", "--stack", "2", "-q"]


def request(store: Path, methods=METHODS, runs: int = 4, **more) -> Request:
    return Request.of(methods=methods, runs=runs, store=store, head=20, imbalance=10, epochs=2, stack=2, jobs=2, **more)


def command(store: Path, *more: str) -> list[str]:
    asked = [word for method in METHODS for word in ("--method", method)]
    program = [sys.executable, "-m", "ltbv.cli", "bootstrap", *asked, *OPTIONS]
    return [*program, "--study", str(store), "--executor", "ray", *more]


def session(leader: int) -> set[int]:
    """Processes of a session, the dead left out."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, sid = stat.read_text().rpartition(")")[2].split()[:4]
            if int(sid) == leader and state != "Z":
                found.add(int(stat.parent.name))
    return found


def at_work(leader: int) -> set[int]:
    """Those of them that do a chunk: Ray names them after what they do."""
    found = set()
    for process in session(leader):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::do_on_node"):
                found.add(process)
    return found


@dataclass
class Cluster:
    """Two nodes of a core each; every node is a session of its own, which is how its processes are found."""

    folder: Path
    address: str
    head: subprocess.Popen
    node: subprocess.Popen

    @staticmethod
    def start(folder: Path, *asked: str) -> subprocess.Popen:
        folder.mkdir()
        program = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--node-ip-address=127.0.0.1"]
        fixed = ["--num-cpus=1", "--object-store-memory=100000000", f"--temp-dir={folder}", "--disable-usage-stats"]
        (folder / "apart").mkdir()  # where its workers put what they do not keep
        own = {**os.environ, "TMPDIR": str(folder / "apart")}
        log = folder / "start.log"
        with log.open("wb") as output:
            node = subprocess.Popen(
                [*program, *fixed, *asked],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=own,
            )
        try:
            wait_for(lambda: node.poll() is not None or b"runtime started" in log.read_bytes())
            assert node.poll() is None, log.read_text()
        except BaseException:
            Cluster.kill(node)
            raise
        return node

    @staticmethod
    def kill(node: subprocess.Popen) -> None:
        """As if somebody had pulled the plug."""
        while left := session(node.pid):
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)
        node.wait()


@pytest.fixture(scope="module", autouse=True)
def environment():
    """Driver and nodes have a token; lost nodes are noticed soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "500")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster(environment) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack, socket.socket() as free:
        folder = Path(tempfile.mkdtemp(prefix="ltbv-", dir="/tmp"))  # names of sockets must stay short
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        head = Cluster.start(folder / "head", "--head", f"--port={port}", "--include-dashboard=false")
        stack.callback(Cluster.kill, head)
        node = Cluster.start(folder / "node", f"--address=127.0.0.1:{port}")
        stack.callback(Cluster.kill, node)
        yield Cluster(folder, f"127.0.0.1:{port}", head, node)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of a study that a local worker made."""
    store = tmp_path_factory.mktemp("whole") / "study"
    assert prepare(request(store)).run(lambda event: None) == []
    return everything(store)


def job(store: Path, cluster: Cluster, **more) -> Job:
    return prepare(request(store, executor="ray", address=cluster.address, **more))


@contextlib.contextmanager
def meanwhile(action) -> Iterator[None]:
    """Run `action` beside the block, and fail with what it fails with."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not errors, errors


def kinds(events: list[Event]) -> set[type[Event]]:
    return {type(event) for event in events}


# with a cluster


@needs_ray
def test_without_an_address_the_study_is_made_on_this_machine_and_nothing_is_left(whole, tmp_path):
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own["HOME"] = str(tmp_path)  # where Ray would leave a token
    program = subprocess.Popen(
        command(tmp_path / "study", "--jobs", "2"), stdout=-1, stderr=-1, text=True, env=own, start_new_session=True
    )
    said = program.communicate()
    assert (program.returncode, *said) == (0, "", "")
    assert everything(tmp_path / "study") == whole
    wait_for(lambda: not session(program.pid), seconds=20)
    assert not (tmp_path / ".ray").exists()


@needs_ray
def test_a_killed_worker_is_replaced_and_two_nodes_make_the_same_bytes_as_local(whole, cluster, tmp_path):
    store, events, killed = Store(tmp_path / "study"), [], []

    def kill() -> None:
        wait_for(lambda: at_work(cluster.node.pid))
        killed.append(at_work(cluster.node.pid).pop())
        os.kill(killed[0], signal.SIGKILL)

    with meanwhile(kill):
        assert job(store.path, cluster).run(events.append) == []
    assert killed[0] != os.getpid() and [e.runs for e in events if isinstance(e, TriedAgain)] in ([(0, 1)], [(2, 3)])
    assert everything(store.path) == whole
    assert not list((store.path / "locks").glob("*.token"))
    at_home = prepare(request(tmp_path / "other"))  # what the bar counts is all of it, and once
    assert sum(e.images for e in events if isinstance(e, ImagesSeen)) == at_home.images
    assert {(e.method, e.run) for e in events if isinstance(e, Predicted)} == {
        (m, r) for m in METHODS for r in range(4)
    }


@needs_ray
def test_nodes_that_do_not_see_the_study_give_files_back(whole, cluster, tmp_path, monkeypatch):
    """And get what is there: cross-entropy is not trained again for what stands on it."""
    monkeypatch.setattr(of_ray, "token", lambda study: contextlib.nullcontext(Token("/nowhere", "")))
    events: list[Event] = []
    assert job(tmp_path / "study", cluster, methods=("ce",)).run(events.append) == []
    assert {StageBegun, Predicted, ImagesSeen} <= kinds(events)
    events.clear()
    assert job(tmp_path / "study", cluster).run(events.append) == []
    assert StageBegun not in kinds(events) and Predicted in kinds(events)
    assert everything(tmp_path / "study") == whole
    assert not list(cluster.folder.glob("*/apart/*"))


@needs_ray
def test_what_a_method_raises_is_told_once_and_its_traceback_is_in_the_log(cluster, tmp_path, monkeypatch):
    """And its stage is heard of before: the method waits until it was."""
    heard = tmp_path / "heard"
    (tmp_path / "mine_on_ray.py").write_text(
        "import pathlib, time\n"
        "from ltbv.methods.base import Loss, Method, Stage\n"
        "def raises(logits, labels, counts):\n"
        "    for _ in range(600):\n"
        f"        if pathlib.Path({str(heard)!r}).exists():\n"
        "            raise RuntimeError('the wrong shape')\n"
        "        time.sleep(0.1)\n"
        "RAISES = Method('raises', 'Raises', stages=(Stage('all', Loss(raises)),))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        if isinstance(event, StageBegun) and event.method == "raises":
            heard.touch()

    failures = job(tmp_path / "study", cluster, methods=("mine_on_ray:RAISES", "ce"), runs=1).run(tell)
    (failure,) = failures
    said, log = failure.split("; traceback: ")
    assert said == "raises, run 0: mine_on_ray:raises, line 6 of mine_on_ray.py: RuntimeError: the wrong shape"
    assert Path(log).is_file()
    assert Store(tmp_path / "study").runs("ce") == [0]
    assert "Traceback" in (tmp_path / "study" / "logs" / "runs-0-raises.log").read_text()
    assert TriedAgain not in kinds(events)


@needs_ray
def test_runs_in_the_hands_of_another_command_are_waited_for(cluster, tmp_path):
    own, hold, events = job(tmp_path / "study", cluster, methods=("ce",), runs=2), contextlib.ExitStack(), []
    own.open()
    hold.enter_context(own.store.working([1]))

    def tell(event: Event) -> None:
        events.append(event)
        if isinstance(event, HeldElsewhere):
            hold.close()

    with hold:
        assert own.run(tell) == []
    assert str(os.getpid()) in next(e.holder for e in events if isinstance(e, HeldElsewhere))
    assert own.store.runs("ce") == [0, 1]


@needs_ray
def test_what_no_node_has_is_refused_at_once(cluster, tmp_path):
    own = job(tmp_path / "study", cluster)
    before = time.monotonic()
    with pytest.raises(Refusal, match=r"it needs 1 CPU and 1 GPU, there is 2 x 1 CPU and 0 GPU"):
        of_ray.ray(own.chunks, replace(own.order(), device="cuda", jobs=1), print)
    assert time.monotonic() - before < 20


@needs_ray
def test_another_token_is_refused_in_one_line(cluster, tmp_path, monkeypatch):
    own = job(tmp_path / "study", cluster)
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with pytest.raises(Refusal, match="its token is another one; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"):
        of_ray.ray(own.chunks, own.order(), print)


@needs_ray
def test_the_driver_interrupted_or_killed_leaves_no_task_and_the_same_command_finishes(whole, cluster, tmp_path):
    store = Store(tmp_path / "study")
    for sent, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        driver = subprocess.Popen(command(store.path, "--address", cluster.address), stdout=-1, stderr=-1, text=True)
        try:
            wait_for(lambda driver=driver: driver.poll() is not None or store.workers())
        finally:
            driver.send_signal(sent)
            said = driver.communicate()[1]
        assert driver.returncode in (code, 0), said  # 0: done before the signal
        assert driver.returncode != 130 or said.splitlines()[-1].startswith("ltbv: stopped; "), said
        wait_for(lambda: not store.workers(), seconds=30)
    assert job(store.path, cluster).run(lambda event: None) == []
    assert {name: text for name, text in everything(store.path).items() if not name.endswith(".part")} == whole
    assert not list((store.path / "locks").glob("*.token"))


@needs_ray
def test_a_node_that_is_lost_under_way_costs_nothing(whole, cluster, tmp_path):
    """The last test that has both nodes."""
    store, events = Store(tmp_path / "study"), []

    def pull_the_plug() -> None:
        wait_for(lambda: at_work(cluster.node.pid))
        Cluster.kill(cluster.node)

    with meanwhile(pull_the_plug):
        assert job(store.path, cluster).run(events.append) == []
    assert TriedAgain in kinds(events)
    assert everything(store.path) == whole


# without a cluster


def test_without_ray_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Refusal, match=r"pip install 'ltbv\[ray\]'"):
        of_ray.ray([], Order(study="study", asked={}, methods={}), print)


@pytest.mark.parametrize("address", ["here", "ray://127.0.0.1:1", "127.0.0.1", "a b:1", "127.0.0.1:99999999"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(Refusal, match="give auto, or HOST:PORT"):
        reached(address)


def test_an_address_where_nobody_listens_is_refused():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(Refusal, match=f"no Ray cluster at {address}: Connection refused"):
            reached(address)


@pytest.fixture
def asked(tmp_path) -> Job:
    """A study of four runs that is opened, and in which nothing is done."""
    found = prepare(request(tmp_path / "study", methods=("ce",)))
    found.open()
    return found


def test_files_that_would_leave_the_study_are_refused_and_nothing_is_written(asked):
    chunk, key = asked.chunks[0], asked.recipes["ce"]["stages"][0]["key"]
    own = {"predictions/ce/r000.npz": b"0", "predictions/ce/r001.npz": b"1", f"stages/{key}/r000.npz": b"2"}
    outside = asked.store.path.parent / "stolen.npz"
    strange = [
        *("../stolen.npz", str(outside), "predictions/../../stolen.npz", "predictions/ce/../../../stolen.npz"),
        *("study.json", "predictions/ce/recipe.json", "predictions/ride/r000.npz", "predictions/ce/r002.npz"),
        *("stages/0123456789abcdef/r000.npz", f"stages/{key}/part-0-1.npz", "predictions/ce/r000.npz\0", "", "logs/a"),
    ]
    before = everything(asked.store.path)
    for name in strange:
        with pytest.raises(Refusal, match="no file of runs"):
            write_back(asked.store, chunk, {**own, name: b"x"})
    assert everything(asked.store.path) == before and not outside.exists()
    write_back(asked.store, chunk, own)
    write_back(asked.store, chunk, {**own, "predictions/ce/r000.npz": b"made again"})
    assert everything(asked.store.path) == {**before, **own}


class Errors:
    """Of `ray.exceptions`, what the driver tells apart."""

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        pass

    class RuntimeEnvSetupError(RayError):
        pass


class Stream:
    """What a task tells, one after the other."""

    def __init__(self, told):
        self.told = iter(told)

    def __next__(self):
        return next(self.told)

    def completed(self):
        return self


class Pretended(types.SimpleNamespace):
    """A cluster whose tasks come back at once, as `answer(chunk)` says: of a result, or an exception."""

    exceptions = Errors

    def __init__(self, answer, nodes=1):
        super().__init__(answer=answer, of_each=[{"Alive": True, "Resources": {"CPU": 1.0}}] * nodes, given=[])

    def remote(self, **options):
        assert options["max_retries"] == 0 and options["num_cpus"] == 1
        assert options["num_returns"] == "streaming"
        return lambda function: types.SimpleNamespace(remote=self.submit)

    def submit(self, chunk, *rest):
        self.given.append(chunk)
        return Stream([chunk])

    def get_runtime_context(self):
        return types.SimpleNamespace(gcs_address="127.0.0.1:1")

    def nodes(self):
        return self.of_each

    def wait(self, references, **options):
        return references[:1], references[1:]

    def get(self, reference):
        answer = self.answer(reference)
        if isinstance(answer, Exception):
            raise answer
        return Result(**{"files": {}, "log": b"", "end": Ended(), **answer})

    def cancel(self, reference):
        self.given.append("cancelled")


@pytest.fixture
def led(monkeypatch):
    """As if there were a head."""
    monkeypatch.setattr(Driver, "is_led", lambda cluster: True)


def served(asked: Job, answer, nodes: int = 1) -> tuple[Pretended, list[Event]]:
    library, events = Pretended(answer, nodes), []
    with Driver(library, asked.order(), events.append, of_ray.wants(asked.order())) as cluster:
        cluster.serve(asked.chunks)
    assert not asked.store.workers(), "what was held is let go of"
    return library, events


def test_a_stack_that_does_not_fit_is_split_down_to_single_runs(led, asked):
    library, events = served(asked, lambda chunk: {"end": Ended("memory", "full") if len(chunk.runs) > 1 else Ended()})
    assert [chunk.runs for chunk in library.given] == [(0, 1), (2, 3), (0,), (1,), (2,), (3,)]
    assert [type(event) for event in events] == [Halved, Halved]
    _, events = served(asked, lambda chunk: {"end": Ended("memory", "full")})
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.runs for event in failed] == [(0,), (1,), (2,), (3,)]
    assert failed[0].why == "out of memory with a single run: full"


def test_a_lost_process_is_replaced_as_often_as_asked_and_then_told_in_one_line(led, asked):
    library, events = served(asked, lambda chunk: Errors.RayError("lost,\nall of it") if chunk.runs[0] else {})
    assert [chunk.runs for chunk in library.given] == [(0, 1), (2, 3), (2, 3)]
    assert [type(event) for event in events] == [TriedAgain, Failed]
    assert events[-1].why == "the worker process was lost: RayError (lost, all of it)"


def test_what_python_raises_outside_of_a_chunk_is_not_tried_again(led, asked):
    library, events = served(asked, lambda chunk: Errors.RayTaskError("no module\nnamed ltbv"))
    assert len(library.given) == 2 and [type(event) for event in events] == [Failed, Failed]
    assert "no module\nnamed ltbv" in (asked.store.path / "logs" / "runs-0-1.log").read_text()


def test_files_that_are_not_the_chunks_own_fail_it(led, asked):
    _, events = served(asked, lambda chunk: {"files": {"../stolen.npz": b"x"}})
    assert [type(event) for event in events] == [Failed, Failed] and "../stolen.npz" in events[0].why
    assert not (asked.store.path.parent / "stolen.npz").exists()


def test_a_cluster_that_loses_its_last_node_is_given_up(asked, monkeypatch):
    monkeypatch.setattr(driver, "GONE", 0.1)
    library, events = served(asked, lambda chunk: {}, nodes=0)
    assert library.given == [] and [type(event) for event in events] == [Failed, Failed]
    assert events[0].why == "the Ray cluster was lost: its head, 127.0.0.1:1, is gone"
    monkeypatch.setattr(Driver, "is_led", lambda cluster: True)
    _, events = served(asked, lambda chunk: {}, nodes=0)
    assert events[0].why == "the Ray cluster was lost: no node has 1 CPU any more"


@pytest.mark.parametrize(("jobs", "devices", "share"), [(1, 1, 1), (4, 4, 1), (4, 2, 0.5), (3, 1, 0.3333), (3, 4, 1)])
def test_a_task_asks_for_the_share_of_a_gpu_that_a_local_worker_has(jobs, devices, share):
    order = Order(study="study", asked={}, methods={}, device="cuda", jobs=jobs, devices=devices)
    assert of_ray.wants(order) == {"CPU": 1, "GPU": share}
    assert of_ray.wants(replace(order, device="cpu")) == {"CPU": 1}


def test_a_token_is_seen_where_it_is_and_those_of_the_dead_are_removed(tmp_path):
    old = tmp_path / "locks" / f"ray-{socket.gethostname()}-999999999.token"
    old.parent.mkdir()
    old.write_text("")
    with token(tmp_path) as own:
        assert own.is_seen() and not old.exists()
        assert not replace(own, content="another").is_seen() and not replace(own, path="/nowhere").is_seen()
    assert not own.is_seen() and not list((tmp_path / "locks").iterdir())


def test_the_files_of_a_chunk_are_those_its_methods_can_make(asked):
    key = asked.recipes["ce"]["stages"][0]["key"]
    assert names(asked.store, Chunk((3,), ("ce",))) == {"predictions/ce/r003.npz", f"stages/{key}/r003.npz"}


# what a node tells


def test_what_happens_is_told_while_it_happens_and_images_are_added_up(monkeypatch):
    """Nobody waits for the end of a chunk to hear of its epochs."""
    monkeypatch.setattr(node, "PACE", 0.01)
    goes_on, heard = threading.Event(), []
    begun = StageBegun("ce", "representation", (0, 1), "key", 2, "cpu")

    def do(tell) -> Ended:
        tell(begun)
        for _ in range(100):
            tell(ImagesSeen(8, "key", (0, 1)))
        assert goes_on.wait(60), "the driver was told nothing"
        tell(ImagesSeen(8, "key", (0, 1)))
        return Ended("memory", "full")

    told = node._heard(do)
    while True:
        try:
            heard += next(told).events
        except StopIteration as stop:
            assert stop.value == Ended("memory", "full")
            break
        if sum(event.images for event in heard if isinstance(event, ImagesSeen)) == 800:
            assert len(heard) < 50 and heard[0] == begun
            goes_on.set()
    assert sum(event.images for event in heard[1:]) == 808


def test_a_task_that_is_cancelled_stops_at_what_it_tells_next_and_nothing_goes_on_behind_it(monkeypatch):
    monkeypatch.setattr(node, "PACE", 0.01)
    ended = []

    def do(tell) -> Ended:
        try:
            while True:
                tell(ImagesSeen(8, "key", (0,)))
        finally:
            ended.append(True)

    told = node._heard(do)
    next(told)
    with pytest.raises(KeyboardInterrupt):
        told.throw(KeyboardInterrupt)
    assert ended == [True]


def test_what_is_raised_beside_the_chunk_is_raised_by_the_task():
    def do(tell) -> Ended:
        raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        list(node._heard(do))


def test_what_a_task_has_told_is_heard_before_it_ends(led, asked):
    """The driver hears of a stage from a task that is still at work."""
    begun = StageBegun("ce", "representation", (0, 1), "key", 2, "cpu")
    library, events = Pretended(lambda chunk: {}), []
    library.submit = lambda chunk, *rest: Stream([Told((begun,)), chunk])
    get = library.get
    library.get = lambda found: found if isinstance(found, Told) else [get(found), events.append("ended")][0]
    with Driver(library, asked.order(), events.append, of_ray.wants(asked.order())) as cluster:
        cluster.serve(asked.chunks)
    assert events == [begun, "ended"] * len(asked.chunks)
