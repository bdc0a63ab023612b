"""Is it the file that is not whole, or the moment that keeps it from being read?

Only a file that was read and is not whole is `Damaged`. What keeps it from being read (no right to, no memory, no
descriptor, a disk that does not answer) is a fault of the moment: the file is left as it is.
"""

import contextlib
import errno
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ltbv.errors import Refusal, words_of

NOWHERE = (None, errno.EINVAL)  # of errors that come from following what a damaged file says: a seek to nowhere


class Damaged(Refusal):
    """A file that was read and is not whole."""


class Unread(Refusal):
    """A file that cannot be read just now."""


@contextlib.contextmanager
def reading(path: Path | str, damage: Callable[[str], str]) -> Iterator[None]:
    """What goes wrong in here is damage of the file (which has many names), or a fault of the moment; a Refusal stays.

    damage   what is to be said of a damaged file, from what was found
    """
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        if (cause := of_the_moment(error)) is not None:
            raise Unread(f"cannot read {path}: {_why(cause)}; it is left as it is, try again") from error
        raise Damaged(f"{path} {damage(words_of(error))}") from error


def of_the_moment(error: BaseException | None) -> BaseException | None:
    """What says nothing of the file, among an error and those that it hides: zipfile calls any of them a bad file."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno not in NOWHERE):
            return error
        error = error.__context__
    return None


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or words_of(error) or "not enough memory"


def check_regular(path: Path) -> None:
    """A pipe or a device may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")
