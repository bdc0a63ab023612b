"""Everything in this process, one chunk after the other: for tests and for the debugger."""

import time
from collections.abc import Sequence

from ltbv.guest import guest
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Tell
from ltbv.harness.executors.dispatcher import PATIENCE, Dispatcher
from ltbv.harness.leaving import leave_if_told
from ltbv.harness.work import Order, work


def inline(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Do `chunks` here; one whose runs another command has in hand waits for it."""
    import torch

    do = work(order)
    with Dispatcher(order, tell) as dispatcher:
        dispatcher.add(*chunks)
        while not dispatcher.is_over:
            leave_if_told()
            if (chunk := dispatcher.take()) is None:
                time.sleep(PATIENCE)
                continue
            try:
                with guest():
                    do(chunk, dispatcher.hear)
            except torch.OutOfMemoryError as error:
                dispatcher.halve(chunk, str(error))
            dispatcher.finish(chunk)
