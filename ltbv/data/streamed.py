"""How are more images than memory holds trained on? A batch at a time is read from a mapped file, for all runs at once.

What several runs look at is read once, and the file's pages are those of every process of the machine.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ltbv.data.dataset import Dataset
from ltbv.data.looks import Look
from ltbv.data.readers import Crop, OnDevice, Reader


class Streamed(Reader):
    """The images `rows` [P] of pixels [.., H, W, channels] uint8 in a mapped file, or in the host's memory.

    The distinct images of a batch are brought to the device, and from there on it is `OnDevice`: the same numbers.
    """

    resident: ClassVar[bool] = False

    def __init__(
        self,
        dataset: Dataset,
        pixels: np.ndarray,
        rows: np.ndarray,
        *,
        pad: int,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.pixels, self.rows, self.pad, self.background = pixels, rows, pad, dataset.background
        none = np.zeros((0, *pixels.shape[1:]), np.uint8)
        self.form = OnDevice(dataset, none, pad=pad, device=device, dtype=dtype)
        self.device, self.corner, self.side = self.form.device, self.form.corner, self.form.side

    def gather(self, rows: Tensor, crop: Crop) -> Tensor:
        held, places = self._fetched(rows)
        return held.gather(places, crop)

    def look(self, rows: Tensor, look: Look) -> Tensor:
        held, places = self._fetched(rows)
        return held.look(places, look)

    def block(self, rows: slice, runs: int) -> Tensor:
        return self._held(self.rows[rows]).block(slice(None), runs)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        return self._held(self.rows[np.asarray(rows)]).raw(np.arange(len(rows)))

    def __len__(self) -> int:
        return len(self.rows)

    def _fetched(self, rows: Tensor) -> tuple[OnDevice, Tensor]:
        """Those of a batch [R, B], each once, and the place of each: [R, B]."""
        distinct, places = np.unique(rows.cpu().numpy(), return_inverse=True)
        return self._held(self.rows[distinct]), torch.as_tensor(places.reshape(rows.shape)).to(self.device)

    def _held(self, rows: np.ndarray) -> OnDevice:
        """These rows of the file, in the order of the file's bytes where `rows` are."""
        pixels = self.pixels[rows]
        if self.pad:
            border = ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0))
            pixels = np.pad(pixels, border, constant_values=self.background)
        return self.form.of(torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device))
