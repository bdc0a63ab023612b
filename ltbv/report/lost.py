"""Does a run predict a class that its resample lost? Counted, because methods differ: one that shifts its logits by the
class counts, for example, may say a class that it was never shown."""

from collections.abc import Sequence

import numpy as np

from ltbv.data.resample import lost_classes
from ltbv.report.evidence import MethodRuns

MOST_NAMED = 5  # methods


def lost_note(ids_of_runs: Sequence[np.ndarray], counts: np.ndarray, methods: Sequence[MethodRuns]) -> tuple[str, ...]:
    """A line on runs that have no image of a class that there is (`counts` [C] above 0), or none.

    It says how many of their predictions are of such a class, of each method that makes any; the most first.
    """
    there = np.flatnonzero(counts)
    lost = [np.intersect1d(lost_classes(ids, len(counts)), there) for ids in ids_of_runs]
    if not any(map(len, lost)):
        return ()
    some = (
        f"{sum(map(bool, map(len, lost)))} of {len(lost)} resamples lost a class (up to {max(map(len, lost))} of them)"
    )
    found = []
    for method in methods:
        rows = [(lost[run], row) for run, row in zip(method.runs, method.predictions, strict=True) if run < len(lost)]
        said = sum(int(np.isin(row, classes).sum()) for classes, row in rows)
        if said:
            found.append((said, sum(row.size for classes, row in rows if len(classes)), method.label))
    if not found:
        return (f"{some}; no prediction is of a class that its run has not seen.",)
    found.sort(key=lambda one: -one[0] / one[1])
    named = [f"{label} {said:,} of {of:,}" for said, of, label in found[:MOST_NAMED]]
    named += [f"{len(found) - MOST_NAMED} methods more"] * (len(found) > MOST_NAMED)
    named += ["the others none"] * (len(found) < len(methods))
    return (f"{some}; predictions of a class that their run has not seen: {', '.join(named)}.",)
