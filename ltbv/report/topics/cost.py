"""Is a gain only more parameters? What each method's network costs."""

import pandas as pd

from ltbv.report.evidence import Evidence
from ltbv.report.measured import Measured
from ltbv.report.questions import ALONE, COST
from ltbv.report.sheet import Column, Sheet, magnitude, word
from ltbv.report.topic import Finding, Tables, Topic

MACS = {"macs": "MACs", "macs_with_norm": "MACs with norm"}
NAMES = {"parameters": "parameters", **MACS, "training_images_times_macs": "training MACs"}
COLUMNS = tuple(NAMES)


def measure(measured: Measured) -> Finding:
    return Finding({"costs": costs(measured.evidence)})


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


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """What a method's network costs."""
    lines = [
        (
            word(evidence.names[row["method"]]),
            *(magnitude(row[column], row[f"{column}_ratio"]) for column in COLUMNS),
        )
        for _, row in tables.costs.iterrows()
    ]
    return Sheet(
        "cost",
        "What each method costs",
        f"Of one run; in brackets, times that of {evidence.reference.label}. MACs: multiply-adds of one image, all"
        " experts asked, without and with batch norm. Training MACs: MACs x images seen in training, all stages.",
        (Column("method", numeric=False), *(Column(name) for name in NAMES.values())),
        tuple(lines),
    )


def answer(tables: Tables, evidence: Evidence) -> str:
    """How many ask no more multiply-adds for an image than the reference, to two digits, and which asks most."""
    known = tables.costs[["method", "macs_ratio"]].dropna()
    others = known[known["method"] != evidence.reference.key]
    if others.empty:
        return "Not known: what the networks cost is not recorded." if evidence.methods[1:] else ALONE
    reference, number = evidence.reference.label, len(others)
    most = others.loc[others["macs_ratio"].idxmax()]
    some = int((others["macs_ratio"].round(2) <= 1).sum())
    who = f"{some or 'None'} of {number}" if number > 1 else evidence.names[most["method"]]
    asks = "ask" if some > 1 else "asks"
    cheap = f"{who} {asks} no more multiply-adds for an image than {reference}" if some or number > 1 else ""
    dear = f"{evidence.names[most['method']]} asks {most['macs_ratio']:.2f} times as many"
    dear += f" multiply-adds for an image as {reference}" * (not cheap)
    return f"{'; '.join([cheap] * bool(cheap) + [dear] * (some < number))}."


TOPIC = Topic(measure, sheets={"costs": (sheet,)}, question=COST, answer=answer)
