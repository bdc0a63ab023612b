"""What does a worker need to know? The order: where the study is, where the data are, which methods, on what device."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ltbv.harness.plan import Chunk
from ltbv.harness.store import Store
from ltbv.harness.study import fingerprint, resolve

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Order:
    """asked: the arguments of `study.resolve`; the rest changes where and how fast, not what."""

    store: str
    asked: dict[str, Any]
    methods: tuple[str, ...]
    data_dir: str | None = None
    device: str = "cpu"
    jobs: int = 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def work(order: Order) -> Callable[[Chunk, Tell], None]:
    """Read the data once; what comes back carries out one chunk after another."""
    from ltbv.engine.device import choose
    from ltbv.harness.chunk import carry_out
    from ltbv.methods import find

    study = resolve(**order.asked)
    dataset = study.entry.load(order.data_dir)
    study = replace(study, fingerprint=fingerprint(dataset))
    methods = {name: find(name) for name in order.methods}
    device = choose(order.device)
    return lambda chunk, tell: carry_out(chunk, study, Store(order.store), dataset, methods, device, tell)
