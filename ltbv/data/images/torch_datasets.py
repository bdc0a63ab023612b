"""Which images does a torch Dataset give? Those of `dataset[i] -> (image, label)`, before a transform.

torchvision's folders of images, and parts of them, are read by their files: the images are then those of the folder.
Others are asked one at a time (a dataset need not stand several at once): for their labels now, for their pixels when
the pool is written.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ltbv.data.images.decode import Bad, ready
from ltbv.data.images.given import content_of, encoded
from ltbv.data.images.items import Found, label_of
from ltbv.data.images.look import Tell
from ltbv.data.images.recipe import Recipe
from ltbv.data.images.rows import Row, found_of, grouped
from ltbv.errors import Refusal, words_of


def is_torch(source: Any) -> bool:
    """Is it a Dataset of torch?"""
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(source, data.Dataset)


def read_torch(
    source: Any, root: Path | None, tell: Tell, *, recipe: Recipe, groups: Sequence[Any] | None = None
) -> Found:
    """All images of a map-style Dataset, with the names that it has for its classes."""
    name = f"the {type(source).__name__}"
    if not (hasattr(source, "__len__") and hasattr(type(source), "__getitem__")) or _is_iterable(source):
        raise Refusal(f"{name} has no length; give a map-style Dataset, with len(dataset) and dataset[i]")
    inner, places = _within(source)
    names = getattr(inner, "classes", None)
    names = [str(one) for one in names] if isinstance(names, Sequence) and not isinstance(names, str) else None
    top = getattr(inner, "root", None)
    called = os.path.basename(os.path.abspath(top)) if isinstance(top, (str, os.PathLike)) else type(inner).__name__
    if _is_folder(inner):
        samples = inner.samples if places is None else [inner.samples[place] for place in places]
        rows = [
            Row(f"{name}, {k}", os.fspath(path), _label(label, names, f"{name}, {k}"))
            for k, (path, label) in enumerate(samples)
        ]
        found = found_of(grouped(rows, groups, name), Path(name), root or Path(inner.root), recipe.follow_links, called)
    else:
        if root is not None:
            raise Refusal(f"--root {root} goes with a list or table; {name} has its own images")
        rows = grouped(_asked(source, name, names, tell, recipe), groups, name)
        found = found_of(rows, Path(name), None, recipe.follow_links, called)
    if names is not None:  # whatever they look like, they are names
        found.classes = sorted({one.label for one in found.items} | {one.label for one in found.amiss})
    return found


def _asked(source: Any, name: str, names: list[str] | None, tell: Tell, recipe: Recipe) -> list[Row]:
    """Each image once, of which label, digest and size are kept."""
    lock, number = Lock(), len(source)
    rows: list[Row] = []

    def give(k: int) -> Callable[[], bytes]:
        def again() -> bytes:
            with lock:
                return encoded(_pair(source, k, name)[0], f"{name}[{k}]")

        return again

    with ready(recipe.max_pixels):
        for k in range(number):
            shown, (image, label) = f"{name}[{k}]", _pair(source, k, name)
            try:
                first: bytes | Bad = encoded(image, shown)
            except Bad as bad:
                first = bad
            rows.append(Row(shown, content_of(shown, give(k), first, recipe.max_pixels), _label(label, names, shown)))
            tell(k + 1, number)
    return rows


def _pair(source: Any, k: int, name: str) -> tuple[Any, Any]:
    try:
        found = source[k]
    except Exception as error:  # it is their code
        raise Refusal(
            f"{name}[{k}] cannot be read: {type(error).__name__}: {words_of(error)}; mend it, or leave it out with"
            " torch.utils.data.Subset"
        ) from error
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Refusal(f"{name}[{k}] is a {type(found).__name__} and not (image, label); give a Dataset of such pairs")
    return found[0], found[1]


def _label(label: Any, names: list[str] | None, where: str) -> str:
    """A label as text; a number as the name that it has."""
    torch = sys.modules.get("torch")
    if torch and isinstance(label, torch.Tensor) and label.numel() == 1:
        label = label.item()
    text = label_of(label, where)
    if names is None or text in names and isinstance(label, str):
        return text
    if not text.isdigit() or int(text) >= len(names):
        raise Refusal(f"{where} has the label {text}, and there are {len(names)} names in its `classes`")
    return names[int(text)]


def _within(source: Any) -> tuple[Any, list[int] | None]:
    """The Dataset that a part of one is of, and the places of the part; None: all."""
    subset, places = sys.modules["torch.utils.data"].Subset, None
    while type(source) is subset:
        own = [int(place) for place in source.indices]
        places = own if places is None else [own[place] for place in places]
        source = source.dataset
    return source, places


def _is_iterable(source: Any) -> bool:
    return isinstance(source, sys.modules["torch.utils.data"].IterableDataset)


def _is_folder(source: Any) -> bool:
    """Is it one of torchvision's folders, read as torchvision does?"""
    folder = sys.modules.get("torchvision.datasets.folder")
    return (
        folder is not None
        and isinstance(source, folder.DatasetFolder)
        and type(source).__getitem__ is folder.DatasetFolder.__getitem__
        and source.loader in (folder.default_loader, folder.pil_loader)
        and source.target_transform is None
    )
