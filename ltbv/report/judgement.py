"""What may be said of each number of the grid? One judgement for claims, verdicts, tables, page and terminal.

A cell is a method's accuracy, bias or variance, over all classes or in a split. Its state is the first that fits:

    reference   of the method that the others are compared with
    unjudged    a caution stands at it, or at the reference there: `why`, which is `no_claim` of the claim, or
                `claims.barred` for all classes. It is shown in grey, and counted nowhere
    claim       one of the nine claims of the method holds: of the error, where it is the accuracy
    interval    the interval of the paired difference excludes 0, but nothing is claimed. `all` is not among the nine
    open        neither
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ltbv.report.evidence import GROUPS, SHOWN, Evidence

REFERENCE, UNJUDGED, CLAIM, INTERVAL, OPEN = "reference", "unjudged", "claim", "interval", "open"
MEASURED = ["estimate", "low", "high", "reference_difference", "difference_low", "difference_high"]
CLAIMED = {"accuracy": "error", "bias": "bias", "variance": "variance"}  # quantity of the grid -> of the claims


def judged(
    splits: pd.DataFrame,
    claims: pd.DataFrame,
    doubts: Mapping[str, Mapping[tuple[str, str], str]],
    evidence: Evidence,
) -> pd.DataFrame:
    """method, group, quantity, MEASURED, state, why: a row for each cell of the grid, from the tables of splits and
    claims, and `claims.barred`. `why` is empty but for what is unjudged, and the reference's own cautions."""
    own = splits[splits["quantity"].isin(SHOWN) & splits["group"].isin(GROUPS)]
    own = own[["method", "group", "quantity", *MEASURED]].reset_index(drop=True)
    of_claims = {(row.method, row.group, row.quantity): row for row in claims.itertuples()}
    states, reasons = [], []
    for row in own.itertuples():
        at = row.group, CLAIMED[row.quantity]
        claim = of_claims.get((row.method, *at))
        why = doubts[row.method].get(at, "") if claim is None else claim.no_claim
        why = why if np.isfinite(row.estimate) else ""
        clear = row.difference_low > 0 or row.difference_high < 0
        if row.method == evidence.reference.key:
            state = REFERENCE
        elif why:
            state = UNJUDGED
        elif claim is not None and claim.holds:
            state = CLAIM
        else:
            state = INTERVAL if clear else OPEN
        states.append(state)
        reasons.append(why)
    return own.assign(state=np.array(states, object), why=np.array(reasons, object))
