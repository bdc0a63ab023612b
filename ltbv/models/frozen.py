"""Which backbone makes features? A network of torchvision or timm with weights from a file, or what a function makes.

    timm:NAME+weights=FILE   torchvision:NAME+weights=FILE   package.module:function[+weights=FILE]

Its last linear layer is left out, where it has one: what that takes is the feature vector. A function's network may
have its weights already; one of a package is drawn, and without a file it is refused. Nothing in a file of weights is
run: .safetensors, or what torch saved, of which tensors alone are read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltbv.errors import Refusal
from ltbv.models.cut import headless, last_linear
from ltbv.models.own import OwnBackbone
from ltbv.models.resnet import Resnet
from ltbv.models.vision import TimmBackbone, backbone
from ltbv.models.weights import MARK, weights

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what torchvision's and most of timm's were trained with


@dataclass(frozen=True, eq=False)
class Frozen:
    """
    name       as it was asked for, without the directory of its weights
    module     images [B, 3, H, W] -> features [B, D], in evaluation mode
    mean, std  what it wants images normalised by, of pixels within 0 and 1; None: by the data's own
    weights    16 hex digits of all its parameters and buffers
    """

    name: str
    module: nn.Module = field(repr=False)
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    weights: str


def frozen(word: str) -> Frozen:
    """The backbone of these words."""
    name, mark, file = word.partition(MARK)
    if mark and not file:
        raise Refusal(f"backbone {word!r} names no file; give {name}{MARK}FILE")
    of = backbone(name)
    if isinstance(of, Resnet):
        raise Refusal(f"backbone {name!r} has no weights but drawn ones; give torchvision:NAME{MARK}FILE")
    if of.cut:
        raise Refusal(f"backbone {name!r} is cut before {of.cut}, which is for experts; leave out @{of.cut}")
    if not file and not isinstance(of, OwnBackbone):
        raise Refusal(f"backbone {name!r} has no weights but drawn ones; give {name}{MARK}FILE")
    module = of.whole()
    if file:
        weights(file).put_into(module, last_linear(module, str(of)) if _ends_linear(module) else None)
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    mean, std = (None, None) if isinstance(of, OwnBackbone) else IMAGENET
    if isinstance(of, TimmBackbone):
        said: Any = module.pretrained_cfg
        mean, std = tuple(said.get("mean", IMAGENET[0])), tuple(said.get("std", IMAGENET[1]))
    if any(isinstance(part, nn.Linear) for part in module.modules()) and _ends_linear(module):
        module = headless(module, str(of))
    told = name + (f"{MARK}{Path(file).name}" if file else "")
    return Frozen(told, module.eval().requires_grad_(False), mean, std, digest(module.state_dict()))


def digest(state: Mapping[str, Tensor]) -> str:
    """16 hex digits of names, types, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        found.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def _ends_linear(module: nn.Module) -> bool:
    """Is its last layer with parameters a linear one? Then it is a classifier, and that its head."""
    layers = [part for part in module.modules() if next(part.parameters(recurse=False), None) is not None]
    return bool(layers) and isinstance(layers[-1], nn.Linear)
