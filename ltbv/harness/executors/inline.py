"""Everything in this process, one chunk after the other: for tests and for the debugger."""

from collections.abc import Sequence

from ltbv.harness.plan import Chunk
from ltbv.harness.work import Order, Tell, work


def inline(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Carry out `chunks` here."""
    do = work(order)
    for chunk in chunks:
        do(chunk, tell)
