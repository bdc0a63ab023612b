"""Which backbone makes features? A network of torchvision or timm with weights from a file, or what a function makes.

    timm:NAME+weights=FILE   torchvision:NAME+pretrained   package.module:function[+weights=FILE]

Its last linear layer is left out, where it has one: what that takes is the feature vector. A function's network may
have its weights already; one of a package is drawn, and without a file it is refused. Nothing in a file of weights is
run: .safetensors, or what torch saved, of which tensors alone are read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ltbv.errors import Refusal
from ltbv.models.cut import ends_linear, headless
from ltbv.models.named import FILE, PRETRAINED, named
from ltbv.models.own import OwnBackbone
from ltbv.models.resnet import Resnet
from ltbv.models.vision import LENDERS, TimmBackbone, backbone, placed

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
    said = named(word)
    if said.weights == FILE:
        raise Refusal(f"backbone {word!r} names no file; give {word}FILE")
    if said.cut:
        raise Refusal(f"backbone {word!r} is cut before {said.cut}, which is for experts; leave out @{said.cut}")
    bare = str(said._replace(weights=""))
    if not said.weights and said.source in LENDERS:
        backbone(bare)  # a name that there is not is told first
        raise Refusal(f"backbone {word!r} has no weights but drawn ones; give {bare}{FILE}FILE or {bare}{PRETRAINED}")
    of = backbone(placed(word))
    if isinstance(of, Resnet):
        raise Refusal(f"backbone {word!r} has no weights but drawn ones; give torchvision:NAME{FILE}FILE")
    module = of.made()
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    mean, std = (None, None) if isinstance(of, OwnBackbone) else IMAGENET
    if isinstance(of, TimmBackbone):
        known: Any = module.pretrained_cfg
        mean, std = tuple(known.get("mean", IMAGENET[0])), tuple(known.get("std", IMAGENET[1]))
    if ends_linear(module):
        module = headless(module, of.end(module))
    file = f"{FILE}{of.weights.path.name}" if of.weights else ""
    return Frozen(bare + file, module.eval().requires_grad_(False), mean, std, digest(module.state_dict()))


def digest(state: Mapping[str, Tensor]) -> str:
    """16 hex digits of names, types, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        found.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]
