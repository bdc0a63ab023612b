"""How do images reach a stack of runs? One uint8 pool on the device, an index table a run, one gather a batch.

Order, crops and flips of a run are drawn on the host from its own `order` stream, so they depend on (seed, run, stage,
epoch) and on nothing else: not on the stack, the device or the number of workers.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ltbv.data.dataset import Dataset, labels_of
from ltbv.data.samplers import Sampler, Turn, nearest_of_class
from ltbv.seeds import generator


class Batch(NamedTuple):
    """images [B, R*channels, H, W] normalised, channels-last in memory; labels [R, B]."""

    images: Tensor
    labels: Tensor


Tables = tuple[dict[str, Tensor], ...]  # of an epoch, one for each sampler: names -> [R, n]


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

    def blend(self, images: Tensor, others: Tensor, shares: Tensor) -> Tensor:
        """(1 - share) x + share x' of images [B, R*channels, H, W], with shares [R, B]."""
        weight = shares.T.repeat_interleave(self.channels, 1)[..., None, None].to(images.dtype)
        return torch.lerp(images, others, weight)

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
        self.pad, self.flip = dataset.pad, dataset.flip
        self.counts = np.stack([np.bincount(labels, minlength=dataset.num_classes) for labels in self.labels])
        self._nearest: dict[tuple[int, int], np.ndarray] = {}

    def tables(
        self, seed: int, runs: tuple[int, ...], stage: int, epoch: int, epochs: int, samplers: tuple[Sampler, ...]
    ) -> Tables:
        """What one epoch of a stage needs of every image, drawn on the host: names -> [R, n], for each sampler."""
        tables = []
        for k, sampler in enumerate(samplers):
            turns = [
                Turn(
                    self.labels[place],
                    epoch,
                    epochs,
                    draw=generator(seed, run, "order", stage, epoch, k),
                    fixed=generator(seed, run, "kept", stage, k),
                    neighbours=partial(self._neighbours, place),
                )
                for place, run in enumerate(runs)
            ]
            tables.append(self._drawn(sampler, turns))
        return tuple(tables)

    def spans(self, batch: int) -> list[tuple[int, int]]:
        """Where in an epoch each batch starts and ends.

        The last holds what is left; a single image joins the batch before it, for a batch norm of 1 x 1 maps needs two.
        """
        n = self.rows.shape[1]
        return list(pairwise([0, *range(batch, n - 1, batch), n]))

    def epoch(self, tables: Tables, batch: int) -> Iterator[tuple[Batch, ...]]:
        """The batches of an epoch, one after the other."""
        device = self.pictures.pixels.device
        here = tuple({name: values.to(device) for name, values in table.items()} for table in tables)
        for start, end in self.spans(batch):
            yield self.batches(here, slice(start, end))

    def batches(self, tables: Tables, where: slice | Tensor) -> tuple[Batch, ...]:
        """The images at those positions of an epoch, one `Batch` for each sampler; `tables` are on the device."""
        return tuple(self._batch(table, where) for table in tables)

    def plain(self, batch: int) -> Iterator[Batch]:
        """Every image of each run once, whole and unmirrored, in the order of the sample."""
        device = self.pictures.pixels.device
        rows, labels = (torch.as_tensor(values).to(device) for values in (self.rows, self.labels))
        for start in range(0, rows.shape[1], batch):
            here = rows[:, start : start + batch]
            corner = torch.full_like(here, self.pad)
            images = self.pictures.gather(here, corner, corner, torch.zeros_like(here, dtype=torch.bool))
            yield Batch(images, labels[:, start : start + batch])

    def _drawn(self, sampler: Sampler, turns: list[Turn]) -> dict[str, Tensor]:
        """By the names of `_batch`."""
        drawn: dict[str, list[np.ndarray]] = {}
        for place, turn in enumerate(turns):
            order = sampler.order(turn)
            tops, lefts = turn.draw.integers(2 * self.pad + 1, size=(2, len(order.positions)))
            flips = turn.draw.random(len(order.positions)) < (0.5 if self.flip else 0.0)
            own = {"rows": self.rows[place][order.positions], "tops": tops, "lefts": lefts, "flips": flips}
            own["labels"] = self.labels[place][order.positions]
            if order.partners is not None:
                own |= {"partners": self.rows[place][order.partners], "shares": order.shares}
            for name, values in own.items():
                drawn.setdefault(name, []).append(values)
        return {name: torch.as_tensor(np.stack(values)) for name, values in drawn.items()}

    def _batch(self, table: dict[str, Tensor], where: slice | Tensor) -> Batch:
        of = {name: values[:, where] for name, values in table.items()}
        crop = of["tops"], of["lefts"], of["flips"]
        images = self.pictures.gather(of["rows"], *crop)
        if "partners" in of:
            images = self.pictures.blend(images, self.pictures.gather(of["partners"], *crop), of["shares"])
        return Batch(images, of["labels"])

    def _neighbours(self, place: int, k: int) -> np.ndarray:
        """`nearest_of_class` among the images of one run; found once."""
        if (place, k) not in self._nearest:
            pixels = self.pictures.pixels[torch.as_tensor(self.rows[place]).to(self.pictures.pixels.device)]
            whole = pixels[:, self.pad :, self.pad :][:, : self.pictures.height, : self.pictures.width]
            self._nearest[place, k] = nearest_of_class(whole.cpu().numpy(), self.labels[place], k)
        return self._nearest[place, k]
