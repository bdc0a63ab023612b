"""How is a small file of text or JSON read? Never more than a bound, and what cannot be is a Refusal."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal
from ltbv.files.reading import reading
from ltbv.files.text import parsed
from ltbv.report.elsewhere.rows import MOST_POINTS, check_size

MOST_TEXT = 1 << 30  # bytes of a text file
MOST_JSON = 1 << 27  # bytes of a JSON file, whose values take many times as much memory


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """UTF-8, with any ends of lines."""
    check_size(path)
    with reading(path, lambda why: f"cannot be read as text: {why}"):
        if (size := path.stat().st_size) > most:
            raise Refusal(f"{path} has {size:,} bytes; the most is {most:,}")
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """(number from 1, line without blanks around it) of each line that is not blank."""
    lines = []
    for at, line in enumerate(read_text(path).split("\n"), 1):
        if line := line.strip():
            lines.append((at, line))
        if len(lines) > MOST_POINTS:
            raise Refusal(f"{path} has more than {MOST_POINTS:,} lines")
    if not lines:
        raise Refusal(f"{path} has no lines with numbers")
    return lines


def as_number(word: str) -> int | None:
    """A whole number of at most 15 digits, or None."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 15 else None


def as_numbers(words: Sequence[str]) -> list[int] | None:
    """All of them as whole numbers, or None."""
    numbers = [number for word in words if (number := as_number(word)) is not None]
    return numbers if len(numbers) == len(words) else None


def natural(name: str) -> list[tuple[int, int | str]]:
    """Sorts as people do: image 2 before image 10."""
    return [(0, int(part)) if at % 2 else (1, part) for at, part in enumerate(re.split(r"([0-9]+)", name))]


def numbered_lines(path: Path, lines: list[tuple[int, str]] | None = None) -> tuple[list[int], list[str] | None]:
    """The number at the end of each line (of the file's, unless some are given), and what stands before it, if every
    line has that: a blank, or a comma, semicolon or colon, is between."""
    numbers, before = [], []
    for at, line in read_lines(path) if lines is None else lines:
        words = line.rsplit(None, 1)
        if as_number(words[-1]) is None and (separated := re.fullmatch(r"(.*\S)\s*[,;:]\s*([0-9]+)", line)):
            words = list(separated.groups())
        number = as_number(words[-1])
        if number is None:
            raise Refusal(f"{path} has {line[:60]!r} in line {at}: give a number, or a path, a blank and a class id")
        numbers.append(number)
        before += words[:-1]
    if before and len(before) < len(numbers):
        raise Refusal(f"{path} has a path in {len(before)} of {len(numbers)} lines: give one in each line, or in none")
    return numbers, [_unquoted(word.rstrip(" \t,;")) for word in before] or None


def _unquoted(word: str) -> str:
    """Without the quotes that a .csv has around a name with a comma in it."""
    quoted = len(word) > 2 and word[0] == word[-1] == '"'
    return word[1:-1].replace('""', '"') if quoted else word


def read_json(path: Path) -> Any:
    """What a JSON file holds; a key that is there twice is refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        times = Counter(key for key, _ in pairs)
        if len(times) < len(pairs):
            raise ValueError(f"{max(times, key=times.__getitem__)!r} is there twice")
        return dict(pairs)

    with reading(path, lambda why: f"cannot be read as JSON: {why}"):
        return parsed(read_text(path, MOST_JSON), object_pairs_hook=once)
