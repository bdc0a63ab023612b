"""Which part of a large image does a network see, and in which colours? A box at random, drawn on the host."""

import math
from dataclasses import dataclass

import numpy as np

TRIES = 10


@dataclass(frozen=True)
class Boxes:
    """A box at random (Szegedy et al., 2015), then its colours moved, both by the rules of torchvision.

    scale    smallest and largest share of the image's area, drawn uniformly
    ratio    smallest and largest width over height, drawn uniformly in their logarithm
    jitter   how far brightness, contrast and saturation may move: each a factor uniform within [1 - j, 1 + j], at least
             0, in an order that is drawn too

    A box that does not lie within the image is drawn again, up to ten times; then the whole image is taken.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    jitter: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def drawn(self, draw: np.random.Generator, n: int, side: int) -> dict[str, np.ndarray]:
        """Of n images of `side` pixels: boxes [n, 4] float64 (top, left, height, width, whole pixels); where colours
        move, factors [n, 3] and turns [n, 3], which of the three comes first, second and last."""
        own = {"boxes": self.places(draw, n, (side, side))}
        if any(self.jitter):
            reach = np.array(self.jitter)
            own["factors"] = draw.uniform(np.maximum(0, 1 - reach), 1 + reach, (n, 3))
            own["turns"] = draw.random((n, 3)).argsort(1)
        return own

    def places(self, draw: np.random.Generator, n: int, size: tuple[int, int]) -> np.ndarray:
        """Boxes [n, 4] float64 (top, left, height, width, whole pixels) of n images of (H, W)."""
        area = draw.uniform(*self.scale, (n, TRIES)) * (size[0] * size[1])
        narrowest, widest = (math.log(ratio) for ratio in self.ratio)
        ratio = np.exp(draw.uniform(narrowest, widest, (n, TRIES)))
        sizes = np.stack([np.round(np.sqrt(area / ratio)), np.round(np.sqrt(area * ratio))], 2)  # [n, TRIES, 2]
        fits = np.all((sizes > 0) & (sizes <= size), axis=2)
        found = np.where(fits.any(1)[:, None], sizes[np.arange(n), fits.argmax(1)], size)
        corners = np.floor(draw.random((n, 2)) * (size - found + 1))
        return np.concatenate([corners, found], 1)
