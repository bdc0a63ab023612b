"""What does a program read of a report first? The numbers of its grid as tables, and its verdicts by method.

All three are made of what every form of the report is made of, `judgement` and `verdict`: nothing is judged again here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from ltbv.errors import unknown
from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, SHOWN, Evidence
from ltbv.report.judgement import CLAIMED, REFERENCE, UNJUDGED
from ltbv.report.topic import Tables
from ltbv.report.verdict import Verdict

ENDS = {"estimate": "", "low": "_ci_low", "high": "_ci_high"}  # column of the tidy tables -> ending of a short one
NUMBERS = tuple(f"{quantity}{end}" for quantity in SHOWN for end in ENDS.values())  # nine
CLAIM_COLUMNS = ("method", "split", "quantity", "difference", "low", "high", "p_holm", "state", "better", "caution")


def splits(tables: Tables, evidence: Evidence) -> pd.DataFrame:
    """method, split and NUMBERS: a row for each method and group that has classes, in the order of the report."""
    found = []
    of = {(row["method"], row["group"], row["quantity"]): row for row in tables.grid.to_dict("records")}
    for method in evidence.names:
        for group in _there(evidence):
            cells = [of[method, group, quantity] for quantity in SHOWN]
            found.append((method, group, *(cell[name] for cell in cells for name in ENDS)))
    return pd.DataFrame(found, columns=["method", "split", *NUMBERS])


def claims(tables: Tables, evidence: Evidence) -> pd.DataFrame:
    """CLAIM_COLUMNS: a row for each method but the reference, group that has classes, and quantity of the grid."""
    of_claims = tables.claims.set_index(["method", "group", "quantity"])["p_holm"].to_dict()
    found = []
    for cell in tables.grid.to_dict("records"):
        if cell["state"] == REFERENCE or cell["group"] not in _there(evidence):
            continue
        difference, quantity = cell["reference_difference"], cell["quantity"]
        known = difference == difference and difference != 0 and cell["state"] != UNJUDGED
        found.append(
            (
                *(cell["method"], cell["group"], quantity),
                *(difference, cell["difference_low"], cell["difference_high"]),
                of_claims.get((cell["method"], cell["group"], CLAIMED[quantity]), float("nan")),
                cell["state"],
                (difference > 0) == (quantity in HIGHER_IS_BETTER) if known else pd.NA,
                cell["why"],
            )
        )
    table = pd.DataFrame(found, columns=list(CLAIM_COLUMNS))
    order = table["method"].map({method: place for place, method in enumerate(evidence.names)}) * len(GROUPS)
    order += table["split"].map({group: place for place, group in enumerate(GROUPS)})
    table = table.iloc[order.argsort(kind="stable")].reset_index(drop=True)
    floats = ("difference", "low", "high", "p_holm")
    return table.astype({**dict.fromkeys(floats, float), "better": "boolean"})


@dataclass(frozen=True, repr=False)
class Verdicts(Mapping[str, Verdict]):
    """What is said of each method: key -> `Verdict`, in the order of the report. Printed, a line each."""

    of: tuple[Verdict, ...]

    def __getitem__(self, method: str) -> Verdict:
        found = [verdict for verdict in self.of if verdict.method == method]
        if not found:
            raise KeyError(str(unknown("method", method, self)))
        return found[0]

    def __iter__(self) -> Iterator[str]:
        return (verdict.method for verdict in self.of)

    def __len__(self) -> int:
        return len(self.of)

    def __repr__(self) -> str:
        return "\n".join(f"{method}: {verdict}" for method, verdict in self.items()) or "no verdicts: one method alone"


def _there(evidence: Evidence) -> list[str]:
    return [group for group in GROUPS if len(evidence.groups[group])]
