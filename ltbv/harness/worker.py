"""A worker process: reads an order and then chunks from standard input, writes events to standard output; JSON lines.

It stops at once when its input ends: nothing is in hand then, or the process that fed it has died.
"""

import functools
import json
import os
import queue
import sys
import threading


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

    from ltbv.harness.attempt import attempt
    from ltbv.harness.plan import Chunk
    from ltbv.harness.work import Order, work

    torch.set_num_threads(1)
    order = Order(**json.loads(order_line))
    prepare = functools.cache(lambda: work(order))
    while line := lines.get():
        asked = json.loads(line)
        chunk = Chunk(tuple(asked["runs"]), tuple(asked["methods"]))
        tell({"event": "end", **attempt(prepare, chunk, order.store, tell)})


def _listen(lines: queue.SimpleQueue) -> None:
    """Pass lines on; the end of input while a chunk is in hand means that nobody wants it any more."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
