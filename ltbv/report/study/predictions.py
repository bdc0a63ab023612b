"""What do the prediction files of a method hold? Fields of every run, checked, and where each file comes from."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.files import Damaged, names_of, read_arrays, shape_of
from ltbv.report.evidence import MethodRuns, Seen
from ltbv.report.names import check_names
from ltbv.report.study.logits import LOGITS, damaged, look
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
RANKS, EXPERT_LOGITS, TOP = "ranks", "expert_logits", "top_classes"
CLASS_IDS = ("label", "negative")
PROBABILITIES = (*SCORES, "sum_p2")
MOST_EXPERTS = 1000

Origins = dict[int, dict[str, Any] | None]  # run -> what its file says of itself, see `store.provenance`


def read_method(
    store: Store, asked: dict[str, Any], key: str, labels: np.ndarray, num_classes: int, ranked: bool
) -> tuple[MethodRuns, Origins]:
    """The runs of a method, and where they come from; a file that says it is another than its name is refused.

    ranked   look at the logits, where these are kept; else, most of the file is unread, but for the classes of the
             largest logits, where these alone are kept
    """
    runs, recipe = store.runs(key), store.recipe(key)
    cure = f"delete it and run: {command(store.path, asked, key, runs=1 + max(runs))}"
    of_runs: list[dict[str, np.ndarray]] = []
    origins: Origins = {}
    experts: set[int | None] = set()
    whole: list[int] = []
    for run in runs:
        path = store.prediction_file(key, run)
        try:
            names = names_of(path)
            scores = () if set(names).isdisjoint(SCORES) else SCORES  # labels alone may be all that was kept of a run
            fields = read_arrays(path, ["label", *scores], optional=(*FURTHER, provenance.FIELD, TOP))
            shape = shape_of(path, EXPERT_LOGITS) if EXPERT_LOGITS in names else None
        except Damaged as damage:
            raise damaged(path, damage, cure) from damage
        origins[run] = provenance.said(fields)
        fields.pop(provenance.FIELD, None)
        try:
            _check_origin(origins[run], provenance.of_prediction(recipe, asked["seed"], run))
            ranks = ranks_within(fields.pop(TOP, None), labels, num_classes)
            _check_fields(fields, labels, num_classes)
            experts.add(_experts(shape, labels.size, num_classes))
        except Refusal as refusal:
            raise Refusal(f"{path} {refusal}; {cure}") from refusal
        of_runs.append(fields | ranks)
        if ranked and LOGITS in names:
            whole.append(run)
    check_names([key, recipe["label"]] if key != recipe["label"] else [key], str(store.path / "predictions" / key))
    known: dict[str, Any] = {
        name: recipe.get(name) or None for name in ("cost", "adds_to", "family", "experts", "kind")
    }
    if whole:
        all_ranks, losses = look([store.prediction_file(key, run) for run in whole], labels, num_classes, cure)
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


def ranks_within(top: np.ndarray | None, labels: np.ndarray, num_classes: int) -> dict[str, np.ndarray]:
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
        if (outside := (fields[name] < 0) | (fields[name] >= num_classes)).any():
            raise Refusal(f"has {name} {fields[name][outside][0]}, but there are {num_classes} classes")
    if "experts_used" in fields and (fields["experts_used"] < 1).any():
        raise Refusal(f"has experts_used {fields['experts_used'].min()}, but a router asks one expert or more")
    if "experts_used" in fields and not (fields["experts_used"] <= MOST_EXPERTS).all():  # NaN is neither
        raise Refusal(f"has experts_used that is NaN or more than {MOST_EXPERTS}")
    for name in set(PROBABILITIES) & set(fields):
        if wrong := int((~((fields[name] >= 0) & (fields[name] <= 1))).sum()):  # NaN is neither
            raise Refusal(f"has {name} that is NaN or no probability at {wrong} of {labels.size} points")
