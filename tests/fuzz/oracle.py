"""What may a reader do with a file that it was handed? Read it, or refuse it in one line; nothing else.

`watched` runs a reader under guard and raises a `Fault` where it does more than that: an exception that is no Refusal;
a message of more than a line, with control characters, of more than MOST_WORDS characters, or that names no file; a
name looked up by a pickle, a process started, a connection, a file written outside of the folder; more than MOST_MEMORY
beyond what the process had; more than MOST_SECONDS of processor time.
"""

import contextlib
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from ltbv.errors import Refusal

MOST_WORDS = 2_000  # characters of a refusal
MOST_MEMORY = 512 * 2**20  # bytes
MOST_SECONDS = 5.0
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = ("pickle.find_class", "subprocess.Popen", "socket.connect", "shutil.", "ctypes.dlopen", "webbrowser.open")
FORBIDDEN_OS = ("system", "exec", "fork", "forkpty", "posix_spawn", "spawn", "startfile", "chmod", "chown")
MOVING = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")


class Fault(Exception):
    """A reader did what it may not do. `signature`: equal for inputs that show the same fault."""

    def __init__(self, what: str, error: BaseException | None = None):
        super().__init__(what)
        self.signature = what.split(":")[0] + _place(error)


class Hang(BaseException):
    """The time is up; no reader may catch this."""


class _Guard:
    """Where the one audit hook of this process (hooks cannot be removed) looks up what is allowed now."""

    folder: Path | None = None
    seen: str | None = None
    installed = False


def watched(read: Callable[[], object], folder: Path, named: tuple[str, ...] = ()) -> str:
    """Run `read`, which may only write in `folder`; 'read', or the words of its refusal, or a Fault.

    named   a refusal must have one of these, or the folder's path, in it
    """
    refused = None
    with _limited(), _audited(folder), warnings.catch_warnings(action="error"):
        try:
            read()
        except Refusal as refusal:
            refused = refusal
        except Hang as hang:
            raise Fault(f"hang: more than {MOST_SECONDS:g} s of processor time", hang) from hang
        except Exception as error:
            if seen := _Guard.seen:
                raise Fault(f"forbidden: {seen}", error) from error
            raise Fault(f"{type(error).__name__}: {error}", error) from error
    if seen := _Guard.seen:
        raise Fault(f"forbidden: {seen}", refused)
    if refused is None:
        return "read"
    words = str(refused)
    if _out_of_memory(refused):
        raise Fault(f"memory: more than {MOST_MEMORY:,} bytes were asked for: {words}", refused) from refused
    if not words.isprintable():
        raise Fault(f"unprintable: {words!r}", refused)
    if len(words) > MOST_WORDS:
        raise Fault(f"long: {len(words)} characters: {words}", refused)
    if not any(name in words for name in (*named, str(folder))):
        raise Fault(f"anonymous: {words}", refused)
    return words


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Bounds of memory and processor time, on systems that have them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY, hard))

    def ring(*_) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS, 0.2)  # again, should something swallow the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def _audited(folder: Path) -> Iterator[None]:
    if not _Guard.installed:
        sys.addaudithook(_audit)
        _Guard.installed = True
    _Guard.folder, _Guard.seen = folder.resolve(), None
    try:
        yield
    finally:
        _Guard.folder = None


def _audit(event: str, arguments: tuple) -> None:
    if _Guard.folder is None:
        return
    group, _, name = event.partition(".")
    if event.startswith(FORBIDDEN) or (group == "os" and name in FORBIDDEN_OS):
        _Guard.seen = f"{event} {arguments!r}"[:300]
    elif event == "open":
        path, mode, flags = arguments
        if flags & WRITING and isinstance(path, (str, bytes, os.PathLike)) and not _inside(path):
            _Guard.seen = f"opened for writing {path!r}"
    elif event in MOVING:
        for path in arguments:
            if isinstance(path, (str, bytes, os.PathLike)) and not _inside(path):
                _Guard.seen = f"{event} {path!r}"


def _inside(path: str | bytes | os.PathLike) -> bool:
    where = os.path.abspath(os.fsdecode(path))
    return (where + os.sep).startswith(f"{_Guard.folder}{os.sep}") or "__pycache__" in where or where == os.devnull


def _out_of_memory(error: BaseException | None) -> bool:
    """Did memory run out on the way to this refusal? Not that of Python's parser, which says so of deep nesting."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, MemoryError) and not any(Path(frame.filename).name == "ast.py" for frame in frames):
            return True
        error = error.__cause__ or error.__context__
    return False


def _place(error: BaseException | None) -> str:
    """The innermost line of ltbv on the way to an error."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    own = [frame for frame in frames if f"{os.sep}ltbv{os.sep}" in frame.filename]
    return f" at {Path(own[-1].filename).name}:{own[-1].name}:{own[-1].lineno}" if own else ""
