"""Which networks do other packages lend? Any image classifier of torchvision or timm, by name, as a `foreign` backbone.

The only module that imports torchvision. Beside a CPU-only torch, the registry's torchvision cannot load its compiled
operators and `import torchvision` raises over a missing schema; image classifiers need none of those operators, so the
schemas are declared first.
"""

import math
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ltbv.errors import Refusal, unknown
from ltbv.models.foreign import Foreign
from ltbv.models.own import own
from ltbv.models.resnet import SMALL, Resnet, of_depth
from ltbv.models.weights import MARK, weights

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # kept: a library that is collected takes its schemas with it


def torchvision() -> ModuleType:
    """The package, importable with or without its compiled operators."""
    try:
        import torchvision as package
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in SCHEMAS:
            library.define(schema)
        _declared.append(library)
        import torchvision as package
    return package


@dataclass(frozen=True)
class TorchvisionBackbone(Foreign):
    """A torchvision classifier by name (`resnet18`), cut or whole. Residual networks can be made narrower or wider."""

    source = "torchvision"

    def __post_init__(self) -> None:
        models = torchvision().models
        names = models.list_models(module=models)
        if self.name not in names:
            raise unknown("torchvision network", self.name, names)

    def whole(self) -> nn.Module:
        return torchvision().models.get_model(self.name, weights=None)

    def narrowed(self, factor: float) -> nn.Module | None:
        """Of a residual network: the planes of its layers from the cut on, as RIDE narrows them."""
        network, resnet = self.whole(), torchvision().models.ResNet
        top, within, _ = self.cut.partition(".")
        names = [name for name, _ in network.named_children()]
        own = [name for name in names[names.index(top) + bool(within) :] if name.startswith("layer")]
        if not isinstance(network, resnet) or not own:
            return None

        class Narrowed(resnet):  # type: ignore[misc, valid-type]
            def _make_layer(self, block: type, planes: int, *more: Any, **named: Any) -> nn.Sequential:
                mine = f"layer{int(math.log2(planes // 64)) + 1}" in own
                return super()._make_layer(block, int(planes * factor) if mine else planes, *more, **named)

        stages = [getattr(network, f"layer{place}") for place in range(1, 5)]
        sizes = {"groups": network.groups, "width_per_group": network.base_width}
        return Narrowed(type(stages[0][0]), [len(stage) for stage in stages], **sizes)


@dataclass(frozen=True)
class TimmBackbone(Foreign):
    """A timm classifier by name, cut or whole; for those who have installed timm."""

    source = "timm"

    def __post_init__(self) -> None:
        names = _timm().list_models()
        if self.name not in names:
            raise unknown("timm network", self.name, get_close_matches(self.name, names, n=12, cutoff=0))

    def whole(self) -> nn.Module:
        return _timm().create_model(self.name, pretrained=False)


def _timm() -> ModuleType:
    try:
        torchvision()  # which timm imports, perhaps beside a CPU-only torch
        return import_module("timm")
    except ImportError as error:
        raise Refusal(
            f"a network of timm is asked for, which cannot be imported ({error}); pip install 'ltbv[vision]'"
        ) from error


LENDERS: dict[str, type[Foreign]] = {"torchvision": TorchvisionBackbone, "timm": TimmBackbone}


def backbone(name: str) -> Resnet | Foreign:
    """The network of that name: cifar:resnet32, …; torchvision:NAME, timm:NAME, one's own, or any of these three with
    @CHILD, before which it is cut; and with +weights=FILE, the weights that it begins with."""
    if name.startswith(SMALL):
        return of_depth(name)
    rest, mark, file = name.partition(MARK)
    whole, at, cut = rest.partition("@")
    source, _, model = whole.partition(":")
    if not source or not model or (at and not cut):
        raise Refusal(
            f"network {name!r}: give torchvision:NAME, timm:NAME, cifar:resnet20 or package.module:function, for"
            " example torchvision:resnet18, or torchvision:resnet18@layer3, which is cut before layer3; or leave it out"
        )
    found = LENDERS[source](model, cut) if source in LENDERS else own(whole, cut)
    if mark:
        found = replace(found, weights=weights(file))
        found.check_weights()
    return found
