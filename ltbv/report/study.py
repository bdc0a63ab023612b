"""What does a study directory hold for a report? Its predictions, read and checked; what is amiss is refused with the
command that mends it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.data.dataset import labels_of
from ltbv.data.resample import lost_by_run, overlap
from ltbv.errors import Refusal, words_of
from ltbv.files import Damaged, names_of, read_arrays, read_rows, shape_of
from ltbv.report.evidence import (
    MOST_CLASSES,
    MOST_IMAGES,
    MOST_LOGITS,
    REFERENCE,
    SPLITS,
    Evidence,
    MethodRuns,
    Seen,
    Setting,
    chosen,
)
from ltbv.report.names import check_names, printable
from ltbv.report.stages import read_stages
from ltbv.settings import OPTIMUM, PAPER, Settings
from ltbv.stats.logits import Desk, LogitParts
from ltbv.stats.measured import Measured
from ltbv.stats.probability import block_points
from ltbv.stats.ranks import ranks_of
from ltbv.stats.record import check_clusters
from ltbv.stats.votes import blocks
from ltbv.store import Store, command, provenance

FIELDS = {  # of a file -> of MethodRuns
    "label": "predictions",
    "p_true": "p_true",
    "p_negative": "p_negative",
    "negative": "negatives",
    "experts_used": "experts_used",
    "sum_p2": "sum_p2",
}
SCORES = ("p_true", "p_negative")  # known together, or not at all
FURTHER = tuple(name for name in FIELDS if name not in ("label", *SCORES))
LOGITS, RANKS, EXPERT_LOGITS, TOP = "logits", "ranks", "expert_logits", "top_classes"
CLASS_IDS = ("label", "negative")
PROBABILITIES = (*SCORES, "sum_p2")
MOST_EXPERTS = 1000
PIECE = 2**16  # logits of a run that are read at once
MOST_OPEN = 100  # files at once: systems allow a process 256 or more


def read_study(path: Path, reference: str | None = None, methods: Sequence[str] = ()) -> Evidence:
    """The evidence of a study; refused without predictions, or where a file is not as it should be.

    reference, methods   keys: what is compared with, and what is read only: see `evidence.chosen`
    """
    store = Store(path)
    study = store.study()
    asked, data = study["asked"], study["data"]
    if isinstance(found := data.get("found"), str):  # a command says where the data are found
        asked = {**asked, "dataset": found}
    settings = _check_settings(store.path / "study.json", study)
    keys = store.methods()
    if not keys:
        raise Refusal(f"{path} has no predictions yet; run: {command(store.path, asked, REFERENCE)}")
    notes = []
    if REFERENCE not in keys and reference is None:
        missing = command(store.path, asked, REFERENCE, runs=1 + max(max(store.runs(key)) for key in keys))
        notes = [
            f"there is no CE in this study: {chosen(keys, None, methods)[0]}, the first in the list of methods, is the"
            f" reference. Another is named by --reference; to train CE too, run: {missing}"
        ]
    every, keys = keys, list(chosen(keys, reference, methods))
    left_out = len(every) - len(keys)

    class_names = tuple(data["class_names"])
    labels = _check_ids(store.path / "test.npz", "labels", store.test_labels(), 1, len(class_names))
    ids = _check_ids(store.path / "samples.npz", "ids", store.samples(), 2, len(class_names))
    of_methods, origins = [], {}
    ranked = sum(len(store.runs(key)) for key in keys) * labels.size * len(class_names) <= MOST_LOGITS
    for key in keys:
        of_method, origins_of_method = _read_method(store, asked, key, labels, len(class_names), ranked)
        if several := data.get("backbones"):
            of_method = replace(of_method, backbones=_backbones(store, key, origins_of_method, several))
        of_methods.append(of_method)
        origins[of_method.label] = origins_of_method
    trained, untold = read_stages(store, {method.key: method.runs for method in of_methods}, asked["seed"])
    known = {label: {run: said for run, said in runs.items() if said} for label, runs in origins.items()}
    return Evidence(
        labels=labels,
        class_names=class_names,
        train_counts=np.asarray(data["counts"]),
        splits={name: np.asarray(data["splits"][name], int) for name in SPLITS},
        methods=tuple(of_methods),
        clusters=_clusters(store, labels),
        trained=trained,
        lost=lost_by_run(list(ids), np.asarray(data["counts"])),
        setting=Setting(
            settings.dataset,
            settings.scheme,
            settings.head,
            settings.imbalance,
            None if settings.protocol == PAPER or settings.optimiser == OPTIMUM else settings.epochs,
            settings.seed,
            shared=overlap(list(ids), len(class_names)),
            pool_sizes=np.asarray(data["pool_sizes"]) if "pool_sizes" in data else None,
            protocol=asked["protocol"],
            made_with=study.get("made_with", {}),
            commands=_commands(store, asked, keys, reference, methods),
            notes=(
                *notes,
                *_seen(store, keys),
                *_of_data(data),
                *_of_backbone(data),
                *_left_out(left_out),
                *_origins(store, origins),
                *provenance.mixtures(known),
                *untold,
            ),
            made=(*_published(store, keys), *_at_optimum(settings), *provenance.made(known)),
            study=store.known_as(),
            backbone=data.get("backbone"),
            backbones=tuple(one["about"] for one in data.get("backbones", ())),
            augmentation=settings.augmentation or "",
        ),
    )


def _backbones(store: Store, key: str, origins: "Origins", several: Sequence[Mapping[str, Any]]) -> np.ndarray:
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


def _published(store: Store, keys: Sequence[str]) -> list[str]:
    """Under which terms each method was trained, where that was not the common protocol for all: a sentence or none."""
    by_terms: dict[str, list[str]] = {}
    for recipe in map(store.recipe, keys):
        found = recipe.get("published")
        if not isinstance(found, dict) or not isinstance(found.get("stages"), dict):
            continue
        changed = "; ".join(f"{name}: {terms}" for name, terms in found["stages"].items() if terms)
        said = f"after {found.get('source')} ({changed or 'as under the common protocol'})"
        by_terms.setdefault(said, []).append(recipe["label"])
    each = [f"{', '.join(map(printable, labels))} {printable(said)}" for said, labels in by_terms.items()]
    return [f"Protocol: each method as published, {'. '.join(each)}."] if each else []


def _at_optimum(settings: Settings) -> list[str]:
    """That heads were not trained epoch by epoch."""
    said = "each at its optimum, on all images at once (L-BFGS): no order of batches and no first weights vary"
    return [f"Heads: {said}."] if settings.optimiser == OPTIMUM else []


def _of_backbone(data: Mapping[str, Any]) -> list[str]:
    """What no interval knows of features: what the backbone saw when it was trained."""
    if "backbone" not in data:
        return []
    said = [data["backbone"], *(one["about"] for one in data.get("backbones", ()))]
    known = "" if all("trained on" in about for about in said) else "what the backbone was trained on is not said: "
    return [
        f"{known}where it saw the training images, their features are better than those of test images, the more so the"
        " larger the class; where it saw test images, errors are too small whatever the head."
    ]


def _of_data(data: Mapping[str, Any]) -> list[str]:
    """What was noted of the data themselves when they were read: images left out, counts that are not as published."""
    notes = data.get("notes", ())
    return [printable(note) for note in notes if isinstance(note, str)] if isinstance(notes, list | tuple) else []


SEEN = {  # by what a recipe says
    "development": "dev: that many development images of each class beside the sample, which other methods do not see",
    "sees_test": "sees test: it adapts to the unlabelled test images, all at once, which other methods do not see",
}


def _seen(store: Store, keys: list[str]) -> list[str]:
    """Which methods looked at more than their training images; `study` writes it into their recipes."""
    recipes = [store.recipe(key) for key in keys]
    labels = {name: [recipe["label"] for recipe in recipes if recipe.get(name)] for name in SEEN}
    return [f"{', '.join(labels[name])}: {said}." for name, said in SEEN.items() if labels[name]]


def _left_out(number: int) -> list[str]:
    return [f"{number} methods of this study were left out, as asked."] if number else []


def _check_settings(path: Path, study: dict[str, Any]) -> Settings:
    """The settings; a study.json that lacks what a report says of a study, or has something else there, is refused."""
    asked, data = study["asked"], study["data"]
    try:
        settings = Settings.read(asked)
    except Refusal as refusal:
        raise Refusal(f"{path} has asked.{refusal}; that is not as ltbv writes it; make the study again") from refusal
    for name in ("scheme", "head", "imbalance", "epochs"):
        if getattr(settings, name) is None:
            raise _not_as_written(path, f"asked.{name}", None)
    if not isinstance(asked.get("protocol"), dict):
        raise _not_as_written(path, "asked.protocol", asked.get("protocol"))
    if not (0 <= settings.head <= MOST_IMAGES and 0 <= settings.imbalance <= MOST_IMAGES):
        raise _not_as_written(path, "asked.head and asked.imbalance", [settings.head, settings.imbalance])
    if not isinstance(study.get("made_with", {}), dict):
        raise _not_as_written(path, "made_with", study["made_with"])
    if not isinstance(data.get("backbone", ""), str):
        raise _not_as_written(path, "data.backbone", data["backbone"])
    several = data.get("backbones", [])
    if not isinstance(several, list) or not all(isinstance(one, dict) and _says_what(one) for one in several):
        raise _not_as_written(path, "data.backbones", several)
    names, splits = data.get("class_names"), data.get("splits")
    if not (isinstance(names, list) and 0 < len(names) <= MOST_CLASSES and all(isinstance(k, str) for k in names)):
        raise _not_as_written(path, "data.class_names", names)
    check_names(names, str(path))
    for name in ("counts", *({"pool_sizes"} & data.keys())):
        numbers = data.get(name)
        if not _are_whole(numbers, MOST_IMAGES) or len(numbers) != len(names):
            raise _not_as_written(path, f"data.{name}", numbers)
    if not isinstance(splits, dict) or not all(_are_whole(splits.get(name), len(names)) for name in SPLITS):
        raise _not_as_written(path, "data.splits", splits)
    if sorted(c for name in SPLITS for c in splits[name]) != list(range(len(names))):
        raise Refusal(f"{path} has data.splits in which each class is not once")
    return settings


def _says_what(backbone: Mapping[str, Any]) -> bool:
    return all(isinstance(backbone.get(name), str) for name in ("file", "content", "about"))


def _are_whole(values: Any, most: int) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= most for value in values)


def _not_as_written(path: Path, name: str, value: Any) -> Refusal:
    found = repr(value)[:60] if isinstance(value, (str, float, bool, type(None))) else f"a {type(value).__name__}"
    return Refusal(f"{path} has {name} {found}, which is not as ltbv writes it; make the study again")


def _check_ids(path: Path, name: str, values: np.ndarray, axes: int, num_classes: int) -> np.ndarray:
    """Labels (N,) or ids of images (R, n), of classes that there are; gives them back."""
    cure = "delete it and run the command that made the study"
    if values.ndim != axes or values.dtype.kind not in "iu" or not values.size:
        raise Refusal(f"{path} has {name} of type {values.dtype} and shape {values.shape}; {cure}")
    classes = values if axes == 1 else labels_of(values)
    if ((classes < 0) | (classes >= num_classes)).any():
        raise Refusal(f"{path} has {name} of other classes than the {num_classes} there are; {cure}")
    return values


Origins = dict[int, dict[str, Any] | None]  # run -> what its file says of itself, see `store.provenance`


def _origins(store: Store, methods: dict[str, Origins]) -> list[str]:
    """Cautions on where the files come from."""
    if store.known_as() is None:
        return [
            "this study was made by an ltbv that gave studies no identity: whether all its files belong together is"
            " not known."
        ]
    silent = [(label, run) for label, runs in methods.items() for run, said in runs.items() if said is None]
    if not silent:
        return []
    label, run = silent[0]
    return [
        f"{len(silent)} prediction files do not say where they come from (the first: run {run} of {label}); were they"
        " put there by hand?"
    ]


def _read_method(
    store: Store, asked: dict[str, Any], key: str, labels: np.ndarray, num_classes: int, ranked: bool
) -> tuple[MethodRuns, Origins]:
    """The runs of a method, and where they come from; a file that says it is another than its name is refused.

    ranked   look at the logits, where these are kept; else, most of the file is unread, but for the classes of the
             largest logits, where these alone are kept
    """
    runs, recipe = store.runs(key), store.recipe(key)
    cure = f"delete it and run: {command(store.path, asked, key, runs=1 + max(runs))}"
    of_runs, origins, experts, whole = [], {}, set(), []
    for run in runs:
        path = store.prediction_file(key, run)
        try:
            names = names_of(path)
            scores = () if set(names).isdisjoint(SCORES) else SCORES  # labels alone may be all that was kept of a run
            fields = read_arrays(path, ["label", *scores], optional=(*FURTHER, provenance.FIELD, TOP))
            shape = shape_of(path, EXPERT_LOGITS) if EXPERT_LOGITS in names else None
        except Damaged as damage:
            raise _damaged(path, damage, cure) from damage
        origins[run] = provenance.said(fields)
        fields.pop(provenance.FIELD, None)
        try:
            _check_origin(origins[run], provenance.of_prediction(recipe, asked["seed"], run))
            ranks = _ranks_within(fields.pop(TOP, None), labels, num_classes)
            _check_fields(fields, labels, num_classes)
            experts.add(_experts(shape, labels.size, num_classes))
        except Refusal as refusal:
            raise Refusal(f"{path} {refusal}; {cure}") from refusal
        of_runs.append(fields | ranks)
        if ranked and LOGITS in names:
            whole.append(run)
    check_names([key, recipe["label"]] if key != recipe["label"] else [key], str(store.path / "predictions" / key))
    known = {name: recipe.get(name) or None for name in ("cost", "adds_to", "family", "experts", "kind")}
    if whole:
        all_ranks, losses = _look([store.prediction_file(key, run) for run in whole], labels, num_classes, cure)
        for run, ranks_of_run in zip(whole, all_ranks, strict=True):
            of_runs[runs.index(run)][RANKS] = ranks_of_run
        if whole == list(runs):
            again = partial(store.predictions, key, LOGITS)
            known["logits"] = Seen(tuple(runs), losses, again) if losses else again
    arrays: dict[str, Any] = {
        name: np.stack([fields[field] for fields in of_runs])
        for field, name in (FIELDS | {RANKS: RANKS}).items()
        if all(field in fields for fields in of_runs)
    }
    stages = tuple(stage["key"] for stage in recipe["stages"])
    if None not in experts and len(experts) == 1:
        known["expert_logits"] = partial(_read_experts, store, key)
    return MethodRuns(key, recipe["label"], tuple(runs), **arrays, **known, stages=stages), origins


def _damaged(path: Path, damage: Damaged, cure: str) -> Refusal:
    return Refusal(f"{path} is damaged ({words_of(damage.__cause__ or damage)}); {cure}")


def _look(
    paths: Sequence[Path], labels: np.ndarray, num_classes: int, cure: str
) -> tuple[np.ndarray, dict[str, Measured] | None]:
    """What the logits of the runs in these files say, each read once, all runs together: ranks of the true class (R, N)
    and the parts of losses; None where a logit is not finite."""
    size = block_points(len(paths), num_classes)
    rows = size * max(1, PIECE // (size * num_classes))
    tables = [_rows(path, at < MOST_OPEN, rows, (labels.size, num_classes), cure) for at, path in enumerate(paths)]
    desk, parts, start = Desk(), LogitParts(len(paths), labels, num_classes), 0
    ranks, finite = np.empty((len(paths), labels.size), np.min_scalar_type(num_classes)), True
    for of_runs in zip(*tables, strict=True):
        for inner in blocks(len(of_runs[0]), size):
            block = slice(start + inner.start, start + inner.stop)
            z, top = desk.laid([of[inner] for of in of_runs])
            if (nothing := np.isnan(top)).any():
                of, number = int(nothing.any(1).argmax()), nothing.sum(1)
                raise Refusal(
                    f"{paths[of]} cannot be: its logits are NaN at {number[of]} of the points {block.start} to"
                    f" {block.stop - 1}; {cure}"
                )
            ranks[:, block] = ranks_of(z, labels[block])
            finite = finite and bool(np.isfinite(top).all() and np.isfinite(z.min()))
            if finite:
                parts.add(block, z, top, desk.free(z))
        start += len(of_runs[0])
    return ranks, parts.measured() if finite else None


def _rows(path: Path, streamed: bool, rows: int, wanted: tuple[int, int], cure: str) -> Iterator[np.ndarray]:
    """The logits (N, C) of a run, so many rows at once: while they are looked at, or all read before."""

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        if shape != wanted or dtype.kind != "f":
            raise Refusal(f"{path} has logits of type {dtype} and shape {shape}; {cure}")

    try:
        parts = read_rows(path, LOGITS, rows, check)
        yield from parts if streamed else [*parts]
    except Damaged as damage:
        raise _damaged(path, damage, cure) from damage


def _ranks_within(top: np.ndarray | None, labels: np.ndarray, num_classes: int) -> dict[str, np.ndarray]:
    """RANKS (N,) by the classes (N, k) of the k largest logits of a run: k for all that are not among these."""
    if top is None:
        return {}
    if top.ndim != 2 or len(top) != labels.size or not 5 <= top.shape[1] <= num_classes or top.dtype.kind not in "iu":
        raise Refusal(f"has {TOP} of type {top.dtype} and shape {top.shape}")
    hit = top == labels[:, None]
    return {RANKS: np.where(hit.any(1), hit.argmax(1), top.shape[1]).astype(np.min_scalar_type(num_classes))}


def _experts(shape: tuple[int, ...] | None, points: int, num_classes: int) -> int | None:
    """How many experts have logits of their own, from the `shape` (E, N, C) of these, which are not read yet."""
    if shape is None:
        return None
    if len(shape) != 3 or shape[0] < 2 or shape[1:] != (points, num_classes):
        wanted = f"experts are two or more, each with ({points}, {num_classes})"
        raise Refusal(f"has {EXPERT_LOGITS} of shape {shape}; {wanted}")
    return shape[0]


def _read_experts(store: Store, key: str, runs: Sequence[int]) -> np.ndarray:
    """Those logits of the runs of these numbers, (R, E, N, C)."""
    found = store.predictions(key, EXPERT_LOGITS, runs)
    if found.dtype.kind != "f":
        raise Refusal(f"{store.prediction_file(key, runs[0]).parent} has {EXPERT_LOGITS} of type {found.dtype}")
    return found


def _check_origin(said: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    if said and (strange := provenance.stranger(said, expected)):
        raise Refusal(f"is another file than its name says: {strange}")


def _check_fields(fields: dict[str, np.ndarray], labels: np.ndarray, num_classes: int) -> None:
    """FIELDS of one run, each (N,)."""
    for name, values in fields.items():
        if values.shape != labels.shape:
            raise Refusal(f"has {name} of shape {values.shape}, but the test set has {labels.size} points")
        if values.dtype.kind not in ("iu" if name in CLASS_IDS else "f" if name in PROBABILITIES else "iuf"):
            raise Refusal(f"has {name} of type {values.dtype}")
    for name in set(CLASS_IDS) & set(fields):
        if (wrong := (fields[name] < 0) | (fields[name] >= num_classes)).any():
            raise Refusal(f"has {name} {fields[name][wrong][0]}, but there are {num_classes} classes")
    if "experts_used" in fields and (fields["experts_used"] < 1).any():
        raise Refusal(f"has experts_used {fields['experts_used'].min()}, but a router asks one expert or more")
    if "experts_used" in fields and not (fields["experts_used"] <= MOST_EXPERTS).all():  # NaN is neither
        raise Refusal(f"has experts_used that is NaN or more than {MOST_EXPERTS}")
    for name in set(PROBABILITIES) & set(fields):
        if wrong := int((~((fields[name] >= 0) & (fields[name] <= 1))).sum()):  # NaN is neither
            raise Refusal(f"has {name} that is NaN or no probability at {wrong} of {labels.size} points")


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
