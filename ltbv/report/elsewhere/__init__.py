"""Predictions that were made elsewhere, as evidence for a report: no training, no torch.

    files      which files hold the runs of a method
    rows       what a file says, in one form for all formats, which `npz` (of `archives` and
               `arrays`; `judged` for what a study writes) and `columns` (of `delimited`, .csv, and `parquet`) read;
               `roles` tells what a field is about
    classes    which classes there are, and which are meant by names
    guesses    which field names the test points where no name says so
    points     which test points that is about: runs are matched by sample id
    scores     what logits or probabilities amount to, a block at a time
    twice      whether what a file says twice is alike
    assemble   runs become evidence, with what a reader must know of them
    counts     training images of each class, matched by class id or name
    listings   names of the classes, true labels (`texts` reads their lines)
    clusters   test points that belong together
    memory     what is no array yet, for those who have predictions in memory (`report.analysis`)

`read_elsewhere` walks through them in this order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.report import published
from ltbv.report.elsewhere import files
from ltbv.report.elsewhere.assemble import UNKNOWN, Run, evidence_of, in_order, method_runs, without_counts
from ltbv.report.elsewhere.classes import Classes
from ltbv.report.elsewhere.clusters import read_clusters
from ltbv.report.elsewhere.counts import read_counts, why_no_ids
from ltbv.report.elsewhere.guesses import Agreement
from ltbv.report.elsewhere.listings import read_labels, read_names, some
from ltbv.report.elsewhere.points import Points, settle
from ltbv.report.elsewhere.rows import NOTHING, Judged, Rows, check_range
from ltbv.report.elsewhere.scores import differing, judge
from ltbv.report.elsewhere.twice import refuse_chance
from ltbv.report.evidence import Evidence

MOST_LINES = 3  # on contradictions within the files of a method


def read_elsewhere(
    sources: Mapping[str, Path | str],
    train_counts: Path | str | None = None,
    labels: Path | str | None = None,
    classes: Path | str | None = None,
    *,
    columns: Mapping[str, str] = NOTHING,
    clusters: Path | str | None = None,
    reference: str | None = None,
    many: float | None = None,
    few: float | None = None,
    dataset: str = "predictions from elsewhere",
    scheme: str = UNKNOWN,
) -> Evidence:
    """The evidence in files of predictions; what cannot be right is refused, file and field named.

    sources       method -> directory with a file for each run (or with a sub-directory for each, which holds one file),
                  or one file. Formats: .npz and .npy (`npz.read_npz`, `read_npy`), .csv and .parquet
                  (`columns.read_table`), which may hold all runs
    train_counts  training images of each class: see `counts.read_counts`; None: nothing is said of many, medium and few
    labels        true labels, where the predictions do not bring them: see `listings.read_labels`
    classes       class names: see `listings.read_names`
    columns       role -> name of the field that has it, where that is not found by itself: see `roles.called`
    clusters      test points that belong together: see `clusters.read_clusters`
    reference     the method that others are compared with; None: 'ce', or the first
    many, few     a class with more than `many` training images is many, with fewer than `few` is few; None: 100 and 20,
                  or what is usual for the data set, see `published.thresholds`
    dataset       its name, which tells the published tables to compare with

    Labels and predictions may be class ids or class names: see `classes`. Test points are matched by id where the runs
    have ids, else by order. Runs of two methods are a pair where the numbers in their names agree. Scores are read in
    blocks: memory grows with runs x points, not with classes.
    """
    if not sources:
        raise Refusal("no predictions are given: name a method and its directory, ce=DIR")
    names = read_names(Path(classes)) if classes else None
    sources, notes = in_order(sources, reference)
    counts, source = None, classes
    if train_counts is not None:
        counts, names = read_counts(Path(train_counts), names, notes)
        usual, source = published.thresholds(dataset, counts), classes or train_counts
        many, few = (of if limit is None else limit for limit, of in zip((many, few), usual, strict=True))
    elif many is not None or few is not None:
        raise Refusal("--many and --few divide the classes by their training images: give --train-counts FILE too")
    given = read_labels(Path(labels), names, columns) if labels else None
    size = len(names or ()) or None if counts is None else counts.size
    every = partial(_every, [Path(source) for source in sources.values()], size, columns)
    nameless = why_no_ids(names) if names is not None and not classes else None
    known = Classes(every, given, None if counts is None else counts.size, names, str(source), nameless)
    given = given and known.of_points(given)
    agreement = Agreement(lambda: map(known.of_rows, every()), given)
    given = agreement.labels()
    if given is not None and given.unused:
        notes.append(f"{given.source}: not used: {some(given.unused)}.")
    methods, points = [], None
    for key, source in sources.items():
        runs, points = _read_runs(key, Path(source), given, points, known, columns, notes, agreement)
        methods.append(method_runs(key, runs, notes))
    together = read_clusters(Path(clusters), points) if clusters else None
    if known.by_name:
        notes.append(known.line)
        names = known.names
    if counts is None:
        notes.append(without_counts(known.number, str(classes or "what the files speak of")))
    evidence = evidence_of(
        methods,
        points.labels,
        counts,
        names,
        notes,
        num_classes=known.number,
        many=many,
        few=few,
        dataset=dataset,
        scheme=scheme,
    )
    return replace(evidence, clusters=together)


def _every(sources: list[Path], num_classes: int | None, called: Mapping[str, str]) -> Iterator[Rows]:
    """What all files say, without their scores."""
    for source in sources:
        for name, path in files.find(source)[0].items():
            yield files.read(path, name, num_classes, labelled=True, several=not source.is_dir(), called=called)


def _read_runs(
    key: str,
    source: Path,
    given: Points | None,
    points: Points | None,
    classes: Classes,
    called: Mapping[str, str],
    notes: list[str],
    agreement: Agreement,
) -> tuple[list[Run], Points]:
    """The runs of one method, and the test points, which the first run of all settles."""
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
        labelled = given is not None or points is not None
        several = not source.is_dir()
        rows = files.read(path, name, classes.number, labelled=labelled, several=several, called=called)
        rows = agreement.settled(classes.of_rows(rows))
        unused |= dict.fromkeys(rows.unused)
        guessed |= dict.fromkeys([rows.guessed_ids] if rows.guessed_ids is not None else [])
        if taken := [run for run in rows.runs if run in runs]:
            raise Refusal(f"{path} has run {taken[0]!r}, which another file of {source} has too")
        of_file, points = _place(rows, given, points, classes.number, contradicted)
        runs |= {run.name: run for run in of_file}
        nameless += [path.name] if rows.ids is None and points.ids is not None else []
    notes += [f"{key}: {line}" for line in contradicted[:MOST_LINES]]
    if len(contradicted) > MOST_LINES:
        notes.append(f"{key}: and so {len(contradicted) - MOST_LINES} times more.")
    if nameless:
        notes.append(
            f"{key}: test points are not named in {some(nameless)}, and taken in the order of {points.source}."
        )
    if guessed:
        notes.append(f"{key}: test points are matched by {some(list(guessed))}.")
    if unused:
        notes.append(f"{key}: in its files, but not used: {some(list(unused))}.")
    return list(runs.values()), points


def _place(
    rows: Rows, given: Points | None, points: Points | None, num_classes: int, contradicted: list[str]
) -> tuple[list[Run], Points]:
    """The runs of one file, their rows in the order of the test points; lines on what it says twice, and not alike."""
    of_scores = rows.judged
    for field, ids in (
        ("label", rows.labels),
        ("pred", of_scores and of_scores.predictions),
        ("negative", of_scores and of_scores.negatives),
    ):
        if ids is not None:
            check_range(ids, num_classes, f"{rows.path}: {field}")
    last = np.bincount(rows.run_of, minlength=len(rows.runs)).cumsum()
    own_rows = np.split(np.argsort(rows.run_of, kind="stable"), last[:-1])
    true = np.empty(rows.run_of.size, np.intp)
    places = []
    for run, own in zip(rows.runs, own_rows, strict=True):
        where = str(rows.path) if len(rows.runs) == 1 else f"{rows.path}, run {run!r},"
        where += "" if rows.guessed_ids is None else f" (test points named by {rows.guessed_ids!r})"
        ids, labels = (None if values is None else values[own] for values in (rows.ids, rows.labels))
        points = points or settle(given, ids, labels, where)
        at = points.place(ids, labels, own.size, where)
        true[own] = points.labels[at]
        places.append(np.argsort(at))  # the row of each test point, among the run's own
    judged = of_scores
    if judged and judged.negatives is not None and (wrong := int((judged.negatives == true).sum())):
        raise Refusal(
            f"{rows.path}: negative, another class than the true one, is the true one at {wrong} of {true.size} points:"
            " the labels are not those of these predictions, or in another order"
        )
    if judged:
        judged = replace(judged, differs=differing(judged, true))
    if rows.blocks:
        judged = _judge(rows, true, num_classes)
    predictions = judged.predictions if rows.preds is None else rows.preds
    contradicted += rows.claims.check(predictions, true, rows.run_of, rows.path)
    runs = []
    for run, own, at in zip(rows.runs, own_rows, places, strict=True):
        scores = judged and judged.take(own[at])
        runs.append(Run.of(run, None if rows.preds is None else rows.preds[own[at]], scores))
    return runs, points


def _judge(rows: Rows, true: np.ndarray, num_classes: int) -> Judged:
    """What the scores of a file amount to. Refused: predictions beside them that agree with them by chance alone, and
    two kinds of scores that are highest for different classes."""
    judged = judge(rows.blocks(), true, num_classes, rows.kind, str(rows.path), rows.preds)
    if rows.preds is not None and judged.differs.any():
        of_scores = np.where(judged.differs, judged.predictions, rows.preds)
        refuse_chance(rows.preds, of_scores, f"{rows.path}: its predictions are the class of the highest of its scores")
    if rows.others:
        kind, blocks = rows.others
        second = judge(blocks(), true, num_classes, kind, str(rows.path), judged.predictions)
        if second.differs.any():
            back = judge(rows.blocks(), true, num_classes, rows.kind, str(rows.path), second.predictions)
            if differ := int((second.differs & back.differs).sum()):
                raise Refusal(
                    f"{rows.path} has {rows.kind} and {kind} that are highest for different classes at {differ:,} of"
                    f" {true.size:,} points; take out what is not to be used"
                )
    return judged
