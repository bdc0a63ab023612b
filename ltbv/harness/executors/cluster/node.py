"""What does a node do? One chunk, in the study if it is seen there, else in a directory of its own that is given back.

The task is a generator: what happens is told as it happens, some of it at a time. The work has a thread of its own for
that; one that is cancelled stops at the next thing that it tells.
"""

import functools
import json
import queue
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ltbv
from ltbv.errors import Refusal
from ltbv.files import write_bytes
from ltbv.harness.attempt import attempt
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Ended, Event, ImagesSeen, Tell
from ltbv.harness.executors.cluster.exchange import Token
from ltbv.harness.work import Order, work

PACE = 0.5  # seconds of events that are told together; after so long a task hears that it is cancelled


@dataclass(frozen=True)
class Told:
    """What happened since the last time."""

    events: tuple[Event, ...]


@dataclass(frozen=True)
class Unseen:
    """The study is not seen here, and nothing was brought."""


@dataclass(frozen=True)
class Result:
    """How a chunk ended; `files` by name in the study and the `log` of what was printed, where it was done apart."""

    end: Ended
    files: dict[str, bytes]
    log: bytes


class Unwanted(BaseException):
    """Nobody waits for this chunk any more."""


def do_on_node(
    chunk: Chunk, order: Order, version: str, path: list[str], token: Token, brought: dict[str, bytes] | None
) -> Iterator[Told | Unseen | Result]:
    """The task: do one chunk, in the study if it is seen here, else apart from it with the files `brought`.

    `Told` as it happens, and at the end a `Result`; or `Unseen`.
    """
    sys.path.extend(entry for entry in path if entry not in sys.path)
    if version != ltbv.__version__:
        raise Refusal(f"{socket.gethostname()} has ltbv {ltbv.__version__}, the driver {version}; install the same")
    if brought is None:
        if not token.is_seen():
            yield Unseen()
            return
        end = yield from _heard(functools.partial(_do, chunk, order))
        yield Result(end, {}, b"")
        return
    folder = _apart()
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        for name, content in brought.items():
            write_bytes(folder / name, content)
        end = yield from _heard(functools.partial(_do, chunk, replace(order, study=str(folder))))
        made = [file for kind in ("predictions", "stages") for file in folder.glob(f"{kind}/*/r*.npz")]
        files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in made}
        log = b"".join(file.read_bytes() for file in folder.glob("logs/*.log"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield Result(end, {name: files[name] for name in files.keys() - brought.keys()}, log)


def _heard(do: Callable[[Tell], Ended]) -> Generator[Told, None, Ended]:
    """What `do` tells, as it does; gives back what it gives back."""
    told: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    ends: list[Ended | BaseException] = []
    unwanted = threading.Event()

    def tell(event: Event) -> None:
        if unwanted.is_set():
            raise Unwanted
        told.put(event)

    def work() -> None:
        try:
            ends.append(do(tell))
        except BaseException as error:  # raised where it is waited for
            ends.append(error)
        finally:
            told.put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield from _batches(told)
    finally:
        unwanted.set()
        thread.join()
    (end,) = ends
    if isinstance(end, BaseException):
        raise end
    return end


def _batches(told: "queue.SimpleQueue[Event | None]") -> Iterator[Told]:
    """Events of PACE seconds together, until None; images that follow one another are added up."""
    found: list[Event] = []
    last, event = time.monotonic(), None
    while True:
        try:
            event = told.get(timeout=PACE)
            over = event is None
        except queue.Empty:
            event, over = None, False
        before = found[-1] if found else None
        if isinstance(event, ImagesSeen) and isinstance(before, ImagesSeen) and _of(event) == _of(before):
            found[-1] = replace(before, images=before.images + event.images)
        elif event is not None:
            found.append(event)
        if found and (over or time.monotonic() - last >= PACE):
            yield Told(tuple(found))
            found, last = [], time.monotonic()
        if over:
            return


def _of(event: ImagesSeen) -> tuple[str, tuple[int, ...]]:
    return event.stage_key, event.runs


def _do(chunk: Chunk, order: Order, tell: Tell) -> Ended:
    import torch

    torch.set_num_threads(1)
    return attempt(lambda: _work(json.dumps(order.as_json())), chunk, order, tell)


@functools.lru_cache(maxsize=1)
def _work(order: str) -> Callable[[Chunk, Tell], None]:
    """`work`, once for all chunks of an order in this process."""
    return work(Order(**json.loads(order)))


@functools.cache
def _apart() -> Path:
    """Where this process works that does not see the study: always the same, so that `_work` knows its order."""
    return Path(tempfile.mkdtemp(prefix="ltbv-"))
