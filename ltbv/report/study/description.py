"""What does study.json say? What a report wants of it, checked; what is not as ltbv writes it is refused by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.evidence import MOST_CLASSES, MOST_IMAGES, SPLITS
from ltbv.report.names import check_names
from ltbv.settings import Settings

Value = TypeVar("Value")


@dataclass(frozen=True)
class Description:
    """What is known of a study before its predictions are read.

    scheme, head, imbalance   those of the `settings`, which are settled
    protocol      what is common to all methods, nested
    class_names   C names; `counts` (C,) training images of each class in a run; `splits` class ids of each
    pool_sizes    (C,) images there are of each class; None: not known
    made_with     versions, machine, commit
    backbone      of features: what made them, '' where that is not said; None where images are images
    backbones     where features are of several: `file`, `content` and `about` of each
    notes         on the data
    """

    settings: Settings
    scheme: str
    head: int
    imbalance: float
    protocol: Mapping[str, Any]
    class_names: tuple[str, ...]
    counts: np.ndarray
    splits: dict[str, np.ndarray]
    pool_sizes: np.ndarray | None
    made_with: Mapping[str, Any]
    backbone: str | None
    backbones: Sequence[Mapping[str, Any]]
    notes: Sequence[Any]

    @classmethod
    def read(cls, path: Path, study: dict[str, Any]) -> "Description":
        """From the content of `path`, a study.json."""
        asked, data = study["asked"], study["data"]
        try:
            settings = Settings.read(asked)
        except Refusal as refusal:
            raise Refusal(
                f"{path} has asked.{refusal}; that is not as ltbv writes it; make the study again"
            ) from refusal
        scheme = _settled(path, "asked.scheme", settings.scheme)
        head = _settled(path, "asked.head", settings.head)
        imbalance = _settled(path, "asked.imbalance", settings.imbalance)
        _settled(path, "asked.epochs", settings.epochs)
        if not isinstance(asked.get("protocol"), dict):
            raise _not_as_written(path, "asked.protocol", asked.get("protocol"))
        if not (0 <= head <= MOST_IMAGES and 0 <= imbalance <= MOST_IMAGES):
            raise _not_as_written(path, "asked.head and asked.imbalance", [head, imbalance])
        if not isinstance(study.get("made_with", {}), dict):
            raise _not_as_written(path, "made_with", study["made_with"])
        if not isinstance(data.get("backbone", ""), str):
            raise _not_as_written(path, "data.backbone", data["backbone"])
        several = data.get("backbones", [])
        if not isinstance(several, list) or not all(isinstance(one, dict) and _says_what(one) for one in several):
            raise _not_as_written(path, "data.backbones", several)
        names = _class_names(path, data)
        notes = data.get("notes", ())
        return cls(
            settings,
            scheme,
            head,
            imbalance,
            asked["protocol"],
            names,
            _numbers(path, data, "counts", len(names)),
            _splits(path, data, len(names)),
            _numbers(path, data, "pool_sizes", len(names)) if "pool_sizes" in data else None,
            study.get("made_with", {}),
            data.get("backbone"),
            several,
            notes if isinstance(notes, list | tuple) else (),
        )


def _settled(path: Path, name: str, value: Value | None) -> Value:
    if value is None:
        raise _not_as_written(path, name, None)
    return value


def _class_names(path: Path, data: Mapping[str, Any]) -> tuple[str, ...]:
    names = data.get("class_names")
    if not (isinstance(names, list) and 0 < len(names) <= MOST_CLASSES and all(isinstance(k, str) for k in names)):
        raise _not_as_written(path, "data.class_names", names)
    check_names(names, str(path))
    return tuple(names)


def _numbers(path: Path, data: Mapping[str, Any], name: str, classes: int) -> np.ndarray:
    """A number of images of each class, (C,)."""
    numbers = data.get(name)
    if not _are_whole(numbers, MOST_IMAGES) or len(numbers) != classes:
        raise _not_as_written(path, f"data.{name}", numbers)
    return np.asarray(numbers)


def _splits(path: Path, data: Mapping[str, Any], classes: int) -> dict[str, np.ndarray]:
    splits = data.get("splits")
    if not isinstance(splits, dict) or not all(_are_whole(splits.get(name), classes) for name in SPLITS):
        raise _not_as_written(path, "data.splits", splits)
    if sorted(c for name in SPLITS for c in splits[name]) != list(range(classes)):
        raise Refusal(f"{path} has data.splits in which each class is not once")
    return {name: np.asarray(splits[name], int) for name in SPLITS}


def _says_what(backbone: Mapping[str, Any]) -> bool:
    return all(isinstance(backbone.get(name), str) for name in ("file", "content", "about"))


def _are_whole(values: Any, most: int) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= most for value in values)


def _not_as_written(path: Path, name: str, value: Any) -> Refusal:
    found = repr(value)[:60] if isinstance(value, (str, float, bool, type(None))) else f"a {type(value).__name__}"
    return Refusal(f"{path} has {name} {found}, which is not as ltbv writes it; make the study again")
