"""How is a batch of images varied strongly? Operations on pixels, of each image its own, as it was drawn for it.

The operations are torchvision's for images of uint8 (nearest pixel, black where an image has none), and the last one
timm's, to the bit, for a batch whose every image has another operation and amount, which torchvision's and others'
functions do not take: all are done of all images, and of each one is kept. The same on any device; nothing is drawn
here (`policies` does).
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import Tensor

KINDS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "invert",
    "solarize_add",
)


class Strong(NamedTuple):
    """Of each image [R, B], K operations one after the other, and a black square at last, or a hole of noise.

    kinds     [R, B, K] places in KINDS
    amounts   [R, B, K] shears, pixels, degrees, 1 + what colours are changed by, bits that stay, a threshold, what
              values grow by
    centres   [R, B, 2] within [0, 1) down and to the right, of a square of half the image's height; None: no square
    holes     [R, B, 4] top, left, height, width in pixels, height and width 0 where an image has none; None: none has.
              `erasing` fills them
    fills     [R, B] within [0, 1), what the noise in each hole is made of
    """

    kinds: Tensor
    amounts: Tensor
    centres: Tensor | None = None
    holes: Tensor | None = None
    fills: Tensor | None = None

    def images_first(self) -> "Strong":
        """The same, [B, R, ...]."""
        return self.each(lambda values: values.transpose(0, 1))

    def each(self, do: Callable[[Tensor], Tensor]) -> "Strong":
        """`do` of each that there is."""
        centres, holes, fills = (None if values is None else do(values) for values in self[2:])
        return Strong(do(self.kinds), do(self.amounts), centres, holes, fills)


def varied(images: Tensor, by: Strong) -> Tensor:
    """Images [B, R, H, W, channels] uint8 after their operations."""
    return each_varied(images, by.images_first())


def each_varied(images: Tensor, by: Strong, among: Collection[str] = KINDS) -> Tensor:
    """Images [..., H, W, channels] uint8 after their operations, [..., K] of each.

    among   which kinds there are, where that is known: no other is worked out
    """
    for kind, amount in zip(by.kinds.unbind(-1), by.amounts.unbind(-1), strict=True):
        images = operated(images, kind, amount, among)
    return images if by.centres is None else cut_out(images, by.centres)


def operated(images: Tensor, kind: Tensor, amount: Tensor, among: Collection[str] = KINDS) -> Tensor:
    """One operation of each image [..., H, W, channels] uint8, kinds and amounts [...]; `among` as in `each_varied`."""
    found = images
    for names, done in OPERATIONS:
        if any(name in among for name in names):
            found = torch.where(_of(kind, *names), done(images, kind, amount, among), found)
    return found


def displaced(images: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """Sheared about the corner, moved or turned about the middle: the nearest pixel of where each comes from."""
    height, width = images.shape[-3:-1]
    nothing = torch.zeros_like(amount)

    def when(name: str, then: Tensor, otherwise: Tensor) -> Tensor:
        return torch.where(kind == KINDS.index(name), then, otherwise)

    angle = when("rotate", amount, nothing).deg2rad()
    cosine, sine = angle.cos(), angle.sin()
    across, down = width / 2, height / 2
    x_x, y_y = cosine, cosine
    x_y = when("shear_x", amount, -sine)
    y_x = when("shear_y", amount, sine)
    x_0 = when("translate_x", -amount.trunc(), when("rotate", across - cosine * across + sine * down, nothing))
    y_0 = when("translate_y", -amount.trunc(), when("rotate", down - sine * across - cosine * down, nothing))
    x = torch.arange(width, device=images.device, dtype=amount.dtype) + 0.5
    y = (torch.arange(height, device=images.device, dtype=amount.dtype) + 0.5)[:, None]
    of = [term[..., None, None] for term in (x_x, x_y, x_0, y_x, y_y, y_0)]
    column = (of[0] * x + of[1] * y + of[2] - 0.5).round().long()
    row = (of[3] * x + of[4] * y + of[5] - 0.5).round().long()
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(-2)[..., None]
    pixels = images.flatten(-3, -2)
    taken = pixels.gather(-2, place.expand(*place.shape[:-1], pixels.shape[-1])).unflatten(-2, (height, width))
    return taken * inside[..., None]


def recoloured(images: Tensor, kind: Tensor, amount: Tensor, among: Collection[str] = KINDS) -> Tensor:
    """amount * image + (1 - amount) * other; the other is black, the image in grey, its mean grey, or blurred."""
    grey, other = images, torch.zeros((), device=images.device)
    if "color" in among or "contrast" in among:
        grey = greyed(images)
        mean = grey.flatten(-3).sum(-1, dtype=torch.int64).float() / grey.shape[-3:].numel()
        other = torch.where(_of(kind, "color"), grey.float(), other)
        other = torch.where(_of(kind, "contrast"), mean[..., None, None, None], other)
    if "sharpness" in among:
        other = torch.where(_of(kind, "sharpness"), blurred(images).float(), other)
    own, rest = amount.float(), (1 - amount).float()
    both = own[..., None, None, None] * images + rest[..., None, None, None] * other
    found = both.clamp(0, 255).to(torch.uint8)
    return torch.where(_of(kind, "color"), images, found) if grey is images else found


def greyed(images: Tensor) -> Tensor:
    """[..., H, W, 1] of three channels; images of other numbers of channels have no colour and stay."""
    if images.shape[-1] != 3:
        return images
    red, green, blue = images.unbind(-1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).to(torch.uint8)[..., None]


def blurred(images: Tensor) -> Tensor:
    """The mean of nine pixels, the one in the middle five times, to the nearest whole; the border stays."""
    height, width = images.shape[-3:-1]
    if min(height, width) < 3:
        return images
    wide = images.to(torch.int16)
    rows = wide[..., :-2, :, :] + wide[..., 1:-1, :, :] + wide[..., 2:, :, :]
    total = rows[..., :-2, :] + rows[..., 1:-1, :] + rows[..., 2:, :] + 4 * wide[..., 1:-1, 1:-1, :]
    found = images.clone()
    found[..., 1:-1, 1:-1, :] = ((2 * total + 13).float() / 26).to(torch.uint8)  # of 13 there is no half
    return found


def posterised(images: Tensor, amount: Tensor) -> Tensor:
    """Only the first bits of each value, so many as its amount says."""
    bits = 256 - 2 ** (8 - amount.long().clamp(0, 8))[..., None, None, None]
    return images & bits.to(torch.uint8)


def solarised(images: Tensor, amount: Tensor) -> Tensor:
    """Inverted from a threshold on."""
    return torch.where(images >= amount[..., None, None, None], 255 - images, images)


def brightened(images: Tensor, amount: Tensor) -> Tensor:
    """Values of the darker half, brighter by so much."""
    more = (images + amount.to(torch.int16)[..., None, None, None]).clamp(max=255).to(torch.uint8)
    return torch.where(images < 128, more, images)


def autocontrasted(images: Tensor) -> Tensor:
    """Each channel stretched to 0 to 255; one of a single value stays."""
    least, most = (of((-3, -2), keepdim=True).float() for of in (images.amin, images.amax))
    flat = most == least
    scale = torch.where(flat, 1.0, 255 / torch.where(flat, 1.0, most - least))
    return ((images - torch.where(flat, 0.0, least)) * scale).clamp(0, 255).to(torch.uint8)


def equalised(images: Tensor) -> Tensor:
    """Each channel's values spread evenly, by its histogram."""
    values = images.long().flatten(-3, -2).transpose(-2, -1)  # [..., channels, H * W]
    histogram = torch.zeros(*values.shape[:-1], 256, dtype=torch.int64, device=images.device)
    histogram.scatter_add_(-1, values, torch.ones_like(values))
    last = histogram.gather(-1, values.amax(-1, keepdim=True))
    step = (values.shape[-1] - last) // 255
    some = step.clamp(min=1)
    table = ((histogram.cumsum(-1) - histogram + some // 2) // some).clamp(0, 255)
    spread = torch.where(step > 0, table.gather(-1, values), values)
    return spread.to(torch.uint8).transpose(-2, -1).unflatten(-2, images.shape[-3:-1])


def cut_out(images: Tensor, centres: Tensor) -> Tensor:
    """A square of half the image's height is black, about `centres` [..., 2], clipped (DeVries and Taylor, 2017)."""
    height, width = images.shape[-3:-1]
    side = height // 2
    top, left = ((centres[..., at] * n).floor().long() - side // 2 for at, n in enumerate((height, width)))
    rows, columns = (torch.arange(n, device=images.device) for n in (height, width))
    down = (rows >= top[..., None]) & (rows < top[..., None] + side)
    across = (columns >= left[..., None]) & (columns < left[..., None] + side)
    return images * ~(down[..., :, None] & across[..., None, :])[..., None]


def _of(kind: Tensor, *names: str) -> Tensor:
    """Where an image has one of these, [..., 1, 1, 1]."""
    found = torch.zeros_like(kind, dtype=torch.bool)
    for name in names:
        found = found | (kind == KINDS.index(name))
    return found[..., None, None, None]


Operation = Callable[[Tensor, Tensor, Tensor, Collection[str]], Tensor]

OPERATIONS: tuple[tuple[tuple[str, ...], Operation], ...] = (
    (KINDS[1:6], lambda images, kind, amount, among: displaced(images, kind, amount)),
    (KINDS[6:10], recoloured),
    (("posterize",), lambda images, kind, amount, among: posterised(images, amount)),
    (("solarize",), lambda images, kind, amount, among: solarised(images, amount)),
    (("autocontrast",), lambda images, kind, amount, among: autocontrasted(images)),
    (("equalize",), lambda images, kind, amount, among: equalised(images)),
    (("invert",), lambda images, kind, amount, among: 255 - images),
    (("solarize_add",), lambda images, kind, amount, among: brightened(images, amount)),
)
