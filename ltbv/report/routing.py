"""How many experts does a router ask, for which classes, and what does that cost? Of methods that have a router.

Every run says how many experts it asked for each test point. What follows from that (the share of points that made do
with k experts, the MACs that were spent) are values of a run at a point too, so `ltbv.stats` gives them the same means
over classes and the same intervals.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ltbv.report.evidence import Evidence, MethodRuns

EXPERTS = "experts_used"
SHARE = f"{EXPERTS}_"  # and a number: exactly so many
SPENT = {"macs": "routed_macs", "macs_with_norm": "routed_macs_with_norm"}  # full cost -> what was spent of it


def values(method: MethodRuns) -> dict[str, np.ndarray]:
    """(R, N) by quantity: EXPERTS, SHARE of each number, SPENT where the cost by experts is known.

    None without a router.
    """
    used = method.experts_used
    if used is None:
        return {}
    most = max(method.experts or 1, int(used.max()))
    found = {EXPERTS: used} | {f"{SHARE}{k}": used == k for k in range(1, most + 1)}
    by_experts = np.asarray((method.cost or {}).get("macs_by_experts", ()), float)
    if len(by_experts) >= used.max():
        found |= dict(zip(SPENT.values(), np.moveaxis(by_experts[np.intp(used) - 1], -1, 0), strict=True))
    return found


def is_of_routing(quantities: pd.Series) -> pd.Series:
    return quantities.str.startswith(EXPERTS) | quantities.isin(SPENT.values())


def experts(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean number of experts asked, with the columns of `rows`."""
    return rows[rows["quantity"] == EXPERTS].reset_index(drop=True)


def usage(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of test points for which exactly `experts` were asked: the columns of `rows`, and that one."""
    own = rows[rows["quantity"].str.startswith(SHARE)].reset_index(drop=True)
    return own.assign(experts=own["quantity"].str.removeprefix(SHARE).astype(int))


def routed_costs(rows: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """MACs spent on a test point: the columns of `rows`; `full`, what all experts cost; estimate over that, `share`."""
    own = rows[rows["quantity"].isin(SPENT.values())].reset_index(drop=True)
    costs: Mapping[str, Mapping] = {method.key: method.cost or {} for method in evidence.methods}
    full_of = {spent: full for full, spent in SPENT.items()}
    full = [costs[key].get(full_of[name], np.nan) for key, name in zip(own["method"], own["quantity"], strict=True)]
    return own.assign(full=np.array(full, float)).assign(share=lambda table: table["estimate"] / table["full"])
