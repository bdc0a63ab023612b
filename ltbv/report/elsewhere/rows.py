"""What does a file of predictions say, row by row? One form for all formats, in the file's own order of rows."""

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.roles import Roles
from ltbv.report.elsewhere.twice import Claims

BLOCK = 1 << 19  # scores (rows x classes) read at once: 2 MB of float32, which stay in the processor's cache
MOST_POINTS = 10**7  # beyond, a shape is taken for damage, and nothing is allocated for it
MOST_BYTES = 1 << 31  # of an array that must be read as a whole
LONGEST_ID = 1000  # characters of the name of a test point; all are kept at the length of the longest
LOGITS, PROBS = "logits", "probs"
NOTHING: Mapping[str, str] = MappingProxyType({})
Names = Sequence[str] | np.ndarray  # (n,) text
Blocks = Callable[[], Iterator[np.ndarray]]  # reads scores in consecutive blocks (rows, C)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True)
class Scores:
    """Scores of C classes for each of n rows.

    kind    'logits' or 'probs'; None: the values tell it
    blocks  reads them in consecutive blocks (rows, C)
    width   C
    classes names of the classes (C,) in the order of `blocks`, where the file says so; None: that of their ids
    """

    kind: str | None
    blocks: Blocks
    width: int
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Rows:
    """n rows, each about one test point of one run.

    run     names of the runs, and (n,) which of them each row is of
    labels  (n,) true class ids, or class names (text, see `classes`), or None
    ids     (n,) text that names the test point, or None
    preds   (n,) predicted class ids or names, or None
    scores  if the file has any
    judged  what scores amounted to, (n,) each, where the file holds that in their place
    others  further scores in the file, which are compared and not used
    claims  what is said of right and wrong, see `twice`
    unused  names of fields that say nothing here
    guesses what may name the test points where `ids` is None: see `guesses`
    guessed_ids   name of the field that does, where its values alone say so
    """

    path: Path
    runs: tuple[str, ...]
    run_of: np.ndarray
    labels: np.ndarray | None = None
    ids: np.ndarray | None = None
    preds: np.ndarray | None = None
    scores: Scores | None = None
    judged: "Judged | None" = None
    others: Scores | None = None
    claims: Claims = field(default_factory=Claims)
    unused: tuple[str, ...] = ()
    guesses: "Guesses" = field(default_factory=lambda: Guesses())
    guessed_ids: str | None = None

    @classmethod
    def of_several(
        cls,
        path: Path,
        runs: tuple[str, ...],
        points: int,
        labels: np.ndarray | None = None,
        ids: np.ndarray | None = None,
    ) -> "Rows":
        """R runs over the same N points, run by run; `labels` and `ids` are (N,)."""

        def again(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else np.tile(values, len(runs))

        return cls(path, runs, np.repeat(np.arange(len(runs)), points), again(labels), again(ids))

    def with_(self, **fields: Any) -> "Rows":
        """The same rows, and what else is known of them."""
        return replace(self, **fields)


@dataclass(frozen=True)
class Guesses:
    """Fields that may name the test points, since their values differ within each run.

    ids        name of a field -> (n,) text, the likeliest first
    strangers  those whose name says nothing either
    unnamed    refuses what cannot be told apart if none of these names the test points
    """

    ids: dict[str, np.ndarray] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()
    unnamed: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, roles: Roles, ids_of: Callable[[str], Names]) -> "Guesses":
        """Those of the fields whose values can be names."""
        ids = {}
        for name in roles.guesses:
            with suppress(Refusal):  # text that is too long, such as lists of scores
                ids[name] = as_ids(ids_of(name), name)
        if roles.guesses and not ids:
            roles.unnamed()
        return cls(ids, roles.strangers, roles.unnamed)


@dataclass(frozen=True)
class Labelled:
    """What a file of true labels says of N test points: `labels` (N,), class ids, or names (text); names of the points,
    `ids` (N,), or what may be, `guesses`; and names of fields that say nothing, `unused`."""

    labels: np.ndarray
    ids: Names | None = None
    guesses: Guesses = field(default_factory=Guesses)
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """What scores amount to, arrays (N,) as in `MethodRuns`; None: not known.

    kind    what the scores were taken for, 'logits' or 'probs'
    tied    does another score tie with the highest? Asked where they are `coarse`: 'float16', 'bfloat16', 'rounded'
    differs is the prediction that stands beside the scores another than theirs? False where none stands there
    off_by  how far sums of rounded probabilities are from 1, at most
    """

    predictions: np.ndarray
    p_true: np.ndarray
    p_negative: np.ndarray
    negatives: np.ndarray | None
    kind: str
    differs: np.ndarray
    tied: np.ndarray | None = None
    coarse: str = ""
    off_by: float = 0.0
    experts_used: np.ndarray | None = None
    sum_p2: np.ndarray | None = None
    ranks: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Judged":
        """The same of some rows, in the order given."""
        arrays = {name: values for name, values in vars(self).items() if isinstance(values, np.ndarray)}
        return replace(self, **{name: values[rows] for name, values in arrays.items()})


def check_range(ids: np.ndarray, num_classes: int, where: str) -> None:
    """Refuses class ids (n,) outside 0 to C - 1."""
    if ids.size and (wrong := (ids < 0) | (ids >= num_classes)).any():
        at = int(wrong.argmax())
        from_one = ", and these seem to count from 1" if ids.min() > 0 and ids.max() == num_classes else ""
        raise Refusal(f"{where} is {ids[at]} in row {at} (from 0); class ids go from 0 to {num_classes - 1}{from_one}")


def as_ids(names: Names, where: str) -> np.ndarray:
    """Names of test points (n,) as an array, each of which takes as much memory as the longest."""
    names = plain_numbers(names)
    longest = max(map(len, names), default=0)
    if longest > LONGEST_ID or 4 * longest * len(names) > MOST_BYTES:
        raise Refusal(
            f"{where} has {len(names):,} names of test points, the longest of {longest:,} characters; the most is"
            f" {LONGEST_ID:,}, and {MOST_BYTES:,} bytes for all"
        )
    return np.asarray(names, np.str_)


def plain_numbers(names: Names) -> Names:
    """Names that are all numbers, those that are whole without a fraction: 3.0, as pandas writes it, is 3."""
    if all(map(str.isdigit, names)) or not all(map(NUMBER.fullmatch, names)):
        return names
    return [_plain_number(name) for name in names]


def _plain_number(name: str) -> str:
    if not set(name) & set(".eE"):
        return name
    value = Decimal(name)  # never a float: ids may have 19 digits
    return f"{value:.0f}" if value == value.to_integral_value() else name


def check_size(path: Path) -> None:
    """Refuses what is neither a file nor a directory (a pipe or a device may never end), cannot be looked at, or is
    empty."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise Refusal(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise Refusal(f"{path} is no regular file, but a pipe, socket or device; write its content to a file first")
    if not found.st_size and stat.S_ISREG(found.st_mode):
        raise Refusal(f"{path} is empty (0 bytes)")
