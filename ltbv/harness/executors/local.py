"""Worker processes on this machine, one thread each: faster than threads for small networks, and safe to lose.

A worker is `python -m ltbv.harness.worker`: it reads an order and then chunks, one JSON line each, and writes events.
One that dies takes its chunk with it, nothing else; a fresh worker takes the next chunk. When this process dies,
workers see the end of their input and stop at once.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ltbv.harness.plan import Chunk
from ltbv.harness.work import Order, Tell

ENVIRONMENT = {
    # Read when torch is imported. Threads that spin for work can be 15 times slower than none on a shared machine.
    **{"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    # Feature maps are freed and wanted again every step: keep their pages instead of giving them back (5 % faster).
    **{"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "4000000000"},
}


def local(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Carry out `chunks` in `order.jobs` processes."""
    waiting: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
    for chunk in chunks:
        waiting.put(chunk)
    events: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
    stop = threading.Event()
    crew = [
        threading.Thread(target=_serve, args=(number, waiting, order, events.put, stop), daemon=True)
        for number in range(min(order.jobs, len(chunks)))
    ]
    for thread in crew:
        thread.start()
    try:
        for _ in crew:
            while (event := events.get()) is not None:
                tell(event)
    finally:
        stop.set()
        for thread in crew:
            thread.join()


def _serve(number: int, waiting: queue.SimpleQueue, order: Order, put: Tell, stop: threading.Event) -> None:
    """One worker after another until nothing is waiting; ends with None."""
    worker = None
    log = Path(order.store) / "logs" / f"worker-{number}.log"
    try:
        while not stop.is_set():
            try:
                chunk = waiting.get_nowait()
            except queue.Empty:
                break
            try:
                worker = worker or _hire(order, log)
            except OSError as error:
                put({"event": "failed", "runs": chunk.runs, "why": f"no worker process with its log in {log}: {error}"})
                continue
            if not _one(worker, chunk, put, stop):
                worker.kill()
                code = _dismiss(worker)
                if not stop.is_set():
                    cause = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
                    put(
                        {
                            "event": "failed",
                            "runs": chunk.runs,
                            "why": f"the worker process {cause}; its output is in {log}",
                        }
                    )
                worker = None
    finally:
        if worker is not None:
            _dismiss(worker)
        if log.exists() and log.stat().st_size == 0:
            log.unlink()
        put(None)


def _hire(order: Order, log: Path) -> subprocess.Popen:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "ltbv.harness.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    worker.stdin.write(json.dumps(order.as_json()) + "\n")
    return worker


def _dismiss(worker: subprocess.Popen) -> int:
    """Close the worker's pipes, at which it ends, and wait for it; its exit code."""
    with contextlib.suppress(OSError), worker:  # a dead worker's pipe cannot be flushed
        pass
    return worker.wait()


def _one(worker: subprocess.Popen, chunk: Chunk, put: Tell, stop: threading.Event) -> bool:
    """Hand a chunk over and pass its events on; False if the worker died or was told to stop."""
    try:
        worker.stdin.write(json.dumps(chunk.as_json()) + "\n")
        worker.stdin.flush()
    except OSError:
        return False
    for line in worker.stdout:
        if stop.is_set():
            return False
        event = json.loads(line)
        if event["event"] == "end":
            return True
        put(event)
    return False
