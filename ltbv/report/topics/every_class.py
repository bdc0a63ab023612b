"""What happens along the tail? Accuracy, bias and variance of every class, and of bins of neighbouring ones."""

import math

import numpy as np
import pandas as pd

from ltbv.report import captions
from ltbv.report.evidence import GROUPS, SHOWN, Evidence
from ltbv.report.measured import Measured
from ltbv.report.questions import TAIL
from ltbv.report.rows import DIFFERENCE
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
    why_doubtful,
    word,
)
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic

OF_BIN = ["method", "quantity", "estimate", "low", "high", *DIFFERENCE, "first", "last"]


def measure(measured: Measured) -> Finding:
    """
    classes  accuracy, bias and variance of each class; further columns class_name, split, train_count
    curves   the same of bins of like classes: OF_BIN; first and last are places in the order by count
    profile  class by class, most training images first: group, class_name, split, train_count, pool_size, shared (by
             two runs, 0-1)
    """
    by_bin = measured.by_bin
    return Finding(
        {
            "classes": _classes(measured),
            "curves": by_bin[by_bin["quantity"].isin(SHOWN)][OF_BIN].reset_index(drop=True),
            "profile": _profile(measured.evidence),
        }
    )


def _classes(measured: Measured) -> pd.DataFrame:
    evidence, rows = measured.evidence, measured.by_class
    own = rows[rows["quantity"].isin(SHOWN)].reset_index(drop=True)
    ids = own["group"]
    return own.assign(
        class_name=ids.map(lambda c: evidence.class_names[c]),
        split=ids.map(evidence.split_of),
        train_count=ids.map(lambda c: math.nan if evidence.train_counts is None else int(evidence.train_counts[c])),
    )


def _profile(evidence: Evidence) -> pd.DataFrame:
    ids, of = evidence.by_count, evidence.setting
    pools = np.full(len(ids), np.nan) if of.pool_sizes is None else np.asarray(of.pool_sizes, float)
    return pd.DataFrame(
        {
            "group": ids,
            "class_name": [evidence.class_names[c] for c in ids],
            "split": [evidence.split_of[c] for c in ids],
            "train_count": np.nan if evidence.train_counts is None else np.asarray(evidence.train_counts)[ids],
            "pool_size": pools[ids],
            "shared": of.shared[ids],
        }
    )


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """Every class of every method."""
    rows = indexed(tables.classes)
    lines = []
    for method in evidence.methods:
        for class_id in evidence.by_count:
            cells = [(quantity, rows[method.key, class_id, quantity]) for quantity in SHOWN]
            of_class = cells[0][1]
            lines.append(
                (
                    word(method.label),
                    word(of_class["class_name"]),
                    *_of_counts(of_class, evidence),
                    word(of_class["points"], of_class["points"]),
                    *(estimate(cell, quantity) for quantity, cell in cells),
                    *(difference(cell, quantity) for quantity, cell in cells),
                )
            )
    return Sheet(
        "classes",
        "Every class",
        f"{'Largest first' if evidence.train_counts is not None else 'In the order of class ids'}. Exploratory: so few"
        " test points and runs can rarely settle a single class."
        f" {captions.INTERVAL}. {captions.paired(evidence)}, not corrected for the number of classes."
        f"{why_doubtful(lines)} {captions.short(evidence)}",
        (
            METHOD,
            Column("class", numeric=False),
            *([] if evidence.train_counts is None else [SPLIT, Column("training images")]),
            Column("test points"),
            *beside_reference(SHORT.values(), evidence),
        ),
        tuple(lines),
        long=True,
    )


def _of_counts(of_class: dict, evidence: Evidence) -> list[Cell]:
    """Split and training images of a class, where they are known."""
    if evidence.train_counts is None:
        return []
    split, images = of_class["split"], of_class["train_count"]
    return [word(split, GROUPS.index(split)), word(images, images)]


def draw_curves(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing:
    from ltbv.report import curves, lines

    reference = evidence.reference.label
    if lines.are_many(looks):
        figure = lines.by_class(tables.curves, tables.profile, looks)
        caption = f"Along the tail: difference of each method from {reference}, means of neighbouring classes."
    else:
        figure = curves.by_class(tables.classes, tables.curves, tables.profile, looks)
        caption = f"Along the tail: each method in colour over {reference} in grey."
    order = "classes in the order of their ids" if evidence.train_counts is None else "classes with most images first"
    alt = (
        f"Accuracy, bias and variance of every class for {captions.methods(evidence)}, {order};"
        " the numbers are in the table of every class."
    )
    return Drawing("by_class", figure, tables.curves, caption, alt)


def draw_profile(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing | None:
    from ltbv.report import curves

    del looks
    if evidence.train_counts is None:
        return None
    return Drawing(
        "counts",
        curves.counts(tables.profile),
        tables.profile,
        "Training images of every class, and what two runs share of them.",
        "Bars over the classes, most training images first, dark to light for many, medium and few; the numbers of"
        " images are in the table of every class.",
    )


TOPIC = Topic(
    measure,
    sheets={"classes": (sheet,)},
    figures={"curves": draw_curves, "profile": draw_profile},
    always=True,
    inner=("curves", "profile"),
    question=TAIL,
)
