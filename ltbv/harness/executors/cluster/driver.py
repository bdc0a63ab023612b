"""Who hands chunks to a Ray cluster, and takes in what comes back? A `Dispatcher` whose processes are tasks."""

import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import ltbv
from ltbv.errors import Refusal, reason, words_of
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Tell
from ltbv.harness.executors.cluster.exchange import Token, brought, write_back
from ltbv.harness.executors.cluster.node import Result, Told, Unseen, do_on_node
from ltbv.harness.executors.dispatcher import PATIENCE, Dispatcher
from ltbv.harness.executors.local import ENVIRONMENT, search_path
from ltbv.harness.leaving import leave_if_told
from ltbv.harness.work import Order

GONE = 40.0  # seconds after which a cluster without its head, or a fitting node, is given up; Ray ends us after 60
CANCEL = 5.0  # seconds that cancelled tasks have to end


def environment() -> dict[str, str]:
    """What a task finds in its environment: our own variables, the cache by its whole path."""
    own = {name: value for name, value in os.environ.items() if name.startswith("LTBV_")}
    if cache := own.get("LTBV_CACHE"):
        own["LTBV_CACHE"] = os.path.abspath(cache)
    return own | ENVIRONMENT


@dataclass(frozen=True)
class Task:
    """A chunk in the hands of the cluster, or `apart`: of a node that does not see the study."""

    chunk: Chunk
    apart: bool = False


class Cluster(Dispatcher):
    """Hands tasks out and takes in what comes back."""

    def __init__(self, library: ModuleType, order: Order, tell: Tell, wants: dict[str, float]):
        super().__init__(order, tell)
        self.library, self.wants = library, wants
        self.token: Token | None = None
        self.tasks: dict[Any, Task] = {}
        self.head = library.get_runtime_context().gcs_address
        self.remote = library.remote(
            num_cpus=wants["CPU"],
            num_gpus=wants.get("GPU", 0),
            num_returns="streaming",
            max_retries=0,
            runtime_env={"env_vars": environment()},
        )(do_on_node)

    # what the cluster has

    def nodes(self) -> list[dict[str, float]]:
        """Resources of the nodes that are alive."""
        return [node["Resources"] for node in self.library.nodes() if node["Alive"]]

    def is_led(self) -> bool:
        """Does the head answer? Where it does not, no question to the cluster ever comes back."""
        host, _, port = self.head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError:
            return False
        return True

    def most_tasks(self) -> int:
        """How many tasks the cluster can do at a time, if it does nothing else."""
        if not self.is_led():
            return 0
        return sum(int(min(node.get(name, 0) / much for name, much in self.wants.items())) for node in self.nodes())

    def needed(self) -> str:
        return " and ".join(f"{much:g} {name}" for name, much in self.wants.items())

    def had(self) -> str:
        """What the nodes have of what is needed."""
        shown = (" and ".join(f"{node.get(name, 0):g} {name}" for name in self.wants) for node in self.nodes())
        return "; ".join(f"{number} x {node}" for node, number in Counter(shown).items()) or "no node"

    # handing out

    def serve(self, chunks: Sequence[Chunk]) -> None:
        """Until every chunk is done or has failed. What is under way when this is left is cancelled."""
        self.add(*chunks)
        fitting, looked, most_tasks = time.monotonic(), float("-inf"), 0
        try:
            while not self.is_over:
                leave_if_told()
                if time.monotonic() - looked >= PATIENCE:
                    most_tasks, looked = self.most_tasks(), time.monotonic()
                    fitting = looked if most_tasks else fitting
                if time.monotonic() - fitting > GONE:
                    self.give_up()
                    return
                # The second of each is there when it is wanted.
                while len(self.tasks) < 2 * most_tasks and (chunk := self.take()) is not None:
                    self.hand_out(Task(chunk))
                if not self.tasks:
                    time.sleep(PATIENCE)
                    continue
                ready, _ = self.library.wait(list(self.tasks), timeout=PATIENCE)
                for stream in ready:
                    self.take_in(stream)
        finally:
            self.cancel()

    def hand_out(self, task: Task) -> None:
        files = brought(self.order.store(), task.chunk) if task.apart else None
        stream = self.remote.remote(task.chunk, self.order, ltbv.__version__, search_path(), self.token, files)
        self.tasks[stream] = task

    def cancel(self) -> None:
        """Take back what is under way, and wait a moment until it has let go."""
        with contextlib.suppress(Exception):  # of a cluster that is gone
            for stream in self.tasks:
                self.library.cancel(stream)
            if self.tasks:
                ended = [stream.completed() for stream in self.tasks]
                self.library.wait(ended, num_returns=len(ended), timeout=CANCEL)

    def give_up(self) -> None:
        """No node can do a task any more, and none came back."""
        lost = f"no node has {self.needed()} any more" if self.is_led() else f"its head, {self.head}, is gone"
        for chunk in (*self.waiting, *self.in_hand):
            self.fail(chunk, f"the Ray cluster was lost: {lost}")

    # taking in

    def take_in(self, stream: Any) -> None:
        """What a task has told, or what became of it."""
        task = self.tasks[stream]
        try:
            found = self.library.get(next(stream))
        except Exception as error:
            found = error
        if isinstance(found, Told):
            for event in found.events:
                self.hear(event)
            return
        del self.tasks[stream]
        if isinstance(found, Unseen):
            self.hand_out(Task(task.chunk, apart=True))
            return
        if isinstance(found, Result):
            self.take_back(task.chunk, found)
        else:
            self.take_amiss(task.chunk, found)
        self.finish(task.chunk)

    def take_back(self, chunk: Chunk, result: Result) -> None:
        try:
            write_back(self.order.store(), chunk, result.files)
        except Refusal as refusal:
            self.fail(chunk, str(refusal))
            return
        self.log(chunk, result.log)
        if result.end.how == "memory":
            self.halve(chunk, result.end.why)

    def take_amiss(self, chunk: Chunk, error: Exception) -> None:
        """A task ended otherwise than by itself: what Python raises is not tried again."""
        errors = self.library.exceptions
        if isinstance(error, errors.RayTaskError | errors.RuntimeEnvSetupError):  # no ltbv there, …
            self.log(chunk, f"{error}\n".encode())
            self.fail(chunk, reason(getattr(error, "cause", None) or error))
        elif isinstance(error, errors.RayError | StopIteration):
            said = words_of(error).partition(". ")[0][:200]
            self.lose(chunk, f"was lost: {type(error).__name__} ({said})", heard=False)
        else:
            raise error

    def log(self, chunk: Chunk, text: bytes) -> None:
        """What was printed where the study is not seen."""
        if text:
            with contextlib.suppress(OSError):
                path = Path(self.order.study) / "logs" / chunk.log
                path.parent.mkdir(exist_ok=True)
                with path.open("ab") as file:
                    file.write(text)
