"""How does a network from elsewhere join a stack? Copies of it are held and called one after the other.

Slower than `stack`'s layers for small networks, but it takes any module that maps images to feature vectors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy as shallow
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ltbv.errors import Refusal
from ltbv.models.shapes import of_shapes
from ltbv.models.stack import Layer


class Loop(Layer):
    """`copies` modules made by `make()`, each [B, channels, H, W] -> [B, D]: [B, K*channels, H, W] -> [K, B, D].

    colour   a module that wants colour gets grey images three times over
    maps     modules give maps [B, C', ...], and the loop [B, K*C', ...], whatever the axes after the images are
    features   D, if it is known: what gives another number, of images of a size that it is not for, is refused
    """

    recordable = False  # members are lent a new seed each time

    def __init__(
        self,
        copies: int,
        make: Callable[[], nn.Module],
        *,
        colour: bool = True,
        maps: bool = False,
        features: int | None = None,
    ):
        super().__init__()
        self.copies, self.make, self.colour, self.maps, self.features = copies, make, colour, maps, features
        with torch.random.fork_rng(devices=[]):
            self.members = nn.ModuleList(_made(make) for _ in range(copies))
        self.frozen = [
            name for name, parameter in self.members.named_parameters("members") if not parameter.requires_grad
        ]
        self.draws = [np.random.default_rng(copy) for copy in range(copies)]  # of what a member forgets in training

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """What its maker has frozen stays so."""
        super().requires_grad_(requires_grad)
        for name in self.frozen:
            self.get_parameter(name).requires_grad_(False)
        return self

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        with lent(generator, torch.device("cpu")):
            self.members[copy].load_state_dict(self.make().state_dict())
        self.draws[copy] = np.random.default_rng(generator.integers(2**63))

    def copy_state(self, copy: int) -> dict[str, Tensor]:
        return self.members[copy].state_dict(keep_vars=True)

    def owned(self) -> Iterator[tuple[nn.Parameter, int]]:
        return ((parameter, copy) for copy, member in enumerate(self.members) for parameter in member.parameters())

    def take(self, copies: Sequence[int]) -> Self:
        """The same members in a smaller loop: to be asked, not trained."""
        taken = shallow(self)
        taken.copies, taken.draws = len(copies), [self.draws[copy] for copy in copies]
        taken.frozen = []
        taken._modules = {"members": nn.ModuleList(self.members[copy] for copy in copies)}
        return taken

    def forward(self, x: Tensor) -> Tensor:
        images = x.unflatten(1, (self.copies, -1)).unbind(1)
        if self.colour and images[0].shape[1] == 1:
            images = [one.expand(-1, 3, -1, -1) for one in images]
        features = []
        for member, one, draws in zip(self.members, images, self.draws, strict=True):
            with lent(draws, x.device) if self.training else nullcontext():
                features.append(member(one))
        if self.features not in (None, found := features[0].shape[-1]):
            raise of_another_size(self.features, found)
        return torch.stack(features, 1).flatten(1, 2) if self.maps else torch.stack(features)


def of_another_size(wanted: int, found: int) -> Refusal:
    """Of images that a network is not made for."""
    return Refusal(
        f"the network's last layer takes {wanted} features, and there are {found} of images of this size; take images"
        " of the size that it is for, or a network that ends in the mean of maps"
    )


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    """A member; some can be made where there are numbers only, and are then moved to where none are asked for."""
    if torch.get_default_device().type != "meta":
        return make()
    return of_shapes(make).to("meta")


@contextmanager
def lent(draws: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Foreign modules draw from torch's global generators: lend these a seed from `draws`, and put them back after."""
    seed, on_gpu = int(draws.integers(2**63)), device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.default_generators[device.index or 0].manual_seed(seed)
        yield
