"""How many experts does a router ask, for which classes, and what does that cost? Of methods that have a router.

Every run says how many experts it asked for each test point. What follows from that (the share of points that made do
with k experts, the MACs that were spent) are values of a run at a point too, so `ltbv.stats` gives them the same means
over classes and the same intervals.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ltbv.report import captions
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns
from ltbv.report.measured import Measured
from ltbv.report.questions import COST
from ltbv.report.sheet import METHOD, SPLIT, Cell, Column, Sheet, estimate, indexed, magnitude, word
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic
from ltbv.report.topics.cost import MACS

EXPERTS = "experts_used"
SPENT = {"macs": "routed_macs", "macs_with_norm": "routed_macs_with_norm"}  # full cost -> what was spent of it


def values(method: MethodRuns) -> dict[str, np.ndarray]:
    """(R, N) by quantity: EXPERTS, the `share` of each number, SPENT where the cost by experts is known.

    None without a router.
    """
    used = method.experts_used
    if used is None:
        return {}
    found = {EXPERTS: used} | {share(k): used == k for k in range(1, _most(method) + 1)}
    by_experts = np.asarray((method.cost or {}).get("macs_by_experts", ()), float)
    if len(by_experts) >= used.max():
        found |= dict(zip(SPENT.values(), np.moveaxis(by_experts[np.intp(used) - 1], -1, 0), strict=True))
    return found


def share(number: int) -> str:
    """The quantity: for how many points exactly so many experts were asked."""
    return f"{EXPERTS}_{number}"


def _most(method: MethodRuns) -> int:
    """Experts that may be asked; 0 without a router."""
    return 0 if method.experts_used is None else max(method.experts or 1, int(method.experts_used.max()))


def measure(measured: Measured) -> Finding:
    """
    experts       mean number of experts asked for a test point, by split; none of these has rows without a router
    usage         the share of test points for which exactly `experts` were asked
    routed_costs  MACs that were spent on a test point then
    """
    most = max(map(_most, measured.evidence.methods))
    numbers = {share(number): number for number in range(1, most + 1)}
    usage = measured.of(numbers)
    return Finding(
        {
            "routed_costs": routed_costs(measured.of(SPENT.values()), measured.evidence),
            "experts": measured.of({EXPERTS}),
            "usage": usage.assign(experts=usage["quantity"].map(numbers).astype(int)),
        }
    )


def routed_costs(rows: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """MACs spent on a test point: the columns of `rows`; `full`, what all experts cost; estimate over that, `share`."""
    costs: Mapping[str, Mapping[str, Any]] = {method.key: method.cost or {} for method in evidence.methods}
    full_of = {spent: full for full, spent in SPENT.items()}
    full = [costs[key].get(full_of[name], np.nan) for key, name in zip(rows["method"], rows["quantity"], strict=True)]
    return rows.assign(full=np.array(full, float)).assign(share=lambda table: table["estimate"] / table["full"])


def routed_cost_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """What a router spends, beside what all experts cost."""
    rows = indexed(tables.routed_costs)
    lines = []
    for method in dict.fromkeys(tables.routed_costs["method"]):
        for full, spent in SPENT.items():
            of = [rows[method, group, spent] for group in GROUPS]
            cells = (magnitude(row["estimate"], row["share"]) for row in of)
            lines.append(
                (word(evidence.names[method]), word(MACS[full]), magnitude(of[0]["full"], float("nan")), *cells)
            )
    return Sheet(
        "routed_cost",
        "What a router spends on a test image",
        "MACs: multiply-adds of one image, without and with batch norm; all experts asked, then as many as the router"
        " asked, its own included: mean over classes and runs, in brackets times that of all experts."
        f" {captions.short(evidence)}",
        (
            METHOD,
            Column("counted", numeric=False, filtered=True),
            Column("all experts"),
            *(Column(group, "routed") for group in GROUPS),
        ),
        tuple(lines),
    )


def experts_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """How many experts a routed method asks, by split."""
    rows = indexed(tables.experts)
    return Sheet(
        "experts",
        "Experts asked for a test image",
        f"Mean over runs and test points; {captions.INTERVAL}. {captions.short(evidence)}",
        (Column("method", numeric=False), *(Column(group) for group in GROUPS)),
        tuple(
            (
                word(evidence.names[method]),
                *(estimate(rows[method, group, EXPERTS], "") for group in GROUPS),
            )
            for method in dict.fromkeys(tables.experts["method"])
        ),
    )


def usage_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """For which share of the test images exactly 1, 2, … experts were asked."""
    rows, numbers = indexed(tables.usage), range(1, tables.usage["experts"].max() + 1)
    lines = []
    for method in dict.fromkeys(tables.usage["method"]):
        for place, group in enumerate(GROUPS):
            of = (rows.get((method, group, share(number))) for number in numbers)
            cells = (Cell() if row is None else estimate(row, "accuracy") for row in of)
            lines.append((word(evidence.names[method]), word(group, place), *cells))
    return Sheet(
        "usage",
        "Test images by the number of experts asked",
        f"In percent, mean over classes and runs; {captions.INTERVAL}. {captions.short(evidence)}",
        (METHOD, SPLIT, *(Column(str(number), "experts asked, %") for number in numbers)),
        tuple(lines),
    )


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing:
    from ltbv.report import experts

    asked = tables.experts[tables.experts["quantity"] == EXPERTS].set_index(["method", "group"])["estimate"]
    means = [
        f"{evidence.names[key]} {', '.join(f'{asked.get((key, group), np.nan):.2f} in {group}' for group in GROUPS)}"
        for key in dict.fromkeys(tables.experts["method"])
    ]
    return Drawing(
        "usage",
        experts.usage(tables.usage, looks),
        tables.usage,
        "Experts used by split: for which share of the test images a router asked 1, 2 and more experts.",
        f"Experts asked on average: {'; '.join(means[: captions.MOST_NAMED])}. The numbers are in the table of test"
        " images by the number of experts asked.",
    )


TOPIC = Topic(
    measure,
    sheets={"routed_costs": (routed_cost_sheet,), "experts": (experts_sheet,), "usage": (usage_sheet,)},
    figures={"usage": draw},
    values=values,
    question=COST,
)
