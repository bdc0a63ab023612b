"""What is missing from a study? Chunks: a few runs that are trained together as one stack, for the methods asked.

Which runs share a stack follows, on CPUs, from the number of runs alone, so a study that was interrupted is finished by
the very stacks that would have finished it: the last bit of a weight can depend on its neighbours' memory layout. On
GPUs it follows from their number and memory and from the methods asked too. A study that grows keeps the size that it
began with, so that later runs round as the earlier ones do.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ltbv.engine.train import stage_epochs
from ltbv.errors import Refusal
from ltbv.files import Damaged, read_arrays
from ltbv.harness.study import Study
from ltbv.methods.base import Method, Stage
from ltbv.store import Store, provenance, span

Tell = Callable[[dict[str, Any]], None]  # hears of progress, one event at a time


@dataclass(frozen=True)
class Chunk:
    """Runs that share a stack, and the names (keys or package.module:name) of the methods to train on them."""

    runs: tuple[int, ...]
    methods: tuple[str, ...]

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """Two chunks of half the runs each, for a stack that did not fit into memory."""
        middle = len(self.runs) // 2
        return Chunk(self.runs[:middle], self.methods), Chunk(self.runs[middle:], self.methods)

    @property
    def name(self) -> str:
        """Of its log: runs-0-4."""
        return f"runs-{span(self.runs)}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Training:
    """One stage of one chunk that has to be trained."""

    key: str
    method: Method
    stage: Stage
    runs: tuple[int, ...]

    def images(self, study: Study) -> int:
        """How many images it goes through, all runs together."""
        return stage_epochs(self.stage, study.protocol) * study.images(self.stage) * len(self.runs)


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
    first = first or list(store.path.glob("stages/*/r*.npz"))
    for path in sorted(first, key=lambda path: (int(path.stem[1:]), path)):
        try:
            said = provenance.said(read_arrays(path, (), optional=(provenance.FIELD,))) or {}
        except (Damaged, Refusal):
            continue
        trained = said.get("trained")
        if isinstance(trained, dict) and isinstance(runs := trained.get("runs"), list) and runs:
            return len(runs)
    return None


def chunks(
    store: Store, methods: dict[str, Method], runs: int, size: int, *, only: tuple[int, ...] | None = None
) -> list[Chunk]:
    """The chunks of `size` runs with something missing, or a single one of the runs `only`.

    `methods` is name -> method, in the order asked.
    """
    groups = [only] if only else [tuple(range(start, min(start + size, runs))) for start in range(0, runs, size)]
    wanted = [(group, tuple(name for name, m in methods.items() if store.missing(m.key, group))) for group in groups]
    return [Chunk(group, names) for group, names in wanted if names]


def trainings(study: Study, store: Store, methods: dict[str, Method], parts: Sequence[Chunk]) -> list[Training]:
    """The stages that have to be trained for these chunks, shared ones once."""
    found: dict[tuple[str, tuple[int, ...]], Training] = {}
    keys = {name: [(study.stage_key(m, stage), stage) for stage in m.needed()] for name, m in methods.items()}
    for chunk in parts:
        for name in chunk.methods:
            for key, stage in keys[name]:
                if not store.has_stage(key, chunk.runs):
                    found.setdefault((key, chunk.runs), Training(key, methods[name], stage, chunk.runs))
    return list(found.values())
