"""What a user can cause and mend: one line that names the thing, shows the value, says what would have worked.

`ltbv` on the command line prints it and exits with 2; every other exception is our fault and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_WORDS = 1500  # characters of a message


class Refusal(ValueError):
    """A request that cannot be carried out as it was put. The message is one line, for the person who asked."""

    def __init__(self, message: str):
        super().__init__(one_line(message))


def one_line(words: str) -> str:
    """Words that may come from a file, as one line of text: what a terminal would obey is escaped, and where they are
    very many, the middle gives way."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    half = MOST_WORDS // 2 - 2
    return shown if len(shown) <= MOST_WORDS else f"{shown[:half]} … {shown[-half:]}"


def words_of(error: BaseException) -> str:
    """What an exception says, its lines joined."""
    return " ".join(str(error).split())


def reason(error: BaseException) -> str:
    """What went wrong, in one line: a refusal's own words, any other exception with its name and what it says."""
    words = one_line(words_of(error))
    return words if isinstance(error, Refusal) else ": ".join(filter(None, (type(error).__name__, words)))


def unknown(what: str, name: str, known: Iterable[str]) -> Refusal:
    """The refusal of a name that is not in a table, or is no text at all: the nearest name, then all there are."""
    names, name = sorted(known), str(name)
    alike = [one for one in names if one.lower() == name.lower()]
    near = alike or get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return Refusal(f"unknown {what} {name!r}{hint}; there is: {', '.join(names)}")


def absent(what: str, error: ImportError, extra: str) -> Refusal:
    """Of a package that one of our extras brings, and that cannot be imported."""
    return Refusal(f"{what} is asked for, which cannot be imported ({error}); pip install 'ltbv[{extra}]'")
