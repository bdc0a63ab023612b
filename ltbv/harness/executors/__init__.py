"""Who does the chunks of a study? An executor is `(chunks, order, tell) -> None`; the store is the only result.

`tell` hears what happens (`events`), and `Failed` for whatever could not be done. An executor returns when every chunk
is done or has failed.
"""

from collections.abc import Callable, Sequence

from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Tell
from ltbv.harness.executors.inline import inline
from ltbv.harness.executors.local import local
from ltbv.harness.executors.ray import ray
from ltbv.harness.work import Order

Executor = Callable[[Sequence[Chunk], Order, Tell], None]

EXECUTORS: dict[str, Executor] = {"local": local, "inline": inline, "ray": ray}
