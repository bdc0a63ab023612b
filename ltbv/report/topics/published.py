"""How do measured numbers compare with those of the literature? Published tables beside a study of the same data set,
where one asks for them."""

import pandas as pd

from ltbv.report.evidence import GROUPS, Evidence
from ltbv.report.measured import Measured
from ltbv.report.names import printable
from ltbv.report.published import SETTINGS, read
from ltbv.report.sheet import Column, Sheet, number, word
from ltbv.report.topic import Finding, Tables, Topic
from ltbv.report.written import NOTHING


def measure(measured: Measured) -> Finding:
    """`published`: rows of the study's data set and imbalance, as `report.published` has them, with `measured`, the
    plug-in value of the same method, split and quantity; or a line that says that there are none."""
    if not measured.published:
        return Finding({"published": pd.DataFrame()})
    found, missing = fitting(measured.evidence)
    own = measured.by_split[["method", "group", "quantity", "plug_in"]]
    own = own.rename(columns={"method": "key", "plug_in": "measured"})
    return Finding({"published": found.merge(own, how="left", on=["key", "group", "quantity"])}, missing)


def fitting(evidence: Evidence) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Published rows of the data set and imbalance of a study, and what is to be said where there are none."""
    everything, of = read(), evidence.setting
    same = everything[everything["dataset"] == of.dataset]
    if same.empty:
        known = ", ".join(sorted(set(everything["dataset"])))
        return same, (f"no published numbers for {of.dataset}; there are for: {known}.",)
    found = same[same["imbalance"].isna() | (same["imbalance"] == of.imbalance)]
    if found.empty:
        known = ", ".join(f"{value:g}" for value in sorted(set(same["imbalance"])))
        return found, (f"no published numbers for {of.dataset} at imbalance {of.imbalance}; there are for: {known}.",)
    return found, ()


def sheets(tables: Tables, evidence: Evidence) -> list[Sheet]:
    """A sheet for each published table."""
    each = tables.published.groupby(SETTINGS, dropna=False, sort=False)
    return [_sheet(evidence, at, rows) for at, (_, rows) in enumerate(each, 1)]


def _sheet(evidence: Evidence, at: int, rows: pd.DataFrame) -> Sheet:
    labels = evidence.names
    lines = []
    for row in rows.itertuples():
        lines.append(
            (
                word(row.method),
                word(labels.get(row.key, NOTHING)),
                word(row.group, GROUPS.index(row.group)),
                word(row.quantity),
                number(row.value, row.quantity),
                number(row.measured, row.quantity),
                number(row.measured - row.value, row.quantity, sign="+"),
                word(row.cost or NOTHING),
            )
        )
    first = rows.iloc[0]
    return Sheet(
        f"published_{at}",
        f"Published: {first['source']}, {first['dataset']}",
        "Accuracy in percent; measured values are plug-in, as the published ones."
        f" {' '.join(differences(first, evidence))}",
        (
            Column("published method", numeric=False, filtered=True),
            Column("measured method", numeric=False),
            Column("split", numeric=False, filtered=True),
            Column("quantity", numeric=False, filtered=True),
            Column("published"),
            Column("measured"),
            Column("measured - published"),
            Column("published cost", numeric=False),
        ),
        tuple(lines),
        asked=True,
    )


def differences(published: pd.Series, evidence: Evidence) -> list[str]:
    """How the protocols differ, or that the paper leaves it open: a sentence each."""
    of = evidence.setting
    runs = sorted({len(method.runs) for method in evidence.methods})
    backbone = of.protocol.get("backbone") if isinstance(of.protocol, dict) else None
    ours = {
        "imbalance": of.imbalance,
        "head": of.head,
        "scheme": of.scheme,
        "runs": runs[0] if len(runs) == 1 else f"{runs[0]} to {runs[-1]}",
        "network": printable(str(backbone)) if backbone else "not known",
    }
    names = {
        "imbalance": "Imbalance",
        "head": "Images of the largest class",
        "scheme": "Scheme",
        "runs": "Runs",
        "network": "Network",
    }
    lines = []
    for field, own in ours.items():
        theirs = published[field]
        if pd.isna(theirs) or theirs == "":
            theirs = "not said" if field != "scheme" else "one training set"
        elif isinstance(theirs, float):
            theirs = f"{theirs:g}"
        own = f"{own:g}" if isinstance(own, float) else str(own)
        if theirs != own:
            lines.append(f"{names[field]}: {theirs} published, {own} here.")
    return ["Differences of protocol:", *lines] if lines else ["No difference of protocol is known."]


TOPIC = Topic(measure, sheets={"published": (sheets,)}, inner=("published",))
