"""How is an image varied before it is seen? What an `Augmentation` draws for it, for training and for views of test
images alike: a crop, a mirror, a turn, a policy's operations, in this order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from ltbv.data.dataset import Augmentation, Dataset
from ltbv.data.policies import drawn
from ltbv.data.readers import Crop
from ltbv.data.strong import Strong

# What some augmentations draw, beside tops, lefts and flips.
VARIED = ("degrees", "kinds", "amounts", "centres", "holes", "fills")


@dataclass(frozen=True)
class Crops:
    """An augmentation on images of (H, W), `size`; `flip` where their data set has mirrors too."""

    pad: int
    flip: bool
    rotate: float
    strong: str
    size: tuple[int, int]

    @classmethod
    def of(cls, augmentation: Augmentation, dataset: Dataset) -> Self:
        """What an augmentation does with images of a data set, but for its boxes."""
        flip, size = augmentation.flip and dataset.mirrors, dataset.image_shape[:2]
        return cls(augmentation.pad, flip, augmentation.rotate, augmentation.strong, size)

    def drawn(self, draw: np.random.Generator, n: int, corner: int) -> dict[str, np.ndarray]:
        """tops, lefts and flips [n] of n images whose middle crop begins at `corner`, and those of VARIED that there
        are: degrees [n], kinds and amounts [n, K], centres [n, 2], holes [n, 4], fills [n]."""
        tops, lefts = draw.integers(2 * self.pad + 1, size=(2, n)) + (corner - self.pad)
        found = {"tops": tops, "lefts": lefts, "flips": draw.random(n) < (0.5 if self.flip else 0.0)}
        if self.rotate:
            found["degrees"] = draw.uniform(-self.rotate, self.rotate, n)
        return found | (drawn(self.strong, n, self.size, draw) if self.strong else {})


def cropped(of: Mapping[str, Tensor]) -> Crop:
    """What a reader is told of these, [R, B, ...]."""
    strong = Strong(of["kinds"], of["amounts"], *map(of.get, ("centres", "holes", "fills"))) if "kinds" in of else None
    return Crop(of["tops"], of["lefts"], of["flips"], of.get("degrees"), strong)
