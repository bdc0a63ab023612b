"""Which tables does a report print? The tidy tables, laid out as `Sheet`s for Markdown, LaTeX and the page.

`overview` is the table of the literature, methods by splits; the others have a row for each method and split, so that
they can be sorted.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ltbv.report import captions
from ltbv.report.claims import ALPHA
from ltbv.report.cost import COLUMNS as COSTS
from ltbv.report.evidence import GROUPS, SHOWN, SPLITS, Evidence
from ltbv.report.hardest import DISTANCE, QUANTILES
from ltbv.report.routing import EXPERTS, SHARE, SPENT
from ltbv.report.sheet import (
    Cell,
    Column,
    Sheet,
    closing,
    difference,
    estimate,
    formatted,
    number,
    why_doubtful,
    word,
)
from ltbv.report.tables import Tables
from ltbv.stats.doubts import RECOMMENDED

SHORT = {"accuracy": "acc. %", "bias": "bias", "variance": "variance"}
METHOD = Column("method", numeric=False, filtered=True)
SPLIT = Column("split", numeric=False, filtered=True)
MOST_READ = 200  # rows; more are for looking up
MACS = {"macs": "MACs", "macs_with_norm": "MACs with norm"}
IDENTITY = ("error", "bias", "unbiased_variance", "hits")


def overview(tables: Tables, evidence: Evidence) -> Sheet:
    """Methods by splits: estimate, half interval and difference from the reference, on a line each."""
    rows = _indexed(tables.splits)
    reference = evidence.reference.label
    lines = []
    for method in evidence.methods:
        cells = [(quantity, rows[method.key, group, quantity]) for group in GROUPS for quantity in SHORT]
        lines.append((word(method.label), *(number(cell["estimate"], quantity) for quantity, cell in cells)))
        halves = [(cell["high"] - cell["low"]) / 2 for _, cell in cells]
        if any(half == half for half in halves):
            text = (formatted(half, quantity) for half, (quantity, _) in zip(halves, cells, strict=True))
            lines.append((word("  ±"), *(Cell(f"±{half}") for half in text)))
        if method is not evidence.reference:
            lines.append((word(f"  - {reference}"), *(difference(cell, quantity) for quantity, cell in cells)))
    return Sheet(
        "overview",
        "Accuracy, bias and variance by split",
        f"Corrected for the number of runs; {captions.INTERVAL}. {captions.paired(evidence)}. All quantities, the"
        f" brackets of the variance too, are in splits.csv.{why_doubtful(lines)} {captions.short(evidence)}",
        (Column("method", numeric=False), *(Column(short, group) for group in GROUPS for short in SHORT.values())),
        tuple(lines),
    )


def by_split(tables: Tables, evidence: Evidence) -> Sheet:
    """The same numbers, a row for each method and split."""
    rows = _indexed(tables.splits)
    lines = []
    for method in evidence.methods:
        for place, group in enumerate(GROUPS):
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
        (METHOD, SPLIT, *_pairs(SHORT.values(), evidence)),
        tuple(lines),
    )


def plug_in(tables: Tables, evidence: Evidence) -> Sheet:
    """What published tables show."""
    rows = {at: row["plug_in"] for at, row in _indexed(tables.splits).items()}
    return Sheet(
        "plug_in",
        "Plug-in values, as published tables have them",
        f"Not corrected: compare at equal R only. {captions.short(evidence)}",
        (Column("method", numeric=False), *(Column(short, group) for group in GROUPS for short in SHORT.values())),
        tuple(
            (
                word(m.label),
                *(number(rows[m.key, group, quantity], quantity) for group in GROUPS for quantity in SHORT),
            )
            for m in evidence.methods
        ),
    )


def identity(tables: Tables, evidence: Evidence) -> Sheet:
    """Why bias and variance do not add up to the error, and what does."""
    rows = {at: row["plug_in"] for at, row in _indexed(tables.splits).items()}
    lines = []
    for method in evidence.methods:
        for place, group in enumerate(GROUPS):
            error, bias, unbiased, hits = (rows[method.key, group, quantity] for quantity in IDENTITY)
            texts = (text.replace("-", "") or "-" for text in closing(error, (bias, unbiased, -hits)))
            numbers = (Cell(text, value) for text, value in zip(texts, (error, bias, unbiased, hits), strict=True))
            lines.append((word(method.label), word(group, place), *numbers))
    return Sheet(
        "identity",
        "error = bias + unbiased variance - hits",
        "Plug-in values, rounded so that the printed numbers add up. A run that departs from the vote does harm where"
        " the vote is right (unbiased variance) and may hit the true class where it is wrong (hits): so bias + variance"
        f" is not the error. {captions.short(evidence)}",
        (METHOD, SPLIT, *(Column(quantity.replace("_", " ")) for quantity in IDENTITY)),
        tuple(lines),
    )


def claims(tables: Tables, evidence: Evidence) -> Sheet:
    """The nine claims of each method."""
    names = evidence.names
    lines = []
    for row in tables.claims.itertuples():
        mark = {"lower": "better", "higher": "worse", "": "unclear"}[row.holds]
        interval = f" ({formatted(row.low, sign='+')} to {formatted(row.high, sign='+')})" if row.low == row.low else ""
        lines.append(
            (
                word(names[row.method]),
                word(row.quantity),
                word(row.group, GROUPS.index(row.group)),
                Cell(formatted(row.difference, sign="+") + interval, row.difference, mark),
                Cell(row.holds or ("not made" if row.no_claim and row.p_holm <= ALPHA else "open"), None, mark),
                _p(row.p_holm),
                _p(row.sign_flip_p_holm),
                number(row.detectable),
                number(row.pairing_gain, digits=1),
            )
        )
    return Sheet(
        "claims",
        "The nine claims of each method",
        f"Differences from {evidence.reference.label}, corrected, with their intervals; p after Holm's correction for"
        " nine claims, from t, and from the exact sign-flip test of whether the methods differ at all on these test"
        " images: where that was done, a claim of error or variance needs both. No claim is made of a bias with fewer"
        f" than {RECOMMENDED} runs, or where the votes of one side are near uniform or near a tie. Nothing is corrected"
        " for reading a study again after it has grown: say how often it was read (of two methods that do not differ,"
        " at most 2 % of simulated studies have a claim at 10, 15 or 20 runs). Detectable: the true difference that"
        " four of five such studies find, before Holm's correction. Pairing: standard error without"
        f" pairing over that with it. {captions.short(evidence)}",
        (
            METHOD,
            Column("quantity", numeric=False, filtered=True),
            SPLIT,
            Column("difference (interval)"),
            Column("claim", numeric=False, filtered=True),
            Column("p (Holm)"),
            Column("p exact (Holm)"),
            Column("detectable"),
            Column("pairing"),
        ),
        tuple(lines),
    )


def hardest_negatives(tables: Tables, evidence: Evidence) -> Sheet:
    """How strongly wrong classes compete."""
    names, rows, minus = evidence.names, _indexed(tables.hardest_negatives), f"- {evidence.reference.label}"
    shown = ("mean", "share_above_true")
    lines = []
    for method in dict.fromkeys(tables.hardest_negatives["method"]):
        for place, group in enumerate(GROUPS):
            cells = [rows[method, group, quantity] for quantity in shown]
            quantiles = (rows[method, group, f"quantile_{share:g}"]["estimate"] for share in QUANTILES)
            lines.append(
                (
                    word(names[method]),
                    word(group, place),
                    *(estimate(cell, "") for cell in cells),
                    *(difference(cell, "") for cell in cells),
                    _distance(rows, method, group),
                    *(number(value) for value in quantiles),
                )
            )
    return Sheet(
        "hardest_negatives",
        "Hardest negatives: the largest softmax score of a wrong class",
        f"Mean over runs and test points; {captions.INTERVAL}. {captions.paired(evidence)}. Quantiles are pooled over"
        f" runs and points; so is the distance to {evidence.reference.label} (Wasserstein: how far scores would have to"
        " move to be distributed alike). The share above the true class's score does not depend on the scale of the"
        f" logits. {captions.short(evidence)}",
        (
            METHOD,
            SPLIT,
            *_pairs(("mean", "share above true"), evidence),
            Column("distance", minus),
            *(Column(f"{share:g}", "quantile") for share in QUANTILES),
        ),
        tuple(lines),
    )


def gaps(tables: Tables, evidence: Evidence) -> Sheet:
    """How much more the tail is confused than the head."""
    rows = _indexed(tables.gaps, "method", "quantity")
    shown = ("mean", "share_above_true")
    return Sheet(
        "gaps",
        "Hardest negatives: how much higher in the tail than in the head",
        f"Few minus many; {captions.INTERVAL}. {captions.paired(evidence)}. {captions.short(evidence)}",
        (Column("method", numeric=False), *_pairs(("mean", "share above true"), evidence)),
        tuple(
            (
                word(evidence.names[method]),
                *(estimate(rows[method, quantity], "") for quantity in shown),
                *(difference(rows[method, quantity], "") for quantity in shown),
            )
            for method in dict.fromkeys(tables.gaps["method"])
        ),
    )


def flow(tables: Tables, evidence: Evidence) -> Sheet:
    """From the split of the true class to that of its strongest rival."""
    rows = _indexed(tables.flows, "method", "true", "negative")
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


def pairs(tables: Tables, evidence: Evidence) -> Sheet:
    """The pairs of classes that lose most."""
    lines = []
    for row in tables.pairs.itertuples():
        half = f" ± {formatted((row.high - row.low) / 2)}" if row.low == row.low else ""
        lines.append(
            (
                word(evidence.names[row.method]),
                word(row.true_name),
                word(row.negative_name),
                word(row.negative_split, GROUPS.index(row.negative_split)),
                Cell(formatted(row.mass) + half, row.mass),
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


def cost(tables: Tables, evidence: Evidence) -> Sheet:
    """What a method's network costs."""
    names = {"parameters": "parameters", **MACS, "training_images_times_macs": "training MACs"}
    lines = [
        (
            word(evidence.names[row["method"]]),
            *(_size(row[column], row[f"{column}_ratio"]) for column in COSTS),
        )
        for _, row in tables.costs.iterrows()
    ]
    return Sheet(
        "cost",
        "What each method costs",
        f"Of one run; in brackets, times that of {evidence.reference.label}. MACs: multiply-adds of one image, all"
        " experts asked, without and with batch norm. Training MACs: MACs x images seen in training, all stages.",
        (Column("method", numeric=False), *(Column(names[column]) for column in COSTS)),
        tuple(lines),
    )


def experts(tables: Tables, evidence: Evidence) -> Sheet:
    """How many experts a routed method asks, by split."""
    rows = _indexed(tables.experts)
    return Sheet(
        "experts",
        "Experts asked for a test image",
        f"Mean over runs and test points; {captions.INTERVAL}. {captions.short(evidence)}",
        (Column("method", numeric=False), *(Column(group) for group in GROUPS)),
        tuple(
            (
                word(evidence.names[method]),
                *(estimate(rows[method, group, EXPERTS], "") for group in GROUPS),
            )
            for method in dict.fromkeys(tables.experts["method"])
        ),
    )


def usage(tables: Tables, evidence: Evidence) -> Sheet:
    """For which share of the test images exactly 1, 2, … experts were asked."""
    rows, numbers = _indexed(tables.usage), range(1, tables.usage["experts"].max() + 1)
    lines = []
    for method in dict.fromkeys(tables.usage["method"]):
        for place, group in enumerate(GROUPS):
            of = (rows.get((method, group, f"{SHARE}{number}")) for number in numbers)
            cells = (Cell("") if row is None else estimate(row, "accuracy") for row in of)
            lines.append((word(evidence.names[method]), word(group, place), *cells))
    return Sheet(
        "usage",
        "Test images by the number of experts asked",
        f"In percent, mean over classes and runs; {captions.INTERVAL}. {captions.short(evidence)}",
        (METHOD, SPLIT, *(Column(str(number), "experts asked, %") for number in numbers)),
        tuple(lines),
    )


def routed_cost(tables: Tables, evidence: Evidence) -> Sheet:
    """What a router spends, beside what all experts cost."""
    rows = _indexed(tables.routed_costs)
    lines = []
    for method in dict.fromkeys(tables.routed_costs["method"]):
        for full, spent in SPENT.items():
            of = [rows[method, group, spent] for group in GROUPS]
            cells = (_size(row["estimate"], row["share"]) for row in of)
            lines.append((word(evidence.names[method]), word(MACS[full]), _size(of[0]["full"], float("nan")), *cells))
    return Sheet(
        "routed_cost",
        "What a router spends on a test image",
        "MACs: multiply-adds of one image, without and with batch norm; all experts asked, then as many as the router"
        " asked, its own included: mean over classes and runs, in brackets times that of all experts."
        f" {captions.short(evidence)}",
        (
            METHOD,
            Column("counted", numeric=False, filtered=True),
            Column("all experts"),
            *(Column(group, "routed") for group in GROUPS),
        ),
        tuple(lines),
    )


def additions(tables: Tables, evidence: Evidence) -> Sheet:
    """A method and what it is built on."""
    named = tables.additions.rename(columns={"difference": "reference_difference"})
    rows = _indexed(named, "base", "method", "group", "quantity")
    lines = []
    for base, method in dict.fromkeys((base, method) for base, method, *_ in rows):
        for place, group in enumerate(GROUPS):
            cells = {quantity: rows[base, method, group, quantity] for quantity in SHORT}
            of = cells["accuracy"]
            before = {name: of[f"base_{name}"] for name in ("estimate", "low", "high")}
            lines.append(
                (
                    word(evidence.names[method]),
                    word(evidence.names[base]),
                    word(group, place),
                    estimate(before, "accuracy"),
                    estimate(of, "accuracy"),
                    *(difference(cell, quantity) for quantity, cell in cells.items()),
                )
            )
    return Sheet(
        "additions",
        "What a method brings on top of another",
        f"Corrected for the number of runs; {captions.INTERVAL}. Differences from the method without the addition are"
        f" paired by run; * where the interval excludes 0. {captions.short(evidence)}",
        (
            METHOD,
            Column("built on", numeric=False, filtered=True),
            SPLIT,
            Column("without", "acc. %"),
            Column("with", "acc. %"),
            *(Column(short, "what it brings") for short in SHORT.values()),
        ),
        tuple(lines),
    )


def classes(tables: Tables, evidence: Evidence) -> Sheet:
    """Every class of every method."""
    rows = _indexed(tables.classes)
    lines = []
    for method in evidence.methods:
        for class_id in evidence.by_count:
            cells = [(quantity, rows[method.key, class_id, quantity]) for quantity in SHOWN]
            of_class = cells[0][1]
            lines.append(
                (
                    word(method.label),
                    word(of_class["class_name"]),
                    word(of_class["split"], GROUPS.index(of_class["split"])),
                    word(of_class["train_count"], of_class["train_count"]),
                    word(of_class["points"], of_class["points"]),
                    *(estimate(cell, quantity) for quantity, cell in cells),
                    *(difference(cell, quantity) for quantity, cell in cells),
                )
            )
    return Sheet(
        "classes",
        "Every class",
        "Largest first. Exploratory: so few test points and runs can rarely settle a single class."
        f" {captions.INTERVAL}. {captions.paired(evidence)}, not corrected for the number of classes."
        f"{why_doubtful(lines)} {captions.short(evidence)}",
        (
            METHOD,
            Column("class", numeric=False),
            SPLIT,
            Column("training images"),
            Column("test points"),
            *_pairs(SHORT.values(), evidence),
        ),
        tuple(lines),
        long=True,
    )


def printed(tables: Tables, evidence: Evidence) -> list[Sheet]:
    """All sheets that have rows, in the order of the report."""
    made = [overview, by_split, plug_in, claims, identity]
    optional = {
        hardest_negatives: tables.hardest_negatives,
        gaps: tables.gaps,
        flow: tables.flows,
        pairs: tables.pairs,
        cost: tables.costs,
        routed_cost: tables.routed_costs,
        experts: tables.experts,
        usage: tables.usage,
        additions: tables.additions,
    }
    made += [make for make, table in optional.items() if len(table)]
    return [sheet for make in (*made, classes) if (sheet := make(tables, evidence)).rows]


def _indexed(table: pd.DataFrame, *columns: str) -> dict[tuple, dict[str, Any]]:
    """Rows of a table by some columns."""
    rows = table.to_dict("records")
    return {tuple(row[column] for column in columns or ("method", "group", "quantity")): row for row in rows}


def _pairs(quantities: Iterable[str], evidence: Evidence) -> tuple[Column, ...]:
    """Columns of some quantities, then of their differences from the reference."""
    names = tuple(quantities)
    minus = f"- {evidence.reference.label}"
    return (*(Column(name, "estimate") for name in names), *(Column(name, minus) for name in names))


def _distance(rows: Mapping[tuple, Mapping[str, Any]], method: str, group: str) -> Cell:
    at = (method, group, DISTANCE)
    return number(rows[at]["estimate"]) if at in rows else Cell("")


def _p(value: float) -> Cell:
    return number(value) if not value < 0.001 else Cell("<0.001", value)


def _size(value: float, ratio: float) -> Cell:
    """Thousands, millions or more, and how many times the reference's."""
    if value != value:
        return number(value)
    power = next((p for p in (12, 9, 6, 3) if value >= 10.0**p), 0)
    unit = {0: "", 3: " k", 6: " M", 9: " G", 12: " T"}[power]
    times = f" ({ratio:.2f}x)" if ratio == ratio else ""
    return Cell(f"{value / 10.0**power:.{1 if power else 0}f}{unit}{times}", value)
