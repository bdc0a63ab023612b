"""How does a backbone turn a data set into a file of features? Block by block, in evaluation mode; a file that is there
is whole.

What is done lies beside it in FILE.part: features as they come, and a note of how many rows those are, of what. The
same command goes on with what is missing; another network, data set or size begins anew. Memory holds one block of
images, and the test set as the data set has it.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import open_memmap
from torch import Tensor

from ltbv.data.dataset import Dataset, are_vectors, make_ids
from ltbv.data.features import LONGEST_ABOUT, SUFFIX
from ltbv.errors import Refusal, reason
from ltbv.files import read_json, stream_arrays, write_json, writing
from ltbv.harness.study import fingerprint
from ltbv.models.frozen import Frozen

PARTS, NOTE = ".part", "done.json"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NOTED = 16  # blocks between two notes
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """side: images are made so large (bilinear, antialiased), None: as they are; trained_on: what the backbone saw, in
    words, for the report."""

    side: int | None = None
    precision: str = "float32"
    batch: int = 128
    trained_on: str = ""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise Refusal(f"precision {self.precision!r}: there is {', '.join(PRECISIONS)}")
        for name in ("side", "batch"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise Refusal(f"{name} {number}: at least 1")


def write_features(
    dataset: Dataset,
    of: Frozen,
    path: Path,
    asked: Asked,
    *,
    device: torch.device,
    groups: np.ndarray | None = None,
    tell: Tell = lambda done, whole: None,
) -> str:
    """Write the features of every image of the pool and of the test set; gives `about`.

    groups   of the images of the pool, by class and index, where they come in such
    """
    if path.suffix != SUFFIX:
        raise Refusal(f"--write {path}: features are an {SUFFIX}")
    if are_vectors(dataset.image_shape):
        raise Refusal(f"data set {dataset.name} holds features already; give one of images")
    ids, of_test = _ids(dataset), len(dataset.test.labels)
    text = about(dataset, of, asked, device)
    work = {"data": fingerprint(dataset), "rows": [len(ids), of_test], "about": text, "weights": of.weights}
    parts = path.with_name(path.name + PARTS)
    with writing(parts / NOTE):
        done = _begun(parts, work)
    module = of.module.to(device, PRECISIONS[asked.precision])
    for name, rows in (("train", len(ids)), ("test", of_test)):
        at = parts / f"{name}.npy"
        kept = None if not done[name] else np.load(at, mmap_mode="r+")
        for number, start in enumerate(range(done[name], rows, asked.batch)):
            here = slice(start, min(start + asked.batch, rows))
            pixels = _middles(dataset, ids[here]) if name == "train" else dataset.test.pixels[here]
            found = _features(module, pixels, dataset, of, asked, device)
            with writing(at):
                if kept is None:
                    kept = open_memmap(at, "w+", np.float32, (rows, found.shape[1]))
                kept[here] = found
                if number % NOTED == NOTED - 1 or here.stop == rows:
                    kept.flush()
                    done[name] = here.stop
                    write_json(parts / NOTE, {**work, "done": done})
            tell(here.stop + (len(ids) if name == "test" else 0), len(ids) + of_test)
    labels = np.repeat(np.arange(dataset.num_classes), dataset.pool_sizes)
    within = np.concatenate([np.arange(size) for size in dataset.pool_sizes])
    arrays = {name: np.load(parts / f"{name}.npy", mmap_mode="r") for name in ("train", "test")}
    arrays |= {"train_labels": labels, "test_labels": dataset.test.labels.astype(np.int64)}
    arrays |= {"train_ids": np.array([f"{label}/{index}" for label, index in zip(labels, within, strict=True)])}
    arrays |= {"test_ids": np.array([f"test/{row}" for row in range(of_test)])}
    arrays |= {"class_names": np.array(dataset.class_names), "about": np.array(text)}
    if groups is not None and dataset.clusters is not None:
        arrays |= {"train_groups": np.char.add("train/", groups.astype(str))}
        arrays |= {"test_groups": np.char.add("test/", dataset.clusters.astype(str))}
    stream_arrays(path, arrays)
    with writing(parts, "remove"):
        shutil.rmtree(parts)
    return text


def _middles(dataset: Dataset, ids: np.ndarray) -> np.ndarray:
    """Training images as test images are seen: their middles, where they are stored larger."""
    pixels, (height, width, _) = dataset.read(ids), dataset.image_shape
    top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
    return pixels[:, top : top + height, left : left + width]


def about(dataset: Dataset, of: Frozen, asked: Asked, device: torch.device) -> str:
    """What made the features, in words, at most as long as a file may have."""
    height, width, channels = dataset.image_shape
    side = f"made {asked.side} x {asked.side}" if asked.side else f"as they are, {height} x {width}"
    grey = ", grey three times over" if channels == 1 else ""
    by = (
        "the data's own mean and deviation" if of.mean is None else f"mean {_few(of.mean)} and deviation {_few(of.std)}"
    )
    trained = f", trained on {asked.trained_on}" if asked.trained_on else ""
    text = (
        f"{of.name} (weights {of.weights}{trained}), evaluation mode, {asked.precision} on {device.type}; images of"
        f" {dataset.name} {side}{grey}, normalised by {by}; torch {torch.__version__}, ltbv {version('ltbv')}"
    )
    if len(text) > LONGEST_ABOUT:
        raise Refusal(
            f"what made the features takes {len(text)} characters, {LONGEST_ABOUT} are the most; shorten names"
        )
    return text


def _few(values: tuple[float, ...] | None) -> str:
    return " ".join(f"{value:g}" for value in values or ())


def _ids(dataset: Dataset) -> np.ndarray:
    """Every image of the pool, by class."""
    labels = np.repeat(np.arange(dataset.num_classes), dataset.pool_sizes)
    return make_ids(labels, np.concatenate([np.arange(size) for size in dataset.pool_sizes]))


def _begun(parts: Path, work: dict[str, Any]) -> dict[str, int]:
    """Rows that are done, if what lies there is of the same work; else the place is made empty."""
    nothing = {"train": 0, "test": 0}
    if (parts / NOTE).exists():
        said = read_json(parts / NOTE)
        if isinstance(said, dict) and {**said, "done": None} == {**work, "done": None}:
            done = said["done"]
            whole = all(not done[name] or os.path.exists(parts / f"{name}.npy") for name in nothing)
            return dict(done) if whole else nothing
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    return nothing


@torch.no_grad()
def _features(
    module: torch.nn.Module, pixels: np.ndarray, dataset: Dataset, of: Frozen, asked: Asked, device: torch.device
) -> np.ndarray:
    """[B, D] float32 of pixels [B, H, W, channels] uint8."""
    images = torch.as_tensor(np.array(pixels)).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = of.mean or dataset.mean, of.std or dataset.std
    if of.mean is not None:
        images = images.expand(-1, len(mean), -1, -1)
    if asked.side:
        images = F.interpolate(images, (asked.side, asked.side), mode="bilinear", antialias=True)
    images = (images - _column(mean, images)) / _column(std, images)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    try:
        found = module(images.to(next(module.parameters(), images).dtype))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:  # whatever a network of others may raise
        if isinstance(error, torch.OutOfMemoryError):
            raise Refusal(
                f"a batch of {len(images)} does not fit into the memory of {device}; --batch {len(images) // 2}"
            ) from error
        shape = " x ".join(map(str, images.shape[1:]))
        raise Refusal(
            f"backbone {of.name} does not take images of {shape} ({reason(error)}); try --pixels 224"
        ) from error
    if not isinstance(found, Tensor) or len(found) != len(pixels):
        raise Refusal(f"backbone {of.name} gave no tensor of a row an image; it has to give features [B, D]")
    found = found.flatten(1).float()
    if not found.isfinite().all():
        raise Refusal(f"backbone {of.name} gave features that are not finite ({asked.precision}); try float32")
    return found.cpu().numpy()


def _column(values: tuple[float, ...], images: Tensor) -> Tensor:
    return torch.tensor(values, device=images.device)[:, None, None]
