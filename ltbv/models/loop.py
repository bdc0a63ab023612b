"""How does a network from elsewhere join a stack? Copies of it are held and called one after the other.

Slower than `stack`'s layers for small networks, but it takes any module that maps images to feature vectors.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ltbv.models.stack import Layer


class Loop(Layer):
    """`copies` modules made by `make()`, each [B, channels, H, W] -> [B, D]: [B, K*channels, H, W] -> [B, K*D, 1, 1].

    A module that wants colour gets grey images three times over (`colour`).
    """

    def __init__(self, copies: int, make: Callable[[], nn.Module], *, colour: bool = True):
        super().__init__()
        self.copies, self.make, self.colour = copies, make, colour
        self.members = nn.ModuleList(make() for _ in range(copies))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        # A foreign module initialises itself from torch's global generator: lend it a seeded one, and put ours back.
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(int(generator.integers(2**63)))
            self.members[copy].load_state_dict(self.make().state_dict())

    def copy_state(self, copy: int) -> dict[str, Tensor]:
        return self.members[copy].state_dict(keep_vars=True)

    def forward(self, x: Tensor) -> Tensor:
        images = x.unflatten(1, (self.copies, -1)).unbind(1)
        if self.colour and images[0].shape[1] == 1:
            images = [one.expand(-1, 3, -1, -1) for one in images]
        features = [member(one) for member, one in zip(self.members, images, strict=True)]
        return torch.cat(features, 1)[:, :, None, None]
