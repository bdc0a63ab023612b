"""What does a study directory hold for a report? Its predictions, read and checked; what is amiss is refused with the
command that mends it.

    description    what study.json says
    predictions    the files of each method; `logits`, what those say that are kept whole
    notes          what a reader must know beside the numbers
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.data.dataset import labels_of
from ltbv.data.resample import lost_by_run, overlap
from ltbv.errors import Refusal
from ltbv.report.evidence import MOST_LOGITS, REFERENCE, Evidence, Setting, chosen
from ltbv.report.stages import read_stages
from ltbv.report.study import notes
from ltbv.report.study.description import Description
from ltbv.report.study.predictions import Origins, read_method
from ltbv.settings import OPTIMUM, PAPER
from ltbv.stats.record import check_clusters
from ltbv.store import Store, command, provenance


def read_study(path: Path, reference: str | None = None, methods: Sequence[str] = ()) -> Evidence:
    """The evidence of a study; refused without predictions, or where a file is not as it should be.

    reference, methods   keys: what is compared with, and what is read only: see `evidence.chosen`
    """
    store = Store(path)
    study = store.study()
    asked = study["asked"]
    if isinstance(found := study["data"].get("found"), str):  # a command says where the data are found
        asked = {**asked, "dataset": found}
    of = Description.read(store.path / "study.json", study)
    keys = store.methods()
    if not keys:
        raise Refusal(f"{path} has no predictions yet; run: {command(store.path, asked, REFERENCE)}")
    without = []
    if REFERENCE not in keys and reference is None:
        missing = command(store.path, asked, REFERENCE, runs=1 + max(max(store.runs(key)) for key in keys))
        without = [
            f"there is no CE in this study: {chosen(keys, None, methods)[0]}, the first in the list of methods, is the"
            f" reference. Another is named by --reference; to train CE too, run: {missing}"
        ]
    every, keys = keys, list(chosen(keys, reference, methods))
    classes = len(of.class_names)
    labels = _check_ids(store.path / "test.npz", "labels", store.test_labels(), 1, classes)
    ids = _check_ids(store.path / "samples.npz", "ids", store.samples(), 2, classes)
    of_methods, origins = [], {}
    ranked = sum(len(store.runs(key)) for key in keys) * labels.size * classes <= MOST_LOGITS
    for key in keys:
        of_method, origins_of_method = read_method(store, asked, key, labels, classes, ranked)
        if of.backbones:
            of_method = replace(of_method, backbones=_backbones(store, key, origins_of_method, of.backbones))
        of_methods.append(of_method)
        origins[of_method.label] = origins_of_method
    trained, untold = read_stages(store, {method.key: method.runs for method in of_methods}, asked["seed"])
    known = {label: {run: own for run, own in runs.items() if own} for label, runs in origins.items()}
    said = (
        *without,
        *notes.seen(store, keys),
        *notes.of_data(of.notes),
        *notes.of_backbone(of.backbone, of.backbones),
        *notes.left_out(len(every) - len(keys)),
        *notes.origins(store, origins),
        *provenance.mixtures(known),
        *untold,
    )
    made = (*notes.published(store, keys), *notes.at_optimum(of.settings), *provenance.made(known))
    setting = _setting(of, overlap(list(ids), classes), _commands(store, asked, keys, reference, methods))
    return Evidence(
        labels=labels,
        class_names=of.class_names,
        train_counts=of.counts,
        splits=of.splits,
        methods=tuple(of_methods),
        clusters=_clusters(store, labels),
        trained=trained,
        lost=lost_by_run(list(ids), of.counts),
        setting=replace(setting, notes=said, made=made, study=store.known_as()),
    )


def _setting(of: Description, shared: np.ndarray, commands: tuple[str, ...]) -> Setting:
    """How the runs came about, as far as study.json says it."""
    settings = of.settings
    return Setting(
        settings.dataset,
        of.scheme,
        of.head,
        of.imbalance,
        None if settings.protocol == PAPER or settings.optimiser == OPTIMUM else settings.epochs,
        settings.seed,
        shared=shared,
        pool_sizes=of.pool_sizes,
        protocol=of.protocol,
        made_with=of.made_with,
        commands=commands,
        backbone=of.backbone,
        backbones=tuple(one["about"] for one in of.backbones),
        augmentation=settings.augmentation or "",
    )


def _backbones(store: Store, key: str, origins: Origins, several: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The backbone of each run (R,), as its file says; one that says another than the study has is refused."""
    found = []
    for run, said in origins.items():
        own = (said or {}).get("backbone")
        own = own if isinstance(own, dict) else {}
        number = own.get("number")
        if type(number) is not int or not 0 <= number < len(several):
            raise Refusal(f"{store.prediction_file(key, run)} does not say which of {len(several)} backbones it is of")
        if own.get("content") != several[number]["content"]:
            raise Refusal(f"{store.prediction_file(key, run)} is of another backbone {number} than the study's")
        found.append(number)
    return np.array(found)


def _clusters(store: Store, labels: np.ndarray) -> np.ndarray | None:
    """Which test images belong together, where the data say so."""
    if (found := store.test_clusters()) is None:
        return None
    try:
        return check_clusters(found, labels.size)
    except Refusal as refusal:
        raise Refusal(f"{store.path / 'test.npz'}: {refusal}") from refusal


def _check_ids(path: Path, name: str, values: np.ndarray, axes: int, num_classes: int) -> np.ndarray:
    """Labels (N,) or ids of images (R, n), of classes that there are; gives them back."""
    cure = "delete it and run the command that made the study"
    if values.ndim != axes or values.dtype.kind not in "iu" or not values.size:
        raise Refusal(f"{path} has {name} of type {values.dtype} and shape {values.shape}; {cure}")
    classes = values if axes == 1 else labels_of(values)
    if ((classes < 0) | (classes >= num_classes)).any():
        raise Refusal(f"{path} has {name} of other classes than the {num_classes} there are; {cure}")
    return values


def _commands(
    store: Store, asked: dict[str, Any], keys: Sequence[str], reference: str | None, methods: Sequence[str]
) -> tuple[str, ...]:
    """What makes the same study and report again: under runs/, wherever this one lies."""
    elsewhere = Path("runs") / store.path.resolve().name
    by_runs: dict[int, list[str]] = {}
    for key in keys:
        by_runs.setdefault(1 + max(store.runs(key)), []).append(key)
    again = [command(elsewhere, asked, *of_runs, runs=runs) for runs, of_runs in by_runs.items()]
    options = ["--reference", reference] if reference else []
    options += [word for method in methods for word in ("--method", method)]
    return (*again, shlex.join(("ltbv", "report", str(elsewhere), *options)))
