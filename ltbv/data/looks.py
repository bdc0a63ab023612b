"""How do boxes of images become what a network sees? Brought to its size and coloured, on the device that has them."""

from typing import NamedTuple

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)  # of red, green and blue, as torchvision and Pillow have it


class Look(NamedTuple):
    """How images [R, B] are looked at: boxes [R, B, 4], flips [R, B], and where colours move factors and turns [R, B,
    3]."""

    boxes: Tensor
    flips: Tensor
    factors: Tensor | None = None
    turns: Tensor | None = None


def taken(pixels: Tensor, rows: Tensor, look: Look, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The boxes of rows [R, B] of pixels [P, H, W, channels] uint8, brought to `size`: [B, R, *size, channels], 0-255.

    Pixel i of n of a box of h from top t is at t + (i + 1/2) h / n - 1/2, no further out than the box's own pixels, and
    is interpolated from the four around it. There is no smoothing beforehand: a pool's images are at most 8/7 as large
    as a network sees them, which leaves nothing to smooth. A box of that size is a crop, to the bit.
    """
    flat, boxes, flips = rows.T.flatten(), _by_image(look.boxes).double(), _by_image(look.flips)[:, None]
    y0, y1, fy = _between(boxes[:, 0], boxes[:, 2], size[0], dtype)
    x0, x1, fx = _between(boxes[:, 1], boxes[:, 3], size[1], dtype)
    x0, x1, fx = (torch.where(flips, of.flip(1), of) for of in (x0, x1, fx))
    above, below = (pixels[flat[:, None], y].to(dtype) for y in (y0, y1))  # [RB, h, W, channels]
    lines = above + (below - above) * fy[:, :, None, None]
    across = (len(flat), size[0], size[1], pixels.shape[3])
    left, right = (lines.gather(2, x[:, None, :, None].expand(across)) for x in (x0, x1))
    found = left + (right - left) * fx[:, None, :, None]
    if look.factors is not None and look.turns is not None:
        found = jittered(found, _by_image(look.factors), _by_image(look.turns))
    return found.unflatten(0, (rows.shape[1], rows.shape[0]))


def jittered(images: Tensor, factors: Tensor, turns: Tensor) -> Tensor:
    """Images [n, H, W, channels] of 0-255 with colours moved by factors [n, 3], in the order of turns [n, 3].

    x <- f x + (1 - f) b within 0 and 255; b is 0 for brightness, the mean grey of the image for contrast, the grey of
    each pixel for saturation, which a grey image has none of.
    """
    weights = torch.tensor(GREY, device=images.device, dtype=images.dtype)
    for place in range(3):
        which = turns[:, place, None]
        f = factors.gather(1, which).to(images.dtype)[:, :, None, None]
        grey = (images * weights).sum(3, keepdim=True) if images.shape[3] == 3 else images
        contrast, saturation = ((which == k)[:, :, None, None].to(images.dtype) for k in (1, 2))
        base = grey.mean((1, 2), keepdim=True) * contrast + grey * saturation
        images = (base + (images - base) * f).clamp(0, 255)
    return images


def _between(start: Tensor, length: Tensor, n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """For n points along boxes: the pixels before and after [.., n], and how far along the way between them."""
    at = (torch.arange(n, device=start.device, dtype=torch.float64) + 0.5) / n
    end = start + length - 1
    where = (start[:, None] + at * length[:, None] - 0.5).clamp(start[:, None], end[:, None])
    # a box of n pixels has its points on them, but for rounding
    before = (where + 1e-9).floor()
    after = torch.minimum(before + 1, end[:, None])
    return before.long(), after.long(), (where - before).clamp(min=0).to(dtype)


def _by_image(of: Tensor) -> Tensor:
    """[R, B, ...] -> [B*R, ...]."""
    return of.transpose(0, 1).flatten(0, 1)
