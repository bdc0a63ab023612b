"""What if a scheduler wants its machine back? It says so with SIGTERM, and takes it a while later, with SIGKILL.

In between, each stage that is being trained goes on to the end of its epoch and is kept there; nothing else is begun.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

ENDED = 128 + signal.SIGTERM  # the exit code, as shells count

_asked = threading.Event()


class Leaving(BaseException):
    """Nobody wants this process to go on; what it has done is kept."""


def is_leaving() -> bool:
    """Has this process been told to end?"""
    return _asked.is_set()


def leave_if_told() -> None:
    """`Leaving`, if this process was told to end; called where nothing is half done."""
    if is_leaving():
        raise Leaving


@contextlib.contextmanager
def heeding(heard: Callable[[], None] = lambda: None) -> Iterator[None]:
    """In here SIGTERM ends nothing at once, but makes `is_leaving` true.

    heard  is called when it comes the first time; it comes again where a scheduler tells every process, and then itself
    Only in the main thread, as signals are heard there; whoever heeds SIGTERM otherwise already goes on doing so.
    """
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:
        yield
        return

    def hear(number: int, frame: Any) -> None:
        del number, frame
        if not _asked.is_set():
            _asked.set()
            heard()

    signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _asked.clear()
