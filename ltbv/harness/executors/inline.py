"""Everything in this process, one chunk after the other: for tests and for the debugger."""

import time
from collections import deque
from collections.abc import Sequence

from ltbv.harness.locks import Busy
from ltbv.harness.plan import Chunk
from ltbv.harness.work import PATIENCE, Order, Tell, work


def inline(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Carry out `chunks` here; one that another command has in hand goes to the end of the queue."""
    import torch

    do, waiting = work(order), deque(chunks)
    while waiting:
        chunk = waiting.popleft()
        try:
            do(chunk, tell)
        except Busy as busy:
            tell({"event": "busy", "runs": chunk.runs, "holder": str(busy)})
            waiting.append(chunk)
            time.sleep(PATIENCE)
        except torch.OutOfMemoryError as error:
            if len(chunk.runs) == 1:
                why = f"out of memory with a single run: {error}"
                tell({"event": "failed", "runs": chunk.runs, "methods": chunk.methods, "why": why})
            else:
                tell({"event": "split", "runs": chunk.runs})
                waiting.extendleft(chunk.halves()[::-1])
