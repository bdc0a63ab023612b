"""How does one of several processes do a chunk? With what is printed in a log, and an end that can be told."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ltbv.errors import Refusal, reason
from ltbv.harness.blame import blamed, printing_to
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Ended, Failed, Tell
from ltbv.harness.work import Order
from ltbv.store import Store


def attempt(prepare: Callable[[], Callable[[Chunk, Tell], None]], chunk: Chunk, order: Order, tell: Tell) -> Ended:
    """Do a chunk with what `prepare` gives (see `work`), and say how it ended.

    An exception is told as a failure of the chunk, which is over then. What is printed meanwhile, tracebacks too, goes
    to the chunk's log.
    """
    store, end = order.store(), Ended()
    log = store.path / "logs" / chunk.log
    with printing_to(log), _logged(store, log):
        try:
            prepare()(chunk, tell)
        except torch.OutOfMemoryError as error:
            traceback.print_exc()
            end = Ended("memory", reason(error))
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            if chunk.methods:  # else those who need its stages will say so
                tell(Failed(tuple(order.methods[name] for name in chunk.methods), chunk.runs, blamed(error)))
    if end.how == "memory":
        torch.cuda.empty_cache()
    return end


@contextlib.contextmanager
def _logged(store: Store, log: Path) -> Iterator[None]:
    """Send what is printed to `log` meanwhile; an empty log is removed."""
    before = os.dup(2)
    with contextlib.suppress(OSError, Refusal):  # a full disk, a directory that is gone: the chunk will say so
        store.must_be_there()
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
