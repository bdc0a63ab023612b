"""Which arrays of a .npz or .npy file say what? Names as in `roles`; scores are read later, in blocks.

A file that is a method of its own may hold R runs, one a row: `preds` (R, N), or what a study writes, see `judged`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ltbv.errors import Refusal
from ltbv.report.elsewhere import judged
from ltbv.report.elsewhere.archives import Archive
from ltbv.report.elsewhere.arrays import Stored, class_ids, stored
from ltbv.report.elsewhere.rows import LOGITS, PROBS, Guesses, Rows
from ltbv.report.evidence import MOST_CLASSES


def read_npz(path: Path, run: str, *, several: bool = False) -> Rows:
    """`logits` or `probs` (N, C), or `preds` (N,); optional `labels` (N,), and `sample_id` or `paths` (N,).

    `preds` beside scores are the predictions; the scores then only say how likely each class is. What a study of ltbv
    writes is read too.

    several  the file may hold several runs, `preds` (R, N), with their numbers in `runs` (R,); otherwise it is one run
    """
    archive = Archive.of(path)
    if archive.found.keys() >= judged.FIELDS:
        return judged.read(archive, run, several=several)
    kind = next((kind for kind in (LOGITS, PROBS) if kind in archive.found), None)
    preds = next(iter(archive.called("pred")), None)
    if kind is None and preds is None:
        raise Refusal(f"{path} has no logits, probs or preds; {archive.there}")
    main = archive.found[kind or preds]
    scores = _scores(main) if kind else None
    if several and kind is None and is_stacked(main):
        return _stacked(archive, preds)
    points = main.shape[0] if main.shape else 0
    predicted = class_ids(main) if kind is None else None
    archive.check_lengths(points)
    roles, values = archive.roles(points, without=(kind,))
    labels, ids = archive.labels_and_ids(roles)
    if roles.pred is not None:
        predicted = class_ids(archive.found[roles.pred])
    second = next((other for other in (PROBS,) if kind == LOGITS and archive.is_like(other, main)), None)
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
        kind,
        scores and scores.blocks,
        others=None if second is None else (second, archive.found[second].blocks),
        claims=archive.claims(points),
        unused=archive.unused(kind, roles.label, roles.ids, roles.run, roles.pred),
        guesses=archive.guesses(roles),
    )


def _stacked(archive: Archive, preds: str) -> Rows:
    """R runs of predicted labels (R, N)."""
    predictions = class_ids(archive.found[preds], several=True)
    runs, points = predictions.shape
    roles, _ = archive.roles(points, without=(preds,))
    names, of_runs = archive.names_of_runs(runs)
    unused = archive.unused(preds, of_runs, roles.label, roles.ids)
    found = Rows.of_several(archive.path, names, points, *archive.labels_and_ids(roles))
    for other in archive.called("pred"):
        if archive.found[other].shape == predictions.shape and not np.array_equal(
            class_ids(archive.found[other], several=True), predictions
        ):
            raise Refusal(f"{archive.path} has {preds!r} and {other!r}, which differ: take out what is no pred")
    claims, guesses = archive.claims(points, runs), archive.guesses(roles, runs)
    return found.with_(preds=predictions.ravel(), unused=unused, claims=claims, guesses=guesses)


def is_stacked(found: Stored) -> bool:
    """(R, N) rather than a column (N, 1)?"""
    return len(found.shape) == 2 and found.shape[1] > 1


def read_npy(path: Path, run: str, *, several: bool = False) -> Rows:
    """Predicted class ids (N,), or with `several` runs (R, N); or scores (N, C) of one run, of which the values tell
    whether they are probabilities."""
    found = stored(path)
    if several and is_stacked(found) and found.dtype.kind in "iu":
        rows = class_ids(found, several=True)
        names = tuple(map(str, range(len(rows))))
        return Rows.of_several(path, names, rows.shape[1]).with_(preds=rows.ravel())
    run_of = np.zeros(found.shape[0] if found.shape else 0, np.intp)
    if len(found.shape) == 2 and found.dtype.kind not in "iu":
        return Rows(path, (run,), run_of, blocks=_scores(found).blocks)
    return Rows(path, (run,), run_of, preds=class_ids(found))


def read_label_arrays(path: Path) -> tuple[np.ndarray, np.ndarray | None, Guesses, tuple[str, ...]]:
    """Labels (N,) of an .npz, names of the test points (N,), if any, or what may be, and names of arrays not used."""
    archive = Archive.of(path)
    if not (names := archive.called("label")):
        raise Refusal(f"{path} has no labels; {archive.there}")
    points = class_ids(archive.found[names[0]]).size
    archive.check_lengths(points)
    roles, values = archive.roles(points)
    if roles.run is not None and len(np.unique(values[roles.run])) > 1:
        raise Refusal(f"{path} has labels of several runs in {roles.run!r}; give those of one")
    labels, ids = archive.labels_and_ids(roles)
    return labels, ids, archive.guesses(roles), archive.unused(roles.label, roles.ids)


def _scores(found: Stored) -> Stored:
    if len(found.shape) != 2 or found.dtype.kind != "f" or found.shape[1] > MOST_CLASSES:
        raise Refusal(
            f"{found.name} is {found.dtype} of shape {found.shape}; a file holds one run, and scores are floating point"
            " (N, C)"
        )
    return found
