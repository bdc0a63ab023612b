"""How do images of many sizes lie in a file? One after the other, line by line; where each starts is written beside."""

from typing import NamedTuple

import numpy as np


class Strip(NamedTuple):
    """P images in bytes `values` uint8, in memory or in a mapped file.

    starts   [P] the first byte of each, a multiple of `channels`
    sizes    [P, 2] int64, height and width
    """

    values: np.ndarray
    channels: int
    starts: np.ndarray
    sizes: np.ndarray

    def span(self, row: int) -> tuple[int, int]:
        """First byte of an image, and how many there are."""
        return int(self.starts[row]), int(self.sizes[row].prod()) * self.channels

    def one(self, row: int) -> np.ndarray:
        """[H, W, channels]."""
        start, length = self.span(row)
        return self.values[start : start + length].reshape(*self.sizes[row].tolist(), self.channels)

    def of(self, rows: np.ndarray) -> "Strip":
        """A copy of those images alone, in that order."""
        lengths = self.sizes[rows].prod(1) * self.channels
        ends = np.cumsum(lengths)
        found = np.empty(int(lengths.sum()), np.uint8)
        for row, end, length in zip(rows.tolist(), ends.tolist(), lengths.tolist(), strict=True):
            found[end - length : end] = self.one(row).reshape(-1)
        return Strip(found, self.channels, ends - lengths, self.sizes[rows])

    def middles(self, rows: np.ndarray, side: int) -> np.ndarray:
        """The middle squares of those images: [n, side, side, channels]."""
        found = np.empty((len(rows), side, side, self.channels), np.uint8)
        for k, row in enumerate(rows.tolist()):
            found[k] = middle(self.one(row), side)
        return found


def middle(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle square of pixels [H, W, channels]."""
    top, left = (np.array(pixels.shape[:2]) - side) // 2
    return pixels[top : top + side, left : left + side]
