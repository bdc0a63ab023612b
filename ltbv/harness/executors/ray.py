"""How does a study go on several machines? Each chunk is a task of a Ray cluster; the directory stays the only truth.

A node that sees the study directory (it finds the token that the driver put there) works in it, as a process of this
machine would. One that does not is handed the chunk a second time, with what is there of its stages: it works in a
directory of its own and gives the files back, and the driver, which holds the locks of the runs, writes them.

A task whose process or node is lost is handed out again, at most `order.retries` times; what Python raises in it is not
tried again. Ray's own retries are off: they would not be told, and after the memory of a node ran out they never end.
When the driver dies, its tasks die with it. A cluster is left as it was found: one that was not started here is only
disconnected from.
"""

import contextlib
import functools
import json
import math
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import ltbv
from ltbv.errors import Refusal, absent, reason, words_of
from ltbv.files import write_bytes
from ltbv.harness.attempt import attempt
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Ended, Event, ImagesSeen, Tell
from ltbv.harness.executors.dispatcher import PATIENCE, Dispatcher
from ltbv.harness.executors.local import ENVIRONMENT, search_path
from ltbv.harness.work import Order, work
from ltbv.store import Store
from ltbv.store.locks import is_alive

CONNECT = 30.0  # seconds in which a cluster has to answer
GONE = 40.0  # seconds after which a cluster without its head, or a fitting node, is given up; Ray ends us after 60
CANCEL = 5.0  # seconds that cancelled tasks have to let go of their locks
OBJECTS = 100_000_000  # bytes of the object store of an instance started here, where results are files

# Not asked in this process: Ray ends the process, or never answers, where the other side is not what it expects.
PROBE = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
    print("ADDRESS", ray.get_runtime_context().gcs_address, flush=True)
except BaseException as error:
    print("ERROR", type(error).__name__ + ":", " ".join(str(error).split())[:300], flush=True)
"""


def ray(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Do `chunks` as tasks of the cluster at `order.address`; without one, of an instance started here."""
    library = _library()
    order = replace(
        order,
        study=str(Path(order.study).resolve()),
        data_dir=order.data_dir and str(Path(order.data_dir).resolve()),
        device=order.device.partition(":")[0],  # which GPU, Ray says
    )
    with _connected(library, order), _Cluster(library, order, tell, wants(order)) as cluster:
        if not cluster.most_tasks():
            needed, had = cluster.needed(), cluster.had()
            raise Refusal(f"no node of the Ray cluster can do a task: it needs {needed}, there is {had}")
        with _token(Path(order.study)) as cluster.token:
            cluster.serve(chunks)


def wants(order: Order) -> dict[str, float]:
    """What a task asks of a node: a core, and its share of a GPU as --per-device or --jobs give it."""
    if order.device != "cuda":
        return {"CPU": 1}
    return {"CPU": 1, "GPU": math.floor(1e4 / math.ceil(order.jobs / order.devices)) / 1e4}  # Ray counts in 1/10000


def environment() -> dict[str, str]:
    """What a task finds in its environment: our own variables, the cache by its whole path."""
    own = {name: value for name, value in os.environ.items() if name.startswith("LTBV_")}
    if cache := own.get("LTBV_CACHE"):
        own["LTBV_CACHE"] = os.path.abspath(cache)
    return own | ENVIRONMENT


def _library() -> ModuleType:
    """Ray, told to keep quiet."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray as library
    except ImportError as error:
        raise absent("Ray, for --executor ray,", error, "ray") from error
    return library


# reaching a cluster


@contextlib.contextmanager
def _connected(library: ModuleType, order: Order) -> Iterator[None]:
    """Connected to a cluster; a program that is connected already stays so."""
    if library.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    with contextlib.ExitStack() as stack:
        if order.address:
            library.init(address=_reach(order.address), **quiet)
        else:
            if not any(name.startswith("RAY_AUTH_") for name in os.environ):
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray writes one into the home directory
            # Names of sockets in it must stay short.
            kept = tempfile.TemporaryDirectory(prefix="ltbv-", dir="/tmp", ignore_cleanup_errors=True)
            library.init(
                address="local",  # never a cluster that happens to be there
                num_cpus=order.jobs,
                num_gpus=order.devices if order.device == "cuda" else 0,
                include_dashboard=False,
                object_store_memory=OBJECTS,
                _temp_dir=stack.enter_context(kept),
                **quiet,
            )
        stack.callback(library.shutdown)
        yield


def _reach(address: str) -> str:
    """HOST:PORT of the cluster's head, or a refusal in bounded time."""
    found = re.fullmatch(r"auto|(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(\d{1,5})", address)
    if not found:
        raise Refusal(f"--address {address!r}: give auto, or HOST:PORT of the head, on a machine of the cluster")
    if found[1]:
        try:
            socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise Refusal(f"no Ray cluster at {address}: {getattr(error, 'strerror', None) or error}") from None
    asked = [sys.executable, "-P", "-c", PROBE, address]
    said = f"no answer within {CONNECT:.0f} s"
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as probe:
        clock = threading.Timer(CONNECT, probe.kill)
        clock.start()
        try:
            for line in probe.stdout or ():
                if line.startswith("ADDRESS "):
                    return line.split()[1]
                if "InvalidAuthToken" in line:
                    said = "its token is another one; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as its nodes have them"
                    break
                if line.startswith("ERROR "):
                    said = line.removeprefix("ERROR ").strip()
        finally:
            clock.cancel()
            probe.kill()
    raise Refusal(f"no Ray cluster at {address}: {said}")


@dataclass(frozen=True)
class Token:
    """A file that only this driver could have put into the study: who sees it, sees the study."""

    path: str
    content: str

    def is_seen(self) -> bool:
        try:
            return Path(self.path).read_text() == self.content
        except (OSError, ValueError):
            return False


@contextlib.contextmanager
def _token(study: Path) -> Iterator[Token]:
    """A token in the study, for a while; those of drivers of this machine that are gone are removed."""
    host = socket.gethostname()
    for path in (study / "locks").glob(f"ray-{host}-*.token"):
        if not is_alive(path.stem.rpartition("-")[2]):
            path.unlink(missing_ok=True)
    token = Token(str(study / "locks" / f"ray-{host}-{os.getpid()}.token"), secrets.token_hex(16))
    write_bytes(Path(token.path), token.content.encode())
    try:
        yield token
    finally:
        with contextlib.suppress(OSError):
            Path(token.path).unlink(missing_ok=True)


# the driver


@dataclass(frozen=True)
class _Task:
    """A chunk in the hands of the cluster, or `apart`: of a node that does not see the study."""

    chunk: Chunk
    apart: bool = False


class _Cluster(Dispatcher):
    """Hands tasks out and takes in what comes back."""

    def __init__(self, library: ModuleType, order: Order, tell: Tell, wants: dict[str, float]):
        super().__init__(order, tell)
        self.library, self.wants = library, wants
        self.token: Token | None = None
        self.tasks: dict[Any, _Task] = {}
        self.head = library.get_runtime_context().gcs_address
        self.remote = library.remote(
            num_cpus=wants["CPU"],
            num_gpus=wants.get("GPU", 0),
            max_retries=0,
            runtime_env={"env_vars": environment()},
        )(do_on_node)

    # what the cluster has

    def nodes(self) -> list[dict[str, float]]:
        """Resources of the nodes that are alive."""
        return [node["Resources"] for node in self.library.nodes() if node["Alive"]]

    def is_led(self) -> bool:
        """Does the head answer? Where it does not, no question to the cluster ever comes back."""
        host, _, port = self.head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError:
            return False
        return True

    def most_tasks(self) -> int:
        """How many tasks the cluster can do at a time, if it does nothing else."""
        if not self.is_led():
            return 0
        return sum(int(min(node.get(name, 0) / much for name, much in self.wants.items())) for node in self.nodes())

    def needed(self) -> str:
        return " and ".join(f"{much:g} {name}" for name, much in self.wants.items())

    def had(self) -> str:
        """What the nodes have of what is needed."""
        shown = (" and ".join(f"{node.get(name, 0):g} {name}" for name in self.wants) for node in self.nodes())
        return "; ".join(f"{number} x {node}" for node, number in Counter(shown).items()) or "no node"

    # handing out

    def serve(self, chunks: Sequence[Chunk]) -> None:
        """Until every chunk is done or has failed. What is under way when this is left is cancelled."""
        self.add(*chunks)
        fitting = time.monotonic()
        try:
            while not self.is_over:
                most_tasks = self.most_tasks()
                fitting = time.monotonic() if most_tasks else fitting
                if time.monotonic() - fitting > GONE:
                    self.give_up()
                    return
                # The second of each is there when it is wanted.
                while len(self.tasks) < 2 * most_tasks and (chunk := self.take()) is not None:
                    self.hand_out(_Task(chunk))
                if not self.tasks:
                    time.sleep(PATIENCE)
                    continue
                ready, _ = self.library.wait(list(self.tasks), timeout=PATIENCE)
                for reference in ready:
                    task = self.tasks.pop(reference)
                    if again := self.take_in(task, reference):
                        self.hand_out(again)
                    else:
                        self.finish(task.chunk)
        finally:
            self.cancel()

    def hand_out(self, task: _Task) -> None:
        brought = None
        if task.apart:
            store = self.order.store()
            there = ["study.json", *(name for name in names(store, task.chunk) if name.startswith("stages/"))]
            brought = {name: (store.path / name).read_bytes() for name in there if (store.path / name).exists()}
        reference = self.remote.remote(task.chunk, self.order, ltbv.__version__, search_path(), self.token, brought)
        self.tasks[reference] = task

    def cancel(self) -> None:
        """Take back what is under way, and wait a moment until it has let go."""
        with contextlib.suppress(Exception):  # of a cluster that is gone
            for reference in self.tasks:
                self.library.cancel(reference)
            if self.tasks:
                self.library.wait(list(self.tasks), num_returns=len(self.tasks), timeout=CANCEL)

    def give_up(self) -> None:
        """No node can do a task any more, and none came back."""
        lost = f"no node has {self.needed()} any more" if self.is_led() else f"its head, {self.head}, is gone"
        for chunk in (*self.waiting, *self.in_hand):
            self.fail(chunk, f"the Ray cluster was lost: {lost}")

    # taking in

    def take_in(self, task: _Task, reference: Any) -> _Task | None:
        """What became of a task; gives back what is to be handed out at once."""
        errors, chunk = self.library.exceptions, task.chunk
        try:
            result = self.library.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:  # outside of the chunk: no ltbv there, …
            self.log(chunk, f"{error}\n".encode())
            self.fail(chunk, reason(getattr(error, "cause", None) or error))
            return None
        except errors.RayError as error:
            cause = f"was lost: {type(error).__name__} ({words_of(error).partition('. ')[0][:200]})"
            self.lose(chunk, cause, heard=False)
            return None
        if result is None:
            return _Task(chunk, apart=True)
        try:
            write_back(self.order.store(), chunk, result["files"])
        except Refusal as refusal:
            self.fail(chunk, str(refusal))
            return None
        self.log(chunk, result["log"])
        for event in result["events"]:
            self.hear(event)
        if result["end"].how == "memory":
            self.halve(chunk, result["end"].why)
        return None

    def log(self, chunk: Chunk, text: bytes) -> None:
        """What was printed where the study is not seen."""
        if text:
            with contextlib.suppress(OSError):
                path = Path(self.order.study) / "logs" / chunk.log
                path.parent.mkdir(exist_ok=True)
                with path.open("ab") as file:
                    file.write(text)


def names(store: Store, chunk: Chunk) -> set[str]:
    """The files that a chunk can make, relative to the study."""
    from ltbv.methods import find

    keys = [find(name).key for name in chunk.methods]
    everyone = [find(name).key for name in chunk.names]
    stages = {stage["key"] for key in everyone for stage in store.recipe(key)["stages"]}
    paths = [store.prediction_file(key, run) for key in keys for run in chunk.runs]
    paths += [store.stage_file(key, run) for key in stages for run in chunk.runs]
    return {path.relative_to(store.path).as_posix() for path in paths}


def write_back(store: Store, chunk: Chunk, files: dict[str, bytes]) -> None:
    """Write what a node gave back, predictions last; any other file than the chunk's own is refused, and all with it.

    What is there already was made alike, and is left.
    """
    if not files:
        return
    if strange := sorted(map(str, files.keys() - names(store, chunk))):
        raise Refusal(f"a node gave back {strange[0]!r}, which is no file of runs {list(chunk.runs)}; nothing written")
    for name in sorted(files, reverse=True):
        if not (store.path / name).exists():
            store.write_bytes(store.path / name, files[name])


# on a node


def do_on_node(
    chunk: Chunk, order: Order, version: str, path: list[str], token: Token, brought: dict[str, bytes] | None
) -> dict[str, Any] | None:
    """The task: do one chunk, in the study if it is seen here, else apart from it with the files `brought`.

    None: the study is not seen here, and nothing was brought. Else
    end      how it ended
    events   what was told, images in one sum for each stage
    files    by name in the study, and
    log      what was printed, where it was done apart
    """
    import torch

    sys.path.extend(entry for entry in path if entry not in sys.path)
    torch.set_num_threads(1)
    if version != ltbv.__version__:
        raise Refusal(f"{socket.gethostname()} has ltbv {ltbv.__version__}, the driver {version}; install the same")
    if brought is None:
        return {**_do(chunk, order), "files": {}, "log": b""} if token.is_seen() else None
    folder = _apart()
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        for name, content in brought.items():
            write_bytes(folder / name, content)
        result = _do(chunk, replace(order, study=str(folder)))
        made = [file for kind in ("predictions", "stages") for file in folder.glob(f"{kind}/*/r*.npz")]
        files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in made}
        log = b"".join(file.read_bytes() for file in folder.glob("logs/*.log"))
        return {**result, "files": {name: files[name] for name in files.keys() - brought.keys()}, "log": log}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _do(chunk: Chunk, order: Order) -> dict[str, Any]:
    events: list[Event] = []
    images: Counter[tuple[str, tuple[int, ...]]] = Counter()

    def tell(event: Event) -> None:
        if isinstance(event, ImagesSeen):
            images[event.stage_key, event.runs] += event.images
        else:
            events.append(event)

    end: Ended = attempt(lambda: _work(json.dumps(order.as_json())), chunk, order, tell)
    return {"end": end, "events": [*events, *(ImagesSeen(seen, *of) for of, seen in images.items())]}


@functools.lru_cache(maxsize=1)
def _work(order: str) -> Callable[[Chunk, Tell], None]:
    """`work`, once for all chunks of an order in this process."""
    return work(Order(**json.loads(order)))


@functools.cache
def _apart() -> Path:
    """Where this process works that does not see the study: always the same, so that `_work` knows its order."""
    return Path(tempfile.mkdtemp(prefix="ltbv-"))
