"""What is a data set here? A pool of images that runs are drawn from, and one fixed test set.

An image of the pool has an id, `class * 2**32 + index`: it says its label, does not depend on the order of a file, and
lets a pool be endless (an image is then made when its id is read).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ltbv.later import later

CLASS_SHIFT = 32


def are_vectors(image_shape: tuple[int, ...]) -> bool:
    """Are images of (H, W, channels) features, one pixel of D channels?"""
    return image_shape[:2] == (1, 1)


def make_ids(labels: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Ids [n] int64 of the images `indices` [n] of the classes `labels` [n]."""
    return (np.asarray(labels, np.int64) << CLASS_SHIFT) | np.asarray(indices, np.int64)


def labels_of(ids: np.ndarray) -> np.ndarray:
    """Labels [n] int64 of ids [n]."""
    return np.asarray(ids, np.int64) >> CLASS_SHIFT


def indices_of(ids: np.ndarray) -> np.ndarray:
    """Indices within their class, [n] int64, of ids [n]."""
    return np.asarray(ids, np.int64) & ((1 << CLASS_SHIFT) - 1)


@dataclass(frozen=True)
class Images:
    """Images in memory: `pixels` [n, H, W, channels] uint8 (features: [n, 1, 1, D] float32) and `labels` [n] int64."""

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Augmentation:
    """How a training image is varied: a random crop after padding by `pad` pixels, then mirrored half of the time if
    `flip`, where a mirrored image of the data set is one of the same class, then turned about its middle by up to
    `rotate` degrees either way (the nearest pixel; what comes from outside is black)."""

    pad: int = 0
    flip: bool = False
    rotate: float = later(0.0)


@dataclass(frozen=True)
class Dataset:
    """A pool and a test set, ready to read.

    pool_sizes   [C] images of each class in the pool
    read         ids [n] -> pixels [n, H, W, channels] uint8, or float32 where they are features
    test         the fixed test set
    mean, std    of the pixels, one a channel, in units of [0, 1]; of features in their own
    mirrors      a mirrored image is one of the same class (of letters it is not)
    background   value 0-255 of what lies around an image
    clusters     [N] which test images belong together, numbers from 0; None: none do
    content      hex digits that all images, labels and names of classes decide; empty where they are not known
    """

    name: str
    class_names: tuple[str, ...]
    pool_sizes: np.ndarray
    read: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    test: Images = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrors: bool
    background: int = 0
    content: str = ""
    clusters: np.ndarray | None = field(default=None, repr=False)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, channels)."""
        return self.test.pixels.shape[1:]
