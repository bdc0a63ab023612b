"""Who carries out the chunks of a study? An executor is `(chunks, order, tell) -> None`; the store is the only result.

`tell` hears the events of `chunk.carry_out`, and one {"event": "failed", ...} for whatever could not be done. An
executor returns when every chunk is done or has failed.
"""

from collections.abc import Callable, Sequence

from ltbv.harness.executors.inline import inline
from ltbv.harness.executors.local import local
from ltbv.harness.executors.ray import ray
from ltbv.harness.plan import Chunk, Tell
from ltbv.harness.work import Order

Executor = Callable[[Sequence[Chunk], Order, Tell], None]

EXECUTORS: dict[str, Executor] = {"local": local, "inline": inline, "ray": ray}
