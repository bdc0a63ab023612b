"""What may a method see of the test set? Random views of its images, two of each, without labels.

For methods that adapt to the test set as it comes (`methods.base.Adapting`). Orders, and all that the augmentation
varies (`crops`), are drawn on the host from each run's own `views` stream. The test set may be shown as one with a long
tail of its own: then so many images of each class are taken of each run, at random, that the classes have the shares of
a prior. Labels make that set, and nobody sees them.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ltbv.data.crops import Crops, cropped
from ltbv.data.dataset import Augmentation, Dataset
from ltbv.data.readers import on_device
from ltbv.seeds import generator

Pair = tuple[Tensor, Tensor]  # two views of the same images, [B, R*channels, H, W] each


class Views:
    """The test images of a stack of `runs`, varied by an augmentation.

    counts   [C] nominal training images of each class, by which the priors of `long_tailed_priors` are ordered
    classes  how many classes there are
    """

    def __init__(
        self,
        dataset: Dataset,
        counts: np.ndarray,
        *,
        augmentation: Augmentation,
        seed: int,
        runs: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.reader = on_device(dataset, dataset.test.pixels, pad=augmentation.pad, device=device, dtype=dtype)
        self._labels, self.counts, self.classes = dataset.test.labels, counts, dataset.num_classes
        self.seed, self.runs, self.crops = seed, runs, Crops.of(augmentation, dataset)

    def pairs(self, epoch: int, batch: int, prior: np.ndarray | None = None) -> Iterator[Pair]:
        """One epoch: every image once, in an order of its own for each run; a prior's images [C] where one is given."""
        draws = [generator(self.seed, run, "views", 1 + epoch) for run in self.runs]
        chosen = [self._rows(run, prior) for run in self.runs]
        rows = np.stack([draw.permutation(own) for draw, own in zip(draws, chosen, strict=True)])
        looks = [self._look(draws, rows.shape[1]) for _ in range(2)]
        for start in range(0, rows.shape[1], batch):
            here = slice(start, start + batch)
            first, second = (
                self._gathered(rows[:, here], {name: of[:, here] for name, of in look.items()}) for look in looks
            )
            yield first, second

    def _gathered(self, rows: np.ndarray, look: dict[str, np.ndarray]) -> Tensor:
        there = {name: torch.as_tensor(of).to(self.reader.device) for name, of in look.items()}
        return self.reader.gather(torch.as_tensor(rows).to(self.reader.device), cropped(there))

    def _rows(self, run: int, prior: np.ndarray | None) -> np.ndarray:
        """Which test images: all, or so many of each class that a prior [C] holds, at least one of each; the same in
        every epoch."""
        if prior is None:
            return np.arange(len(self._labels))
        draw, there = generator(self.seed, run, "views", 0), np.bincount(self._labels, minlength=self.classes)
        sizes = in_proportion(there, prior)
        of_class = (draw.permutation(np.flatnonzero(self._labels == k))[:size] for k, size in enumerate(sizes))
        return np.concatenate(list(of_class))

    def _look(self, draws: list[np.random.Generator], n: int) -> dict[str, np.ndarray]:
        """How images are varied, [R, n, ...] each: `Crops.drawn`."""
        found = [self.crops.drawn(draw, n, self.reader.corner) for draw in draws]
        return {name: np.stack([own[name] for own in found]) for name in found[0]}


def in_proportion(there: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """How many of `there` [C] images are taken of each class for the shares of a prior [C]: as many as there can be, at
    least one of each class that has some."""
    known = there > 0
    largest = (there[known] / prior[known]).min()
    return np.where(known, np.maximum(1, np.floor(largest * prior + 0.5)), 0).astype(int).clip(max=there)
