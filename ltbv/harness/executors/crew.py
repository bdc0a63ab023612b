"""What becomes of a chunk that could not be done? Again, in halves, or not any more: the same for every executor.

Whatever ends a process (a method's code, too little memory) costs the method that was in hand, and no other: the chunk
is taken up again without it. Methods are done in turn, so it is the first whose predictions are missing.
"""

from collections import Counter, deque

from ltbv.harness.plan import Chunk, Tell
from ltbv.harness.work import Order
from ltbv.methods import find


class Crew:
    """What executors share: chunks that are `waiting` to be handed out, in turn, and what is told of them.

    `deaths` counts the processes that were lost over a chunk. Several threads may hand out at a time.
    """

    def __init__(self, order: Order, tell: Tell):
        self.order, self.tell = order, tell
        self.deaths: Counter[Chunk] = Counter()
        self.waiting: deque[Chunk] = deque()

    def wait(self, *chunks: Chunk) -> None:
        """These chunks are to be handed out, when it is their turn."""
        self.waiting.extend(chunks)

    def bury(self, chunk: Chunk, cause: str, log: str = "", *, kept: bool = True) -> None:
        """A process was lost over a chunk: again, or without the method that was in hand.

        kept  what it had done is in the study; where it is lost too, nothing tells the method, and each is tried alone
        """
        self.deaths[chunk] += 1
        if self.deaths[chunk] <= self.order.retries:
            self.tell({"event": "retry", "runs": chunk.runs, "why": f"the worker process {cause}"})
            self.wait(chunk)
        elif not kept and len(chunk.methods) > 1:
            self.wait(*(Chunk(chunk.runs, (name,)) for name in chunk.methods))
        else:
            self.leave_out(chunk, f"the worker process {cause}{log}")

    def split(self, chunk: Chunk, why: str) -> None:
        """A stack did not fit into memory: half of it may."""
        if len(chunk.runs) == 1:
            self.leave_out(chunk, f"out of memory with a single run: {why}")
        else:
            self.tell({"event": "split", "runs": chunk.runs})
            self.wait(*chunk.halves())

    def leave_out(self, chunk: Chunk, why: str) -> None:
        """The method that was in hand is not done, and will not be; the others are to be, in a chunk of their own."""
        store = self.order.place()
        keys = {name: find(name).key for name in chunk.methods}
        left = [name for name in chunk.methods if store.missing(keys[name], chunk.runs)]
        if left:
            self.tell({"event": "failed", "method": keys[left[0]], "runs": chunk.runs, "why": why})
        if left[1:]:
            self.wait(Chunk(chunk.runs, tuple(left[1:])))

    def put_off(self, chunk: Chunk, holder: str) -> None:
        """Another command has these runs in hand."""
        self.tell({"event": "busy", "runs": chunk.runs, "holder": holder})
        self.wait_longer(chunk)

    def wait_longer(self, chunk: Chunk) -> None:
        """It is to be handed out again, but not at once."""
        self.wait(chunk)

    def fail(self, chunk: Chunk, why: str) -> None:
        """It is not done, and will not be."""
        self.tell({"event": "failed", "runs": chunk.runs, "methods": chunk.methods, "why": why})
