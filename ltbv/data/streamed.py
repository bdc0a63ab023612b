"""How are more images than memory holds trained on? A batch at a time is read from a mapped file, for all runs at once.

What several runs look at is read once, and the file's pages are those of every process of the machine. On a CPU boxes
are taken from the map itself, and nothing is copied. A thread reads the next images of an epoch while these are
trained on; it only fills the machine's cache of the file, so nothing depends on it.
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from io import FileIO
from itertools import repeat
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ltbv.data.ahead import in_threads
from ltbv.data.dataset import Dataset
from ltbv.data.looks import Look
from ltbv.data.readers import Crop, OnDevice, Reader
from ltbv.errors import Refusal
from ltbv.files import Damaged

WINDOW = 8  # batches whose reads are sorted together, so that a disk goes through them in one direction


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
        self.whole = self.form.of(_unwritten(pixels)) if self.device.type == "cpu" and not pad else None

    def gather(self, rows: Tensor, crop: Crop) -> Tensor:
        held, places = self._fetched(rows)
        return held.gather(places, crop)

    def look(self, rows: Tensor, look: Look) -> Tensor:
        if self.whole is not None:
            return self.whole.look(torch.as_tensor(self.rows)[rows], look)
        held, places = self._fetched(rows)
        return held.look(places, look)

    def block(self, rows: slice, runs: int) -> Tensor:
        return self._held(self.rows[rows]).block(slice(None), runs)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        first, (height, width) = self.corner - self.pad, (self.form.height, self.form.width)
        return np.array(self.pixels[self.rows[np.asarray(rows)], first : first + height, first : first + width])

    def __len__(self) -> int:
        return len(self.rows)

    def ahead(self, asked: Iterable[np.ndarray]) -> Iterator[None]:
        """By its turn a batch's images are in the cache of the file, and those of later ones are being read."""
        every, file = list(asked), _opened(self.pixels)
        if file is None:
            yield from repeat(None, len(every))
            return
        place, size = getattr(self.pixels, "offset", 0), self.pixels[0].nbytes

        def read(window: list[np.ndarray]) -> int:
            for row in np.unique(self.rows[np.concatenate([rows.ravel() for rows in window])]).tolist():
                _read(file, size, place + row * size)
            return len(window)

        windows = [every[start : start + WINDOW] for start in range(0, len(every), WINDOW)]
        with file, closing(in_threads(read, windows, workers=1, ahead=2)) as done:
            for batches in done:
                yield from repeat(None, batches)

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


def _opened(pixels: np.ndarray) -> FileIO | None:
    """The file of a map; None where there is none, or it was deleted: the map has it still."""
    name = getattr(pixels, "filename", None)
    try:
        return None if name is None else FileIO(name)
    except OSError:
        return None


def _read(file: FileIO, size: int, place: int) -> None:
    """So many bytes of a file; in a map a disk that does not answer, or a file cut short, would end the process."""
    try:
        found = len(os.pread(file.fileno(), size, place))
    except OSError as error:
        raise Refusal(f"cannot read {file.name}: {error.strerror}; run the same command again") from error
    if found < size:
        raise Damaged(
            f"{file.name} was cut short at {place + found:,} bytes while it was trained on; make the pool again"
        )


def _unwritten(pixels: np.ndarray) -> Tensor:
    """As a tensor that nobody writes to, which torch would warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(pixels)
