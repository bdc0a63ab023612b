"""Where does training happen, and in which precision? `auto` is the GPU if there is one, else the CPU."""

import re
from contextlib import AbstractContextManager, nullcontext

import torch

from ltbv.errors import Refusal


def choose(name: str) -> torch.device:
    """The device of that name; `cuda` where there is none is refused."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise Refusal(f"device {name!r}: there is auto, cpu and cuda (or cuda:1, …)")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise Refusal(f"device {name!r}: torch {torch.__version__} sees no GPU here; use --device cpu")
    device = torch.device(name)
    if device.index is not None:  # streams, graphs and kernels of Triton go to the current one
        if device.index >= torch.cuda.device_count():
            raise Refusal(f"device {name!r}: there are {torch.cuda.device_count()} GPUs here, cuda:0 and on")
        torch.cuda.set_device(device)
    return device


def count(device: torch.device) -> int:
    """How many devices a study may use: all GPUs for `cuda`, one for `cuda:1` and the CPU."""
    return max(1, torch.cuda.device_count()) if device.type == "cuda" and device.index is None else 1


def gpu_memory() -> int:
    """Bytes of the smallest GPU here."""
    return min(torch.cuda.get_device_properties(k).total_memory for k in range(torch.cuda.device_count()))


def precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """bfloat16 products on a GPU (no loss scaling needed), plain float32 on the CPU, where bfloat16 is slower."""
    if device.type == "cuda" and dtype is torch.float32:
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
