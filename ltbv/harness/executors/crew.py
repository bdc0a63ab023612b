"""What becomes of a chunk that could not be done? Again, in halves, or not any more: the same for every executor."""

from collections import Counter, deque

from ltbv.harness.plan import Chunk, Tell
from ltbv.harness.work import Order


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

    def bury(self, chunk: Chunk, cause: str, log: str = "") -> None:
        """A process was lost over a chunk: again, or not any more."""
        self.deaths[chunk] += 1
        if self.deaths[chunk] <= self.order.retries:
            self.tell({"event": "retry", "runs": chunk.runs, "why": f"the worker process {cause}"})
            self.wait(chunk)
        else:
            self.fail(chunk, f"the worker process {cause}{log}")

    def split(self, chunk: Chunk, why: str) -> None:
        """A stack did not fit into memory: half of it may."""
        if len(chunk.runs) == 1:
            self.fail(chunk, f"out of memory with a single run: {why}")
        else:
            self.tell({"event": "split", "runs": chunk.runs})
            self.wait(*chunk.halves())

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
