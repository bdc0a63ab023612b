"""How do measured numbers compare with those of the literature? Published tables beside a study of the same data set.

`published.csv` holds them: accuracy, bias and variance as shares (0-1), plug-in where they depend on the number of
runs. A field is empty where the paper leaves it open.
"""

from importlib.resources import files
from io import StringIO

import numpy as np
import pandas as pd

from ltbv.report.evidence import GROUPS, Evidence
from ltbv.report.names import printable
from ltbv.report.sheet import NOTHING, Column, Sheet, number, word
from ltbv.report.tables import Tables

MANY, FEW, FULL_HEAD = 100, 20, 500  # see `ltbv.stats.scaled`
SETTINGS = ["source", "dataset", "imbalance", "head", "network", "scheme", "runs"]


def read() -> pd.DataFrame:
    """All published numbers: SETTINGS, then method, key (of ltbv), cost, group, quantity, value."""
    text = files("ltbv.report").joinpath("published.csv").read_text(encoding="utf-8")
    words = {name: str for name in ("network", "scheme", "key", "cost")}
    return pd.read_csv(
        StringIO(text), dtype=words, keep_default_na=False, na_values={"imbalance": "", "head": "", "runs": ""}
    )


def data_sets() -> list[str]:
    """The data sets that there are published numbers of."""
    return sorted(set(read()["dataset"]))


def thresholds(dataset: str, train_counts: np.ndarray) -> tuple[float, float]:
    """Training images above which a class is many, and below which it is few, as the studies of a data set have them.

    100 and 20, for data sets that are long-tailed themselves; where the largest class has another number n of images by
    choice (the published `head` is known), n/500 of these: 60 and 12 where CIFAR-100-LT has 300.
    """
    everything = read()
    chosen = everything.loc[everything["dataset"] == dataset, "head"].notna().any()
    share = int(np.max(train_counts)) / FULL_HEAD if chosen else 1.0
    return MANY * share, FEW * share


def beside(tables: Tables, evidence: Evidence) -> tuple[list[Sheet], list[str]]:
    """A sheet for each published table of the study's data set and imbalance; or a line that says there is none."""
    everything = read()
    of = evidence.setting
    same = everything[everything["dataset"] == of.dataset]
    if same.empty:
        known = ", ".join(sorted(set(everything["dataset"])))
        return [], [f"no published numbers for {of.dataset}; there are for: {known}."]
    fitting = same[same["imbalance"].isna() | (same["imbalance"] == of.imbalance)]
    if fitting.empty:
        known = ", ".join(f"{value:g}" for value in sorted(set(same["imbalance"])))
        return [], [f"no published numbers for {of.dataset} at imbalance {of.imbalance}; there are for: {known}."]
    tables_of = fitting.groupby(SETTINGS, dropna=False, sort=False)
    return [_sheet(tables, evidence, at, rows) for at, (_, rows) in enumerate(tables_of, 1)], []


def _sheet(tables: Tables, evidence: Evidence, at: int, rows: pd.DataFrame) -> Sheet:
    measured = tables.splits.set_index(["method", "group", "quantity"])["plug_in"]
    labels = evidence.names
    lines = []
    for row in rows.itertuples():
        known = (row.key, row.group, row.quantity) in measured.index
        ours = measured[(row.key, row.group, row.quantity)] if known else float("nan")
        lines.append(
            (
                word(row.method),
                word(labels.get(row.key, NOTHING)),
                word(row.group, GROUPS.index(row.group)),
                word(row.quantity),
                number(row.value, row.quantity),
                number(ours, row.quantity),
                number(ours - row.value, row.quantity, sign="+"),
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
