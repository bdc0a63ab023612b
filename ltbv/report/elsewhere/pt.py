"""How is a .pt read, of which nothing may be run? What torch.save wrote: tensors, lists, dictionaries, numbers, text.

It is an archive with a pickle in it, a program that may name any function. Before torch sees it, the names that it asks
for are looked at: those that rebuild a tensor, and no others. Then torch reads it, with `weights_only`; nothing else of
ltbv's reports needs torch.
"""

import importlib.util
import math
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.files.reading import reading
from ltbv.report.elsewhere.rows import MOST_BYTES

NEEDED = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict"
    r"|torch(\.\w+)? (\w*Storage|Size|device|strided|b?float\d*|u?int\d+|bool)"
)
MOST_PICKLE = 1 << 27  # bytes


def read_pt(path: Path) -> Any:
    """What it holds, tensors as arrays; bfloat16, which numpy lacks, is float32."""
    if importlib.util.find_spec("torch") is None:
        raise Refusal(f"{path} needs torch: pip install torch, or save arrays as .npz (numpy.savez)")
    with reading(path, lambda why: f"is damaged or no .pt file ({why[:300]})"):
        _check(path)
        import torch

        return _plain(torch.load(path, map_location="cpu", weights_only=True), path, str(path))


def _check(path: Path) -> None:
    """Refuses an archive that asks for more than tensors, or promises more than it has."""
    if not zipfile.is_zipfile(path):
        raise Refusal(f"{path} is no archive of torch.save (torch 1.6 or later writes them); save it anew, or as .npz")
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        held = path.stat().st_size
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos) or sum(i.file_size for i in infos) > held:
            raise ValueError("it has members that are compressed, or longer than the file")
        programs = [info for info in infos if info.filename.endswith("data.pkl")]
        if len(programs) != 1 or programs[0].file_size > MOST_PICKLE:
            raise ValueError(f"it has {len(programs)} data.pkl of at most {MOST_PICKLE:,} bytes, where there is one")
        if any("/code/" in info.filename or info.filename.endswith("constants.pkl") for info in infos):
            raise Refusal(f"{path} is a TorchScript program, no predictions")
        program = archive.read(programs[0])
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"):
            raise Refusal(f"{path} holds Python objects, which are never unpickled; save tensors, lists and text")
        if opcode.name == "GLOBAL" and not NEEDED.fullmatch(asked := str(argument)):
            name = "".join(c if c.isprintable() else " " for c in asked.replace(" ", ".")[:80])
            raise Refusal(f"{path} holds {name}, which is never unpickled; save tensors, lists, dictionaries and text")


def _plain(value: Any, path: Path, name: str) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return _array(value, path, name)
    if isinstance(value, dict):
        return {key: _plain(of, path, f"{path}: {str(key)[:80]!r}") for key, of in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(of, path, name) for of in value]
        arrays = [of for of in items if isinstance(of, np.ndarray)]
        if arrays and len(arrays) == len(items) and all(of.ndim == 0 for of in arrays):
            return np.stack(arrays) if len({of.dtype for of in arrays}) == 1 else [of.item() for of in arrays]
        if arrays:
            raise Refusal(
                f"{name} is a list of {len(items)} tensors; torch.cat them if they are batches, torch.stack if they are"
                " runs"
            )
        return items
    return value


def _array(tensor: Any, path: Path, name: str) -> np.ndarray:
    """Its values. Refused: more of them than the file has bytes, as a view that repeats one value claims."""
    import torch

    size = math.prod(tensor.shape) * tensor.element_size()
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        raise Refusal(f"{name} is a tensor of another kind than numbers side by side; save tensor.to_dense()")
    if size > min(path.stat().st_size, MOST_BYTES):
        raise Refusal(f"{name} has shape {tuple(tensor.shape)}, {size:,} bytes; the file has {path.stat().st_size:,}")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    return np.array((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(), order="C")
