"""How does a name that anybody may have chosen get into a table or a figure without harm?"""

import textwrap
from collections import Counter
from collections.abc import Sequence

from ltbv.errors import Refusal

LONGEST_NAME = 1000  # characters


def check_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Class names, or a Refusal of those that cannot be told apart or written."""
    for k, name in enumerate(names):
        if not name:
            raise Refusal(f"{where} has no name for class {k} (from 0)")
        if len(name) > LONGEST_NAME or any("\ud800" <= c <= "\udfff" for c in name):  # which no file can hold
            raise Refusal(f"{where} has {name[:40]!r} for class {k} (from 0), which is too long or no text")
    name, times = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise Refusal(f"{where} has the class name {name!r} {times} times")
    return tuple(names)


def printable(name: str) -> str:
    """A name without line breaks, tabs and control characters."""
    return "".join(c if c.isprintable() else " " for c in name)


def encoded(text: str) -> bytes:
    """Text as UTF-8. What is no character, such as half of one from a file's name that is no UTF-8, is \\udcff there:
    which is how JSON writes it too."""
    return text.encode("utf-8", "backslashreplace")


def shortened(name: str, letters: int) -> str:
    """A name on one line of at most so many letters; the middle gives way, since variants differ at their end."""
    shown = " ".join(printable(name).split()) or "?"
    if len(shown) <= letters:
        return shown
    tail = (letters - 1) // 2
    return f"{shown[: letters - 1 - tail].rstrip()}…{shown[len(shown) - tail :].lstrip()}"


def wrapped(name: str, width: int, lines: int) -> list[str]:
    """A name on at most `lines` lines of at most `width` letters; what does not fit ends in an ellipsis."""
    found = textwrap.wrap(printable(name), width, max_lines=lines, placeholder="…")
    return found or ["?"]
