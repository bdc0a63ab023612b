"""How is code of others run in this process? It neither ends it nor waits for somebody to type."""

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
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


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """The same where a command answers on standard output: what is printed in here goes to standard error."""
    with guest(), contextlib.redirect_stdout(sys.stderr):
        yield


def place(thing: Any) -> str:
    """Where a function, a class, or the class of a value stands: package.module:name."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def imported(what: str, where: str, cure: str, *, name: str = "") -> Any:
    """What stands in code of others at `where`, package.module:name; `name` is what was asked for, if that is another.

    Raises `Refusal`, which says what it was wanted for and what would do: importing runs whatever the module holds.
    """
    module, _, attribute = where.partition(":")
    if name in ("", where):  # and not what a package calls so
        _refuse_hidden(f"{what} {where!r}", module.partition(".")[0])
    try:
        with aside():
            return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise Refusal(f"{what} {name or where!r} cannot be imported ({reason(error)}); {cure}") from error


def _refuse_hidden(what: str, module: str) -> None:
    """Does a module of the directory, which comes last, go unseen behind a package of the same name?"""
    here = [path for path in (Path(f"{module}.py"), Path(module, "__init__.py")) if path.is_file()]
    try:
        found = importlib.util.find_spec(module) if here else None
    except ValueError:  # no name, or a module that came from nowhere
        return
    if found and found.origin and Path(found.origin).resolve() not in [path.resolve() for path in here]:
        raise Refusal(f"{what} would come from {found.origin}, which hides {here[0]} of this directory; rename this")
