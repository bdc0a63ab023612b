"""How does one of several processes do a chunk? With what is printed in a log, and an end that can be told."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ltbv.errors import Refusal, reason
from ltbv.harness.plan import Chunk, Tell
from ltbv.store import Store
from ltbv.store.locks import Busy


def attempt(prepare: Callable[[], Callable[[Chunk, Tell], None]], chunk: Chunk, store: Store, tell: Tell) -> dict:
    """Do a chunk with what `prepare` gives (see `work`): its `end`, done, busy or memory, and `why`.

    Any other exception is told as a failure of the chunk, which is over then. What is printed meanwhile, tracebacks
    too, goes to the chunk's log.
    """
    end = {"end": "done", "why": ""}
    with _logged(store, store.path / "logs" / f"{chunk.name}.log"):
        try:
            prepare()(chunk, tell)
        except Busy as busy:
            end = {"end": "busy", "why": str(busy)}
        except torch.OutOfMemoryError as error:
            traceback.print_exc()
            end = {"end": "memory", "why": reason(error)}
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            tell({"event": "failed", "runs": chunk.runs, "methods": chunk.methods, "why": reason(error)})
    if end["end"] == "memory":
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
