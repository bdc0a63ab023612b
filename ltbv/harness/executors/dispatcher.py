"""Which chunk is next, and what becomes of one that could not be done? The same for every executor.

The command that hands chunks out holds the locks of their runs, from the first chunk of a stack to its last; whoever
does them locks nothing. A chunk is not handed out while another one makes what it needs.

Whatever ends a process (a method's code, too little memory) costs the method that was in hand, and no other: the chunk
is taken up again without it. Methods are done in turn, so it is the first whose predictions are missing, those left out
that had failed by themselves before.
"""

import contextlib
import time
from collections import Counter
from dataclasses import replace
from typing import Self

from ltbv.errors import Refusal
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Event, Failed, Halved, HeldElsewhere, Tell, TriedAgain
from ltbv.harness.work import Order
from ltbv.store.locks import Busy

PATIENCE = 0.5  # seconds between two looks at runs that another command has in hand


class Dispatcher:
    """The chunks that are `waiting`, in turn, and those that are `in_hand`. A context, whose end lets go of all runs.

    lost      how often the process of a chunk was lost, by the method that was in hand
    failed    keys of methods with their runs that failed by themselves: they are not tried again
    Several threads may take chunks if one asks at a time.
    """

    def __init__(self, order: Order, tell: Tell):
        self.order, self.tell = order, tell
        self.lost: Counter[Chunk] = Counter()
        self.failed: set[tuple[str, int]] = set()
        self.waiting: list[Chunk] = []
        self.in_hand: list[Chunk] = []
        self._held: dict[tuple[int, ...], contextlib.ExitStack] = {}
        self._not_before: dict[tuple[int, ...], float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for lock in self._held.values():
            lock.close()
        self._held.clear()

    @property
    def is_over(self) -> bool:
        """Nothing is left, and nothing in hand of which something may come back."""
        return not self.waiting and not self.in_hand

    def hear(self, event: Event) -> None:
        """What a process tells of a chunk goes on to whoever listens."""
        if isinstance(event, Failed):
            self.failed.update((method, run) for method in event.methods for run in event.runs)
        self.tell(event)

    # handing out

    def add(self, *chunks: Chunk) -> None:
        """These are to be done, when it is their turn."""
        self.waiting.extend(chunks)

    def take(self) -> Chunk | None:
        """The first chunk that can be done now, which then is in hand; None: none can."""
        for chunk in list(self.waiting):
            others = [*self.waiting, *self.in_hand]
            if not any(chunk.waits_for(other) for other in others if other is not chunk) and self._hold(chunk):
                self.waiting.remove(chunk)
                self.in_hand.append(chunk)
                return chunk
        return None

    def finish(self, chunk: Chunk) -> None:
        """It is not in hand any more; what is left of it has been added."""
        self.in_hand.remove(chunk)
        store = self.order.store()
        for runs in [held for held in self._held if not any(map(set(held).issuperset, self._stacks()))]:
            with self._held.pop(runs), contextlib.suppress(Refusal):
                store.must_be_there()
                store.sweep(runs)

    def _stacks(self) -> set[tuple[int, ...]]:
        return {chunk.runs for chunk in (*self.waiting, *self.in_hand)}

    def _hold(self, chunk: Chunk) -> bool:
        """Are its runs ours? Those of a study that is not there any more never will be."""
        if any(set(runs) >= set(chunk.runs) for runs in self._held):
            return True
        if time.monotonic() < self._not_before.get(chunk.runs, 0.0):
            return False
        store = self.order.store()
        try:
            with contextlib.ExitStack() as attempt:
                attempt.enter_context(store.working(chunk.runs))
                store.sweep(chunk.runs)
                self._held[chunk.runs] = attempt.pop_all()
                return True
        except Busy as busy:
            self.tell(HeldElsewhere(chunk.runs, str(busy)))
            self._not_before[chunk.runs] = time.monotonic() + PATIENCE
        except Refusal as refusal:
            self.waiting.remove(chunk)
            self.fail(chunk, str(refusal))
        return False

    # what could not be done

    def lose(self, chunk: Chunk, cause: str, log: str = "", *, heard: bool = True) -> None:
        """A process was lost over a chunk: again, or without the method that was in hand.

        heard  what it told was heard; where that is lost too, nothing tells the method, and each is tried alone
        """
        left = self._left(chunk)
        in_hand = replace(left, methods=left.methods[:1])
        self.lost[in_hand] += 1
        if self.lost[in_hand] <= self.order.retries:
            self.tell(TriedAgain(chunk.runs, f"the worker process {cause}"))
            self.add(left)
        elif not heard and len(left.methods) > 1:
            self.add(*(replace(left, methods=(name,)) for name in left.methods))
        else:
            self.leave_out(left, f"the worker process {cause}{log}")

    def halve(self, chunk: Chunk, why: str) -> None:
        """A stack did not fit into memory: half of it may."""
        if len(chunk.runs) == 1:
            self.leave_out(chunk, f"out of memory with a single run: {why}")
        else:
            self.tell(Halved(chunk.runs))
            self.add(*self._left(chunk).halves())

    def leave_out(self, chunk: Chunk, why: str) -> None:
        """The method that was in hand is not done, and will not be; the others are to be, in a chunk of their own.

        A chunk that makes a stage for others leaves it to them to try it: to the first, and the others wait for that.
        """
        store = self.order.store()
        if heir := next((other for other in self.waiting if chunk.makes and other.waits_for(chunk)), None):
            at = self.waiting.index(heir)
            after = tuple(key for key in heir.after if key not in chunk.makes)
            self.waiting[at] = replace(heir, makes=(*heir.makes, *chunk.makes), after=after)
        left = self._left(chunk).methods
        if left:
            key = self.order.methods[left[0]]
            self.tell(Failed((key,), tuple(store.missing(key, chunk.runs)), why))
        if left[1:]:
            self.add(replace(chunk, methods=left[1:]))

    def _left(self, chunk: Chunk) -> Chunk:
        """A chunk without the methods that are done, or failed by themselves."""
        store, methods = self.order.store(), self.order.methods
        lacking = {name: store.missing(methods[name], chunk.runs) for name in chunk.methods}
        left = [name for name, runs in lacking.items() if any((methods[name], run) not in self.failed for run in runs)]
        return replace(chunk, methods=tuple(left))

    def fail(self, chunk: Chunk, why: str) -> None:
        """It is not done, and will not be."""
        if chunk.methods:
            self.tell(Failed(tuple(self.order.methods[name] for name in chunk.methods), chunk.runs, why))
