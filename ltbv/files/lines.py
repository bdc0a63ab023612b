"""How do several processes write to one file of lines, and a reader read it while they do?

Each line is appended by one `write`, to a file opened for appending, so that lines of processes of one machine stand
one after the other, whole. What a full disk cut off is closed by a line break before the next line is written.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from ltbv.errors import Refusal

LOOKS, PAUSE = 5, 0.01  # how often a line that is not ended is looked at, and seconds in between
LOOK = 4096  # bytes of a file in which its first line shows what it is


class Lines:
    """A file of lines that is appended to; a context, whose end closes it, and removes it if it was made for nothing.

    known   says of the first line of a file that is there already whether it is one of this sort; any other is refused,
            and so is what cannot be written to, or be waited for: a pipe that nobody reads
    """

    def __init__(self, path: Path, known: Callable[[bytes], bool], what: str):
        self.path = path
        try:
            there = path.stat() if path.exists() else None
            regular = there is None or stat.S_ISREG(there.st_mode)
            if regular and there and there.st_size and not known(_first_line(path)):
                raise Refusal(f"{path} holds something else than {what}, and is left alone; give another file")
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
            self.file = os.open(path, flags, 0o666)
        except OSError as error:
            raise Refusal(f"cannot write {what} to {path}: {_why(error, path)}") from error
        self.made, self.torn = there is None, bool(regular and there and there.st_size and _is_torn(path))

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            os.close(self.file)
            if self.made and self.path.stat().st_size == 0:
                self.path.unlink()

    def write(self, line: str) -> None:
        """Append a line that has no line break; OSError where it cannot be, and then it is not there, or cut off."""
        content = ("\n" if self.torn else "").encode() + line.encode() + b"\n"
        written = os.write(self.file, content)
        self.torn = 0 < written < len(content) or (written == 0 and self.torn)
        if written < len(content):
            raise OSError(0, "only a part of the line could be written")


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(LOOK)


def _is_torn(path: Path) -> bool:
    """Was the last line cut off? While another process writes one it looks so too, for a moment."""
    for _ in range(LOOKS):
        if _ends_whole(path):
            return False
        time.sleep(PAUSE)
    return True


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _why(error: OSError, path: Path) -> str:
    """What the system says, and what would do."""
    if isinstance(error, FileNotFoundError):
        return f"there is no directory {path.parent}; make it first"
    if isinstance(error, IsADirectoryError):
        return "it is a directory; give a file in it"
    if error.errno == 6:  # ENXIO: a pipe or socket without a reader
        return "nobody reads from it; start the reader first, or give a file"
    return error.strerror or str(error)
