"""Worker processes on this machine, one thread each: faster than threads for small networks, and safe to lose.

A worker is `python -m ltbv.harness.worker`: it reads an order and then chunks, one JSON line each, and writes events.
One that dies takes nothing with it but its chunk's unfinished stages; a fresh worker takes the chunk again, at most
`order.retries` times, and then without the method that was in hand. When this process dies, workers see the end of
their input and stop at once. When it is told to end (`leaving`), it tells them, and waits.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ltbv.errors import reason
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Ended, Event, Tell
from ltbv.harness.executors.dispatcher import PATIENCE, Dispatcher
from ltbv.harness.leaving import Leaving, is_leaving
from ltbv.harness.work import Order

ENVIRONMENT = {
    # Read when torch is imported. Threads that spin for work can be 15 times slower than none on a shared machine.
    **{"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    # Feature maps are freed and wanted again every step: keep their pages instead of giving them back (5 % faster).
    **{"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "4000000000"},
}

ENDING = 10.0  # seconds in which killed workers have to end


def local(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Do `chunks` in `order.jobs` processes."""
    with _Processes(order) as processes:
        processes.add(*chunks)
        feeders = [
            threading.Thread(target=processes.feed, args=(number,), daemon=True)
            for number in range(min(order.jobs, len(chunks)))
        ]
        for feeder in feeders:
            feeder.start()
        try:
            for _ in feeders:
                while (event := processes.next_event()) is not None:
                    tell(event)
        finally:
            processes.stop(feeders)
        if is_leaving() and not processes.is_over:
            raise Leaving
        for chunk in (*processes.waiting, *processes.in_hand):  # where a thread came to an end before its time
            processes.fail(chunk, "the thread that feeds its worker ended; what it said stands above")
        while not processes.events.empty():
            if (event := processes.events.get()) is not None:
                tell(event)


class _Processes(Dispatcher):
    """What the threads that feed workers share; what they tell is queued, for one thread to hear."""

    def __init__(self, order: Order):
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.stopping = threading.Event()
        self.turn = threading.Condition()
        self.started: list[subprocess.Popen[str]] = []
        super().__init__(order, self.events.put)

    def next_event(self) -> Event | None:
        """What is told next; None: a thread has ended. Where we are to leave, workers are told so meanwhile."""
        while True:
            if is_leaving():
                for worker in self.started:
                    worker.terminate()
            with contextlib.suppress(queue.Empty):
                return self.events.get(timeout=PATIENCE)

    def feed(self, number: int) -> None:
        """Feed one worker, or one after another, until all is over; ends with None."""
        worker, log = None, Path(self.order.study) / "logs" / f"worker-{number}.log"
        try:
            while (chunk := self._next()) is not None:
                try:
                    worker = worker or self._start(log, number)
                    worker = self._feed(worker, chunk, log)
                except OSError as error:
                    self.fail(chunk, f"no worker process with its log in {log}: {error}")
                    self._end(worker)
                    worker = None
                except (KeyError, TypeError, ValueError) as error:  # of what it said
                    said = f"a worker process said what is no event ({reason(error)})"
                    self.fail(chunk, f"{said}; its output is in {log}")
                    self._end(worker)
                    worker = None
                finally:
                    with self.turn:
                        self.finish(chunk)
                        self.turn.notify_all()
        finally:
            if worker is not None:
                _dismiss(worker)
            with contextlib.suppress(OSError):  # another command may have the same log
                if log.stat().st_size == 0:
                    log.unlink()
            self.events.put(None)

    def _next(self) -> Chunk | None:
        """The next chunk, waited for; None when all is over."""
        with self.turn:
            while not self.stopping.is_set() and not self.is_over and not is_leaving():
                if (chunk := self.take()) is not None:
                    return chunk
                self.turn.wait(PATIENCE)
        return None

    def _feed(self, worker: subprocess.Popen[str], chunk: Chunk, log: Path) -> subprocess.Popen[str] | None:
        """Have a chunk done by a worker; gives it back while it lives."""
        end = _one(worker, chunk, self.hear, self.stopping)
        if end is None:
            worker.kill()
            code = _dismiss(worker)
            if is_leaving():
                with self.turn:
                    self.add(chunk)
            elif not self.stopping.is_set():
                cause = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
                cause += ", as a system does that is short of memory" if code == -signal.SIGKILL else ""
                with self.turn:
                    self.lose(chunk, cause, f"; its output is in {log.with_name(chunk.log)}")
            return None
        if end.how == "memory":
            with self.turn:
                self.halve(chunk, end.why)
        return worker

    def _end(self, worker: subprocess.Popen[str] | None) -> None:
        """Of what goes on with it nothing is wanted."""
        if worker is not None:
            worker.kill()
            _dismiss(worker)

    def _start(self, log: Path, number: int) -> subprocess.Popen[str]:
        worker = _start_worker(self.order, log, number)
        self.started.append(worker)
        return worker

    def stop(self, feeders: Sequence[threading.Thread]) -> None:
        """Where something is still in hand, it is not wanted any more.

        A worker may say nothing for long, or be stopped: it is killed. One that does not end even then (a disk that
        does not answer) is not waited for.
        """
        self.stopping.set()
        last = time.monotonic() + ENDING
        while (alive := [feeder for feeder in feeders if feeder.is_alive()]) and time.monotonic() < last:
            for worker in self.started:
                worker.kill()
            alive[0].join(0.1)


def _start_worker(order: Order, log: Path, number: int) -> subprocess.Popen[str]:
    log.parent.mkdir(exist_ok=True)
    device = {"CUDA_VISIBLE_DEVICES": _device(number, order.devices)} if order.devices > 1 else {}
    with log.open("ab") as errors:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "ltbv.harness.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **ENVIRONMENT, **device, "PYTHONPATH": os.pathsep.join(search_path())},
        )
    _pipes(worker)[0].write(json.dumps(order.as_json()) + "\n")
    return worker


def _pipes(worker: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """What a worker reads, and what it writes."""
    assert worker.stdin is not None and worker.stdout is not None
    return worker.stdin, worker.stdout


def search_path() -> list[str]:
    """Where this process finds modules, for another one: by whole paths, as that may stand elsewhere."""
    return [os.path.abspath(entry) if os.path.exists(entry or ".") else entry for entry in sys.path]


def _device(number: int, devices: int) -> str:
    """The GPU of worker `number`, in turn, as CUDA_VISIBLE_DEVICES names it."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (visible or [str(device) for device in range(devices)])[number % devices]


def _dismiss(worker: subprocess.Popen[str]) -> int:
    """Close the worker's pipes, at which it ends, and wait for it; its exit code."""
    with contextlib.suppress(OSError), worker:  # a dead worker's pipe cannot be flushed
        pass
    return worker.wait()


def _one(worker: subprocess.Popen[str], chunk: Chunk, tell: Tell, stop: threading.Event) -> Ended | None:
    """Hand a chunk over and pass its events on; how it ended, or None if the worker died or was told to stop."""
    orders, events = _pipes(worker)
    try:
        orders.write(json.dumps(chunk.as_json()) + "\n")
        orders.flush()
    except OSError:
        return None
    for line in events:
        if stop.is_set():
            return None
        event = Event.read(json.loads(line))
        if isinstance(event, Ended):
            return event
        tell(event)
    return None
