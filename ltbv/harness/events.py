"""What happens while a study is worked on? Events: whoever does the work tells them; displays, logs and status hear.

They are values, so that they can be told by a worker process, as a line of JSON, or by another machine. Those with
`public` are written by `--events` too (`journal`); what is said of a field here, the reference of these lines says.
"""

import re
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self


def said(help: str) -> Any:
    """A field, and what it means."""
    return field(metadata={"help": help})


@dataclass(frozen=True)
class Event:
    """Runs are those of a stack; methods are named by their keys.

    time   when it happened, seconds since 1970
    host   where
    """

    public: ClassVar[bool] = False

    time: float = field(default_factory=time.time, kw_only=True, compare=False, repr=False)
    host: str = field(default_factory=socket.gethostname, kw_only=True, compare=False, repr=False)

    @classmethod
    def kind(cls) -> str:
        """StageBegun -> stage_begun."""
        return re.sub(r"(?<=.)([A-Z])", r"_\1", cls.__name__).lower()

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind(), **asdict(self)}

    @classmethod
    def read(cls, told: dict[str, Any]) -> Self:
        """The event that `as_json` told; JSON has lists in the place of tuples."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        kinds = {kind.kind(): kind for kind in cls.__subclasses__()}
        return kinds[str(fields.pop("kind"))](**fields)


Tell = Callable[[Event], None]

STAGE_KEY = "key of the stage: methods that stand on one stage have the same"
RUNS = "the runs that are trained side by side"


@dataclass(frozen=True)
class CommandBegun(Event):
    """A command has opened the study, and begins with what is missing."""

    public = True

    settings: dict[str, Any] = said("of the study, by name")
    methods: dict[str, dict[str, Any]] = said(
        "of each key that was asked: `label`, and `stages`, the keys of the stages that it stands on, by name"
    )
    runs: int = said("how many were asked")
    jobs: int = said("processes that work side by side")
    executor: str = said("local, inline or ray")
    version: str = said("of ltbv")


@dataclass(frozen=True)
class StageBegun(Event):
    """The training of a stage begins, or goes on where it was left."""

    public = True

    method: str = said("for which the stage is trained; others may stand on it too")
    stage: str = said("its name in the method")
    runs: tuple[int, ...] = said(RUNS)
    stage_key: str = said(STAGE_KEY)
    epochs: int = said("how many the stage has")
    device: str = said("on what: the name of the GPU, or cpu and what it can")


@dataclass(frozen=True)
class EpochEnded(Event):
    """An epoch of a stage is over. Those that an earlier command had trained before it was interrupted are not told
    again."""

    public = True

    method: str = said("for which the stage is trained")
    stage: str = said("its name in the method")
    runs: tuple[int, ...] = said(RUNS)
    stage_key: str = said(STAGE_KEY)
    epoch: int = said("which, from 1")
    epochs: int = said("of how many")
    loss: tuple[float, ...] = said("of each of the runs, the mean loss of the epoch; null where not finite")
    accuracy: tuple[float, ...] = said(
        "of each of the runs, the share of training images that were right as they were seen, 0 to 1; null where the"
        " objective does not count them",
    )


@dataclass(frozen=True)
class StageEnded(Event):
    """A stage is trained, and its weights are kept."""

    public = True

    method: str = said("for which the stage was trained")
    stage: str = said("its name in the method")
    runs: tuple[int, ...] = said(RUNS)
    stage_key: str = said(STAGE_KEY)
    seconds: float = said("since it began in this command")


@dataclass(frozen=True)
class ImagesSeen(Event):
    """So many training images more of a stage were gone through, all of its runs together."""

    images: int
    stage_key: str = ""
    runs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Predicted(Event):
    """The predictions of a run are written."""

    public = True

    method: str = said("whose predictions")
    run: int = said("of which run")


@dataclass(frozen=True)
class FoundDamaged(Event):
    """A file was set aside, and what it held is made again."""

    public = True

    path: str = said("of the file, before")
    why: str = said("what is wrong with it")


@dataclass(frozen=True)
class Failed(Event):
    """Runs of methods that are not done, and will not be by this command."""

    public = True

    methods: tuple[str, ...] = said("which")
    runs: tuple[int, ...] = said("which")
    why: str = said("in one line")


@dataclass(frozen=True)
class TriedAgain(Event):
    """A process was lost, and what it had in hand is handed out once more."""

    public = True

    runs: tuple[int, ...] = said("that it had in hand")
    why: str = said("how it ended")


@dataclass(frozen=True)
class Halved(Event):
    """A stack did not fit into memory; half of it is tried."""

    public = True

    runs: tuple[int, ...] = said("of the stack")


@dataclass(frozen=True)
class HeldElsewhere(Event):
    """Another command works on these runs; this one waits."""

    public = True

    runs: tuple[int, ...] = said("which")
    holder: str = said("who: process, machine, since when")


@dataclass(frozen=True)
class CommandEnded(Event):
    """A command is over. Where none is told, it was killed."""

    public = True

    how: str = said("done; failed, where something was told to have; or stopped, by an interruption or an error")
    failures: int = said("how many `failed` were told")


@dataclass(frozen=True)
class Unwritten(Event):
    """An event could not be told to whoever listens; said of the first one only."""

    to: str
    why: str


@dataclass(frozen=True)
class Ended(Event):
    """The end of a chunk in a process: done (or failed, which was told), memory (the stack was too large) and why."""

    how: str = "done"
    why: str = ""
