"""Everything in this process, one chunk after the other: for tests and for the debugger."""

import time
from collections.abc import Sequence

from ltbv.guest import guest
from ltbv.harness.executors.crew import Crew
from ltbv.harness.plan import Chunk, Tell
from ltbv.harness.work import PATIENCE, Order, work
from ltbv.store.locks import Busy


def inline(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Carry out `chunks` here; one that another command has in hand goes to the end of the queue."""
    import torch

    do, crew = work(order), Crew(order, tell)
    crew.wait(*chunks)
    while crew.waiting:
        chunk = crew.waiting.popleft()
        try:
            with guest():
                do(chunk, tell)
        except Busy as busy:
            crew.put_off(chunk, str(busy))
            time.sleep(PATIENCE)
        except torch.OutOfMemoryError as error:
            crew.split(chunk, str(error))
