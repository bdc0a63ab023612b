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

    A box that does not lie within the image is drawn again, up to ten times; then the whole image is taken, or of one
    that is wider or higher than `ratio` allows the largest middle part that is not.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    jitter: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def drawn(self, draw: np.random.Generator, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """Of images of sizes [n, 2], height and width: boxes [n, 4] float64 (top, left, height, width, whole pixels);
        where colours move, factors [n, 3] and turns [n, 3], which of the three comes first, second and last."""
        n = len(sizes)
        own = {"boxes": self.places(draw, sizes)}
        if any(self.jitter):
            reach = np.array(self.jitter)
            own["factors"] = draw.uniform(np.maximum(0, 1 - reach), 1 + reach, (n, 3))
            own["turns"] = draw.random((n, 3)).argsort(1)
        return own

    def places(self, draw: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
        """Boxes [n, 4] float64 (top, left, height, width, whole pixels) of images of sizes [n, 2]."""
        n, sizes = len(sizes), np.asarray(sizes, np.float64)
        area = draw.uniform(*self.scale, (n, TRIES)) * sizes.prod(1)[:, None]
        narrowest, widest = (math.log(ratio) for ratio in self.ratio)
        ratio = np.exp(draw.uniform(narrowest, widest, (n, TRIES)))
        tried = np.stack([np.round(np.sqrt(area / ratio)), np.round(np.sqrt(area * ratio))], 2)  # [n, TRIES, 2]
        fits = np.all((tried > 0) & (tried <= sizes[:, None]), axis=2)
        most = np.round(np.stack([sizes[:, 1] / self.ratio[0], sizes[:, 0] * self.ratio[1]], 1))
        some, middle = fits.any(1)[:, None], np.minimum(sizes, most)
        found = np.where(some, tried[np.arange(n), fits.argmax(1)], middle)
        corners = np.floor(draw.random((n, 2)) * (sizes - found + 1))
        corners = np.where(some, corners, np.floor((sizes - middle) / 2))
        return np.concatenate([corners, found], 1)
