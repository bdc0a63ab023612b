"""What does a worker need to know? The order: where the study is, where the data are, which methods, on what device."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from socket import gethostname
from typing import Any

from ltbv.errors import Refusal
from ltbv.harness.plan import Chunk, Tell
from ltbv.harness.study import filled_in
from ltbv.settings import Settings
from ltbv.store import Store

PATIENCE = 0.5  # seconds between two looks at a chunk that another command has in hand


@dataclass(frozen=True)
class Order:
    """asked: the settings, by name; the rest changes where and how fast, not what."""

    store: str
    asked: dict[str, Any]
    methods: tuple[str, ...]
    identity: str | None = None  # of the study
    data_dir: str | None = None
    device: str = "cpu"
    jobs: int = 1
    address: str = ""  # of a cluster
    devices: int = 1  # GPUs that the workers are spread over
    retries: int = 1  # of a chunk whose worker died
    checkpoint_minutes: float = 10.0
    keep_logits: bool = True

    def place(self) -> Store:
        """The directory to work in."""
        return Store(self.store, self.identity)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def work(order: Order) -> Callable[[Chunk, Tell], None]:
    """Read the data once; what comes back carries out one chunk after another.

    It raises `Busy` where another command has the chunk in hand, and `OutOfMemory` where the stack was too large.
    """
    from ltbv.engine.device import choose
    from ltbv.harness.chunk import carry_out
    from ltbv.methods import find

    study, dataset = filled_in(Settings.read(order.asked)).load(order.data_dir)
    there = order.place()
    if there.exists and there.study()["asked"].get("fingerprint") != study.fingerprint:
        raise Refusal(
            f"the data of {study.settings.dataset} on {gethostname()} are not those that {there.path} was made with"
        )
    methods = {name: study.suited(find(name)) for name in order.methods}
    device = choose(order.device)

    def do(chunk: Chunk, tell: Tell) -> None:
        own = {name: methods[name] for name in chunk.methods}
        more = {"checkpoint_minutes": order.checkpoint_minutes, "keep_logits": order.keep_logits}
        carry_out(chunk, study, order.place(), dataset, own, device, tell, **more)

    return do
