"""How does a partner come into an image? By a share of every pixel, or by a box that is all its own.

Images are those of a batch, [B, R*channels, H, W]; what is said of each is [R, B].
"""

import torch
from torch import Tensor


def blended(images: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """image + share (partner - image), in every pixel; shares within 0 and 1."""
    channels = images.shape[1] // len(shares)
    return torch.lerp(images, partners, shares.T.repeat_interleave(channels, 1)[..., None, None].to(images.dtype))


def boxes(shares: Tensor, centres: Tensor, height: int, width: int) -> Tensor:
    """Which pixels are in a box about a centre, clipped to the image: [R, B, H, W], true or false.

    shares    of the area that it has before it is clipped: its sides are sqrt(share) of the image's, whole and even
    centres   [R, B, 2] within [0, 1), down and to the right
    """
    sides = shares.double().sqrt()

    def along(n: int, centre: Tensor) -> Tensor:  # [R, B, n]
        half, middle = (n * sides).floor().long() // 2, (n * centre).floor().long()
        place = torch.arange(n, device=shares.device)
        return (place >= (middle - half)[..., None]) & (place < (middle + half)[..., None])

    rows, columns = along(height, centres[..., 0]), along(width, centres[..., 1])
    return rows[..., :, None] & columns[..., None, :]


def pasted(images: Tensor, partners: Tensor, inside: Tensor) -> Tensor:
    """The partner's pixels where `inside` [R, B, H, W], the image's elsewhere."""
    channels = images.shape[1] // len(inside)
    return torch.where(inside.transpose(0, 1).repeat_interleave(channels, 1), partners, images)


def reordered(images: Tensor, places: Tensor) -> Tensor:
    """Image `places` [R, B] of the batch in the place of each, run by run."""
    runs = len(places)
    own = images.unflatten(1, (runs, -1))[places.T, torch.arange(runs, device=places.device)]
    return own.flatten(1, 2).contiguous(memory_format=torch.channels_last)
