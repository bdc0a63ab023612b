"""How is something done before it is asked for? By threads, in the order of what it is done of."""

import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_threads(
    do: Callable[[A], B], values: Iterable[A], workers: int | None = None, ahead: int | None = None
) -> Generator[B, None, None]:
    """`do` of each value in their order, up to `ahead` begun and not yet taken; None: a worker a core, four for each.

    An error comes where its value would. The threads end with the iterator.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    left = iter(values)
    with ThreadPoolExecutor(workers) as threads:
        waiting = [threads.submit(do, value) for value in islice(left, ahead or 4 * workers)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [threads.submit(do, value) for value in islice(left, 1)]
        finally:
            for future in waiting:
                future.cancel()
