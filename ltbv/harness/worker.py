"""A worker process: reads an order and then chunks from standard input, writes events to standard output; JSON lines.

It stops at once when its input ends: nothing is in hand then, or the process that fed it has died. Code of the user's
finds nobody here who would answer it: an empty standard input, and no terminal. Told to end (SIGTERM), it keeps what it
trains at the end of the epoch, and does (`leaving`).
"""

import contextlib
import functools
import json
import os
import queue
import threading
from os import _exit  # as it is, whatever a method's code makes of it
from typing import TextIO

from ltbv.harness.events import Event, Tell
from ltbv.harness.leaving import ENDED, Leaving, heeding, leave_if_told


def main() -> None:
    """Serve until standard input ends."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a user's code prints goes to the log, not among the events
    asked_for = os.fdopen(os.dup(0))
    _leave_alone()
    _keep_from_children(events.fileno(), asked_for.fileno())

    def tell(event: Event) -> None:
        print(json.dumps(event.as_json()), file=events)

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    try:
        with heeding(lambda: lines.put("")):
            _serve(asked_for, lines, tell)
    except Leaving:
        _exit(ENDED)


def _serve(asked_for: TextIO, lines: queue.SimpleQueue[str], tell: Tell) -> None:
    order_line = asked_for.readline()
    threading.Thread(target=_listen, args=(asked_for, lines), daemon=True).start()

    import torch

    from ltbv.harness.attempt import attempt
    from ltbv.harness.chunks import Chunk
    from ltbv.harness.work import Order, work

    torch.set_num_threads(1)
    order = Order(**json.loads(order_line))
    prepare = functools.cache(lambda: work(order))
    while True:
        line = lines.get()
        leave_if_told()
        tell(attempt(prepare, Chunk.read(json.loads(line)), order, tell))


def _listen(asked_for: TextIO, lines: queue.SimpleQueue[str]) -> None:
    """Pass lines on; the end of input while a chunk is in hand means that nobody wants it any more."""
    for line in asked_for:
        lines.put(line)
    _exit(0)


def _leave_alone() -> None:
    """Neither standard input nor the terminal has an answer: what asks is told so at once."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with contextlib.suppress(ImportError, OSError):
        import fcntl
        import termios

        terminal = os.open("/dev/tty", os.O_RDWR)
        fcntl.ioctl(terminal, termios.TIOCNOTTY)  # passwords are asked for there
        os.close(terminal)


def _keep_from_children(*pipes: int) -> None:
    """A process that a method's code forks has no part in these: else one that lives on would hide our death."""
    if not hasattr(os, "register_at_fork"):
        return
    nothing = os.open(os.devnull, os.O_RDWR)

    def let_go() -> None:
        for pipe in pipes:
            os.dup2(nothing, pipe, inheritable=False)

    os.register_at_fork(after_in_child=let_go)


if __name__ == "__main__":
    main()
