"""How far is a command, for whoever asks from elsewhere? A small file that the driver renews, and removes at its end.

It decides nothing: it is for `ltbv status`. One not renewed for a minute, or of a process of this machine that is gone,
is not believed.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal
from ltbv.files import read_json, write_bytes
from ltbv.store import Store
from ltbv.store.locks import is_alive

EVERY, BELIEVED = 2.0, 60.0  # seconds
FIELDS = {
    "host": str,
    "pid": int,
    "since": float,
    "updated": float,
    "images": int,
    "of": int,
    "jobs": int,
    "share": float,
}
UNBELIEVABLE = 1e15  # images or seconds


class Pulse:
    """Of a command whose `count` says `Progress.told`; a context, whose end removes the file."""

    def __init__(self, study: Store, count: Callable[[], dict[str, Any]], jobs: int):
        self.study, self.path = study, study.path / "progress" / f"{socket.gethostname()}-{os.getpid()}.json"
        self.count, self.jobs = count, jobs
        self.start = time.time()
        self.last = 0.0

    def __enter__(self) -> "Pulse":
        for path in _notes(self.path.parent):
            if not _believed(path):
                path.unlink(missing_ok=True)  # of a command that was killed
        self.beat()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()

    def renew(self) -> None:
        """Something happened; called often."""
        if time.time() - self.last > EVERY:
            self.beat()

    def beat(self) -> None:
        """Renew the file; where that cannot be, nothing is lost."""
        self.last = time.time()
        note = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self.start,
            "updated": self.last,
            "jobs": self.jobs,
            **self.count(),
        }
        with contextlib.suppress(Refusal):
            self.study.must_be_there()
            write_bytes(self.path, json.dumps(note).encode(), confirm=self.study.must_be_there, durable=False)


def pulses(study: Path) -> list[dict[str, Any]]:
    """The commands that are at work on a study now: FIELDS of each, and `left`, seconds, or None."""
    return [note for path in _notes(study / "progress") if (note := _believed(path))]


def _notes(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _believed(path: Path) -> dict[str, Any] | None:
    """A note that is whole and of a command at work, else None."""
    try:
        read = read_json(path)
        note: dict[str, Any] = {name: kind(read[name]) for name, kind in FIELDS.items()}
        known = all(0 <= value < UNBELIEVABLE for value in note.values() if not isinstance(value, str))
        fresh = time.time() - note["updated"] < BELIEVED
        here = note["host"] == socket.gethostname()
        left = read.get("left")
        note["left"] = left if isinstance(left, int | float) and 0 <= left < UNBELIEVABLE else None
        return note if fresh and known and (is_alive(note["pid"]) if here else True) else None
    except (OverflowError, Refusal, TypeError, ValueError, KeyError):
        return None
