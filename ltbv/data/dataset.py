"""What is a data set here? A pool of images that runs are drawn from, and one fixed test set.

An image of the pool has an id, `class * 2**32 + index`: it says its label, does not depend on the order of a file, and
lets a pool be endless (an image is then made when its id is read).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ltbv.data.boxes import Boxes
from ltbv.data.strip import Strip
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
    `rotate` degrees either way (the nearest pixel; what comes from outside is black), then by what the policy `strong`
    draws for it (`policies`; '' draws nothing); or, of images that are larger than a network sees them, `boxes` in
    place of the crop and the turn, whose colours stay where a policy is drawn."""

    pad: int = 0
    flip: bool = False
    rotate: float = later(0.0)
    strong: str = later("")
    boxes: Boxes | None = later(None)

    @property
    def parts(self) -> Boxes | None:
        """The boxes that are drawn. A policy stands in the place of jitter, as in timm's and torchvision's recipes."""
        return replace(self.boxes, jitter=(0.0, 0.0, 0.0)) if self.boxes and self.strong else self.boxes


@dataclass(frozen=True)
class Mapped:
    """Training images in a file that is mapped into memory: pixels [P, H, W, channels] uint8, or P of their own sizes,
    and ids [n] -> rows [n]."""

    pixels: np.ndarray | Strip
    rows: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Dataset:
    """A pool and a test set, ready to read.

    pool_sizes   [C] images of each class in the pool
    read         ids [n] -> pixels [n, H, W, channels] uint8, or float32 where they are features; they may be larger
                 than the images of the test set, whose size is what a network sees; of a strip, the middle squares
    test         the fixed test set
    mean, std    of the pixels, one a channel, in units of [0, 1]; of features in their own
    mirrors      a mirrored image is one of the same class (of letters it is not)
    background   value 0-255 of what lies around an image
    clusters     [N] which test images belong together, numbers from 0; None: none do
    content      hex digits that all images, labels and names of classes decide; empty where they are not known
    tests        [B, N, 1, 1, D] the test set as each of B backbones sees it, where features are of several; `test` is
                 that of the first
    mapped       the file of the training images, where there is one
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
    tests: np.ndarray | None = field(default=None, repr=False)
    mapped: Mapped | None = field(default=None, repr=False)
    clusters: np.ndarray | None = field(default=None, repr=False)

    @property
    def backbones(self) -> int:
        """B: how many made the features; 1 where images are images."""
        return 1 if self.tests is None else len(self.tests)

    def backbone_of(self, run: int) -> int:
        """Through which of them a run sees its images, from 0."""
        return run % self.backbones

    def seen(self, ids: np.ndarray, run: int) -> np.ndarray:
        """The images `ids` [n] as a run sees them: ids for `read`, of the same classes, beyond the pool but for the
        first backbone."""
        labels, indices = labels_of(ids), indices_of(ids)
        return make_ids(labels, indices + self.backbone_of(run) * self.pool_sizes[labels])

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, channels)."""
        return self.test.pixels.shape[1:]
