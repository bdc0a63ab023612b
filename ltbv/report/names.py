"""How does a name that anybody may have chosen get into a table or a figure without harm?"""

import textwrap


def printable(name: str) -> str:
    """A name without line breaks, tabs and control characters."""
    return "".join(c if c.isprintable() else " " for c in name)


def wrapped(name: str, width: int, lines: int) -> list[str]:
    """A name on at most `lines` lines of at most `width` letters; what does not fit ends in an ellipsis."""
    found = textwrap.wrap(printable(name), width, max_lines=lines, placeholder="…")
    return found or ["?"]
