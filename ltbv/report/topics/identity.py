"""Why do bias and variance not add up to the error, and what does?"""

from ltbv.report import captions
from ltbv.report.evidence import GROUPS, Evidence
from ltbv.report.questions import WHY
from ltbv.report.sheet import METHOD, SPLIT, Cell, Column, Sheet, indexed, word
from ltbv.report.topic import Tables, Topic, nothing_new
from ltbv.report.written import closing

TERMS = ("error", "bias", "unbiased_variance", "hits")


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """Plug-in values of TERMS, which close."""
    rows = {at: row["plug_in"] for at, row in indexed(tables.splits).items()}
    lines = []
    for method in evidence.methods:
        for place, group in enumerate(GROUPS):
            values = error, bias, unbiased, hits = [rows[method.key, group, quantity] for quantity in TERMS]
            printed = closing(error, (bias, unbiased, -hits))
            cells = (Cell(value, digits=4, shown=abs(of)) for value, of in zip(values, printed, strict=True))
            lines.append((word(method.label), word(group, place), *cells))
    return Sheet(
        "identity",
        "error = bias + unbiased variance - hits",
        "Plug-in values, rounded so that the printed numbers add up. A run that departs from the vote does harm where"
        " the vote is right (unbiased variance) and may hit the true class where it is wrong (hits): so bias + variance"
        f" is not the error. {captions.short(evidence)}",
        (METHOD, SPLIT, *(Column(quantity.replace("_", " ")) for quantity in TERMS)),
        tuple(lines),
    )


TOPIC = Topic(nothing_new, sheets={"splits": (sheet,)}, question=WHY)
