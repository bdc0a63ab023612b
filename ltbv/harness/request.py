"""What may one ask of `ltbv bootstrap`? Methods, runs, the settings of the study, and how the work is to be done."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal
from ltbv.options import check, choice, option, split
from ltbv.settings import Settings

MOST_RUNS = 10_000
LEAST = {"jobs": 1, "stack": 1, "per_device": 1, "retries": 0, "checkpoint_minutes": 0}


@dataclass(frozen=True)
class Place:
    """Where a chunk finds its data and device: what `ltbv run` takes too."""

    data_dir: Path | None = choice(None, "Where the files of the data set are.")
    device: str = choice("auto", "auto, cpu or cuda.")
    checkpoint_minutes: float = choice(10.0, "How often a long stage is kept.")
    keep_logits: bool | None = choice(
        None,
        "Keep logits, two bytes a class and test image of each run: for the parts of Brier score and cross-entropy."
        " [with at most 1,000 classes; else the 20 largest]",
    )
    keep_expert_logits: bool | None = choice(
        None,
        "Keep those of each expert too, where the answer is their mean: for the diversity of experts. [where a run has"
        " at most three million, and logits are kept]",
    )

    events: Path | None = choice(None, "Append what happens to this file, a line of JSON each.", metavar="FILE")

    def __post_init__(self) -> None:
        check(self)
        for name in LEAST.keys() & vars(self).keys():
            if (number := getattr(self, name)) is not None and number < LEAST[name]:
                raise Refusal(f"{option(name)} {number}: at least {LEAST[name]}")
        if self.keep_expert_logits and self.keep_logits is False:
            raise Refusal("--keep-expert-logits is asked, and --no-keep-logits too; leave one of them out")


@dataclass(frozen=True)
class Means(Place):
    """How the work is spread; None: as suits the machine."""

    jobs: int | None = choice(None, "Worker processes. [one a core; on GPUs as --per-device says]")
    per_device: int = choice(1, "Worker processes a GPU.")
    stack: int | None = choice(
        None, "Runs trained side by side in one process. Predictions are bit-equal over --jobs, not over --stack."
    )
    executor: str = choice("local", "local (worker processes), inline or ray.")
    address: str = choice("", "Of a Ray cluster. [one on this machine]", metavar="auto|HOST:PORT")
    retries: int = choice(1, "How often a chunk whose worker died is tried again.")
    force: bool = choice(False, "Train the methods again; discard a study with other settings.")


@dataclass(frozen=True)
class Request:
    """only: a single chunk of these runs."""

    methods: tuple[str, ...]
    runs: int
    store: Path
    settings: Settings = field(default_factory=Settings)
    means: Means = field(default_factory=Means)
    only: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.runs, int) or isinstance(self.runs, bool):
            raise Refusal(f"runs is {self.runs!r}: give --runs a whole number")
        if not 1 <= self.runs <= MOST_RUNS:
            raise Refusal(f"--runs {self.runs}: at least 1, at most {MOST_RUNS:,}; 10 for intervals worth having")

    @classmethod
    def of(cls, methods: Iterable[str], runs: int, store: Path | str, **chosen: Any) -> "Request":
        """A request from settings and means by name; a name that is neither is refused."""
        only = chosen.pop("only", None)
        settings, means = split(chosen, Settings, Means)
        return cls(tuple(methods), runs, Path(store), Settings(**settings), Means(**means), only)
