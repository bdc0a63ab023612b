"""How accurate is a method, how biased, how variable, over all classes and in each split?"""

import pandas as pd

from ltbv.report import captions
from ltbv.report.evidence import GROUPS, HIGHER_IS_BETTER, SHOWN, Evidence
from ltbv.report.judgement import CLAIM, UNJUDGED
from ltbv.report.measured import Measured
from ltbv.report.questions import ALONE, NO_SPLITS, WHY
from ltbv.report.sheet import (
    METHOD,
    SHORT,
    SPLIT,
    Cell,
    Column,
    Sheet,
    beside_reference,
    difference,
    estimate,
    indexed,
    number,
    why_doubtful,
    word,
)
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic
from ltbv.report.written import formatted

DRAWN = ("bias", "variance")


def measure(measured: Measured) -> Finding:
    """`splits`: all quantities of the zero-one loss, for all classes and each split."""
    return Finding({"splits": measured.by_split})


def overview(tables: Tables, evidence: Evidence) -> Sheet:
    """The table of the literature. Methods by splits: estimate, half interval and difference, on a line each."""
    rows = indexed(tables.splits)
    reference = evidence.reference.label
    lines = []
    for method in evidence.methods:
        cells = [(quantity, rows[method.key, group, quantity]) for group in evidence.present for quantity in SHORT]
        lines.append((word(method.label), *(number(cell["estimate"], quantity) for quantity, cell in cells)))
        halves = [(cell["high"] - cell["low"]) / 2 for _, cell in cells]
        if any(half == half for half in halves):
            of = zip(halves, cells, strict=True)
            lines.append((word("  ±"), *(Cell(quantity=quantity, half=half) for half, (quantity, _) in of)))
        if method is not evidence.reference:
            lines.append((word(f"  - {reference}"), *(difference(cell, quantity) for quantity, cell in cells)))
    return Sheet(
        "overview",
        "Accuracy, bias and variance by split",
        f"Corrected for the number of runs; {captions.INTERVAL}. {captions.paired(evidence)}. All quantities, the"
        f" brackets of the variance too, are in splits.csv.{why_doubtful(lines)} {captions.short(evidence)}",
        _in_columns(evidence),
        tuple(lines),
        on_page=False,
    )


def _in_columns(evidence: Evidence) -> tuple[Column, ...]:
    """A method, and SHORT for each group that has test points."""
    of_groups = (Column(short, group) for group in evidence.present for short in SHORT.values())
    return (Column("method", numeric=False), *of_groups)


def by_split(tables: Tables, evidence: Evidence) -> Sheet:
    """The same numbers, a row for each method and split, so that they can be sorted."""
    rows = indexed(tables.splits)
    lines = []
    for method in evidence.methods:
        for place, group in enumerate(evidence.present):
            cells = [(quantity, rows[method.key, group, quantity]) for quantity in SHORT]
            lines.append(
                (
                    word(method.label),
                    word(group, place),
                    *(estimate(cell, quantity) for quantity, cell in cells),
                    *(difference(cell, quantity) for quantity, cell in cells),
                )
            )
    return Sheet(
        "splits",
        "Accuracy, bias and variance by split",
        f"Corrected for the number of runs; {captions.INTERVAL}. {captions.paired(evidence)}."
        f"{why_doubtful(lines)} {captions.short(evidence)}",
        (METHOD, SPLIT, *beside_reference(SHORT.values(), evidence)),
        tuple(lines),
    )


def plug_in(tables: Tables, evidence: Evidence) -> Sheet:
    """What published tables show."""
    rows = {at: row["plug_in"] for at, row in indexed(tables.splits).items()}
    return Sheet(
        "plug_in",
        "Plug-in values, as published tables have them",
        f"Not corrected: compare at equal numbers of runs only. {captions.short(evidence)}",
        _in_columns(evidence),
        tuple(
            (
                word(m.label),
                *(number(rows[m.key, group, quantity], quantity) for group in evidence.present for quantity in SHORT),
            )
            for m in evidence.methods
        ),
    )


def with_cautions(tables: Tables) -> pd.DataFrame:
    """Rows of SHOWN, each with its `state` and the caution that stands at it, `why`."""
    judged = tables.grid[["method", "group", "quantity", "state", "why"]]
    return tables.splits[tables.splits["quantity"].isin(SHOWN)].merge(judged, on=["method", "group", "quantity"])


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing:
    from ltbv.report import figures, lines

    shown, many = with_cautions(tables), lines.are_many(looks)
    cautions = " Hollow: a caution stands at the number." if (shown["why"] != "").any() else ""
    scale = " Each panel has its own scale; what lies beyond it is an arrow with its value." if many else ""
    return Drawing(
        "bias_variance",
        (lines if many else figures).bias_variance(shown, looks),
        shown,
        "Accuracy (higher is better), bias and variance (lower is better) by split, with intervals for new training"
        f" runs and new test images.{cautions}{scale}",
        f"{_finding(tables, evidence)} The numbers are in the table of accuracy, bias and variance by split.",
    )


def _finding(tables: Tables, evidence: Evidence) -> str:
    """Where each number is best."""
    of = tables.grid[(tables.grid["why"] == "") & tables.grid["estimate"].notna()]
    found = []
    for quantity in SHOWN:
        best = []
        for group in GROUPS:
            own = of[(of["quantity"] == quantity) & (of["group"] == group)].set_index("method")["estimate"]
            if len(own):
                key = own.idxmax() if quantity in HIGHER_IS_BETTER else own.idxmin()
                best.append(f"{evidence.names[key]} in {group} ({formatted(own[key], quantity)})")
        side = "Highest" if quantity in HIGHER_IS_BETTER else "Lowest"
        found += [f"{side} {quantity}: {', '.join(best)}."] if best else []
    return " ".join(found)


def answer(tables: Tables, evidence: Evidence) -> str:
    """With how many methods a claim says that bias and variance fall and rise, of those that are judged; of one
    method, its headline."""
    if evidence.train_counts is None:
        return NO_SPLITS
    if len(tables.verdicts) < 2:
        return tables.verdicts[0].headline if tables.verdicts else ALONE
    head, tail = evidence.ends
    parts = [
        f"in {split}, {', '.join(_moved(tables, split, quantity) for quantity in DRAWN)}" for split in (tail, head)
    ]
    return f"Claims: {'; '.join(parts)}."


def _moved(tables: Tables, split: str, quantity: str) -> str:
    own = tables.grid[(tables.grid["group"] == split) & (tables.grid["quantity"] == quantity)]
    judged = own[(own["state"] != UNJUDGED) & own["reference_difference"].notna()]
    if judged.empty:
        return f"{quantity} can be judged with none"
    claimed = judged.loc[judged["state"] == CLAIM, "reference_difference"]
    falls, rises = (claimed < 0).sum() or "none", (claimed > 0).sum() or "none"
    return f"{quantity} falls with {falls} and rises with {rises} of {len(judged)}"


def in_words(tables: Tables, evidence: Evidence) -> Sheet:
    """Each method's headline."""
    lines = tuple((word(verdict.label), word(verdict.headline)) for verdict in tables.verdicts)
    columns = (Column("method", numeric=False), Column(f"compared with {evidence.reference.label}", numeric=False))
    return Sheet("verdicts", "Each method in a sentence", "", columns, lines, in_words=True)


TOPIC = Topic(
    measure,
    sheets={"splits": (overview, in_words, by_split, plug_in)},
    figures={"splits": draw},
    always=True,
    question=WHY,
    answer=answer,
)
