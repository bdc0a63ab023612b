"""Which networks do other packages lend? Any image classifier of torchvision or timm, by name, as a `foreign` backbone.

The only module that imports torchvision. Beside a CPU-only torch, the registry's torchvision cannot load its compiled
operators and `import torchvision` raises over a missing schema; image classifiers need none of those operators, so the
schemas are declared first.
"""

import math
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ltbv.errors import Refusal, absent, unknown
from ltbv.models.foreign import Foreign
from ltbv.models.named import FILE, KNOWN, PRETRAINED, Named, named
from ltbv.models.narrow import narrower
from ltbv.models.own import own
from ltbv.models.pretrained import of_hub, of_url
from ltbv.models.resnet import SMALL, Resnet, of_depth
from ltbv.models.shapes import of_shapes
from ltbv.models.weights import State, weights

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
    own_arguments = frozenset({"num_classes", "weights", "progress", "block", "layers"})

    def __post_init__(self) -> None:
        models = torchvision().models
        names = models.list_models(module=models)
        if self.name not in names:
            raise unknown("torchvision network", self.name, names)
        super().__post_init__()

    def whole(self) -> nn.Module:
        return torchvision().models.get_model(self.name, weights=None, **dict(self.arguments))

    def downloaded(self, tag: str) -> Path:
        there = torchvision().models.get_model_weights(self.name)
        names = [one.name for one in there]
        if tag and tag not in names:
            raise unknown(f"weights of torchvision:{self.name}", tag, names)
        return of_url(str(self), (there[tag] if tag else there.DEFAULT).url)

    def narrowed(self, factor: float) -> nn.Module | None:
        """Of a residual network: the planes of its layers from the cut on, as RIDE narrows them."""
        network, resnet = of_shapes(self.whole), torchvision().models.ResNet
        top, within, _ = self.cut.partition(".")
        names = [name for name, _ in network.named_children()]
        own = [name for name in names[names.index(top) + bool(within) :] if name.startswith("layer")]
        if not isinstance(network, resnet) or not own:
            return None

        class Narrowed(resnet):  # type: ignore[misc, valid-type]  # of a package that may be absent
            def _make_layer(self, block: type, planes: int, *more: Any, **named: Any) -> nn.Sequential:
                mine = f"layer{int(math.log2(planes // 64)) + 1}" in own
                return super()._make_layer(block, int(planes * factor) if mine else planes, *more, **named)

        stages = [getattr(network, f"layer{place}") for place in range(1, 5)]
        sizes = {"groups": network.groups, "width_per_group": network.base_width, **dict(self.arguments)}
        return Narrowed(type(stages[0][0]), [len(stage) for stage in stages], **sizes)


@dataclass(frozen=True)
class TimmBackbone(Foreign):
    """A timm classifier by name (`resnet18`, `resnet18.a1_in1k`), cut or whole; for those who have installed timm."""

    source = "timm"
    own_arguments = frozenset(
        {"num_classes", "in_chans", "features_only", "out_indices", "scriptable", "exportable", "no_jit", "cache_dir"}
        | {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "model_name", "block", "layers"}
        | {"cfg", "block_args", "norm_layer", "act_layer", "device", "dtype", "self", "kwargs"}
    )

    def __post_init__(self) -> None:
        names, (model, _, tag) = _timm().list_models(), self.name.partition(".")
        if model not in names:
            raise unknown("timm network", self.name, get_close_matches(model, names, n=12, cutoff=0))
        if tag and tag not in (tags := self._tags()):
            raise unknown(f"weights of timm:{model}", tag, tags)
        super().__post_init__()

    @property
    def sides(self) -> tuple[int, ...]:
        """That which it is made for, where it takes no other."""
        size, known = dict(self.arguments).get("img_size"), _timm().get_pretrained_cfg(self.name).to_dict()
        if size is None and known.get("fixed_input_size"):
            size = known["input_size"][-1]
        side = max(size) if isinstance(size, tuple) else size  # type: ignore[type-var]  # of numbers
        return super().sides if side is None else (int(side),)  # type: ignore[arg-type]  # a number too

    def whole(self) -> nn.Module:
        network = self._make()
        return self._make(num_classes=1000) if getattr(network, "num_classes", 1) == 0 else network  # a head to replace

    def end(self, network: nn.Module) -> str:
        """By what timm says of it."""
        said: Any = getattr(network, "pretrained_cfg", {}).get("classifier")
        if isinstance(said, tuple | list):
            raise Refusal(f"{self} has {len(said)} heads ({', '.join(said)}); take a network that has one")
        linear = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
        if said in linear:
            return said
        if said:
            raise Refusal(f"{self} has no linear layer at its end to be replaced ({said}); resnet18 has")
        return super().end(network)

    def renamed(self, state: State) -> State | None:
        """As timm itself loads them, which renames what is older, and brings embeddings of places to `img_size`."""
        try:
            return self._make(pretrained=True, pretrained_cfg_overlay={"state_dict": dict(state)}).state_dict()
        except Exception:  # they are of another network, which is told in our words
            return None

    def downloaded(self, tag: str) -> Path:
        model, _, own = self.name.partition(".")
        if tag and tag not in (tags := self._tags()):
            raise unknown(f"weights of timm:{model}", tag, tags)
        known = _timm().get_pretrained_cfg(f"{model}.{tag or own}" if tag or own else model).to_dict()
        hub, url = known.get("hf_hub_id"), known.get("url")
        if hub and (found := of_hub(str(self), hub, known.get("hf_hub_filename"), last=not url)):
            return found
        if not url:
            raise Refusal(f"{self} has no trained weights; those that have some: timm.list_models(pretrained=True)")
        return of_url(str(self), url)

    def narrowed(self, factor: float) -> nn.Module | None:
        return narrower(of_shapes(self.whole), self.cut, factor, lambda **more: self._make(**more))

    def _make(self, **more: Any) -> nn.Module:
        return _timm().create_model(self.name, **{"pretrained": False, **dict(self.arguments), **more})

    def _tags(self) -> list[str]:
        model = self.name.partition(".")[0]
        return [name.partition(".")[2] for name in _timm().list_pretrained(f"{model}.*")]


def _timm() -> ModuleType:
    try:
        torchvision()  # which timm imports, perhaps beside a CPU-only torch
        return import_module("timm")
    except ImportError as error:
        raise absent("a network of timm", error, "vision") from error


LENDERS: dict[str, type[Foreign]] = {"torchvision": TorchvisionBackbone, "timm": TimmBackbone}


def backbone(name: str) -> Resnet | Foreign:
    """The network of that name (`named`, or `of_depth`); arguments that it does not take, and weights of another one,
    are refused."""
    if name.startswith(SMALL):
        return of_depth(name)
    said = named(name)
    found = _bare(said)
    if said.weights.startswith(PRETRAINED):
        found = replace(found, weights=weights(_file(said, found)))
    elif said.weights:
        found = replace(found, weights=weights(said.weights.removeprefix(FILE)))
    found.check()
    return found


def placed(name: str) -> str:
    """The name of a network as workers need it, wherever they stand: spelt in one way, weights by the whole path of
    their file, which is downloaded where it has to be."""
    said = named(name)
    file = said.weights.removeprefix(FILE)
    if said.weights.startswith(PRETRAINED):
        file = str(_file(said, _bare(said)))
    if file and not file.startswith(KNOWN):
        file = str(Path(file).absolute())
    return str(said._replace(weights=file and FILE + file))


def _bare(said: Named) -> Foreign:
    if said.source in LENDERS:
        return LENDERS[said.source](said.model, said.cut, arguments=said.arguments)
    return own(f"{said.source}:{said.model}", said.cut, said.arguments)


def _file(said: Named, of: Foreign) -> Path:
    """Of +pretrained."""
    return of.downloaded(said.weights.removeprefix(PRETRAINED).removeprefix("="))
