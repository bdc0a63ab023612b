"""How is code of others run in this process? It neither ends it nor waits for somebody to type."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn


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
