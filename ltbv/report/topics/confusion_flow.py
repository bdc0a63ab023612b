"""Where do confusions flow? Tidy tables of the hardest negatives between splits, and of the pairs that lose most."""

import pandas as pd

from ltbv.report import captions
from ltbv.report.evidence import GROUPS, SPLITS, Evidence, MethodRuns
from ltbv.report.measured import Measured
from ltbv.report.questions import CONFUSED
from ltbv.report.rows import LEVEL
from ltbv.report.sheet import METHOD, Cell, Column, Sheet, indexed, number, word
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic
from ltbv.stats.confusion import confusion_flow, confusion_pairs
from ltbv.stats.hardest_negative import HardestNegative

FLOW = ("method", "true", "negative", "mass", "expected", "ratio")
PAIRS = ("method", "true", "negative", "true_name", "negative_name", "negative_split", "mass", "low", "high")
TOP = 20
MOST_READ = 200  # rows; more are for looking up


def measure(measured: Measured) -> Finding:
    """`flows` and `pairs`; no rows where the classes of hardest negatives, or the splits, are not known."""
    return Finding({"flows": flows(measured.evidence), "pairs": pairs(measured.evidence, LEVEL)})


def flows(evidence: Evidence) -> pd.DataFrame:
    """FLOW: from the split of the true class to that of its hardest negative; see `stats.confusion.ConfusionFlow`."""
    rows = []
    for method, hardest in _known(evidence):
        of = confusion_flow(hardest, evidence.labels, {name: evidence.splits[name] for name in SPLITS})
        rows += [
            (method.key, true, negative, of.mass[i, j], of.expected[i, j], of.ratio[i, j])
            for i, true in enumerate(of.splits)
            for j, negative in enumerate(of.splits)
        ]
    return pd.DataFrame(rows, columns=list(FLOW))


def pairs(evidence: Evidence, level: float) -> pd.DataFrame:
    """PAIRS: the TOP pairs (class of the tail -> its hardest negative) of each method, with intervals over runs."""
    rows, tail = [], evidence.splits[evidence.ends[1]]
    for method, hardest in _known(evidence):
        for one in confusion_pairs(hardest, evidence.labels, tail, top=TOP, level=level):
            names = (evidence.class_names[one.true], evidence.class_names[one.negative])
            split = evidence.split_of[one.negative]
            rows.append((method.key, one.true, one.negative, *names, split, one.mass, one.low, one.high))
    return pd.DataFrame(rows, columns=list(PAIRS))


def _known(evidence: Evidence) -> list[tuple[MethodRuns, HardestNegative]]:
    if evidence.train_counts is None:
        return []
    return [
        (method, HardestNegative(scores.score, method.negatives, scores.p_true))
        for method in evidence.methods
        if method.negatives is not None and (scores := method.scores) is not None
    ]


def flow_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """From the split of the true class to that of its strongest rival."""
    rows = indexed(tables.flows, "method", "true", "negative")
    lines = [
        (
            word(evidence.names[method]),
            word(true, GROUPS.index(true)),
            *(number(rows[method, true, negative]["mass"]) for negative in SPLITS),
            *(number(rows[method, true, negative]["ratio"], digits=2) for negative in SPLITS),
        )
        for method in dict.fromkeys(tables.flows["method"])
        for true in SPLITS
    ]
    return Sheet(
        "flow",
        "Confusion flow: from the true class to its hardest negative",
        "Softmax mass that a class of a split (row) loses to its hardest negatives in each split, mean over its classes"
        " and runs; then the same over what it would be if all wrong classes were equally likely: above 1, more flows"
        f" there than its number of classes explains. {captions.short(evidence)}",
        (
            METHOD,
            Column("true class in", numeric=False, filtered=True),
            *(Column(name, "mass lost to") for name in SPLITS),
            *(Column(name, "times what is expected") for name in SPLITS),
        ),
        tuple(lines),
    )


def pairs_sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """The pairs of classes that lose most."""
    lines = []
    for row in tables.pairs.itertuples():
        half = (row.high - row.low) / 2 if row.low == row.low else None
        lines.append(
            (
                word(evidence.names[row.method]),
                word(row.true_name),
                word(row.negative_name),
                word(row.negative_split, GROUPS.index(row.negative_split)),
                Cell(row.mass, half=half),
            )
        )
    return Sheet(
        "pairs",
        "Few-shot classes and the classes they are taken for",
        "The pairs that lose most softmax mass; ± half the interval for new training runs on these test images. The"
        f" largest of many are a little too large. {captions.short(evidence)}",
        (
            METHOD,
            Column("true class", numeric=False),
            Column("hardest negative", numeric=False),
            Column("in split", numeric=False, filtered=True),
            Column("mass lost"),
        ),
        tuple(lines),
        long=len(lines) > MOST_READ,
    )


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing:
    from ltbv.report import flows as figures
    from ltbv.report import lines

    return Drawing(
        "flow",
        (figures.many if lines.are_many(looks) else figures.flow)(tables.flows, looks),
        tables.flows,
        "Confusion flow: which split do the hardest negatives of a split lie in? From the split of the true class (row)"
        " to that of its hardest negative (column); 1, without colour: what equally likely wrong classes would take.",
        f"{_finding(tables, evidence)} The numbers are in the table of confusion flow.",
    )


def _finding(tables: Tables, evidence: Evidence) -> str:
    """What tail classes lose to the head, beside what is expected, at the reference and at its extremes."""
    head, tail = evidence.ends
    of = tables.flows[(tables.flows["true"] == tail) & (tables.flows["negative"] == head)]
    own = of.set_index("method")["ratio"].dropna()
    if own.empty:
        return f"Nothing is known of what {tail} loses to {head}."
    named = dict.fromkeys((evidence.reference.key, own.idxmin(), own.idxmax()))
    words = [f"{evidence.names[key]} {own[key]:.2f}" for key in named if key in own]
    return f"What classes of {tail} lose to those of {head}, times what is expected: {', '.join(words)}."


TOPIC = Topic(
    measure, sheets={"flows": (flow_sheet,), "pairs": (pairs_sheet,)}, figures={"flows": draw}, question=CONFUSED
)
