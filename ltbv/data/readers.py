"""How do images come from where they lie? A `Reader` is asked for rows, and gives batches of them on the device.

Those here hold all pixels, or all feature vectors, on the device; `streamed` reads from a mapped file.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from copy import copy
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ltbv.data.dataset import Dataset, are_vectors
from ltbv.data.erasing import erased
from ltbv.data.looks import Look, Pictures, looked
from ltbv.data.strong import Strong, varied


class Crop(NamedTuple):
    """How images [R, B] are cropped: at (tops, lefts), mirrored where `flips`, turned by `degrees`, varied as `strong`
    says."""

    tops: Tensor
    lefts: Tensor
    flips: Tensor
    degrees: Tensor | None = None
    strong: Strong | None = None


class Reader(ABC):
    """Images by row, 0 to P - 1, as many as `len` says; `device` is where they come.

    corner     where the middle crop of an image begins, from above and from the left
    side       pixels of an image, with what is around it
    resident   all pixels are on the device: a step of training can be recorded
    """

    device: torch.device
    corner: int = 0
    side: int = 1
    resident: ClassVar[bool] = True

    @abstractmethod
    def gather(self, rows: Tensor, crop: Crop) -> Tensor:
        """The crops of rows [R, B], as images [B, R*channels, H, W]."""

    @abstractmethod
    def look(self, rows: Tensor, look: Look) -> Tensor:
        """The boxes [R, B] that `look` says, brought to the size of the images: [B, R*channels, H, W]."""

    @abstractmethod
    def block(self, rows: slice, runs: int) -> Tensor:
        """Whole images of consecutive rows, the same for each run: [B, R*channels, H, W]."""

    @abstractmethod
    def raw(self, rows: np.ndarray) -> np.ndarray:
        """Pixels [n, H, W, channels] uint8 as they are stored; features as a network sees them."""

    @abstractmethod
    def __len__(self) -> int:
        """P."""

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Height and width [n, 2] of the images that boxes are drawn of, on the host."""
        return np.full((len(rows), 2), self.side)

    def fitted(self, boxes: Tensor, rows: Tensor, others: Tensor) -> Tensor:
        """The boxes [R, B, 4] of rows [R, B] for other ones: where all are of one size, the same."""
        del rows, others
        return boxes

    def ahead(self, asked: Iterable[np.ndarray]) -> Iterator[None]:
        """One turn for the rows of each batch, which will be asked for next; here they lie ready."""
        return (None for _ in asked)


def bordered(pixels: np.ndarray, pad: int, background: int) -> np.ndarray:
    """Pixels [n, H, W, channels] with so many of the background around each image; without any, the same ones."""
    border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    return np.pad(pixels, border, constant_values=background) if pad else pixels


class OnDevice(Reader):
    """All pixels in the memory of the device, uint8, normalised when they are read.

    pixels   [P, H, W, channels]; larger than the data set's images are, where these are parts of them
    pad      background around each image, from which crops are taken
    """

    def __init__(self, dataset: Dataset, pixels: np.ndarray, *, pad: int, device: torch.device, dtype: torch.dtype):
        padded = bordered(pixels, pad, dataset.background)
        self.pixels = torch.as_tensor(padded).to(device)  # [P, H + 2 corner, W + 2 corner, channels]
        self.device, self.side = self.pixels.device, padded.shape[1]
        self.corner = (self.side - dataset.image_shape[0]) // 2
        self.height, self.width, self.channels = dataset.image_shape
        mean, std = (torch.tensor(v, dtype=torch.float64) * 255 for v in (dataset.mean, dataset.std))
        self.scale, self.shift = ((1 / std).to(device, dtype), (-mean / std).to(device, dtype))

    def gather(self, rows: Tensor, crop: Crop) -> Tensor:
        if crop.degrees is None:
            crops = self._crops(rows, crop.tops, crop.lefts, crop.flips)
        else:
            crops = self._turned(rows, crop.tops, crop.lefts, crop.flips, crop.degrees)
        if crop.strong is None:
            return self._images(crops)
        return self._images(varied(crops, crop.strong), crop.strong.images_first())

    def _crops(self, rows: Tensor, tops: Tensor, lefts: Tensor, flips: Tensor) -> Tensor:
        """[B, R, H, W, channels] uint8."""
        device = self.device
        y = tops[..., None] + torch.arange(self.height, device=device)
        x = torch.arange(self.width, device=device)
        x = lefts[..., None] + torch.where(flips[..., None], self.width - 1 - x, x)
        return self.pixels[rows.T[..., None, None], y.transpose(0, 1)[..., None], x.transpose(0, 1)[..., None, :]]

    def _turned(self, rows: Tensor, tops: Tensor, lefts: Tensor, flips: Tensor, degrees: Tensor) -> Tensor:
        """Each pixel of the turned crop is the nearest one of the crop, black where that has none."""
        angle = degrees.double().deg2rad()[..., None, None]
        down = (torch.arange(self.height, device=self.device) - (self.height - 1) / 2)[:, None]
        right = torch.arange(self.width, device=self.device) - (self.width - 1) / 2
        y = (angle.cos() * down - angle.sin() * right + self.height / 2).floor().long()  # [R, B, H, W]
        x = (angle.sin() * down + angle.cos() * right + self.width / 2).floor().long()
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        x = torch.where(flips[..., None, None], self.width - 1 - x, x).clamp(0, self.width - 1)
        y = y.clamp(0, self.height - 1) + tops[..., None, None]
        x = x + lefts[..., None, None]
        crops = self.pixels[rows.T[..., None, None], y.transpose(0, 1), x.transpose(0, 1)]
        return crops * inside.transpose(0, 1)[..., None]

    def look(self, rows: Tensor, look: Look) -> Tensor:
        return self.of_pictures(Pictures.alike(self.pixels, rows.T.flatten()), len(rows), look)

    def of_pictures(self, pictures: Pictures, runs: int, look: Look) -> Tensor:
        """What is seen of B * R pictures, wherever these are: `looked`."""
        return looked(pictures, runs, look, (self.height, self.width), self.scale, self.shift)

    def block(self, rows: slice, runs: int) -> Tensor:
        pixels = self.pixels[rows].unsqueeze(1)
        return self._images(pixels.expand(-1, runs, -1, -1, -1))

    def raw(self, rows: np.ndarray) -> np.ndarray:
        pixels = self.pixels[torch.as_tensor(rows).to(self.device)]
        return pixels[:, self.corner :, self.corner :][:, : self.height, : self.width].cpu().numpy()

    def __len__(self) -> int:
        return len(self.pixels)

    def of(self, pixels: Tensor) -> Self:
        """The same for other pixels, padded as these are."""
        other = copy(self)
        other.pixels = pixels
        return other

    def _images(self, crops: Tensor, strong: Strong | None = None) -> Tensor:
        """[B, R, H, W, channels] uint8 -> normalised [B, R*channels, H, W], channels last in memory; with holes where
        `strong` [B, R] has some."""
        values = crops.permute(0, 2, 3, 1, 4).to(self.scale.dtype) * self.scale + self.shift
        if strong is not None and strong.holes is not None:
            each = values.movedim(3, 1)
            each.copy_(erased(each, strong))
        return values.flatten(3).permute(0, 3, 1, 2)


class Vectors(Reader):
    """All feature vectors in the memory of the device, normalised once; there is nothing to crop or to mirror.

    pixels   [P, 1, 1, D]
    """

    def __init__(self, dataset: Dataset, pixels: np.ndarray, *, device: torch.device, dtype: torch.dtype):
        mean, std = (torch.tensor(of, dtype=dtype, device=device) for of in (dataset.mean, dataset.std))
        self.values = (torch.as_tensor(pixels).to(device, dtype).flatten(1) - mean) / std  # [P, D]
        self.device = self.values.device

    def gather(self, rows: Tensor, crop: Crop) -> Tensor:
        del crop
        return self.values.index_select(0, rows.T.flatten()).view(rows.shape[1], -1, 1, 1)

    def look(self, rows: Tensor, look: Look) -> Tensor:
        return self.gather(rows, Crop(look.boxes, look.boxes, look.flips))

    def block(self, rows: slice, runs: int) -> Tensor:
        return self.values[rows].repeat(1, runs)[..., None, None]

    def raw(self, rows: np.ndarray) -> np.ndarray:
        return self.values[torch.as_tensor(rows).to(self.device)][:, None, None].cpu().numpy()

    def __len__(self) -> int:
        return len(self.values)


class OfBackbones(Vectors):
    """The feature vectors of a test set as several backbones see it, each run through its own.

    pixels   [B, N, 1, 1, D]
    which    (R,) the backbone of each run of the stack
    """

    def __init__(
        self, dataset: Dataset, pixels: np.ndarray, which: list[int], *, device: torch.device, dtype: torch.dtype
    ):
        super().__init__(dataset, pixels.reshape(-1, *pixels.shape[2:]), device=device, dtype=dtype)
        self.points, self.first = pixels.shape[1], torch.tensor(which, device=device) * pixels.shape[1]

    def block(self, rows: slice, runs: int) -> Tensor:
        assert runs == len(self.first), "it was made for another stack"
        at = torch.arange(self.points, device=self.device)[rows]
        return self.values[at[:, None] + self.first].flatten(1)[..., None, None]

    def __len__(self) -> int:
        return self.points


def on_device(
    dataset: Dataset, pixels: np.ndarray, *, pad: int, device: torch.device, dtype: torch.dtype
) -> OnDevice | Vectors:
    """The reader that suits a data set."""
    if are_vectors(dataset.image_shape):
        return Vectors(dataset, pixels, device=device, dtype=dtype)
    return OnDevice(dataset, pixels, pad=pad, device=device, dtype=dtype)
