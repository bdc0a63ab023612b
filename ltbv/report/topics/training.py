"""Did it train? Loss and training accuracy by epoch of every stage and run. A stage that methods share stands once,
with the first of them. What settled and collapsed mean is said in `report.training`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ltbv.report import captions
from ltbv.report.evidence import Evidence
from ltbv.report.measured import Measured
from ltbv.report.questions import TRUST
from ltbv.report.sheet import Cell, Column, Sheet, number, word
from ltbv.report.topic import Drawing, Finding, Looks, Tables, Topic
from ltbv.report.training import (
    FEWEST_EPOCHS,
    MOST_MOVED,
    MOST_RISEN,
    MOVING,
    SETTLED,
    SHORT,
    collapsed,
    moved,
    state,
)

CURVES = ["method", "stage", "run", "epoch", "loss", "accuracy"]
STAGES = [
    *("method", "stage", "methods", "run", "epochs", "first_loss", "last_loss", "last_accuracy"),
    *("loss_moved", "accuracy_moved", "state", "collapsed"),
]
MOST_NAMED = 5  # stages, or runs, in a caution
RULE = (
    f"settled: in half of the runs or more, the last tenth of the epochs moved the loss by {MOST_MOVED:.0%} or less of"
    f" all that it fell, and training accuracy by {100 * MOST_RISEN:g} points or less"
)


def measure(measured: Measured) -> Finding:
    """
    training  STAGES, a row for each stage and run: `methods` are the keys of all that stand on it; loss_moved is a
              share of all that the loss fell, accuracy_moved a difference; state is of the stage, from all its runs;
              `collapsed` says how a run shows that it did, else empty
    epochs    CURVES; epochs from 1. Written as figures/training.csv
    """
    evidence = measured.evidence
    users: dict[str, list[str]] = {}
    for method in evidence.methods:
        for key in method.stages:
            if key in evidence.trained:
                users.setdefault(key, []).append(method.key)
    stages, curves = [], []
    for key, methods in users.items():
        of = evidence.trained[key]
        who, epochs = (methods[0], of.name), of.loss.shape[1]
        fallen, change = collapsed(of, evidence.train_counts), np.transpose(moved(of))
        for row, run in enumerate(of.runs):
            ends = of.loss[row, 0], of.loss[row, -1], of.accuracy[row, -1]
            stages.append((*who, " ".join(methods), run, epochs, *ends, *change[row], state(of), fallen.get(run, "")))
        runs, of_epochs = np.repeat(of.runs, epochs), np.tile(np.arange(1, epochs + 1), len(of.runs))
        own = pd.DataFrame({"run": runs, "epoch": of_epochs, "loss": of.loss.ravel(), "accuracy": of.accuracy.ravel()})
        curves.append(own.assign(method=who[0], stage=who[1])[CURVES])
    table = pd.DataFrame(stages, columns=STAGES)
    rows = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVES)
    return Finding({"training": table, "epochs": rows}, cautions(table, evidence))


def cautions(table: pd.DataFrame, evidence: Evidence) -> tuple[str, ...]:
    """Stages that had not settled, and runs that collapsed."""
    lines = []
    stages = table.drop_duplicates(["method", "stage"])
    if len(moving := stages[stages["state"] == MOVING]):
        named = [_name(row, evidence) for row in moving.itertuples()]
        lines.append(
            f"training had not settled in {len(moving)} of {len(stages)} stages ({_few(named)}): the numbers are those"
            f" of this protocol, and longer training may move them ({RULE})."
        )
    if len(fallen := table[table["collapsed"] != ""]):
        named = []
        for _, own in fallen.groupby(["method", "stage"], sort=False):
            first, more = own.iloc[0], len(own) - 1
            runs = f"runs {', '.join(map(str, own['run']))}" if more else f"run {first['run']}"
            one = f"run {first['run']}: " * bool(more)
            named.append(f"{runs} of {_name(first, evidence)} ({one}{first['collapsed']})")
        lines.append(
            f"training collapsed in {_few(named)}, for all methods that stand on it: a claim of error or variance is"
            " made only where no likely share of such runs undoes it."
        )
    return tuple(lines)


def _name(row: Any, evidence: Evidence) -> str:
    more = len(row.methods.split()) - 1
    shared = f", shared with {more} method{'s' * (more > 1)} more" if more else ""
    return f"{evidence.names[row.method]}: {row.stage}{shared}"


def _few(named: Sequence[str]) -> str:
    more = len(named) - MOST_NAMED
    return "; ".join(named[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def answer(table: pd.DataFrame) -> str:
    """Did it train, in a sentence."""
    stages = table.drop_duplicates(["method", "stage"])
    number = stages["state"].value_counts()
    said = [f"{number[of]} {words}" for of, words in STATES.items() if of in number]
    if len(number) == 1 and len(stages) > 1:
        said[0] = f"all {said[0]}"
    fallen = table.loc[table["collapsed"] != "", "run"].nunique()
    runs = f"{fallen} run{'s' * (fallen > 1)} collapsed" if fallen else "no run collapsed"
    return f"Of {len(stages)} stage{'s' * (len(stages) != 1)}, {', '.join(said)}; {runs}."


STATES = {SETTLED: "had settled", MOVING: "had not settled", SHORT: f"too short to tell (under {FEWEST_EPOCHS} epochs)"}


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """A row for each stage."""
    lines = []
    for (method, stage), own in tables.training.groupby(["method", "stage"], sort=False):
        of, fallen = own.iloc[0], own.loc[own["collapsed"] != "", "run"]
        lines.append(
            (
                word(evidence.names[method]),
                word(stage),
                word(len(of["methods"].split()), len(of["methods"].split())),
                word(len(own), len(own)),
                word(of["epochs"], of["epochs"]),
                number(own["first_loss"].mean()),
                number(own["last_loss"].mean()),
                number(own["last_accuracy"].mean(), "accuracy"),
                number(own["last_accuracy"].min(), "accuracy"),
                number(own["loss_moved"].median()),
                word(of["state"]),
                word(", ".join(map(str, fallen))) if len(fallen) else Cell(),
            )
        )
    return Sheet(
        "training",
        "Did it train?",
        f"Of training images as they were seen: augmented, drawn as the stage draws them, while weights moved."
        f" {RULE[0].upper()}{RULE[1:]} (median in column moved); under {FEWEST_EPOCHS} epochs it is too short to tell."
        " A loss that is another from some epoch on may end above where it was. A stage that methods share stands with"
        f" the first. By run: tables/training.csv, by epoch: figures/training.csv. {captions.short(evidence)}",
        (
            Column("method", numeric=False, filtered=True),
            Column("stage", numeric=False, filtered=True),
            Column("methods"),
            Column("runs"),
            Column("epochs"),
            Column("first epoch", "mean loss"),
            Column("last epoch", "mean loss"),
            Column("mean", "training acc. %, last epoch"),
            Column("lowest run", "training acc. %, last epoch"),
            Column("moved"),
            Column("state", numeric=False, filtered=True),
            Column("collapsed runs", numeric=False),
        ),
        tuple(lines),
        long=True,
        answer=answer(tables.training),
    )


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing:
    from ltbv.report import epochs

    del looks
    order = epochs.shown(tables.training)
    number = len(tables.training.drop_duplicates(["method", "stage"]))
    some = "" if len(order) == number else f" {len(order)} of {number} stages, those with a caution first."
    return Drawing(
        "training",
        epochs.training(tables.epochs, tables.training, order, evidence.names),
        tables.epochs,
        "Loss (line, left axis) and share of training images right (dashed, right axis) by epoch of each stage: mean"
        f" and range over runs; red: runs that collapsed.{some}",
        f"{answer(tables.training)} First and last values are in the table below.",
    )


def trained(tables: Tables, evidence: Evidence) -> str:
    """The same for the question that it belongs to; nothing where no curves are known."""
    del evidence
    return (
        f"Training: {answer(tables.training)[0].lower()}{answer(tables.training)[1:]}" if len(tables.training) else ""
    )


TOPIC = Topic(
    measure, sheets={"training": (sheet,)}, figures={"epochs": draw}, inner=("epochs",), question=TRUST, answer=trained
)
