"""Is a gain only more parameters? What each method's network costs, and how many experts it asked where."""

import pandas as pd

from ltbv.report.evidence import Evidence

COLUMNS = ("parameters", "macs", "macs_with_norm", "training_images_times_macs")


def costs(evidence: Evidence) -> pd.DataFrame:
    """method, COLUMNS, and each of them over the reference's (`..._ratio`); empty where no cost is known."""
    known = {method.key: method.cost for method in evidence.methods if method.cost}
    table = pd.DataFrame(
        [[key, *(cost.get(column) for column in COLUMNS)] for key, cost in known.items()], columns=["method", *COLUMNS]
    ).astype(dict.fromkeys(COLUMNS, float))
    reference = table[table["method"] == evidence.reference.key]
    for column in COLUMNS:
        table[f"{column}_ratio"] = table[column] / reference[column].iloc[0] if len(reference) else float("nan")
    return table
