"""What does a source list? Files with labels; here labels become classes, and what cannot be is refused."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from ltbv.data.images.decode import Header
from ltbv.errors import Refusal, one_line

MOST_CLASSES = 65_535
WHOLE = re.compile(r"[+-]?[0-9]+")
POINT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Seen(NamedTuple):
    """What was looked at: sha256 of its bytes and its header, or the kind of fault."""

    digest: bytes
    header: Header | None
    fault: str


@dataclass(frozen=True, eq=False)
class Content:
    """An image that no path leads to. `give` gives its bytes, each time anew; `seen` is what they were at first."""

    shown: str
    give: Callable[[], bytes]
    seen: Seen

    def read(self) -> bytes:
        """The bytes, which must be those that were looked at."""
        data = self.give()
        if sha256(data).digest() != self.seen.digest:
            raise Refusal(f"{self.shown} is another image each time that it is read; give images before the transform")
        return data


class Item(NamedTuple):
    """One image: a path to open, or its content; `shown`, as its source calls it; its label; is it of the test set?"""

    file: str | Content
    shown: str
    label: str
    test: bool = False
    group: str = ""  # of what is not independent of it; '' where that is of itself


class Amiss(NamedTuple):
    """A file that will not do, and what kind of fault it is."""

    shown: str
    label: str
    kind: str
    test: bool = False


@dataclass
class Found:
    """What reading a source gave.

    name     what the data set is called unless the user says otherwise
    classes  class folders that there are, empty ones too; None where classes are what labels say
    notes    what a reader of results must know
    """

    name: str
    items: list[Item] = field(default_factory=list)
    amiss: list[Amiss] = field(default_factory=list)
    classes: list[str] | None = None
    notes: list[str] = field(default_factory=list)


def some(names: Iterable[object], most: int = 3) -> str:
    """The first few of them, and that there are more; what a terminal would obey is escaped."""
    every = [one_line(str(name)) for name in names]
    return ", ".join(every[:most]) + (", …" if len(every) > most else "")


def natural(name: str) -> tuple[object, ...]:
    """Sorts `class 10` after `class 9`."""
    parts = re.split("([0-9]+)", name)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part), name


def label_of(value: Any, where: str) -> str:
    """A label as text: a name or a whole number; anything else is refused."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        missing = value is None or str(value) in ("nan", "NaT", "<NA>")
        raise Refusal(f"{where} has {'no label' if missing else f'the label {value!r}'}; give names or whole numbers")
    text = str(value).strip()
    if not text:
        raise Refusal(f"{where} has no label; give names or whole numbers")
    if POINT.fullmatch(text):
        raise Refusal(f"{where} has the label {text}; give names or whole numbers")
    return str(int(text)) if WHOLE.fullmatch(text) else text


def check_numbers(labels: Iterable[str], where: str) -> None:
    """Labels that are all whole numbers must be 0 to C - 1."""
    every = set(labels)
    if not every or not all(WHOLE.fullmatch(label) for label in every):
        return
    numbers = {int(label) for label in every}
    if min(numbers) < 0:
        raise Refusal(f"{where}: label {min(numbers)}; numbers of classes are 0 to C - 1, or give names")
    span = max(numbers) + 1
    if span > len(numbers):
        lacking = [k for k in range(min(span, MOST_CLASSES + 1)) if k not in numbers]
        raise Refusal(
            f"{where}: labels go up to {span - 1}, and {span - len(numbers)} below it have no image"
            f" ({some(lacking)}); number the classes 0 to {len(numbers) - 1}, or give names"
        )


def class_names(train: Sequence[str], test: Sequence[str], where: str, *, drop_unseen: bool) -> list[str]:
    """The classes in their order, from the labels of all training and all test images."""
    known = set(train)
    if (unseen := sorted(set(test) - known, key=natural)) and not drop_unseen:
        raise Refusal(
            f"{where}: {len(unseen)} classes are in the test set and have no training image ({some(unseen)});"
            " --drop-unseen leaves their test images out"
        )
    if len(known) < 2:
        raise Refusal(f"{where}: {len(known)} class{'es' * (len(known) != 1)} with training images; at least 2")
    if len(known) > MOST_CLASSES:
        raise Refusal(f"{where}: {len(known):,} classes; at most {MOST_CLASSES:,}")
    return sorted(known, key=natural)


def alike(names: Iterable[str]) -> list[str]:
    """Names that differ from another one only in how Unicode composes their letters."""
    forms = Counter(unicodedata.normalize("NFC", name) for name in set(names))
    return sorted(form for form, times in forms.items() if times > 1)


def check_paths(items: Sequence[Item], where: str, *, duplicates: str) -> list[str]:
    """Refuses a path with two labels, or twice where that is not wanted; gives notes."""
    first: dict[str | Content, Item] = {}
    twice = []
    for item in items:
        other = first.setdefault(item.file, item)
        if other is item:
            continue
        if other.label != item.label:
            raise Refusal(f"{where}: {item.shown} has two labels, {other.label} and {item.label}")
        if other.test != item.test:
            raise Refusal(f"{where}: {item.shown} is in the training set and in the test set; leave it out of one")
        twice.append(item.shown)
    if twice and duplicates == "refuse":
        raise Refusal(
            f"{where}: {len(twice)} paths are listed twice ({some(twice)}); --duplicates keep counts them twice"
        )
    notes = [f"{len(twice)} paths are listed twice, and count twice"] if twice else []
    if strange := alike(item.shown for item in items):
        notes.append(f"{len(strange)} paths differ only in how their letters are composed ({some(strange)})")
    return notes
