"""What are the runs of a method, test point by test point? Files are read one after another; the first run of all
settles the test points, and the rows of every other one are put into that order."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere import files
from ltbv.report.elsewhere.assemble import Run
from ltbv.report.elsewhere.classes import Classes
from ltbv.report.elsewhere.guesses import Agreement
from ltbv.report.elsewhere.listings import some
from ltbv.report.elsewhere.points import Points, settle
from ltbv.report.elsewhere.rows import Judged, Rows, Scores, check_range
from ltbv.report.elsewhere.scores import differing, judge
from ltbv.report.elsewhere.twice import refuse_chance

MOST_LINES = 3  # on contradictions within the files of a method


@dataclass
class Reader:
    """Reads the runs of one method after another.

    classes    which classes there are; `called`: role -> name of a field, see `roles.called`
    agreement  on what names the test points
    given      the labels of a file of their own, or None
    """

    classes: Classes
    agreement: Agreement
    given: Points | None
    called: Mapping[str, str]
    _points: Points | None = None

    @property
    def points(self) -> Points:
        """The test points, once a run is read."""
        assert self._points is not None
        return self._points

    def runs(self, key: str, source: Path, notes: list[str]) -> list[Run]:
        """The runs of one method; what a reader must know of them is added to `notes`."""
        found, passed = files.find(source)
        if passed:
            more = " and more" if len(passed) > 5 else ""
            notes.append(f"{key}: passed over in {source}: {', '.join(passed[:5])}{more}.")
        runs: dict[str, Run] = {}
        unused: dict[str, None] = {}
        guessed: dict[str, None] = {}
        nameless: list[str] = []
        contradicted: list[str] = []
        for name, path in found.items():
            rows = self._rows(path, name, several=not source.is_dir())
            unused |= dict.fromkeys(rows.unused)
            guessed |= dict.fromkeys([rows.guessed_ids] if rows.guessed_ids is not None else [])
            if taken := [run for run in rows.runs if run in runs]:
                raise Refusal(f"{path} has run {taken[0]!r}, which another file of {source} has too")
            runs |= {run.name: run for run in self._in_order(rows, contradicted)}
            nameless += [path.name] if rows.ids is None and self.points.ids is not None else []
        notes += [f"{key}: {line}" for line in contradicted[:MOST_LINES]]
        if len(contradicted) > MOST_LINES:
            notes.append(f"{key}: and so {len(contradicted) - MOST_LINES} times more.")
        if nameless:
            order = f"taken in the order of {self.points.source}"
            notes.append(f"{key}: test points are not named in {some(nameless)}, and {order}.")
        if guessed:
            notes.append(f"{key}: test points are matched by {some(list(guessed))}.")
        if unused:
            notes.append(f"{key}: in its files, but not used: {some(list(unused))}.")
        return list(runs.values())

    def _rows(self, path: Path, run: str, *, several: bool) -> Rows:
        """What a file says, with class ids, and with names of test points where all agree on them."""
        labelled = self.given is not None or self._points is not None
        rows = files.read(path, run, self.classes.number, labelled=labelled, several=several, called=self.called)
        rows = self.agreement.settled(self.classes.of_rows(rows))
        judged = rows.judged
        for field, ids in (
            ("label", rows.labels),
            ("pred", None if judged is None else judged.predictions),
            ("negative", None if judged is None else judged.negatives),
        ):
            if ids is not None:
                check_range(ids, self.classes.number, f"{rows.path}: {field}")
        return rows

    def _in_order(self, rows: Rows, contradicted: list[str]) -> list[Run]:
        """The runs of one file, their rows in the order of the test points; lines on what it says twice, and not
        alike."""
        last = np.bincount(rows.run_of, minlength=len(rows.runs)).cumsum()
        own_rows = np.split(np.argsort(rows.run_of, kind="stable"), last[:-1])
        true = np.empty(rows.run_of.size, np.intp)
        places = []
        for run, own in zip(rows.runs, own_rows, strict=True):
            where = str(rows.path) if len(rows.runs) == 1 else f"{rows.path}, run {run!r},"
            where += "" if rows.guessed_ids is None else f" (test points named by {rows.guessed_ids!r})"
            ids, labels = (None if values is None else values[own] for values in (rows.ids, rows.labels))
            self._points = self._points or settle(self.given, ids, labels, where)
            at = self.points.place(ids, labels, own.size, where)
            true[own] = self.points.labels[at]
            places.append(own[np.argsort(at)])  # the row of each test point
        judged = _judged(rows, true, self.classes.number)
        whole = Run.of("", rows.preds, judged)
        contradicted += rows.claims.check(whole.predictions, true, rows.run_of, rows.path)
        return [whole.part(run, own) for run, own in zip(rows.runs, places, strict=True)]


def _judged(rows: Rows, true: np.ndarray, num_classes: int) -> Judged | None:
    """What the scores of a file amount to, which it has itself or in their place; None: it has neither."""
    if rows.scores is not None:
        return _judge(rows, rows.scores, true, num_classes)
    if rows.judged is None:
        return None
    if rows.judged.negatives is not None and (wrong := int((rows.judged.negatives == true).sum())):
        raise Refusal(
            f"{rows.path}: negative, another class than the true one, is the true one at {wrong} of {true.size} points:"
            " the labels are not those of these predictions, or in another order"
        )
    return replace(rows.judged, differs=differing(rows.judged, true))


def _judge(rows: Rows, scores: Scores, true: np.ndarray, num_classes: int) -> Judged:
    """Of the scores themselves. Refused: predictions beside them that agree with them by chance alone, and two kinds of
    scores that are highest for different classes."""
    where = str(rows.path)
    judged = judge(scores.blocks(), true, num_classes, scores.kind, where, rows.preds)
    if rows.preds is not None and judged.differs.any():
        of_scores = np.where(judged.differs, judged.predictions, rows.preds)
        refuse_chance(rows.preds, of_scores, f"{where}: its predictions are the class of the highest of its scores")
    if rows.others is not None:
        others = rows.others
        second = judge(others.blocks(), true, num_classes, others.kind, where, judged.predictions)
        if second.differs.any():
            back = judge(scores.blocks(), true, num_classes, scores.kind, where, second.predictions)
            if differ := int((second.differs & back.differs).sum()):
                raise Refusal(
                    f"{where} has {scores.kind} and {others.kind} that are highest for different classes at {differ:,}"
                    f" of {true.size:,} points; take out what is not to be used"
                )
    return judged
