"""How does a study go on several machines? Each chunk is a task of a Ray cluster; the directory stays the only truth.

A node that sees the study directory (it finds the token that the driver put there) works in it, as a process of this
machine would. One that does not is handed the chunk a second time, with what is there of its stages: it works in a
directory of its own and gives the files back, and the driver, which holds the locks of the runs, writes them.

A task whose process or node is lost is handed out again, at most `order.retries` times; what Python raises in it is not
tried again. Ray's own retries are off: they would not be told, and after the memory of a node ran out they never end.
When the driver dies, its tasks die with it. A cluster is left as it was found: one that was not started here is only
disconnected from.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltbv.errors import Refusal
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Tell
from ltbv.harness.executors.cluster.driver import Cluster
from ltbv.harness.executors.cluster.exchange import token
from ltbv.harness.executors.cluster.reach import connected, library
from ltbv.harness.work import Order


def ray(chunks: Sequence[Chunk], order: Order, tell: Tell) -> None:
    """Do `chunks` as tasks of the cluster at `order.address`; without one, of an instance started here."""
    of_ray = library()
    order = replace(
        order,
        study=str(Path(order.study).resolve()),
        data_dir=order.data_dir and str(Path(order.data_dir).resolve()),
        device=order.device.partition(":")[0],  # which GPU, Ray says
    )
    with connected(of_ray, order), Cluster(of_ray, order, tell, wants(order)) as cluster:
        if not cluster.most_tasks():
            needed, had = cluster.needed(), cluster.had()
            raise Refusal(f"no node of the Ray cluster can do a task: it needs {needed}, there is {had}")
        with token(Path(order.study)) as cluster.token:
            cluster.serve(chunks)


def wants(order: Order) -> dict[str, float]:
    """What a task asks of a node: a core, and its share of a GPU as --per-device or --jobs give it."""
    if order.device != "cuda":
        return {"CPU": 1}
    return {"CPU": 1, "GPU": math.floor(1e4 / math.ceil(order.jobs / order.devices)) / 1e4}  # Ray counts in 1/10000
