"""How is what is missing cut into work for processes? Into chunks: tasks of one stack of runs, done one after another.

Whole, a chunk is all that a stack lacks. Where there are more processes than stacks, stacks are cut further: a stage
that several methods stand on is a chunk, and so is each method; who needs a stage waits for the chunk that makes it.
The stacks are the same, so the bytes are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, Self

from ltbv.harness.plan import Predicting, Task, Training
from ltbv.store import span


@dataclass(frozen=True)
class Chunk:
    """One stack of runs, and what a process is to do for it.

    methods   names (keys or package.module:name) of those whose predictions it writes, with all that they stand on
    stages    (method, stage) of those that it trains for others
    makes     keys of the stages that others wait for
    after     keys of the stages that it waits for
    part      which part of what its stack lacks it is; empty where it is all of it
    """

    runs: tuple[int, ...]
    methods: tuple[str, ...]
    stages: tuple[tuple[str, str], ...] = ()
    makes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    part: str = ""

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """Two chunks of half the runs each, for a stack that did not fit into memory."""
        middle = len(self.runs) // 2
        return replace(self, runs=self.runs[:middle]), replace(self, runs=self.runs[middle:])

    def waits_for(self, other: "Chunk") -> bool:
        """Does the other one make something that this one needs?"""
        return bool(set(self.after) & set(other.makes)) and bool(set(self.runs) & set(other.runs))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all methods that a process has to know for it."""
        return tuple(dict.fromkeys((*self.methods, *(name for name, _ in self.stages))))

    @property
    def log(self) -> str:
        """Name of its log: runs-0-4.log."""
        return f"runs-{span(self.runs)}{self.part and '-'}{self.part[:100]}.log"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, told: dict[str, Any]) -> Self:
        """The chunk that `as_json` told."""
        stages = tuple((name, stage) for name, stage in told["stages"])
        lists = {name: tuple(told[name]) for name in ("runs", "methods", "makes", "after")}
        return cls(**lists, stages=stages, part=told["part"])


def whole(tasks: Sequence[Task]) -> list[Chunk]:
    """One chunk a stack."""
    return [
        Chunk(runs, tuple(task.name for task in own if isinstance(task, Predicting)))
        for runs, own in groupby(tasks, lambda task: task.runs)
    ]


def cut(tasks: Sequence[Task]) -> list[Chunk]:
    """As many chunks as can be done side by side: one for each method, and for each stage that methods share."""
    return [chunk for _, own in groupby(tasks, lambda task: task.runs) for chunk in _cut(list(own))]


def _cut(tasks: list[Task]) -> list[Chunk]:
    """The same for one stack."""
    makers: dict[str, Training] = {task.key: task for task in tasks if isinstance(task, Training)}

    def below(task: Task) -> set[str]:
        """All stages that a task stands on and that are missing."""
        return {*task.needs, *(key for need in task.needs for key in below(makers[need]))}

    users = Counter(key for task in tasks if isinstance(task, Predicting) for key in below(task))
    found = []
    for task in tasks:
        after = tuple(sorted(key for key in below(task) if users[key] > 1))
        if isinstance(task, Predicting):
            found.append(Chunk(task.runs, (task.name,), after=after, part=task.method.key))
        elif isinstance(task, Training) and users[task.key] > 1:
            part = f"{task.method.key[:60]}-{task.stage.name}"
            stages = ((task.name, task.stage.name),)
            found.append(Chunk(task.runs, (), stages, makes=(task.key,), after=after, part=part))
    return found
