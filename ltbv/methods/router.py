"""Are the experts asked so far enough? A router between each two of them (RIDE stage two, Wang et al., 2021).

After expert i it looks at that expert's feature vector and at the mean of the logits so far, and scores whether to ask
the next one: a score above 0 asks (a sigmoid above one half).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbv.errors import Refusal
from ltbv.models.parts import Part, Shape
from ltbv.models.stack import Linear

HIDDEN = 16


class Router(nn.Module):
    """The routers of R runs, one for each of `boundaries` (E - 1).

        score_i = final( [ the k largest of mean(z_0 .. z_i), falling ; relu(hidden_i(f_i / |f_i|)) ] )

    hidden_i, D -> 16, is the boundary's own; final, k + 16 -> 1, is shared by a run's boundaries. k is `top`, or C
    where there are fewer classes.
    """

    def __init__(self, runs: int, boundaries: int, features: int, classes: int, top: int):
        super().__init__()
        self.runs, self.boundaries, self.top = runs, boundaries, min(top, classes)
        self.hidden = Linear(runs * boundaries, features, HIDDEN)
        self.final = Linear(runs, self.top + HIDDEN, 1)

    def forward(self, means: Tensor, features: Tensor) -> Tensor:
        """means of logits so far [R, E - 1, B, C], features [R, E - 1, B, D] -> scores [R, E - 1, B]."""
        hidden = F.relu(self.hidden(F.normalize(features, dim=-1).flatten(0, 1))).unflatten(0, means.shape[:2])
        seen = torch.cat([means.topk(self.top, dim=-1).values, hidden], -1)
        return self.final(seen.flatten(1, 2)).squeeze(-1).unflatten(1, seen.shape[1:3])

    def at(self, run: int, boundary: int) -> "Router":
        """The router of one boundary of one run, for looking at."""
        alone = Router.__new__(Router)
        nn.Module.__init__(alone)
        alone.runs, alone.boundaries, alone.top = 1, 1, self.top
        alone.hidden, alone.final = self.hidden.take([run * self.boundaries + boundary]), self.final.take([run])
        return alone


def means_so_far(logits: Tensor) -> Tensor:
    """mean(z_0 .. z_i) for each expert i: [R, E, B, C] -> the same shape."""
    asked = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
    return logits.cumsum(1) / asked.view(1, -1, 1, 1)


@dataclass(frozen=True)
class Routing(Part):
    """Routers between the experts; k, how many of the largest logits they look at."""

    top: int

    name = "router"
    chooses = True

    def __post_init__(self) -> None:
        if self.top < 1:
            raise Refusal(f"a router that looks at {self.top} logits; give 1 or more")

    def build(self, shape: Shape) -> Router:
        return Router(shape.runs, shape.experts - 1, shape.features, shape.classes, self.top)

    def answer(self, module: nn.Module, logits: Tensor, features: Tensor) -> None:
        module(means_so_far(logits)[:, :-1], features[:, :-1])
