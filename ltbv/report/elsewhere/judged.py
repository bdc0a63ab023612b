"""How is read what a study of ltbv writes? What scores amount to, in their place: one run (N,), or a row for each run.

    label                predicted class id         (N,) or (R, N), as the others are
    p_true, p_negative   softmax probability of the true class, and of the most likely other one
    negative             that class; optional
    experts_used         how many experts a router asked, from 1; optional
    sum_p2               sum of the squared probabilities of all classes; optional
`labels` and names of the test points may stand beside, (N,), and with (R, N) the numbers of the runs, `runs` (R,).
"""

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.archives import Archive
from ltbv.report.elsewhere.arrays import class_ids
from ltbv.report.elsewhere.rows import PROBS, Judged, Rows

FIELDS = {"label", "p_true", "p_negative"}
NEGATIVE, SQUARES = "negative", "sum_p2"
EXPERTS, MOST_EXPERTS = "experts_used", 1000


def read(archive: Archive, run: str, *, several: bool) -> Rows:
    """The runs of such a file; refused where it has several and may have one only."""
    path, found = archive.path, archive.found
    own = (*sorted(FIELDS), *(name for name in (NEGATIVE, EXPERTS, SQUARES) if name in archive.names))
    if missing := [name for name in own if name not in found]:
        raise Refusal(f"{path}: {missing[0]} cannot be read")
    if differ := [name for name in own if found[name].shape != found["label"].shape]:
        raise Refusal(f"{path}: {differ[0]} has shape {found[differ[0]].shape}, but label has {found['label'].shape}")
    label = class_ids(found["label"], several=several)
    runs, points = label.shape if label.ndim == 2 else (1, label.size)
    scores = Judged(
        predictions=label.ravel(),
        p_true=_probabilities(archive, "p_true"),
        p_negative=_probabilities(archive, "p_negative"),
        negatives=class_ids(found[NEGATIVE], several=several).ravel() if NEGATIVE in own else None,
        kind=PROBS,
        differs=np.zeros(label.size, bool),  # until the true labels are known
        experts_used=_experts(archive, several) if EXPERTS in own else None,
        sum_p2=_probabilities(archive, SQUARES) if SQUARES in own else None,
    )
    names, of_runs = archive.names_of_runs(runs) if label.ndim == 2 else ((run,), None)
    roles, _ = archive.roles(points, without=own)
    rows = Rows.of_several(path, names, points, *archive.labels_and_ids(roles))
    unused = archive.unused(*own, of_runs, roles.label, roles.ids)
    return rows.with_(
        judged=scores, unused=unused, claims=archive.claims(points, runs), guesses=archive.guesses(roles, runs)
    )


def _experts(archive: Archive, several: bool) -> np.ndarray:
    """(R N,) experts that were asked."""
    found = class_ids(archive.found[EXPERTS], several=several).ravel()
    if (wrong := (found < 1) | (found > MOST_EXPERTS)).any():
        raise Refusal(
            f"{archive.path}: {EXPERTS} is {found[wrong][0]} in row {int(wrong.argmax())} (from 0); a router asks 1 to"
            f" {MOST_EXPERTS} experts"
        )
    return found.astype(np.uint16)


def _probabilities(archive: Archive, name: str) -> np.ndarray:
    """(R N,) float32."""
    found = archive.found[name]
    if found.dtype.kind != "f":
        raise Refusal(f"{found.name} is of type {found.dtype}; probabilities are floating point")
    values = found.whole().reshape(-1)
    if wrong := int((~((values >= 0) & (values <= 1))).sum()):  # NaN is neither
        raise Refusal(f"{found.name} is NaN or no probability at {wrong} of {values.size} points")
    return values.astype(np.float32)
