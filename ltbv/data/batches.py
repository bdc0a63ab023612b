"""How do images reach a stack of runs? One uint8 pool on the device, an index table a run, one gather a batch.

Order, crops and flips of a run are drawn on the host from its own `order` stream, so they depend on (seed, run, stage,
epoch) and on nothing else: not on the stack, the device or the number of workers.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ltbv.data.dataset import Dataset, labels_of
from ltbv.data.samplers import SAMPLERS
from ltbv.seeds import generator


class Batch(NamedTuple):
    """images [B, R*channels, H, W] normalised, channels-last in memory; labels [R, B]."""

    images: Tensor
    labels: Tensor


class Pictures:
    """Pixels on a device, normalised when they are read."""

    def __init__(self, dataset: Dataset, pixels: np.ndarray, *, pad: int, device: torch.device, dtype: torch.dtype):
        border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        padded = np.pad(pixels, border, constant_values=dataset.background) if pad else pixels
        self.pixels = torch.as_tensor(padded).to(device)  # [P, H + 2 pad, W + 2 pad, channels]
        self.height, self.width, self.channels = dataset.image_shape
        mean, std = (torch.tensor(v, dtype=torch.float64) * 255 for v in (dataset.mean, dataset.std))
        self.scale, self.shift = ((1 / std).to(device, dtype), (-mean / std).to(device, dtype))

    def gather(self, rows: Tensor, tops: Tensor, lefts: Tensor, flips: Tensor) -> Tensor:
        """The crops [R, B] at (tops, lefts), mirrored where `flips`, as images [B, R*channels, H, W]."""
        device = self.pixels.device
        y = tops[..., None] + torch.arange(self.height, device=device)
        x = torch.arange(self.width, device=device)
        x = lefts[..., None] + torch.where(flips[..., None], self.width - 1 - x, x)
        crops = self.pixels[rows.T[..., None, None], y.transpose(0, 1)[..., None], x.transpose(0, 1)[..., None, :]]
        return self._images(crops)

    def block(self, rows: slice, runs: int) -> Tensor:
        """Whole images of consecutive rows, the same for each run: [B, R*channels, H, W]."""
        pixels = self.pixels[rows].unsqueeze(1)
        return self._images(pixels.expand(-1, runs, -1, -1, -1))

    def _images(self, crops: Tensor) -> Tensor:
        """[B, R, H, W, channels] uint8 -> normalised [B, R*channels, H, W], channels last in memory."""
        values = crops.permute(0, 2, 3, 1, 4).to(self.scale.dtype) * self.scale + self.shift
        return values.flatten(3).permute(0, 3, 1, 2)


class Feed:
    """The training images of a stack of runs. `ids` [R, n]: the sample of each run."""

    def __init__(self, dataset: Dataset, ids: np.ndarray, *, device: torch.device, dtype: torch.dtype):
        distinct, rows = np.unique(ids, return_inverse=True)
        self.pictures = Pictures(dataset, dataset.read(distinct), pad=dataset.pad, device=device, dtype=dtype)
        self.rows = rows.reshape(ids.shape)
        self.labels = labels_of(ids)
        self.crops, self.flip = 2 * dataset.pad + 1, dataset.flip
        self.counts = np.stack([np.bincount(labels, minlength=dataset.num_classes) for labels in self.labels])

    def epoch(
        self, seed: int, runs: tuple[int, ...], stage: int, epoch: int, batch: int, samplers: tuple[str, ...]
    ) -> Iterator[tuple[Batch, ...]]:
        """The batches of one epoch, one `Batch` for each sampler; the last batch holds what is left."""
        tables = [
            self._tables([generator(seed, run, "order", stage, epoch, k) for run in runs], name)
            for k, name in enumerate(samplers)
        ]
        for start in range(0, self.rows.shape[1], batch):
            yield tuple(self._batch(table, slice(start, start + batch)) for table in tables)

    def _tables(self, generators: list[np.random.Generator], sampler: str) -> list[Tensor]:
        """rows, tops, lefts, flips and labels of an epoch, each [R, n]."""
        drawn = []
        for run, draw in enumerate(generators):
            order = SAMPLERS[sampler](self.labels[run], draw)
            tops, lefts = draw.integers(self.crops, size=(2, len(order)))
            flips = draw.random(len(order)) < (0.5 if self.flip else 0.0)
            drawn.append((self.rows[run][order], tops, lefts, flips, self.labels[run][order]))
        device = self.pictures.pixels.device
        return [torch.as_tensor(np.stack(column)).to(device) for column in zip(*drawn, strict=True)]

    def _batch(self, tables: list[Tensor], where: slice) -> Batch:
        *crop, labels = (table[:, where] for table in tables)
        return Batch(self.pictures.gather(*crop), labels)
