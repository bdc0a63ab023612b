"""Does a run predict a class that its resample lost? Counted, because methods differ: one that shifts its logits by the
class counts, for example, may say a class that it was never shown."""

import numpy as np
import pandas as pd

from ltbv.report.evidence import Evidence
from ltbv.report.measured import Measured
from ltbv.report.topic import Finding, Topic

MOST_NAMED = 5  # methods
COLUMNS = ["method", "runs", "unseen", "predictions"]


def measure(measured: Measured) -> Finding:
    """`lost_classes`: of each method, its runs that lost a class, how many of their predictions are of such a class
    (`unseen`), and how many they are; no rows where no run lost any."""
    table = counted(measured.evidence)
    return Finding({"lost_classes": table}, caution(measured.evidence, table))


def counted(evidence: Evidence) -> pd.DataFrame:
    lost, found = evidence.lost, []
    for method in evidence.methods if any(map(len, lost)) else ():
        rows = [(lost[run], row) for run, row in zip(method.runs, method.predictions, strict=True) if run < len(lost)]
        unseen = sum(int(np.isin(row, classes).sum()) for classes, row in rows)
        of = [row.size for classes, row in rows if len(classes)]
        found.append((method.key, len(of), unseen, sum(of)))
    return pd.DataFrame(found, columns=COLUMNS)


def caution(evidence: Evidence, table: pd.DataFrame) -> tuple[str, ...]:
    """How many runs lost a class, and what share of their predictions is of one, the largest first."""
    numbers = [len(classes) for classes in evidence.lost]
    if not any(numbers):
        return ()
    some = f"{sum(map(bool, numbers))} of {len(numbers)} resamples lost a class (up to {max(numbers)} of them)"
    own = table[table["unseen"] > 0]
    if own.empty:
        return (f"{some}; no prediction is of a class that its run has not seen.",)
    own = own.assign(share=own["unseen"] / own["predictions"]).sort_values("share", ascending=False, kind="stable")
    named = [f"{evidence.names[row.method]} {row.unseen:,} of {row.predictions:,}" for row in own.itertuples()]
    more = [f"{len(named) - MOST_NAMED} methods more"] * (len(named) > MOST_NAMED)
    rest = ["the others none"] * (len(own) < len(evidence.methods))
    shown = ", ".join([*named[:MOST_NAMED], *more, *rest])
    return (f"{some}; predictions of a class that their run has not seen: {shown}.",)


TOPIC = Topic(measure)
