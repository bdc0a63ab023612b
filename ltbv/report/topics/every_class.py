"""What happens along the tail? Accuracy, bias and variance of every class, and of bins of neighbouring ones."""

import math
from collections.abc import Mapping
from typing import Any

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
from ltbv.report.written import formatted

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


def _of_counts(of_class: Mapping[str, Any], evidence: Evidence) -> list[Cell]:
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
        caption = (
            f"Along the tail: difference of each method from {reference}, means of neighbouring classes. Blue is"
            " better, red worse, whatever the quantity."
        )
    else:
        figure = curves.by_class(tables.classes, tables.curves, tables.profile, looks)
        caption = (
            f"Along the tail: each method in colour over {reference} in grey. A dot is a class; lines run through means"
            " of neighbouring classes, within their intervals."
        )
    alt = f"{_finding(tables, evidence)} The numbers are in the table of every class."
    return Drawing("by_class", figure, tables.curves, caption, alt)


def _finding(tables: Tables, evidence: Evidence) -> str:
    """Accuracy at both ends of the tail: of the reference, and the best."""
    own = tables.curves[tables.curves["quantity"] == "accuracy"]
    of = own.pivot(index="method", columns="first", values="estimate")
    words = []
    for place, end in ((of.columns[0], "first"), (of.columns[-1], "last")):
        known = of[place].dropna()
        if len(known):
            of_reference = known.get(evidence.reference.key, math.nan)
            best = f"{evidence.names[known.idxmax()]} {formatted(known.max(), 'accuracy')}"
            at_reference = f"{evidence.reference.label} {formatted(of_reference, 'accuracy')}"
            words.append(f"in the {end} classes {', '.join(dict.fromkeys((at_reference, f'at best {best}')))}")
    order = "in the order of their ids" if evidence.train_counts is None else "those with most images first"
    return f"Accuracy along the classes, {order}: {'; '.join(words)}."


def draw_profile(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing | None:
    from ltbv.report import curves

    del looks
    if evidence.train_counts is None:
        return None
    return Drawing(
        "counts",
        curves.counts(tables.profile),
        tables.profile,
        "Training images of every class, and what two runs share of them: where they share much, runs are alike, and"
        " the variance is less than that of new data.",
        f"{_images(tables.profile)}. The numbers of images are in the table of every class.",
    )


def _images(profile: pd.DataFrame) -> str:
    """How many images a class has, and what two runs share of them."""
    counts, shared = profile["train_count"], profile["shared"].dropna()
    ends = f"From {int(counts.max()):,} training images of a class to {int(counts.min()):,}"
    if shared.empty:
        return f"{ends}; what two runs share is not known"
    return f"{ends}; two runs share {shared.min():.1%} to {shared.max():.1%} of a class"


TOPIC = Topic(
    measure,
    sheets={"classes": (sheet,)},
    figures={"curves": draw_curves, "profile": draw_profile},
    always=True,
    inner=("curves", "profile"),
    question=TAIL,
)
