"""A worker process: reads an order and then chunks from standard input, writes events to standard output; JSON lines.

It stops at once when its input ends: nothing is in hand then, or the process that fed it has died. What a chunk prints,
tracebacks too, goes to a log of its own in the study.
"""

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    """Serve until standard input ends."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a user's code prints goes to the log, not among the events

    def tell(event: dict) -> None:
        print(json.dumps(event), file=events)

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    order_line = sys.stdin.readline()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()

    import torch

    from ltbv.errors import reason
    from ltbv.harness.locks import Busy
    from ltbv.harness.plan import Chunk
    from ltbv.harness.work import Order, work

    torch.set_num_threads(1)
    order = Order(**json.loads(order_line))
    do = None
    while line := lines.get():
        asked = json.loads(line)
        chunk = Chunk(tuple(asked["runs"]), tuple(asked["methods"]))
        end = {"event": "end"}
        with logged(Path(order.store) / "logs" / f"{chunk.name}.log"):
            try:
                do = do or work(order)
                do(chunk, tell)
            except Busy as busy:
                end = {"event": "busy", "runs": chunk.runs, "holder": str(busy)}
            except torch.OutOfMemoryError as error:
                traceback.print_exc()
                end = {"event": "memory", "runs": chunk.runs, "why": reason(error)}
            except Exception as error:
                traceback.print_exc()
                tell({"event": "failed", "runs": chunk.runs, "methods": chunk.methods, "why": reason(error)})
        if end["event"] == "memory":
            torch.cuda.empty_cache()
        tell(end)


@contextlib.contextmanager
def logged(log: Path) -> Iterator[None]:
    """Send what is printed to `log` meanwhile; an empty log is removed."""
    before = os.dup(2)
    with contextlib.suppress(OSError):  # a full disk, a directory that is gone: the chunk will say so
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream in (1, 2):
            os.dup2(before, stream)
        os.close(before)
        with contextlib.suppress(OSError):
            if log.stat().st_size == 0:
                log.unlink()


def _listen(lines: queue.SimpleQueue) -> None:
    """Pass lines on; the end of input while a chunk is in hand means that nobody wants it any more."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
