"""How do boxes of images become what a network sees? Brought to its size and coloured, on the device that has them."""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbv.data.erasing import erased
from ltbv.data.strong import KINDS, Strong, each_varied

PIXELS = 2**22  # of images that are varied strongly at once on a GPU, at some 130 bytes for each
GREY = (0.2989, 0.587, 0.114)  # of red, green and blue, as torchvision and Pillow have it


class Look(NamedTuple):
    """How images [..] are looked at: boxes [.., 4], flips [..], and where colours move factors and turns [.., 3], or in
    their place what is done strongly."""

    boxes: Tensor
    flips: Tensor
    factors: Tensor | None = None
    turns: Tensor | None = None
    strong: Strong | None = None

    def in_a_row(self) -> "Look":
        """That of a batch [R, B], as a row [B * R]: all runs of the first image, then of the second."""
        return self._each(lambda values: values.transpose(0, 1).flatten(0, 1))

    def of(self, some: slice) -> "Look":
        """That of some images of a row."""
        return self._each(lambda values: values[some])

    def _each(self, do: Callable[[Tensor], Tensor]) -> "Look":
        factors, turns = (None if values is None else do(values) for values in (self.factors, self.turns))
        return Look(do(self.boxes), do(self.flips), factors, turns, self.strong and self.strong.each(do))


class Pictures(NamedTuple):
    """n images among pixels [Q, channels] uint8, line by line: starts [n] of their first pixels, and widths [n]."""

    pixels: Tensor
    starts: Tensor
    widths: Tensor

    @staticmethod
    def alike(pixels: Tensor, rows: Tensor) -> "Pictures":
        """Rows [n] of pixels [P, H, W, channels]."""
        _, height, width, channels = pixels.shape
        return Pictures(pixels.reshape(-1, channels), rows * (height * width), torch.full_like(rows, width))

    def of(self, some: slice) -> "Pictures":
        """Some of them."""
        return Pictures(self.pixels, self.starts[some], self.widths[some])

    def at(self, y: Tensor, x: Tensor) -> Tensor:
        """Of each, the pixels of lines [n, h] and columns [n, w]: [n, h, w, channels]."""
        lines = self.starts[:, None] + y * self.widths[:, None]
        return self.pixels[lines[..., None] + x[:, None]]


def looked(pictures: Pictures, runs: int, look: Look, size: tuple[int, int], scale: Tensor, shift: Tensor) -> Tensor:
    """The boxes [R, B] of B * R pictures, all runs of the first image, then of the second, brought to `size`, scaled
    and shifted by channel: images [B, R*channels, *size], channels last in memory."""
    number, channels = len(pictures.starts) // runs, pictures.pixels.shape[1]
    found = torch.empty(number, *size, runs, channels, dtype=scale.dtype, device=pictures.pixels.device)
    by_run, own = found.permute(0, 3, 4, 1, 2), look.in_a_row()  # [B, R, channels, H, W]
    scale, shift = scale[:, None, None], shift[:, None, None]
    if at_once(pictures.pixels):
        step = number if look.strong is None else max(1, PIXELS // (runs * size[0] * size[1]))
        for first in range(0, number, step):
            some = slice(first * runs, (first + step) * runs)
            values = taken(pictures.of(some), own.of(some), size, found.dtype) * scale + shift
            by_run[first : first + step].copy_(holed(values, own.of(some)).unflatten(0, (-1, runs)))
    else:  # all runs of an image, then of the next one: they lie side by side, and what is written is in the cache
        told = own.strong and own.strong.holes
        holes = set[int]() if told is None else {*told[:, 2].nonzero().flatten().tolist()}
        for k, values in enumerate(one_by_one(pictures, own, size, found.dtype)):
            here = by_run[divmod(k, runs)][None]
            torch.add(values.mul_(scale), shift, out=here)
            if k in holes:
                here.copy_(holed(here, own.of(slice(k, k + 1))))
    return found.flatten(3).permute(0, 3, 1, 2)


def taken(pictures: Pictures, look: Look, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The boxes of n pictures, brought to `size`: [n, channels, *size], 0-255.

    Pixel i of n of a box of h from top t is at t + (i + 1/2) h / n - 1/2, no further out than the box's own pixels, and
    is interpolated from the four around it. There is no smoothing beforehand: a box of a pool's image is at most 8/7 as
    large as a network sees it, one of 4/3 as wide as high 1.53 times as wide, which leaves hardly anything to smooth. A
    box of that size is a crop, to the bit. What is done strongly is done of whole numbers, the same on any device.
    """
    if not at_once(pictures.pixels):
        return torch.cat(list(one_by_one(pictures, look, size, dtype)))
    if look.strong is not None:
        return strongly(pictures, look, size).to(dtype)
    found = gathered(pictures, look.boxes, size, dtype)
    found = torch.where(look.flips[:, None, None, None], found.flip(3), found)
    if look.factors is None or look.turns is None:
        return found
    return jittered(found, look.factors, look.turns)


def one_by_one(pictures: Pictures, look: Look, size: tuple[int, int], dtype: torch.dtype) -> Iterator[Tensor]:
    """The same, each [1, channels, *size] by itself: what it takes stays in the processor's cache, and of colours and
    operations only that is worked out which is done."""
    if look.strong is not None:
        for k, kinds in enumerate(look.strong.kinds.tolist()):
            one = slice(k, k + 1)
            yield strongly(pictures.of(one), look.of(one), size, [KINDS[kind] for kind in kinds]).to(dtype)
        return
    places = zip(pictures.starts.tolist(), pictures.widths.tolist(), look.boxes.long().tolist(), strict=True)
    flips = look.flips.tolist()
    for k, (start, wide, (top, left, height, width)) in enumerate(places):
        lines = pictures.pixels[start + top * wide : start + (top + height) * wide].unflatten(0, (height, wide))
        box = lines[:, left : left + width].permute(2, 0, 1)[None].to(dtype)
        found = F.interpolate(box, size, mode="bilinear", align_corners=False)
        found = found.flip(3) if flips[k] else found
        if look.factors is not None and look.turns is not None:
            for which in look.turns[k].tolist():
                found = moved(found, base_of(found, which), look.factors[k, which].to(dtype))
        yield found


def at_once(pixels: Tensor) -> bool:
    """Are many images taken together? On a CPU one after the other: what one takes stays in the processor's cache."""
    return pixels.is_cuda


def gathered(pictures: Pictures, boxes: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """All boxes at once, without a look at their numbers: for a GPU."""
    y0, y1, fy = _between(boxes[:, 0].double(), boxes[:, 2].double(), size[0], dtype)
    x0, x1, fx = _between(boxes[:, 1].double(), boxes[:, 3].double(), size[1], dtype)

    def at(y: Tensor, x: Tensor) -> Tensor:
        return pictures.at(y, x).permute(0, 3, 1, 2).to(dtype)  # [n, channels, h, w]

    left, right = (at(y0, x) + (at(y1, x) - at(y0, x)) * fy[:, None, :, None] for x in (x0, x1))
    return left + (right - left) * fx[:, None, None]


def strongly(pictures: Pictures, look: Look, size: tuple[int, int], among: Collection[str] = KINDS) -> Tensor:
    """The boxes in whole numbers, mirrored and varied: [n, channels, *size] uint8. `among` as for `each_varied`."""
    assert look.strong is not None and look.factors is None, "a policy stands in the place of jitter"
    found = rounded(pictures, look.boxes, size)
    found = torch.where(look.flips[:, None, None, None], found.flip(2), found)
    return each_varied(found, look.strong, among).permute(0, 3, 1, 2)


def holed(images: Tensor, look: Look) -> Tensor:
    """Images [n, channels, H, W], normalised, with the holes that a look has."""
    if look.strong is None or look.strong.holes is None:
        return images
    return erased(images.permute(0, 2, 3, 1), look.strong).permute(0, 3, 1, 2)


def rounded(pictures: Pictures, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """All boxes at once to the nearest whole numbers, a half upwards: [n, *size, channels] uint8.

    In whole numbers, of 2 n for each pixel along a side of n, so no device rounds otherwise; the division at last is no
    nearer to a whole number from below than 1 in 4 n^2, far from what a double cannot tell.
    """
    height, width = size
    whole = torch.int32 if 4 * 256 * height * width < 2**31 else torch.int64
    y0, y1, fy = _whole_between(boxes[:, 0].long(), boxes[:, 2].long(), height, whole)
    x0, x1, fx = _whole_between(boxes[:, 1].long(), boxes[:, 3].long(), width, whole)

    def line(x: Tensor) -> Tensor:
        above, below = (pictures.at(y, x).to(whole) for y in (y0, y1))
        return above * (2 * height - fy)[..., None, None] + below * fy[..., None, None]

    total = line(x0) * (2 * width - fx)[:, None, :, None] + line(x1) * fx[:, None, :, None]
    return ((total + 2 * height * width).double() / (4 * height * width)).to(torch.uint8)


def jittered(images: Tensor, factors: Tensor, turns: Tensor) -> Tensor:
    """Images [n, channels, H, W] of 0-255 with colours moved by factors [n, 3], in the order of turns [n, 3].

    x <- f x + (1 - f) b within 0 and 255; b is 0 for brightness, the mean grey of the image for contrast, the grey of
    each pixel for saturation, which a grey image has none of.
    """
    for place in range(3):
        which = turns[:, place, None]
        f = factors.gather(1, which).to(images.dtype)[..., None, None]
        grey = greyed(images)
        contrast, saturation = ((which == k)[..., None, None].to(images.dtype) for k in (1, 2))
        images = moved(images, grey.mean((2, 3), keepdim=True) * contrast + grey * saturation, f)
    return images


def base_of(images: Tensor, which: int) -> Tensor:
    """What brightness (0), contrast (1) or saturation (2) moves images [n, channels, H, W] from; it can be expanded to
    them."""
    if which == 0:
        return images.new_zeros(())
    grey = greyed(images)
    return grey.mean((2, 3), keepdim=True) if which == 1 else grey


def greyed(images: Tensor) -> Tensor:
    """[n, 1, H, W] of three channels; a grey image as it is."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.split(1, 1)
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def moved(images: Tensor, base: Tensor, factor: Tensor) -> Tensor:
    """factor * images + (1 - factor) * base within 0 and 255."""
    return torch.lerp(base.expand_as(images), images, factor).clamp_(0, 255)


def _between(start: Tensor, length: Tensor, n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """For n points along boxes: the pixels before and after [.., n], and how far along the way between them."""
    at = (torch.arange(n, device=start.device, dtype=torch.float64) + 0.5) / n
    end = start + length - 1
    where = (start[:, None] + at * length[:, None] - 0.5).clamp(start[:, None], end[:, None])
    # a box of n pixels has its points on them, but for rounding
    before = (where + 1e-9).floor()
    after = torch.minimum(before + 1, end[:, None])
    return before.long(), after.long(), (where - before).clamp(min=0).to(dtype)


def _whole_between(start: Tensor, length: Tensor, n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The same in whole numbers, of long: how far along the way in parts of 2 n."""
    at = 2 * torch.arange(n, device=start.device) + 1
    last = (length - 1)[:, None]
    where = torch.minimum((at * length[:, None] - n).clamp(min=0), 2 * n * last)
    before = where // (2 * n)
    after = torch.minimum(before + 1, last)
    return before + start[:, None], after + start[:, None], (where - 2 * n * before).to(dtype)
