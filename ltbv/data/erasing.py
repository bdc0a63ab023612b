"""Random erasing: what stands in for a part of an image? A box of noise (Zhong et al., AAAI 2020, arXiv 1708.04896).

As Swin's authors use timm's: a quarter of the images, a box of 2 to 33 % of the area and .3 to 3.33 times as wide as
high, normal noise of each pixel and channel in images that are normalised already.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ltbv.data.boxes import Boxes
from ltbv.data.draws import normal, spread
from ltbv.data.strong import Strong

CHANCE = 0.25
BOXES = Boxes(scale=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3))


def drawn_holes(n: int, size: tuple[int, int], draw: np.random.Generator) -> dict[str, np.ndarray]:
    """`holes` [n, 4] and `fills` [n] of n images of (H, W), as `Strong` has them. Where none of ten boxes fits, which
    `Boxes` gives the whole image, there is no hole."""
    holes = BOXES.places(draw, np.tile(size, (n, 1)))
    there = (draw.random(n) < CHANCE) & (holes[:, 2:].prod(1) < math.prod(size))
    return {"holes": np.where(there[:, None], holes, 0), "fills": draw.random(n)}


def erased(images: Tensor, by: Strong) -> Tensor:
    """Images [..., H, W, channels], normalised, with noise in their holes [..., 4], which have to be there.

    The noise at a place is decided by `fills` and the place, so it is the same however many images are seen together.
    """
    assert by.holes is not None and by.fills is not None
    top, left, height, width = (of[..., None] for of in by.holes.unbind(-1))
    rows, columns = (torch.arange(n, device=images.device) for n in images.shape[-3:-1])
    down, across = (rows >= top) & (rows < top + height), (columns >= left) & (columns < left + width)
    inside = (down[..., :, None] & across[..., None, :])[..., None]
    noise = normal(spread(by.fills, math.prod(images.shape[-3:]))).view(images.shape).to(images.dtype)
    return torch.where(inside, noise, images)
