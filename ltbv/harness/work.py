"""What does a worker need to know? The order: where the study is, where the data are, which methods, on what device."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from socket import gethostname
from typing import Any

from ltbv.errors import Refusal
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Tell
from ltbv.harness.study import filled_in
from ltbv.settings import Settings
from ltbv.store import Store


@dataclass(frozen=True)
class Order:
    """What is to be done, and with which means.

    study     its directory
    asked     the settings, by name
    methods   keys, by the names they were asked for
    The rest changes where and how fast, not what.
    """

    study: str
    asked: dict[str, Any]
    methods: dict[str, str]
    identity: str | None = None  # of the study
    data_dir: str | None = None
    device: str = "cpu"
    jobs: int = 1
    address: str = ""  # of a cluster
    devices: int = 1  # GPUs that the workers are spread over
    retries: int = 1  # of a chunk whose worker died
    checkpoint_minutes: float = 10.0
    keep_logits: bool | None = None
    keep_expert_logits: bool | None = None

    def store(self) -> Store:
        """The study to work in."""
        return Store(self.study, self.identity)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def work(order: Order) -> Callable[[Chunk, Tell], None]:
    """Read the data once; what comes back does one chunk after another.

    Their runs are held by whoever hands them out. `OutOfMemory` where the stack was too large.
    """
    from ltbv.engine.device import choose
    from ltbv.harness.trainer import do_chunk
    from ltbv.methods import find

    study, dataset = filled_in(Settings.read(order.asked)).load(order.data_dir)
    there = order.store()
    if there.exists and there.study()["asked"].get("fingerprint") != study.fingerprint:
        raise Refusal(
            f"the data of {study.settings.dataset} on {gethostname()} are not those that {there.path} was made with"
        )
    methods = {name: study.form(find(name)) for name in order.methods}
    device = choose(order.device)

    def do(chunk: Chunk, tell: Tell) -> None:
        own = {name: methods[name] for name in chunk.names}
        do_chunk(
            chunk,
            study,
            order.store(),
            dataset,
            own,
            device,
            tell,
            checkpoint_minutes=order.checkpoint_minutes,
            keep_logits=order.keep_logits,
            keep_expert_logits=order.keep_expert_logits,
        )

    return do
