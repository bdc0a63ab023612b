"""What is said of an exception of a method's code? One line: whose function, which line of it, what it raised, and
where the traceback lies."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from ltbv.errors import one_line, reason

OURS = {"ltbv", "torch", "numpy", "functorch", *sys.stdlib_module_names}  # packages that a method is not of

_LOG: ContextVar[Path | None] = ContextVar("log", default=None)


@contextmanager
def printing_to(log: Path) -> Iterator[None]:
    """What is printed in here goes to that file, tracebacks too."""
    before = _LOG.set(log)
    try:
        yield
    finally:
        _LOG.reset(before)


def blamed(error: BaseException) -> str:
    """mine:loss, line 12 of mine.py: KeyError: 'margin'; traceback: runs/x/logs/runs-0-4.log"""
    where = f"traceback: {log}" if (log := _LOG.get()) else "its traceback was printed"
    return one_line("; ".join([": ".join([*_door(error), reason(error)]), where]))


def of_others(error: Exception) -> str | None:
    """The same of what a function of others raised, without a traceback; None where it is all ours."""
    return one_line(": ".join([*door, reason(error)])) if (door := _door(error)) else None


def _door(error: BaseException) -> list[str]:
    """The function of others that was called: of all in the traceback the outermost one. None: it is all ours."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".")[0] not in OURS:
            code = frame.f_code
            return [f"{module}:{code.co_qualname}, line {line} of {Path(code.co_filename).name}"]
    return []
