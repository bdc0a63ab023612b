"""Which networks does torchvision lend? Any of its image classifiers, without its last layer, as a backbone.

The only module that imports torchvision. Beside a CPU-only torch, the registry's torchvision cannot load its compiled
operators and `import torchvision` raises over a missing schema; image classifiers need none of those operators, so the
schemas are declared first.
"""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import torch
from torch import nn

from ltbv.errors import Refusal, unknown
from ltbv.models.loop import Loop

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
class TorchvisionBackbone:
    """A torchvision classifier by name (`resnet18`), weights drawn, its last linear layer left out.

    Nothing is shared between experts, and its width cannot be changed: several experts need `Net(width=1.0)`.
    """

    name: str

    def __post_init__(self) -> None:
        models = torchvision().models
        names = models.list_models(module=models)
        if self.name not in names:
            raise unknown("torchvision network", self.name, names)

    def build_shared(self, copies: int, channels: int) -> nn.Module:
        """Nothing: images pass."""
        del copies, channels
        return nn.Identity()

    def build_branch(self, copies: int, width_factor: float) -> nn.Module:
        """`copies` networks."""
        if width_factor != 1:
            raise Refusal(f"torchvision:{self.name} cannot be made {width_factor:g} times as wide; use Net(width=1.0)")
        return Loop(copies, self._headless)

    def features(self, width_factor: float) -> int:
        """D, what the last linear layer takes."""
        del width_factor
        return self._last[1].in_features

    def map_size(self, size: tuple[int, int]) -> None:
        """It gives features at once."""
        del size

    def _headless(self) -> nn.Module:
        network = self._whole()
        network.set_submodule(self._last[0], nn.Identity())
        return network

    def _whole(self) -> nn.Module:
        return torchvision().models.get_model(self.name, weights=None)

    @cached_property
    def _last(self) -> tuple[str, nn.Linear]:
        linear = [(name, module) for name, module in self._whole().named_modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise Refusal(f"torchvision:{self.name} has no linear layer at its end to be replaced; resnet18 has")
        return linear[-1]
