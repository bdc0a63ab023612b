"""Which network of one's own? `package.module:function`, which makes a classifier; its source is its key."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature

from torch import nn

from ltbv.errors import Refusal, reason
from ltbv.guest import imported
from ltbv.models.foreign import Foreign
from ltbv.models.named import Arguments


@dataclass(frozen=True)
class OwnBackbone(Foreign):
    """A function, or a class, that makes a module, images [B, 3, H, W] -> logits, weights drawn; without arguments but
    those that the name gives."""

    make: Callable[[], nn.Module] = nn.Module

    @property
    def source(self) -> str:
        return self.make.__module__

    def takes(self) -> list[str]:
        return [*signature(self.make).parameters]

    def whole(self) -> nn.Module:
        try:
            network = self.make(**dict(self.arguments))
        except TypeError as error:
            if self.arguments:
                raise  # with what there is, by who asked
            cure = f"let it make a torch.nn.Module without arguments, or give them: {self},key=value"
            raise Refusal(f"network {self} cannot be made ({reason(error)}); {cure}") from error
        if not isinstance(network, nn.Module):
            raise Refusal(f"network {self} made a {type(network).__name__}; it has to make a torch.nn.Module")
        return network


def own(name: str, cut: str, arguments: Arguments = ()) -> OwnBackbone:
    """The network that `package.module:function` makes."""
    make = imported("network", name, "give torchvision:NAME, timm:NAME, or package.module:function of one's own")
    attribute = name.partition(":")[2]
    if not callable(make):
        raise Refusal(f"network {name!r} is a {type(make).__name__}; give a function that makes a torch.nn.Module")
    return OwnBackbone(attribute, cut, arguments=arguments, make=make)
