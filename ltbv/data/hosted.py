"""What of images in a mapped file, or in the host's memory, is brought to the device? Those rows that are asked for."""

import warnings
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from ltbv.data.dataset import Dataset
from ltbv.data.ragged import Ragged, moved_within
from ltbv.data.readers import OnDevice, Reader, bordered
from ltbv.data.strip import Strip


class Hosted(ABC):
    """Images of a host, by row.

    values   their memory or map
    form     a reader of none of them, as all are read on the device
    """

    values: np.ndarray
    form: Reader

    @abstractmethod
    def held(self, rows: np.ndarray) -> Reader:
        """Those rows on the device, in their order."""

    @abstractmethod
    def whole(self) -> Reader:
        """All of them where they lie, on a CPU, without a border; nothing is copied."""

    @abstractmethod
    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """`Reader.sizes`."""

    @abstractmethod
    def fitted(self, boxes: Tensor, rows: np.ndarray, others: np.ndarray) -> Tensor:
        """`Reader.fitted`."""

    @abstractmethod
    def span(self, row: int) -> tuple[int, int]:
        """Where in `values` an image begins, and how many bytes it has."""


class Alike(Hosted):
    """Pixels [.., H, W, channels] of one size."""

    form: OnDevice

    def __init__(self, dataset: Dataset, pixels: np.ndarray, *, pad: int, device: torch.device, dtype: torch.dtype):
        self.values, self.pad, self.background = pixels, pad, dataset.background
        none = np.zeros((0, *pixels.shape[1:]), np.uint8)
        self.form = OnDevice(dataset, none, pad=pad, device=device, dtype=dtype)

    def held(self, rows: np.ndarray) -> OnDevice:
        pixels = bordered(self.values[rows], self.pad, self.background)
        return self.form.of(torch.from_numpy(np.ascontiguousarray(pixels)).to(self.form.device))

    def whole(self) -> OnDevice:
        return self.form.of(_unwritten(self.values))

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        return self.form.sizes(rows)

    def fitted(self, boxes: Tensor, rows: np.ndarray, others: np.ndarray) -> Tensor:
        del rows, others
        return boxes

    def span(self, row: int) -> tuple[int, int]:
        size = self.values[0].nbytes
        return row * size, size


class OwnSizes(Hosted):
    """A strip, whose shorter sides are all as long."""

    form: Ragged

    def __init__(self, dataset: Dataset, strip: Strip, *, pad: int, device: torch.device, dtype: torch.dtype):
        self.strip, self.values, square = strip, strip.values, int(strip.sizes[0].min())
        none = np.zeros((0, square, square, strip.channels), np.uint8)
        squares = OnDevice(dataset, none, pad=pad, device=device, dtype=dtype)
        empty = strip.of(np.zeros(0, np.int64))
        self.form = Ragged(squares, empty, square=square, pad=pad, background=dataset.background)

    def held(self, rows: np.ndarray) -> Ragged:
        own = self.strip.of(rows)
        return self.form.of(own, torch.from_numpy(own.values).to(self.form.device))

    def whole(self) -> Ragged:
        return self.form.of(self.strip, _unwritten(self.values))

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        return self.strip.sizes[rows]

    def fitted(self, boxes: Tensor, rows: np.ndarray, others: np.ndarray) -> Tensor:
        own, other = (torch.as_tensor(self.strip.sizes[of]).to(boxes.device) for of in (rows, others))
        return moved_within(boxes, own, other)

    def span(self, row: int) -> tuple[int, int]:
        return self.strip.span(row)


def hosted(
    dataset: Dataset, pixels: np.ndarray | Strip, *, pad: int, device: torch.device, dtype: torch.dtype
) -> Hosted:
    """What suits them."""
    if isinstance(pixels, Strip):
        return OwnSizes(dataset, pixels, pad=pad, device=device, dtype=dtype)
    return Alike(dataset, pixels, pad=pad, device=device, dtype=dtype)


def _unwritten(pixels: np.ndarray) -> Tensor:
    """As a tensor that nobody writes to, which torch would warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(pixels)
