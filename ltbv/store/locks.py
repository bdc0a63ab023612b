"""Who works on which runs? Locks, so that several commands, on one machine or many, share a study directory.

A lock is held on each run of a stack while something of it is in hand, by the command that hands it out. It is the
operating system's (flock), which lets go of it when the holder dies, however it dies. Where a file system has no such
locks, or with LTBV_LOCKS=soft, a lock is a file that its holder touches: one whose process on this machine is gone is
nobody's, one of another machine when it was not touched for STALE seconds. A process of this machine that lives keeps
its locks, however long it was stopped. Beside each lock lies a note that says who holds it.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ltbv.errors import Refusal, one_line
from ltbv.files import read_json, writing

BEAT, STALE = 20.0, 120.0  # seconds
LATEST = 1e11  # seconds since 1970


class Busy(Exception):
    """Somebody else works on it; says who."""


@contextlib.contextmanager
def held(folder: Path, names: Iterable[str], doing: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the locks of `names` in `folder`, all or none; `Busy` after `wait` seconds if one is somebody else's."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
    note = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time(), "doing": doing})
    with contextlib.ExitStack() as stack:
        soft: list[Path] = []
        for name in sorted(names):
            lock = _acquire(folder / f"{name}.lock", wait)
            stack.callback(lock.release)
            if isinstance(lock, SoftFileLock):
                soft.append(Path(lock.lock_file))
            beside = folder / f"{name}.json"
            stack.callback(beside.unlink, missing_ok=True)
            with contextlib.suppress(OSError):  # a full disk: held all the same, by "another command"
                beside.write_text(note)
        if soft:
            ended = threading.Event()
            threading.Thread(target=_beat, args=(soft, ended), daemon=True).start()
            stack.callback(ended.set)
        yield


def holders(folder: Path) -> dict[str, dict[str, Any]]:
    """Who holds what, by name: host, pid, since (seconds since 1970), doing. What nobody holds any more is left out."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if (note := _note(path)) and _is_held(path.with_suffix(".lock")):
            found[path.stem] = note
    return found


def _is_held(path: Path) -> bool:
    try:
        lock = _acquire(path, 0.0)
    except Busy:
        return True
    except Refusal:
        return False
    lock.release()
    return False


def _acquire(path: Path, wait: float) -> BaseFileLock:
    try:
        if os.environ.get("LTBV_LOCKS") == "soft":
            return _acquire_soft(path, wait)
        try:
            lock = FileLock(path, thread_local=False)  # whichever thread takes it, another may let go of it
            lock.acquire(timeout=wait)
            return lock
        except NotImplementedError:
            return _acquire_soft(path, wait)
    except Timeout:
        raise Busy(_who(path)) from None
    except OSError as error:
        raise Refusal(f"cannot lock {path}: {error.strerror or error}") from error


def _acquire_soft(path: Path, wait: float) -> BaseFileLock:
    path = path.with_suffix(".soft")
    with contextlib.suppress(FileNotFoundError):
        seen = path.stat()
        if time.time() - seen.st_mtime > STALE and not _lives_here(path):
            _remove(path, seen)
    lock = SoftFileLock(path, thread_local=False)  # which takes over that of a process of this machine that is gone
    lock.acquire(timeout=wait)
    return lock


def _remove(path: Path, seen: os.stat_result) -> None:
    """Remove a lock, if it is still the one that was seen: another command may have done so, and have taken it."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    path.rename(aside)
    found = aside.stat()
    if (found.st_ino, found.st_mtime_ns) != (seen.st_ino, seen.st_mtime_ns):
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)  # back to its holder
    aside.unlink()


def _note(path: Path) -> dict[str, Any]:
    """What the holder says of itself; nothing where the note is not as holders write it."""
    try:
        note = read_json(path.with_suffix(".json"))
        known = {name: one_line(str(note[name])) for name in ("host", "doing")}
        pid, since = int(note["pid"]), float(note["since"])
    except (OverflowError, ValueError, TypeError, KeyError):  # a Refusal is a ValueError
        return {}
    return known | {"pid": pid, "since": since} if 0 <= since < LATEST else {}


def _lives_here(path: Path) -> bool:
    """May the holder be a process of this machine that lives? Where no note says who it is, the lock's own number."""
    note = _note(path)
    if not note:
        return is_alive(SoftFileLock(path).pid)
    return note["host"] == socket.gethostname() and is_alive(note["pid"])


def is_alive(pid: Any) -> bool:
    """Is there a process of this number here?"""
    try:
        if (number := int(pid)) > 0:  # others are groups of processes
            os.kill(number, 0)
            return True
    except (OSError, OverflowError, TypeError, ValueError) as error:
        return isinstance(error, PermissionError)
    return False


def _who(path: Path) -> str:
    note = _note(path)
    if not note:
        return "another command"
    since = time.strftime("%H:%M:%S", time.localtime(note["since"]))
    return f"process {note['pid']} on {note['host']}, since {since}: {note['doing']}"


def _beat(files: list[Path], ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        for path in files:
            with contextlib.suppress(OSError):
                os.utime(path)  # which does not make a file that was let go of meanwhile
