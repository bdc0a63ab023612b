"""Worker processes on this machine, one thread each: faster than threads for small networks, and safe to lose.

A worker is `python -m ltbv.harness.worker`: it reads an order and then chunks, one JSON line each, and writes events.
One that dies takes nothing with it but its chunk's unfinished stages; a fresh worker takes the chunk again, at most
`order.retries` times, and then without the method that was in hand. When this process dies, workers see the end of
their input and stop at once.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ltbv.harness.executors.crew import Crew
from ltbv.harness.plan import Chunk, Tell
from ltbv.harness.work import PATIENCE, Order

ENVIRONMENT = {
    # Read when torch is imported. Threads that spin for work can be 15 times slower than none on a shared machine.
    **{"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    # Feature maps are freed and wanted again every step: keep their pages instead of giving them back (5 % faster).
    **{"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "4000000000"},
}

ENDING = 10.0  # seconds in which killed workers have to end


def local(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Carry out `chunks` in `order.jobs` processes."""
    crew = _Crew(order)
    crew.wait(*chunks)
    workers = [
        threading.Thread(target=crew.serve, args=(number,), daemon=True)
        for number in range(min(order.jobs, len(chunks)))
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in workers:
            while (event := crew.events.get()) is not None:
                tell(event)
    finally:
        crew.end(workers)


class _Crew(Crew):
    """What the threads that feed workers share; what they tell is queued, for one thread to hear."""

    def __init__(self, order: Order):
        self.events: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.hired: list[subprocess.Popen] = []
        super().__init__(order, self.events.put)

    def serve(self, number: int) -> None:
        """One worker after another until nothing is waiting; ends with None."""
        worker = None
        log = Path(self.order.store) / "logs" / f"worker-{number}.log"
        try:
            while not self.stop.is_set():
                try:
                    chunk = self.waiting.popleft()
                except IndexError:
                    break
                try:
                    worker = worker or self.hire(log, number)
                except OSError as error:
                    self.fail(chunk, f"no worker process with its log in {log}: {error}")
                    continue
                end = _one(worker, chunk, self.tell, self.stop)
                if end is None:
                    worker.kill()
                    code = _dismiss(worker)
                    worker = None
                    if not self.stop.is_set():
                        cause = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
                        self.bury(chunk, cause, f"; its output is in {log.with_name(chunk.name)}.log")
                elif end["end"] == "busy":
                    self.put_off(chunk, end["why"])
                    self.stop.wait(PATIENCE)
                elif end["end"] == "memory":
                    self.split(chunk, end["why"])
        finally:
            if worker is not None:
                _dismiss(worker)
            if log.exists() and log.stat().st_size == 0:
                log.unlink()
            self.events.put(None)

    def hire(self, log: Path, number: int) -> subprocess.Popen:
        worker = _hire(self.order, log, number)
        self.hired.append(worker)
        return worker

    def end(self, threads: Sequence[threading.Thread]) -> None:
        """Where something is still in hand, it is not wanted any more.

        A worker may say nothing for long, or be stopped: it is killed. One that does not end even then (a disk that
        does not answer) is not waited for.
        """
        self.stop.set()
        last = time.monotonic() + ENDING
        while (alive := [thread for thread in threads if thread.is_alive()]) and time.monotonic() < last:
            for worker in self.hired:
                worker.kill()
            alive[0].join(0.1)


def _hire(order: Order, log: Path, number: int) -> subprocess.Popen:
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
    worker.stdin.write(json.dumps(order.as_json()) + "\n")
    return worker


def search_path() -> list[str]:
    """Where this process finds modules, for another one: the directory it stands in has no name of its own here."""
    return [entry or os.getcwd() for entry in sys.path]


def _device(number: int, devices: int) -> str:
    """The GPU of worker `number`, in turn, as CUDA_VISIBLE_DEVICES names it."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (visible or [str(device) for device in range(devices)])[number % devices]


def _dismiss(worker: subprocess.Popen) -> int:
    """Close the worker's pipes, at which it ends, and wait for it; its exit code."""
    with contextlib.suppress(OSError), worker:  # a dead worker's pipe cannot be flushed
        pass
    return worker.wait()


def _one(worker: subprocess.Popen, chunk: Chunk, put: Tell, stop: threading.Event) -> dict | None:
    """Hand a chunk over and pass its events on; how it ended, or None if the worker died or was told to stop."""
    try:
        worker.stdin.write(json.dumps(chunk.as_json()) + "\n")
        worker.stdin.flush()
    except OSError:
        return None
    for line in worker.stdout:
        if stop.is_set():
            return None
        event = json.loads(line)
        if event["event"] == "end":
            return event
        put(event)
    return None
