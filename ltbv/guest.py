"""How is code of others run in this process? It neither ends it nor waits for somebody to type."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from ltbv.errors import Refusal, reason


@contextlib.contextmanager
def guest() -> Iterator[None]:
    """In here `os._exit` raises SystemExit, which can be told, and standard input is empty, unless a person sits at it:
    who debugs wants it."""

    def told(status: int) -> NoReturn:
        raise SystemExit(f"os._exit({status}) was called")

    leave, typed = os._exit, sys.stdin
    os._exit = told
    try:
        with open(os.devnull) as nothing:
            if not (typed and not typed.closed and typed.isatty()):
                sys.stdin = nothing
            yield
    finally:
        os._exit, sys.stdin = leave, typed


def place(thing: Any) -> str:
    """Where a function, a class, or the class of a value stands: package.module:name."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def imported(what: str, where: str, cure: str, *, name: str = "") -> Any:
    """What stands in code of others at `where`, package.module:name; `name` is what was asked for, if that is another.

    Raises `Refusal`, which says what it was wanted for and what would do: importing runs whatever the module holds.
    """
    module, _, attribute = where.partition(":")
    try:
        with guest():
            return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise Refusal(f"{what} {name or where!r} cannot be imported ({reason(error)}); {cure}") from error
