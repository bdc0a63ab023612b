"""How are images of many sizes seen? In boxes of each as it is; in any other way, as the middle square of each."""

from copy import copy
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbv.data.looks import Look, Pictures
from ltbv.data.readers import Crop, OnDevice, Reader
from ltbv.data.strip import Strip


class Ragged(Reader):
    """A strip in the memory of the device.

    squares      what does with their middle squares, of `square` pixels a side, all that is not done in boxes
    pad          background around such a square
    background   its value, 0-255
    """

    def __init__(self, squares: OnDevice, strip: Strip, *, square: int, pad: int, background: int):
        self.squares, self.square, self.pad, self.background = squares, square, pad, background
        self.device, self.corner, self.side = squares.device, squares.corner, squares.side
        self._take(strip, torch.from_numpy(strip.values).to(self.device))

    def of(self, strip: Strip, values: Tensor) -> Self:
        """The same of another strip, whose bytes are `values`."""
        other = copy(self)
        other._take(strip, values)
        return other

    def _take(self, strip: Strip, values: Tensor) -> None:
        corners = (strip.sizes - self.square) // 2
        starts, widths = strip.starts // strip.channels, strip.sizes[:, 1]
        middles = starts + corners[:, 0] * widths + corners[:, 1]  # where the middle squares start
        self.host_sizes, self.pixels = strip.sizes, values.view(-1, strip.channels)
        self.own_sizes, self.starts, self.middles = (
            torch.as_tensor(of).to(self.device) for of in (strip.sizes, starts, middles)
        )

    def gather(self, rows: Tensor, crop: Crop) -> Tensor:
        places = torch.arange(rows.numel(), device=self.device).view_as(rows)
        return self._squares(rows.flatten()).gather(places, crop)

    def look(self, rows: Tensor, look: Look) -> Tensor:
        every = rows.T.flatten()
        pictures = Pictures(self.pixels, self.starts[every], self.own_sizes[every, 1])
        return self.squares.of_pictures(pictures, len(rows), look)

    def block(self, rows: slice, runs: int) -> Tensor:
        return self._squares(torch.arange(len(self), device=self.device)[rows]).block(slice(None), runs)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        return self._squares(torch.as_tensor(rows).to(self.device)).raw(np.arange(len(rows)))

    def __len__(self) -> int:
        return len(self.starts)

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        return self.host_sizes[rows]

    def fitted(self, boxes: Tensor, rows: Tensor, others: Tensor) -> Tensor:
        return moved_within(boxes, self.own_sizes[rows], self.own_sizes[others])

    def _squares(self, rows: Tensor) -> OnDevice:
        along = torch.arange(self.square, device=self.device)
        lines = self.middles[rows][:, None] + along * self.own_sizes[rows, 1:]  # [n, side]
        pixels = self.pixels[lines[..., None] + along]
        if self.pad:
            pixels = F.pad(pixels, (0, 0, *(self.pad,) * 4), value=self.background)
        return self.squares.of(pixels)


def moved_within(boxes: Tensor, sizes: Tensor, others: Tensor) -> Tensor:
    """Boxes [.., 4] of images of `sizes` [.., 2] for those of `others`: cut where these are smaller, and at the same
    share of the way that there is from the first place to the last. Of the same size they stay as they are."""
    corners, lengths = boxes[..., :2], boxes[..., 2:]
    within = torch.minimum(lengths, others.to(boxes.dtype))
    moved = (corners * (others - within + 1) / (sizes - lengths + 1)).floor()
    return torch.cat([moved, within], -1)
