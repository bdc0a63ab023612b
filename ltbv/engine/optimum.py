"""What is the best head on the features of a run? The optimum itself, on all images at once, for convex losses.

    sum_i w_ri c_ri l(W_r z_i + b_r, y_i) / sum_i w_ri c_ri  +  decay/2 (|W_r|^2 + |b_r|^2)

with w_ri how often image i is in the sample of run r and c_ri its class weight. A resample is a row of weights, so runs
share one product of all features with all heads. The optimum is one: there is no order of batches, no rate, no last
epoch, and no first weights, and so nothing of these in the variance.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ltbv.data.batches import Feed
from ltbv.data.readers import Vectors
from ltbv.data.samplers import INSTANCE
from ltbv.engine.lbfgs import Function, minimise
from ltbv.losses import CONVEX
from ltbv.methods.base import Stage
from ltbv.methods.objective import Loss, hits
from ltbv.models.experts import Experts
from ltbv.models.parts import LINEAR
from ltbv.optimisers import LBFGS


def why_none(stage: Stage) -> str:
    """What keeps a stage from having an optimum that can be gone to; '' where nothing does."""
    of = stage.objective
    if not isinstance(of, Loss) or of.loss not in CONVEX:
        return f"the loss of its stage {stage.name!r} is not known to be convex"
    if not isinstance(of.beta, int | float):
        return f"the loss of its stage {stage.name!r} changes with the epoch"
    if stage.net.head != LINEAR or stage.net.parts:
        return f"the head of its stage {stage.name!r} is not a linear one alone"
    if stage.sampler != (INSTANCE,) or stage.held:
        return f"its stage {stage.name!r} draws its images anew for each epoch, or holds some out"
    if stage.own or (stage.terms is not None and stage.terms.optimiser is not None):
        return f"its stage {stage.name!r} has an optimiser of its own"
    return ""


@torch.no_grad()
def to_optimum(stage: Stage, network: Experts, feed: Feed, rule: LBFGS, decay: float) -> tuple[np.ndarray, np.ndarray]:
    """Put each run's head at its optimum; gives the loss without the decay's part, and the share right, [R, 1] each."""
    assert isinstance(stage.objective, Loss) and not why_none(stage), "refused before: `why_none`"
    weight, bias = (dict(network.heads.named_parameters())[name] for name in ("weight", "bias"))
    losses, right = np.empty((2, network.runs, 1))
    for slots in _alike(feed.rows):
        at, whole = torch.as_tensor(slots), Whole.of(stage.objective, feed, slots)
        found, _ = minimise(
            whole.penalised(decay), whole.start(), tolerance=rule.tolerance, most=rule.most, memory=rule.memory
        )
        of_weight, of_bias = whole.parts(found)
        weight[at], bias[at] = of_weight, of_bias
        logits = whole.logits(found)
        losses[slots, 0] = whole.losses(logits).double().cpu()
        hit = hits(logits.transpose(0, 1)[:, None], whole.labels.expand(len(slots), -1)) * whole.times
        right[slots, 0] = (hit.sum(1) / whole.times.sum(1)).double().cpu()
    return losses, right


def _alike(rows: np.ndarray) -> Iterator[list[int]]:
    """Runs [R, n] in sets that share no image: those on one backbone see none of another's features."""
    left = list(range(len(rows)))
    while left:
        seen = np.unique(rows[left[0]])
        here = [slot for slot in left if slot == left[0] or np.isin(rows[slot], seen).any()]
        yield here
        left = [slot for slot in left if slot not in here]


class Whole:
    """All images of some runs: features [P, D], labels [P], `times` [R, P] each is in a sample, counts [R, C]."""

    def __init__(self, objective: Loss, features: Tensor, labels: Tensor, times: Tensor, counts: Tensor):
        self.objective, self.features, self.labels = objective, features, labels
        self.times, self.counts = times, counts

    @classmethod
    def of(cls, objective: Loss, feed: Feed, slots: list[int]) -> "Whole":
        rows, labels = feed.rows[slots], feed.labels[slots]
        distinct, where = np.unique(rows, return_inverse=True)
        where = where.reshape(rows.shape)
        times = np.stack([np.bincount(of, minlength=distinct.size) for of in where])
        of_rows = np.empty(distinct.size, np.int64)
        of_rows[where] = labels
        assert isinstance(feed.reader, Vectors), "only features have an optimum"
        values = feed.reader.values
        return cls(
            objective,
            values[torch.as_tensor(distinct).to(values.device)],
            torch.as_tensor(of_rows).to(values.device),
            torch.as_tensor(times).to(values.device, values.dtype),
            torch.as_tensor(feed.counts[slots]).to(values.device),
        )

    def start(self) -> Tensor:
        """Heads that say nothing, [R, C D + C]."""
        classes, width = self.counts.shape[1], self.features.shape[1]
        return self.features.new_zeros(len(self.times), classes * (width + 1))

    def parts(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [R, C, D] and biases [R, C]."""
        classes = self.counts.shape[1]
        weight, bias = heads[:, :-classes], heads[:, -classes:]
        return weight.reshape(len(heads), classes, -1), bias

    def logits(self, heads: Tensor) -> Tensor:
        """[P, R, C], in one product."""
        weight, bias = self.parts(heads)
        return (self.features @ weight.flatten(0, 1).T).view(len(self.features), *bias.shape) + bias

    def losses(self, logits: Tensor) -> Tensor:
        """Of each run, [R]."""
        of_run = torch.vmap(self.objective.weighted, in_dims=(1, None, 0, 0))
        return of_run(logits, self.labels, self.counts, self.times)

    def penalised(self, decay: float) -> Function:
        """x [R, P] -> values [R] and gradients, with the decay's part."""

        def function(heads: Tensor) -> tuple[Tensor, Tensor]:
            logits = self.logits(heads)
            with torch.enable_grad():
                logits.requires_grad_()
                losses = self.losses(logits)
                (of_logits,) = torch.autograd.grad(losses.sum(), logits)
            of_weight = (of_logits.flatten(1).T @ self.features).reshape(len(heads), -1)
            gradient = torch.cat([of_weight, of_logits.sum(0)], 1) + decay * heads
            return losses.detach() + decay / 2 * heads.square().sum(1), gradient

        return function
