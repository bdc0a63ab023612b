"""How does a command speak, and what becomes of what goes wrong in it? One line on standard error, and exit code 2.

What cannot be said (standard output is closed, or a full device) is a fault too: what was asked for did not arrive.
"""

import contextlib
import errno
import math
import os
import sys
import traceback
from typing import Any

import click

from ltbv.errors import Refusal, one_line, words_of

UNSAID = "cannot write to standard output"


class Group(click.Group):
    """A refusal, wherever it comes from, is one line and exit code 2; so is what the system refuses."""

    def main(self, *args, **options):
        _open_what_is_closed()
        try:
            return super().main(*args, **options)
        except OSError as error:
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            of_click = frame.f_globals["__name__"].startswith("click")  # which says help, version and usage itself
            _end(f"{UNSAID if of_click else 'the system refuses'}: {error.strerror or error}")

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except Refusal as refusal:
            _end(str(refusal))
        except MemoryError as error:
            _end(f"not enough memory: {words_of(error) or 'the system gives no more'}")
        except KeyboardInterrupt:
            _end("stopped; finished runs are kept, the same command goes on", code=130)
        except OSError as error:
            if error.filename is None:  # of a stream: `main` knows
                raise
            name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
            _end(f"cannot use {name}: {error.strerror}")


def say(text: str) -> None:
    """A text for standard output; what it cannot encode, such as a file name that is not UTF-8, is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever reads has had enough: click ends quietly
            raise
        raise Refusal(f"{UNSAID}: {error.strerror or error}") from error


def warn(text: str) -> None:
    """One line on standard error; where there is none, nobody can be told."""
    with contextlib.suppress(OSError):
        click.echo(f"ltbv: {one_line(text)}", err=True)


class FiniteNumber(click.ParamType):
    """A number of the command line that is neither NaN nor infinite."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            name = (param.opts[0] if param else "number").lstrip("-")
            raise Refusal(f"{name} is {value}: give --{name} a finite number")
        return number


NUMBER = FiniteNumber()


def _end(line: str, code: int = 2) -> None:
    warn(line)
    for stream in filter(_is_stuck, (sys.stdout, sys.stderr)):  # or Python complains once more when it ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    sys.exit(code)


def _is_stuck(stream: Any) -> bool:
    """Does a stream hold what it cannot get rid of?"""
    try:
        stream.flush()
    except OSError:
        return True
    return False


def _open_what_is_closed() -> None:
    """The next file to be opened would get the number of a closed stream, and what is printed would go into it.

    Closed input is empty, closed output fails when something is written to it, closed error output is lost.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free: this one
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115
