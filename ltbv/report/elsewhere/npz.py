"""Which arrays of a file say what? Names as in `roles`; scores are read later, in blocks.

A file that is a method of its own may hold R runs, one a row: scores (R, N, C), `preds` (R, N), or what a study writes,
see `judged`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ltbv.errors import Refusal
from ltbv.report.elsewhere import judged
from ltbv.report.elsewhere.archives import Archive, Scored
from ltbv.report.elsewhere.arrays import Array, class_names_or_ids
from ltbv.report.elsewhere.rows import LOGITS, PROBS, Labelled, Rows, Scores
from ltbv.report.evidence import MOST_CLASSES

OF_PREDICTION = ("pred", LOGITS, PROBS)


def read_npz(path: Path, run: str, called: Mapping[str, str], *, several: bool = False) -> Rows:
    """`read_archive` of an .npz."""
    return read_archive(Archive.of(path, called), run, several=several)


def read_archive(archive: Archive, run: str, *, several: bool = False) -> Rows:
    """`logits` or `probs` (N, C), or `preds` (N,); optional `labels` (N,), and `sample_id` or `paths` (N,).

    `preds` beside scores are the predictions; the scores then only say how likely each class is. What a study of ltbv
    writes is read too.

    several  the file may hold several runs, scores (R, N, C) or `preds` (R, N), with their numbers in `runs` (R,);
             otherwise it is one run
    """
    path = archive.path
    if missing := [
        name for role, name in archive.called.items() if role in OF_PREDICTION and name not in archive.found
    ]:
        raise Refusal(f"{path} has no array {missing[0]!r}, as --columns says; {archive.there}")
    if archive.found.keys() >= judged.FIELDS and not archive.called:
        return judged.read(archive, run, several=several)
    scores = archive.scores
    preds = next(iter(archive.of_classes("pred")), None)
    if scores is not None:
        main = scores.array
    elif preds is not None:
        main = archive.found[preds]
    else:
        raise Refusal(f"{path} has no logits, probs or preds; {archive.there}")
    if several and is_stacked(main, scores=scores is not None):
        return _stacked(archive, main, scores, preds)
    if scores is not None:
        _check_scores(main)
    points = main.shape[0] if main.shape else 0
    predicted = class_names_or_ids(main) if scores is None else None
    archive.check_lengths(points)
    of_scores = None if scores is None else scores.name
    roles, values = archive.roles(points, without=(of_scores,))
    labels, ids = archive.labels_and_ids(roles)
    if roles.pred is not None:
        predicted = class_names_or_ids(archive.found[roles.pred])
    second = None
    if scores is not None and scores.kind == LOGITS and archive.is_like(PROBS, main):
        second = Scored(PROBS, PROBS, archive.found[PROBS])
    codes, names = np.zeros(points, np.intp), [run]
    if roles.run is not None:
        codes, names = pd.factorize(values[roles.run].astype(np.str_))
    return Rows(
        path,
        tuple(map(str, names)),
        codes,
        labels,
        ids,
        predicted,
        scores=None if scores is None else scores.scores,
        others=None if second is None else second.scores,
        claims=archive.claims(points),
        unused=archive.unused(of_scores, roles.label, roles.ids, roles.run, roles.pred),
        guesses=archive.guesses(roles),
    )


def _stacked(archive: Archive, main: Array, scores: Scored | None, preds: str | None) -> Rows:
    """R runs of scores (R, N, C), of predicted classes (R, N), or of both; `main` are the scores, if there are any."""
    if scores is not None:
        _check_scores(main, several=True)
    of_scores = None if scores is None else scores.name
    runs, points = main.shape[:2]
    if preds is not None and archive.found[preds].shape != (runs, points):
        raise Refusal(f"{archive.path}: {preds} has shape {archive.found[preds].shape}, but {of_scores} {main.shape}")
    predictions = None if preds is None else class_names_or_ids(archive.found[preds], several=True)
    roles, _ = archive.roles(points, without=(preds, of_scores))
    names, of_runs = archive.names_of_runs(runs)
    unused = archive.unused(preds, of_scores, of_runs, roles.label, roles.ids)
    found = Rows.of_several(archive.path, names, points, *archive.labels_and_ids(roles))
    for other in archive.of_classes("pred"):
        if (
            predictions is not None
            and archive.found[other].shape == predictions.shape
            and not np.array_equal(class_names_or_ids(archive.found[other], several=True), predictions)
        ):
            raise Refusal(f"{archive.path} has {preds!r} and {other!r}, which differ: take out what is no pred")
    claims, guesses = archive.claims(points, runs), archive.guesses(roles, runs)
    preds_of_all = None if predictions is None else predictions.ravel()
    found = found.with_(preds=preds_of_all, unused=unused, claims=claims, guesses=guesses)
    return found if scores is None else found.with_(scores=scores.scores)


def is_stacked(found: Array, *, scores: bool) -> bool:
    """(R, N) rather than a column (N, 1), or scores (R, N, C)?"""
    return len(found.shape) == 3 if scores else len(found.shape) == 2 and found.shape[1] > 1


def read_bare(path: Path, found: Array, run: str, *, several: bool = False) -> Rows:
    """One array: predicted class ids or names (N,), or with `several` runs (R, N); or scores (N, C) of one run, (R, N,
    C) of several, of which the values tell whether they are probabilities."""
    of_scores = len(found.shape) > 1 and found.dtype.kind not in "iuUS"
    if several and is_stacked(found, scores=of_scores):
        shape = found.shape[:2]
        rows = Rows.of_several(path, tuple(map(str, range(shape[0]))), shape[1])
        if of_scores:
            _check_scores(found, several=True)
            return rows.with_(scores=Scores(None, found.blocks, found.shape[-1]))
        return rows.with_(preds=class_names_or_ids(found, several=True).ravel())
    run_of = np.zeros(found.shape[0] if found.shape else 0, np.intp)
    if of_scores:
        _check_scores(found)
        return Rows(path, (run,), run_of, scores=Scores(None, found.blocks, found.shape[-1]))
    return Rows(path, (run,), run_of, preds=class_names_or_ids(found))


def read_label_arrays(archive: Archive) -> Labelled:
    """The labels of a file."""
    path = archive.path
    if not (names := archive.of_classes("label")):
        raise Refusal(f"{path} has no labels; {archive.there}")
    points = class_names_or_ids(archive.found[names[0]]).size
    archive.check_lengths(points)
    roles, values = archive.roles(points)
    if roles.run is not None and len(np.unique(values[roles.run])) > 1:
        raise Refusal(f"{path} has labels of several runs in {roles.run!r}; give those of one")
    labels, ids = archive.labels_and_ids(roles)
    assert labels is not None  # there is an array of them, and its length is that of all
    return Labelled(labels, ids, archive.guesses(roles), archive.unused(roles.label, roles.ids))


def _check_scores(found: Array, *, several: bool = False) -> None:
    if len(found.shape) != 2 + several or found.dtype.kind != "f" or found.shape[-1] > MOST_CLASSES:
        raise Refusal(
            f"{found.name} is {found.dtype} of shape {found.shape}; a file holds one run, and scores are floating point"
            " (N, C), unless it is all of a method, NAME=FILE: then they may be (R, N, C)"
        )
