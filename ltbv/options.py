"""What may a user choose? A dataclass whose fields are `choice`s: options of commands, names in a TOML file, arguments.

A field says once what it is called, which type it has and what it means; `known` checks values from anywhere against
that, `words` writes them as one types them.
"""

import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from functools import cache
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from ltbv.errors import Refusal, unknown

LARGEST = sys.float_info.max
KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}


def choice(default: Any = MISSING, help: str = "", *, metavar: str | None = None) -> Any:
    """A field that a user sets, with the text of `--help`; without a default it has to be given."""
    return field(default=default, metadata={"help": help, "metavar": metavar})


def choices(of: type) -> list[Field[Any]]:
    """The fields of a dataclass that are choices, in their order."""
    return [one for one in fields(of) if "help" in one.metadata]


def option(name: str) -> str:
    """learning_rate -> --learning-rate."""
    return f"--{name.replace('_', '-')}"


def kind(of: type, name: str) -> type:
    """The type of a choice: int of `int | None`."""
    return _kinds(of)[name]


@cache
def _kinds(of: type) -> dict[str, type]:
    hints = get_type_hints(of)
    return {
        one.name: next(part for part in (get_args(hints[one.name]) or (hints[one.name],)) if part is not NoneType)
        for one in choices(of)
    }


def check(value: object) -> None:
    """Refuse an instance whose choices are not of their types; what is None by default may be None."""
    for one in choices(type(value)):
        found, wanted = getattr(value, one.name), kind(type(value), one.name)
        if found is None and one.default is None:
            continue
        suits = isinstance(found, (int, float) if wanted is float else wanted)
        if not suits or (isinstance(found, bool) and wanted is not bool):
            raise Refusal(f"{one.name} is {found!r}: give {option(one.name)} {KINDS[wanted]}")
        if wanted is float and not -LARGEST <= found <= LARGEST:  # NaN is neither, nor a whole number of 400 digits
            raise Refusal(f"{one.name} is {found!r}: give {option(one.name)} a finite number")


def expect(name: str, value: Any, *wanted: type) -> None:
    """Refuse an argument of Python that is of none of these types: of KINDS, or NoneType. A whole number is a number
    too, and so are numpy's; a text is a path."""
    numbers = (Integral if int in wanted else ()), (Real if float in wanted else ())
    texts = (str, PathLike) if Path in wanted else ()
    suits = isinstance(value, wanted) or any(isinstance(value, of) for of in (*numbers, texts))
    if not suits or (isinstance(value, bool) and bool not in wanted):
        words = " or ".join("None" if one is NoneType else KINDS[one] for one in wanted)
        raise Refusal(f"{name} is {value!r}, a {type(value).__name__}: give {words}")
    if Path in wanted and isinstance(value, str | PathLike) and "\0" in str(value):
        raise Refusal(f"{name} is {str(value)!r}: no path has a zero byte")


def split(values: Mapping[str, Any], *of: type) -> list[dict[str, Any]]:
    """Values by the dataclass that has them; a name that none has is refused."""
    names = [[one.name for one in choices(one_of)] for one_of in of]
    every = [name for own in names for name in own]
    if strange := [name for name in values if name not in every]:
        raise unknown("setting", strange[0], every)
    return [{name: values[name] for name in own if name in values} for own in names]


def words(value: object, *, but_defaults: bool = False) -> list[str]:
    """The options that say this value: all that are set, or only what is not as by default."""
    found = []
    for one in choices(type(value)):
        said = getattr(value, one.name)
        if said in (None, "") or (but_defaults and said == one.default):
            continue
        name = option(one.name)
        if isinstance(said, bool):
            found.append(name if said else name.replace("--", "--no-", 1))
        else:
            found += [name, repr(said).removesuffix(".0") if isinstance(said, float) else str(said)]
    return found
