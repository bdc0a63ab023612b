"""How are more images than memory holds trained on? A batch at a time is read from a mapped file, for all runs at once.

What several runs look at is read once, and the file's pages are those of every process of the machine. On a CPU boxes
are taken from the map itself, and nothing is copied. A thread reads the next images of an epoch while these are
trained on; it only fills the machine's cache of the file, so nothing depends on it.
"""

import os
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
from ltbv.data.hosted import hosted
from ltbv.data.looks import Look
from ltbv.data.readers import Crop, Reader
from ltbv.data.strip import Strip
from ltbv.errors import Refusal
from ltbv.files import Damaged

WINDOW = 8  # batches whose reads are sorted together, so that a disk goes through them in one direction


class Streamed(Reader):
    """The images `rows` [P] of pixels [.., H, W, channels] uint8, or of a strip, in a mapped file or the host's memory.

    The distinct images of a batch are brought to the device, and from there on it is `OnDevice` or `Ragged`: the same
    numbers.
    """

    resident: ClassVar[bool] = False

    def __init__(
        self,
        dataset: Dataset,
        pixels: np.ndarray | Strip,
        rows: np.ndarray,
        *,
        pad: int,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.rows, self.there = rows, hosted(dataset, pixels, pad=pad, device=device, dtype=dtype)
        form = self.there.form
        self.device, self.corner, self.side = form.device, form.corner, form.side
        self.whole = self.there.whole() if self.device.type == "cpu" and not pad else None

    def gather(self, rows: Tensor, crop: Crop) -> Tensor:
        held, places = self._fetched(rows)
        return held.gather(places, crop)

    def look(self, rows: Tensor, look: Look) -> Tensor:
        if self.whole is not None:
            return self.whole.look(torch.as_tensor(self.rows)[rows], look)
        held, places = self._fetched(rows)
        return held.look(places, look)

    def block(self, rows: slice, runs: int) -> Tensor:
        return self.there.held(self.rows[rows]).block(slice(None), runs)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        return self.there.held(self.rows[np.asarray(rows)]).raw(np.arange(len(rows)))

    def __len__(self) -> int:
        return len(self.rows)

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        return self.there.sizes(self.rows[rows])

    def fitted(self, boxes: Tensor, rows: Tensor, others: Tensor) -> Tensor:
        return self.there.fitted(boxes, *(self.rows[of.cpu().numpy()] for of in (rows, others)))

    def ahead(self, asked: Iterable[np.ndarray]) -> Iterator[None]:
        """By its turn a batch's images are in the cache of the file, and those of later ones are being read."""
        every, values = list(asked), self.there.values
        file = _opened(values)
        if file is None:
            yield from repeat(None, len(every))
            return
        first = getattr(values, "offset", 0)

        def read(window: list[np.ndarray]) -> int:
            for row in np.unique(self.rows[np.concatenate([rows.ravel() for rows in window])]).tolist():
                place, size = self.there.span(row)
                _read(file, size, first + place)
            return len(window)

        windows = [every[start : start + WINDOW] for start in range(0, len(every), WINDOW)]
        with file, closing(in_threads(read, windows, workers=1, ahead=2)) as done:
            for batches in done:
                yield from repeat(None, batches)

    def _fetched(self, rows: Tensor) -> tuple[Reader, Tensor]:
        """Those of a batch [R, B], each once, and the place of each: [R, B]."""
        distinct, places = np.unique(rows.cpu().numpy(), return_inverse=True)
        return self.there.held(self.rows[distinct]), torch.as_tensor(places.reshape(rows.shape)).to(self.device)


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
