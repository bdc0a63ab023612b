"""Which network of one's own? `package.module:function`, which makes a classifier; its source is its key."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature

import torch
from torch import nn

from ltbv.errors import Refusal, reason
from ltbv.guest import aside, imported
from ltbv.models.foreign import Foreign
from ltbv.models.named import Arguments, Value
from ltbv.models.trial import Raised, bare, check, raised


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
        told = dict(self.arguments)
        try:
            with aside():
                network = self.make(**told)
        except Refusal:
            raise
        except (Exception, SystemExit) as error:
            if not self._fits(told):
                if self.arguments:
                    raise  # with what there is, by who asked
                cure = f"let it make a torch.nn.Module without arguments, or give them: {self},key=value"
                raise Refusal(f"network {self} cannot be made ({reason(error)}); {cure}") from error
            raise Refusal(f"network {self} cannot be made ({raised(error)})") from error
        return bare(network, f"network {self}").float()

    def check_on(self, size: tuple[int, int]) -> None:
        _tried(self, size)

    def _fits(self, told: dict[str, Value]) -> bool:
        """Are these the arguments of what makes it?"""
        try:
            signature(self.make).bind(**told)
        except (TypeError, ValueError):
            return False
        return True


@lru_cache(maxsize=64)
def _tried(of: OwnBackbone, size: tuple[int, int]) -> None:
    try:
        with torch.device("cpu"):
            check(of.whole, of.end, f"network {of}", size)
    except Raised as error:
        cure = ""
        with suppress(Refusal):
            cure = of.fitting(size)
        if cure.endswith("another network") and "images" not in cure:
            raise
        raise Refusal(f"{error}; {cure}") from error


def own(name: str, cut: str, arguments: Arguments = ()) -> OwnBackbone:
    """The network that `package.module:function` makes."""
    make = imported("network", name, "give torchvision:NAME, timm:NAME, or package.module:function of one's own")
    attribute = name.partition(":")[2]
    if not callable(make):
        raise Refusal(f"network {name!r} is a {type(make).__name__}; give a function that makes a torch.nn.Module")
    return OwnBackbone(attribute, cut, arguments=arguments, make=make)
