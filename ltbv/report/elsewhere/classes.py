"""Which classes are there, and which of them is meant by a name? Labels and predictions are class ids, or class names.

The order of the names is that of the class ids: it is that of --classes, else of the training counts by name, else it
is alphabetical (that of `sorted`) over all names in all files, which is then said. Ids and names are mixed only where
one of the first two says what they have to do with each other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from ltbv.errors import Refusal
from ltbv.report.elsewhere.points import Points
from ltbv.report.elsewhere.roles import WHOLE
from ltbv.report.elsewhere.rows import NUMBER, Rows, Scores, check_range
from ltbv.report.elsewhere.texts import natural
from ltbv.report.evidence import MOST_CLASSES
from ltbv.report.names import check_names

MISSING = {"", "nan", "none", "null", "na", "<na>", "n/a"}
CURE = "give --classes FILE, the names in the order of class ids"


def is_text(values: np.ndarray) -> bool:
    """Are these names, not ids?"""
    return values.dtype.kind in "OUS"


@dataclass(frozen=True)
class Classes:
    """C classes. `every` reads the rows of all files, and is asked only where nothing else says what classes there are.

    given    what a file of labels says, or None
    counted  number of classes that training counts speak of, or None where there are none
    named    class names, or None; `source` says where they are from
    nameless why the order of `named` says nothing of class ids, so that all files must have names: see
             `counts.why_no_ids`; None where it does
    """

    every: Callable[[], Iterator[Rows]]
    given: Points | None = None
    counted: int | None = None
    named: tuple[str, ...] | None = None
    source: str = ""
    nameless: str | None = None
    _met: list[str] = field(default_factory=list, init=False, repr=False)  # where names were met

    @cached_property
    def number(self) -> int:
        """C: of the counts, of the names, or the most that any file speaks of."""
        if self.counted is not None:
            return self.counted
        if self.named is not None:
            return len(self.named)
        words, highest, width = self._said
        number = len(self.names) if words else max(highest + 1, width)
        if not 2 <= number <= MOST_CLASSES:
            raise Refusal(
                f"{self._first} speaks of {number:,} class{'es' * (number != 1)}; there must be from 2 to"
                f" {MOST_CLASSES:,} (--train-counts FILE or --classes FILE says how many there are)"
            )
        return number

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of class ids, where labels or predictions are names."""
        if self.named is not None:
            return self.named
        words, highest, width = self._said
        some = ", ".join(map(repr, sorted(words)[:3]))
        if highest >= 0:
            raise Refusal(f"{self._first} has class names ({some}), and there are class ids beside; {CURE}")
        if self.counted is not None and len(words) != self.counted:
            raise Refusal(
                f"{self._first} has class names, {len(words)} with those of all files, but there are training counts of"
                f" {self.counted} classes; {CURE}"
            )
        if width not in (0, len(words)):
            raise Refusal(
                f"{self._first} has class names, {len(words)} with those of all files, but scores are of {width}"
                f" classes; {CURE}"
            )
        order = sorted(words)
        if (self.counted is not None or width) and order != sorted(words, key=natural):
            raise Refusal(
                f"{self._first} has class names ({some}) whose alphabetical order is not that of their numbers, so that"
                f" it says nothing of their class ids; {CURE}"
            )
        return check_names(order, self._first)

    @property
    def by_name(self) -> bool:
        """Are labels or predictions names, in any of the files that were read?"""
        return bool(self._met)

    @property
    def line(self) -> str:
        """What to say where labels or predictions are names."""
        order = f"the order of {self.source}" if self.named is not None else "alphabetical order"
        return f"labels or predictions are class names; class ids are their places in {order}."

    @cached_property
    def _said(self) -> tuple[set[str], int, int]:
        """All class names that labels and predictions have, the highest id (-1: none), and the most classes of
        scores."""
        words, highest, width = set(), -1, 0
        own = [] if self.given is None else [(self.given.source, self.given.labels)]
        for where, values in [*own, *self._of_files()]:
            if isinstance(values, int):
                width = max(width, values)
            elif is_text(values):
                found = pd.unique(values.astype(object))
                _refuse_no_name(values, found, where)
                words |= set(found.tolist())
            elif values.size:
                highest = max(highest, int(values.max()))
        return words, highest, width

    def _of_files(self) -> Iterator[tuple[str, np.ndarray | int]]:
        for rows in self.every():
            judged = None if rows.judged is None else rows.judged.predictions
            for name, values in (("label", rows.labels), ("pred", rows.preds), ("pred", judged)):
                if values is not None:
                    yield f"{rows.path}: {name}", values
            if rows.scores is not None and rows.scores.classes is not None:
                yield f"{rows.path}: its columns of scores", np.array(rows.scores.classes, object)
            elif rows.scores is not None:
                yield str(rows.path), rows.scores.width

    @property
    def _first(self) -> str:
        """What to name in a refusal."""
        return next((where for where, _ in self._of_files()), "nothing") if self.given is None else self.given.source

    def ids(self, values: np.ndarray, where: str) -> np.ndarray:
        """Class ids (n,) of ids or names; `where` is what to call them in a refusal."""
        if not is_text(values):
            self._refuse_ids(where)
            self._refuse_numbers_of_two_kinds(values, where)
            check_range(values, self.number, where)
            return values
        self._met.append(where)
        codes, words = pd.factorize(values.astype(object))
        at = {name: place for place, name in enumerate(self.named or ())}
        if not all(word in at for word in words):
            _refuse_no_name(values, words, where)
            at = {name: place for place, name in enumerate(self.names)}
        if unknown := [word for word in words if word not in at]:
            row = int((codes == list(words).index(unknown[0])).argmax())
            some = ", ".join(map(repr, self.names[:8])) + (", …" if len(self.names) > 8 else "")
            raise Refusal(f"{where} is {unknown[0][:60]!r} in row {row} (from 0), which is no class; there is: {some}")
        return np.array([at[word] for word in words], np.int64)[codes]

    def _refuse_ids(self, where: str) -> None:
        if self.nameless is not None:
            raise Refusal(
                f"{self.source} has {self.nameless}, which says nothing of their class ids, and {where} has ids; {CURE}"
            )

    def _refuse_numbers_of_two_kinds(self, values: np.ndarray, where: str) -> None:
        """Refuses whole numbers that may be class ids or class names, where these are numbers in another order."""
        if self.named is None or not all(WHOLE.fullmatch(name) for name in self.named):
            return
        numbers = list(map(int, self.named))
        if numbers != list(range(len(numbers))) and np.isin(values, numbers).all():
            raise Refusal(
                f"{where} has whole numbers, and so have the class names of {self.source}, in another order than that"
                " of the ids: these may be ids or names; give names that are no numbers"
            )

    def of_rows(self, rows: Rows) -> Rows:
        """The rows with class ids where they have names."""
        labels, preds = (
            None if values is None else self.ids(values, f"{rows.path}: {name}")
            for name, values in (("label", rows.labels), ("pred", rows.preds))
        )
        if rows.scores is not None and rows.scores.classes is not None:
            rows = replace(rows, scores=self._in_order(rows.scores, rows.scores.classes, str(rows.path)))
        elif rows.scores is not None or rows.judged is not None:
            self._refuse_ids(f"{rows.path}: what its scores are of")
        return replace(rows, labels=labels, preds=preds)

    def _in_order(self, scores: Scores, classes: Sequence[str], where: str) -> Scores:
        """Scores of these classes in the order of class ids."""
        if differ := sorted(set(classes) ^ set(self.names)):
            has = differ[0] in classes
            of = f"scores of {differ[0]!r}, which is no class" if has else f"no scores of the class {differ[0]!r}"
            raise Refusal(f"{where} has {of}; there is: {', '.join(map(repr, self.names[:8]))}")
        self._met.append(where)
        order = [classes.index(name) for name in self.names]
        return replace(scores, classes=None, blocks=lambda: (block[:, order] for block in scores.blocks()))

    def of_points(self, points: Points) -> Points:
        """The test points with class ids where a file has names."""
        return replace(points, labels=self.ids(points.labels, f"{points.source}: label"))


def _refuse_no_name(values: np.ndarray, words: np.ndarray, where: str) -> None:
    """Refuses words that name nothing, and numbers: where names are not known, they are ids that went wrong."""
    wrong = [word for word in words if word.lower() in MISSING]
    if not wrong and any(map(NUMBER.fullmatch, words)):
        wrong = [word for word in words if not WHOLE.fullmatch(word)]
    if wrong:
        row = int((values == wrong[0]).argmax())
        raise Refusal(f"{where} is {wrong[0][:60]!r} in row {row} (from 0); class ids are integers, or all are names")
