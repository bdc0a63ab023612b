"""What happens while a study is worked on? Events: whoever does the work tells them; displays, logs and status hear.

They are values, so that they can be told by a worker process, as a line of JSON, or by another machine.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Event:
    """Runs are those of a stack; methods are named by their keys."""

    def as_json(self) -> dict[str, Any]:
        return {"event": type(self).__name__, **asdict(self)}

    @classmethod
    def read(cls, told: dict[str, Any]) -> Self:
        """The event that `as_json` told; JSON has lists in the place of tuples."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
        kinds = {kind.__name__: kind for kind in cls.__subclasses__()}
        return kinds[str(fields.pop("event"))](**fields)


Tell = Callable[[Event], None]


@dataclass(frozen=True)
class StageBegun(Event):
    """The training of a stage begins, or goes on where it was left."""

    method: str
    stage: str
    runs: tuple[int, ...]


@dataclass(frozen=True)
class ImagesSeen(Event):
    """So many training images more were gone through, all runs together."""

    images: int


@dataclass(frozen=True)
class Predicted(Event):
    """The predictions of a run are written."""

    method: str
    run: int


@dataclass(frozen=True)
class FoundDamaged(Event):
    """A file was set aside, and what it held is made again."""

    path: str
    why: str


@dataclass(frozen=True)
class Failed(Event):
    """Runs of methods that are not done, and will not be by this command."""

    methods: tuple[str, ...]
    runs: tuple[int, ...]
    why: str


@dataclass(frozen=True)
class TriedAgain(Event):
    """A process was lost, and what it had in hand is handed out once more."""

    runs: tuple[int, ...]
    why: str


@dataclass(frozen=True)
class Halved(Event):
    """A stack did not fit into memory."""

    runs: tuple[int, ...]


@dataclass(frozen=True)
class HeldElsewhere(Event):
    """Another command works on these runs."""

    runs: tuple[int, ...]
    holder: str


@dataclass(frozen=True)
class Ended(Event):
    """The end of a chunk in a process: done (or failed, which was told), memory (the stack was too large) and why."""

    how: str = "done"
    why: str = ""
