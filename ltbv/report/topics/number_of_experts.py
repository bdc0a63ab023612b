"""What does one more expert bring? Methods of one family side by side, by their number of experts."""

import pandas as pd

from ltbv.report.evidence import SHOWN, Evidence
from ltbv.report.measured import Measured
from ltbv.report.questions import COST
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic
from ltbv.report.written import formatted


def measure(measured: Measured) -> Finding:
    return Finding({"families": families(measured.evidence, measured.by_split)})


def families(evidence: Evidence, splits: pd.DataFrame) -> pd.DataFrame:
    """Rows of `splits` with columns family and experts before them; of families with two numbers of experts or more.

    Where the reference is of a family, it differs from itself by 0.
    """
    members = pd.DataFrame(
        [(m.family, m.experts, m.key) for m in evidence.methods if m.family is not None and m.experts is not None],
        columns=["family", "experts", "method"],
    ).astype({"experts": int})
    numbers = members.groupby("family")["experts"].transform("nunique")
    own = members[numbers > 1].merge(splits[splits["quantity"].isin(SHOWN)], on="method")
    own.loc[own["method"] == evidence.reference.key, "reference_difference"] = 0.0
    return own.sort_values(["family", "experts"], kind="stable", ignore_index=True)


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing:
    from ltbv.report import experts

    return Drawing(
        "experts",
        experts.families(tables.families, looks),
        tables.families,
        "Accuracy against the number of experts, by split: differences from"
        f" {evidence.reference.label}, so that all splits share a scale and intervals are paired by run.",
        f"{_finding(tables)} The numbers are in the table of accuracy, bias and variance by split.",
    )


def _finding(tables: Tables) -> str:
    """Accuracy over all classes with the fewest and the most experts of each family."""
    own = tables.families[(tables.families["quantity"] == "accuracy") & (tables.families["group"] == "all")]
    words = []
    for family, rows in own.groupby("family", sort=False):
        ends = (rows.iloc[at] for at in (0, -1))
        words.append(
            f"{family} "
            + ", ".join(f"{formatted(one['estimate'], 'accuracy')} with {one['experts']} experts" for one in ends)
        )
    return f"Accuracy over all classes: {'; '.join(words)}."


TOPIC = Topic(measure, figures={"families": draw}, question=COST)
