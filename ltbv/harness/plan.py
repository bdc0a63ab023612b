"""What is missing from a study? Tasks: stages to be trained and predictions to be written, for a stack of runs each.

Which runs share a stack follows, on CPUs, from the number of runs alone, so a study that was interrupted is finished by
the very stacks that would have finished it: the last bit of a weight can depend on its neighbours' memory layout. On
GPUs it follows from their number and memory and from the methods asked too. A study that grows keeps the size that it
began with, so that later runs round as the earlier ones do.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ltbv.errors import Refusal
from ltbv.files import Damaged, read_arrays
from ltbv.harness.study import Study
from ltbv.methods.base import Method, Stage
from ltbv.store import Store, provenance


@dataclass(frozen=True)
class Task:
    """Something that a stack of runs lacks.

    runs    the stack
    name    of the method, as it was asked for: key or package.module:name
    needs   keys of the stages that have to be trained before it: those that are missing too
    """

    runs: tuple[int, ...]
    name: str
    method: Method
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Training(Task):
    """A stage is to be trained."""

    stage: Stage
    key: str

    def images(self, study: Study) -> int:
        """How many training images it goes through, all runs together; on the way to an optimum all count once."""
        return study.epochs(self.stage) * study.images(self.stage) * len(self.runs)


@dataclass(frozen=True)
class Predicting(Task):
    """Predictions of a method are to be written."""


def missing_tasks(
    study: Study, store: Store, methods: dict[str, Method], stacks: Sequence[tuple[int, ...]]
) -> list[Task]:
    """What these stacks lack, stack by stack, each after what it needs; a stage that methods share is one task.

    `methods` is name -> method, in the order asked. A stage that is there needs nothing below it.
    """
    found: list[Task] = []
    trained: set[tuple[str, tuple[int, ...]]] = set()

    def lacking(name: str, stage: Stage, runs: tuple[int, ...]) -> tuple[str, ...]:
        """The key of a stage, if it is to be trained."""
        method = methods[name]
        key = study.stage_key(method, stage)
        if (key, runs) not in trained:
            if store.has_stage(key, runs):
                return ()
            needs = [key for below in stage.stands_on for key in lacking(name, method.stage(below), runs)]
            found.append(Training(runs, name, method, tuple(needs), stage, key))
            trained.add((key, runs))
        return (key,)

    for runs in stacks:
        for name, method in methods.items():
            if store.missing(method.key, runs):
                needs = lacking(name, method.stages[-1], runs)
                found.append(Predicting(runs, name, method, needs))
    return found


def stacks(runs: int, size: int) -> list[tuple[int, ...]]:
    """Runs 0 to runs - 1 in stacks of `size`; the last may be smaller."""
    return [tuple(range(start, min(start + size, runs))) for start in range(0, runs, size)]


def stack_size(runs: int, largest: int) -> int:
    """How many runs share a stack: at most `largest`, and at least two stacks, so that two cores have work."""
    return max(1, min(largest, (runs + 1) // 2))


def even_stack_size(runs: int, largest: int, workers: int) -> int:
    """The same for GPUs, where a small stack is slow: as few as there can be for `workers`, all of about one size."""
    share = -(-runs // workers)
    return -(-share // -(-share // largest))


def recorded_stack_size(store: Store) -> int | None:
    """How many runs shared the stack that a study began with; None: nothing is done, or its files do not say it.

    The first of the runs that are there tells: its stack was a full one, where the last may have fewer runs.
    """
    methods = store.methods() if store.exists else []
    first = [store.prediction_file(method, store.runs(method)[0]) for method in methods]
    first = first or [path for path in store.path.glob("stages/*/r*.npz") if re.fullmatch(r"r[0-9]+", path.stem)]
    for path in sorted(first, key=lambda path: (int(path.stem[1:]), path)):
        try:
            said = provenance.said(read_arrays(path, (), optional=(provenance.FIELD,))) or {}
        except (Damaged, Refusal):
            continue
        trained = said.get("trained")
        if isinstance(trained, dict) and isinstance(runs := trained.get("runs"), list) and runs:
            if runs[0] != 0 and runs[-1] == store.runs_asked() - 1:
                continue  # the last stack, which may be a smaller one
            return len(runs)
    return None
