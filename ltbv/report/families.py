"""What does one more expert bring? Methods of one family side by side, by their number of experts."""

import pandas as pd

from ltbv.report.evidence import SHOWN, Evidence


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
