"""Which images does a dataset of Hugging Face hold? Those of its one column of images, as they were stored.

Nothing is decoded by `datasets`: an image is the bytes of a file, or the path of one, so the images are those that they
would be as files.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ltbv.data.images.decode import Bad, ready
from ltbv.data.images.folders import SPLITS
from ltbv.data.images.given import content_of
from ltbv.data.images.items import Found, label_of, some
from ltbv.data.images.look import Tell
from ltbv.data.images.recipe import Recipe
from ltbv.data.images.rows import MISSING, Row, found_of, group_of, grouped
from ltbv.data.images.tables import ROLES
from ltbv.errors import Refusal


def is_hugging_face(source: Any) -> bool:
    """Is it a Dataset or DatasetDict of `datasets`, streamed or not?"""
    datasets = sys.modules.get("datasets")
    names = ("Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict")
    return datasets is not None and isinstance(source, tuple(getattr(datasets, name) for name in names))


def read_hugging_face(source: Any, tell: Tell, *, recipe: Recipe, groups: Sequence[Any] | None = None) -> Found:
    """All images of a Dataset, or of the splits of a DatasetDict."""
    datasets, name = sys.modules["datasets"], f"the {type(source).__name__}"
    if isinstance(source, (datasets.IterableDataset, datasets.IterableDatasetDict)):
        raise Refusal(f"{name} is streamed; give one that is loaded, without streaming=True")
    notes: list[str] = []
    if isinstance(source, datasets.DatasetDict):
        parts = {split: SPLITS[split.lower()] for split in source if split.lower() in SPLITS}
        if "train" not in parts.values():
            raise Refusal(f"{name} has no split train; it has {some(source, 10)}")
        if others := [split for split in source if split not in parts]:
            notes.append(f"the splits {some(others)} are left out")
    else:
        parts = {"": ""}
    rows: list[Row] = []
    named, called = False, "images"
    for split, of in parts.items():
        part = source[split] if split else source
        more, has_names = _rows(part, f"{name}, {split}" if split else name, of, tell, recipe)
        rows += more
        named |= has_names
        called = getattr(part.info, "dataset_name", None) or called
    found = found_of(grouped(rows, groups, name), Path(name), None, recipe.follow_links, called)
    if named:
        found.classes = sorted({row.label for row in rows if row.split in ("", "train")})
    found.notes += notes
    return found


def _rows(part: Any, name: str, split: str, tell: Tell, recipe: Recipe) -> tuple[list[Row], bool]:
    """The rows of one split; and, has it names for its classes?"""
    image, label, group = _columns(part, name)
    names = getattr(part.features[label], "names", None)
    plain = part.with_format(None).select_columns([image, label, *group])
    plain = plain.cast_column(image, sys.modules["datasets"].Image(decode=False))
    lock = Lock()
    rows: list[Row] = []

    def give(k: int) -> Callable[[], bytes]:
        def again() -> bytes:
            with lock:
                return plain[k][image]["bytes"]

        return again

    with ready(recipe.max_pixels):
        for k in range(len(plain)):
            row, where = plain[k], f"{name}[{k}]"
            stored = row[image] or {"bytes": None, "path": None}
            text, path = _label(row[label], names, where), stored["path"]
            of = "".join(group_of(row[column]) for column in group)
            if stored["bytes"] is None and path and os.path.isabs(path) and os.path.exists(path):
                rows.append(Row(where, path, text, split, of))
            else:
                first = Bad(MISSING) if stored["bytes"] is None else stored["bytes"]
                shown = f"{where} {path}" if path else where
                rows.append(Row(where, content_of(shown, give(k), first, recipe.max_pixels), text, split, of))
            tell(k + 1, len(plain))
    return rows, names is not None


def _columns(part: Any, name: str) -> tuple[str, str, list[str]]:
    """The columns of images, of labels and perhaps of groups, or a Refusal that names those that might be."""
    datasets, features = sys.modules["datasets"], part.features
    pictures = [key for key, of in features.items() if isinstance(of, datasets.Image)]
    if not pictures:
        raise Refusal(
            f"{name} has no column of images; it has {some(features, 10)}:"
            " dataset.cast_column(NAME, datasets.Image()) makes one"
        )
    classes = [key for key, of in features.items() if isinstance(of, datasets.ClassLabel)]
    numbers = [key for key, of in features.items() if isinstance(of, datasets.Value) and _may_be_label(of.dtype)]
    groups = [key for key in numbers if key.lower() in ROLES["group"]][:1]
    others = [key for key in numbers if key not in groups]
    for what, found in (("images", pictures), ("labels", classes or others)):
        if len(found) != 1:
            cure = f"leave one, with dataset.remove_columns({found[1:]!r}), say" if found else "give a ClassLabel"
            raise Refusal(f"{name} has {len(found)} columns of {what} ({some(found, 10)}); {cure}")
    return pictures[0], (classes or others)[0], groups


def _may_be_label(kind: str) -> bool:
    return kind.startswith(("int", "uint")) or kind in ("string", "large_string")


def _label(value: Any, names: list[str] | None, where: str) -> str:
    if names is None:
        return label_of(value, where)
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise Refusal(f"{where} has no label ({value}); filter such images out first")
    return names[value]
