"""Where do pixels lie while a network is trained or asked? On the device, if they are few; else in their file.

Batches are the same wherever that is.
"""

import numpy as np
import torch

from ltbv.data.dataset import Dataset
from ltbv.data.hosted import hosted
from ltbv.data.readers import OfBackbones, Reader, on_device
from ltbv.data.streamed import Streamed
from ltbv.data.strip import Strip

IN_MEMORY = 2**28  # bytes of pixels that a process on CPUs holds; what is mapped is held once by the whole machine
SHARE = 0.6  # of a GPU's free memory


def training_reader(dataset: Dataset, ids: np.ndarray, *, pad: int, device: torch.device, dtype: torch.dtype) -> Reader:
    """Row k is the image ids[k]."""
    mapped = dataset.mapped
    if mapped is not None and isinstance(mapped.pixels, Strip) and fits(len(ids), mapped.pixels, device):
        return hosted(dataset, mapped.pixels, pad=pad, device=device, dtype=dtype).held(mapped.rows(ids))
    if mapped is None or fits(len(ids), mapped.pixels, device):
        return on_device(dataset, dataset.read(ids), pad=pad, device=device, dtype=dtype)
    return Streamed(dataset, mapped.pixels, mapped.rows(ids), pad=pad, device=device, dtype=dtype)


def testing_reader(dataset: Dataset, runs: tuple[int, ...], *, device: torch.device, dtype: torch.dtype) -> Reader:
    """The test set as each run of a stack sees it, whole images."""
    if dataset.tests is not None:
        which = [dataset.backbone_of(run) for run in runs]
        return OfBackbones(dataset, dataset.tests, which, device=device, dtype=dtype)
    pixels = dataset.test.pixels
    if dataset.mapped is None or fits(len(pixels), pixels, device):
        own = pixels if dataset.mapped is None else np.array(pixels)
        return on_device(dataset, own, pad=0, device=device, dtype=dtype)
    return Streamed(dataset, pixels, np.arange(len(pixels)), pad=0, device=device, dtype=dtype)


def described(dataset: Dataset, n: int, device: torch.device) -> str:
    """Of a pool in a file: how large it is and the n images of a run are, and where they lie; '' of any other."""
    if dataset.mapped is None:
        return ""
    pixels = dataset.mapped.pixels
    own = _bytes(n, pixels)
    where = "held in memory" if fits(n, pixels, device) else "read from it batch by batch"
    return f"the pool has {_values(pixels).nbytes / 1e6:,.1f} MB; images of a run, {own / 1e6:,.1f} MB, are {where}"


def fits(n: int, pixels: np.ndarray | Strip, device: torch.device) -> bool:
    """Are n such images few enough to be held? Of a strip, n of middling size."""
    room = SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else IN_MEMORY
    return _bytes(n, pixels) <= room


def _bytes(n: int, pixels: np.ndarray | Strip) -> int:
    if isinstance(pixels, Strip):
        return round(n * pixels.sizes.prod(1).mean() * pixels.channels)
    return n * int(np.prod(pixels.shape[1:]))


def _values(pixels: np.ndarray | Strip) -> np.ndarray:
    return pixels.values if isinstance(pixels, Strip) else pixels
