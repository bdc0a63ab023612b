"""How do measured numbers compare with those of the literature? Published tables beside a study of the same data set,
where one asks for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ltbv.report.evidence import GROUPS, Evidence
from ltbv.report.measured import Measured
from ltbv.report.names import printable
from ltbv.report.published import SETTINGS, read
from ltbv.report.sheet import SHORT, Column, Sheet, number, word
from ltbv.report.topic import Finding, Tables, Topic
from ltbv.report.written import NOTHING

NOT_KNOWN = "not known"
RESNET_WIDTH = 16  # channels of the first stage of CIFAR's residual networks, of depth 6 * blocks + 2


def measure(measured: Measured) -> Finding:
    """`published`: rows of the study's data set, imbalance and (unless another is asked for) protocol, as
    `report.published` has them, with `here`, the method that was measured, and `measured`, its plug-in value of the
    same split and quantity; or a line that says that there are none. Where the paper leaves open which of several
    methods it means, each that was measured has rows."""
    if not measured.published:
        return Finding({"published": pd.DataFrame()})
    found, said = fitting(measured.evidence, measured.published)
    names = measured.evidence.names
    here = [[key for key in keys.split() if key in names] or [""] for keys in found["key"]]
    own = measured.by_split[["method", "group", "quantity", "plug_in"]]
    own = own.rename(columns={"method": "here", "plug_in": "measured"})
    return Finding(
        {"published": found.assign(here=here).explode("here").merge(own, how="left", on=["here", "group", "quantity"])},
        said,
    )


def fitting(evidence: Evidence, asked: bool | str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Published rows to compare a study with, and what is to be said of those that are not shown.

    asked  True: those of its own protocol; the name of its data set: of any, its own first
    """
    everything, of = read(), evidence.setting
    if isinstance(asked, str) and asked != of.dataset:
        return everything[:0], (f"published numbers of {asked} stand beside no study of {printable(of.dataset)}.",)
    same = everything[everything["dataset"] == of.dataset]
    if same.empty:
        known = ", ".join(sorted(set(everything["dataset"])))
        return same, (f"no published numbers for {printable(of.dataset)}; there are for: {known}.",)
    found = same[same["imbalance"].isna() | (same["imbalance"] == of.imbalance)]
    if found.empty:
        known = ", ".join(f"{value:g}" for value in sorted(set(same["imbalance"])))
        return found, (f"no published numbers for {of.dataset} at imbalance {of.imbalance}; there are for: {known}.",)
    other = [bool(_other_protocol(row, evidence)) for _, row in found.iterrows()]
    own, others = found[[not one for one in other]], found[other]
    if isinstance(asked, str):
        return pd.concat([own, others]), ()
    left = [
        f"{rows['source'].iloc[0]} ({', '.join(_other_protocol(rows.iloc[0], evidence))})"
        for _, rows in others.groupby(SETTINGS, dropna=False, sort=False)
    ]
    more = f"published tables of another protocol are left out: {'; '.join(left)}. --published {of.dataset} shows them."
    return own, (more,) if left else ()


def sheets(tables: Tables, evidence: Evidence) -> list[Sheet]:
    """A sheet for each published table."""
    each = tables.published.groupby(SETTINGS, dropna=False, sort=False)
    return [_sheet(evidence, at, rows) for at, (_, rows) in enumerate(each, 1)]


def _sheet(evidence: Evidence, at: int, rows: pd.DataFrame) -> Sheet:
    """A row for each published method and split: what is published, what was measured, and the difference."""
    quantities = [quantity for quantity in SHORT if quantity in set(rows["quantity"])]
    costs = bool((rows["cost"] != "").any())
    lines = []
    for method, key in dict.fromkeys(zip(rows["method"], rows["here"], strict=True)):
        of_pair = rows[(rows["method"] == method) & (rows["here"] == key)]
        here = evidence.names.get(key, method)
        for group, own in of_pair.groupby("group", sort=False):
            of = own.set_index("quantity")
            published, measured = (of[name].reindex(quantities) for name in ("value", "measured"))
            lines.append(
                (
                    word(method if here == method else f"{method} / {here}"),
                    word(group, GROUPS.index(group)),
                    *(number(published[quantity], quantity, digits=2) for quantity in quantities),
                    *(number(measured[quantity], quantity) for quantity in quantities),
                    *(number(measured[quantity] - published[quantity], quantity, sign="+") for quantity in quantities),
                    *([word(own["cost"].iloc[0] or NOTHING)] if costs else []),
                )
            )
    first = rows.iloc[0]
    said = (*differences(first, evidence), *_training(rows, evidence), *_open(rows, evidence))
    over = ("paper", "here", "here - paper")
    return Sheet(
        f"published_{at}",
        f"Published beside measured: {first['source']}, {first['dataset']}",
        f"{_plug_in(quantities)} {' '.join(said)}",
        (
            Column("method in paper / here", numeric=False, filtered=True),
            Column("split", numeric=False, filtered=True),
            *(Column(SHORT[quantity], name) for name in over for quantity in quantities),
            *([Column("cost in paper", numeric=False)] if costs else []),
        ),
        tuple(lines),
        asked=True,
    )


def _plug_in(quantities: list[str]) -> str:
    if quantities == ["accuracy"]:
        return "Accuracy in percent."
    return "Accuracy in percent; bias and variance are plug-in values, as the published ones, and depend on the runs."


def _open(rows: pd.DataFrame, evidence: Evidence) -> list[str]:
    """Which methods were taken, where the paper leaves it open."""
    taken: dict[str, list[str]] = {}
    for method, keys, here in dict.fromkeys(zip(rows["method"], rows["key"], rows["here"], strict=True)):
        if here and len(keys.split()) > 1:
            taken.setdefault(method, []).append(printable(evidence.names[here]))
    return [
        f"Beside {method} stand{'s' if len(here) == 1 else ''} {' and '.join(here)}: the paper leaves open which it is."
        for method, here in taken.items()
    ]


def differences(published: pd.Series, evidence: Evidence) -> list[str]:
    """How the protocols differ, or that the paper leaves it open: a sentence each."""
    of, theirs = evidence.setting, published
    said = [f"The paper has {words}." for words in _other_protocol(published, evidence)]
    if theirs["scheme"] != of.scheme:
        paper = f"draws each run by the scheme {theirs['scheme']}" if theirs["scheme"] else "has one training set"
        said.append(f"The paper {paper}, here the scheme is {printable(of.scheme)}.")
    runs = sorted({len(method.runs) for method in evidence.methods})
    ours = str(runs[0]) if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    if pd.isna(theirs["runs"]):
        said.append(f"The paper does not say how many runs it has, here there are {ours}.")
    elif runs != [int(theirs["runs"])]:
        said.append(f"The paper has {theirs['runs']:g} runs of each method, here there are {ours}.")
    if theirs["network"] and not network(of.protocol):
        said.append(f"The paper trains {theirs['network']}; which network was trained here is not known.")
    return said or ["No difference of protocol is known."]


def _training(rows: pd.DataFrame, evidence: Evidence) -> list[str]:
    """How long the paper trains, and how it picks its numbers: a sentence each."""
    ours = evidence.setting.epochs
    here = f"; here {ours}" if ours is not None else ""
    return [
        f"Epochs in the paper: {_by_method(rows, 'epochs')}{here}.",
        f"How its numbers were picked: {_by_method(rows, 'selected')}; here the last epoch answers.",
    ]


def _by_method(rows: pd.DataFrame, column: str) -> str:
    """What most methods of a table have, then what others have, by name: '200, 400 (mixup; Remix)'."""
    of = rows.drop_duplicates("method").groupby(column, sort=False)["method"].agg(list)
    most, *others = sorted(of.index, key=lambda value: -len(of[value]))
    apart = (f"{value or NOT_KNOWN} ({'; '.join(map(str, of[value]))})" for value in others)
    return ", ".join([most or NOT_KNOWN, *apart])


def _other_protocol(published: pd.Series, evidence: Evidence) -> list[str]:
    """In what the trained problem is another one, as far as both are known."""
    found, of = [], evidence.setting
    if pd.notna(published["head"]) and of.head is not None and int(published["head"]) != of.head:
        found.append(f"{published['head']:g} images of the largest class, here {of.head}")
    ours = network(of.protocol)
    if published["network"] and ours and ours != published["network"]:
        found.append(f"{published['network']}, here {ours}")
    return found


def network(protocol: Mapping[str, Any]) -> str:
    """The network of a protocol as papers call it: 'ResNet-32', 'ResNet-8, .5 times as wide', 'torchvision resnet18';
    empty where it is not known."""
    backbone = protocol.get("backbone") if isinstance(protocol, Mapping) else None
    if not isinstance(backbone, Mapping):
        return ""
    blocks, widths, name = (backbone.get(field) for field in ("blocks", "widths", "name"))
    if isinstance(blocks, int) and isinstance(widths, Sequence) and widths:
        times = widths[0] / RESNET_WIDTH
        return f"ResNet-{6 * blocks + 2}" + (f", {times:g} times as wide" if times != 1 else "")
    return f"torchvision {printable(name)}" if isinstance(name, str) else ""


TOPIC = Topic(measure, sheets={"published": (sheets,)}, inner=("published",))
