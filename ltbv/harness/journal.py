"""What happened, for programs: every public event as one flat record, a line of JSON in a file or a call of a function.

A record has the fields of its event (`events`) and those of ENVELOPE. The study does not depend on it: what cannot be
told is lost, and the first such loss is said.
"""

import json
import math
import os
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal, reason
from ltbv.files import Lines
from ltbv.harness.events import Event, Tell, Unwritten

FORMAT = 1
ENVELOPE = {
    "format": f"of these records: {FORMAT}. A later one may have more fields and kinds under the same number; the"
    " number changes when what a field says does",
    "kind": "what happened, below",
    "time": "when, ISO 8601 with its zone, UTC",
    "elapsed": "seconds since the command began",
    "study": "directory of the study, absolute",
    "command": "eight letters that tell the commands apart that write to one file",
    "host": "the machine on which it happened",
}

Listener = Callable[[dict[str, Any]], object]


class Journal:
    """Tells public events of a study on. A context, whose beginning refuses a file that cannot be written.

    to    a file that is appended to, or a function that is called with each record; None: nobody
    tell  hears `Unwritten`
    """

    def __init__(self, study: Path, to: Path | Listener | None, tell: Tell):
        self.study, self.to, self.tell = study, to, tell
        self.command, self.begun = secrets.token_hex(4), time.time()
        self.stay, self.lost = ExitStack(), False
        self.listener: Listener | None = None

    def __enter__(self) -> "Journal":
        if isinstance(self.to, Path):
            lines = self.stay.enter_context(Lines(checked(self.to, self.study), _is_record, "events"))
            self.listener = lambda record: lines.write(json.dumps(record, allow_nan=False))
        else:
            self.listener = self.to
        return self

    def __exit__(self, *error: object) -> None:
        self.stay.close()

    def hear(self, event: Event) -> None:
        """Tell one event on, if it is public."""
        if self.listener is None or not event.public:
            return
        try:
            self.listener(self.record(event))
        except Exception as error:
            if not self.lost:
                self.lost = True
                to = str(self.to) if isinstance(self.to, Path) else getattr(self.to, "__name__", repr(self.to))
                self.tell(Unwritten(to, getattr(error, "strerror", None) or reason(error)))

    def record(self, event: Event) -> dict[str, Any]:
        """The event as it is told."""
        told = event.as_json()
        envelope = {
            "format": FORMAT,
            "kind": told.pop("kind"),
            "time": datetime.fromtimestamp(at := told.pop("time"), UTC).isoformat(timespec="milliseconds"),
            "elapsed": round(max(at - self.begun, 0.0), 3),
            "study": os.path.abspath(self.study),
            "command": self.command,
            "host": told.pop("host"),
        }
        return _plain({**envelope, **told})


def checked(path: Path, study: Path) -> Path:
    """A file of events; one within the study, or standard output, is refused."""
    if str(path) == "-":
        raise Refusal("--events -: give a file; /dev/stderr is standard error, and standard output has the summary")
    if Path(os.path.realpath(study)) in Path(os.path.realpath(path)).parents:
        raise Refusal(f"--events {path} lies in the study, whose files are its own; give one beside it: {study}.jsonl")
    return path


def read_record(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None of a line that is the beginning of one. ValueError where it is none."""
    try:
        record = json.loads(line)
    except ValueError:
        if line.startswith(b'{"format": '):
            return None
        raise
    if not isinstance(record, dict) or not {"format", "kind", "study", "command"} <= record.keys():
        raise ValueError("no record of an event")
    return record


def _is_record(line: bytes) -> bool:
    try:
        read_record(line)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    """The same in what JSON has: lists for tuples, null for what is not finite, texts for paths and the like."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
