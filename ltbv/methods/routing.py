"""RIDE's second stage: ask another expert only where it may help (Wang et al., ICLR 2021, arXiv 2010.01809, section
3.3).

After each expert but the last a router scores whether to go on; formulas in `ltbv.methods.router`. It learns, alone,
with everything else frozen, from

    target_i = 1 where the experts up to i are wrong together and some later sum of experts is right
    loss     = mean over routers of BCE(score_i, target_i), targets of 1 counted 100 times

with class-balanced sampling, learning rate 0.01 with a cosine. The 30 largest mean logits are looked at, or all where
there are fewer classes. An image stops at the first router that does not ask (sigmoid at most one half), and the mean
logits of the experts asked answer. The authors train routers for 5 epochs of batches of 512; here they take a tenth of
the experts' epochs at the protocol's batch size. Every image is shown to every router in training, as in their code.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ltbv.data.batches import Batch
from ltbv.data.samplers import CLASS_BALANCED
from ltbv.errors import Refusal
from ltbv.methods.base import Answer, Losses, Moment, Objective, Stage
from ltbv.methods.objective import right
from ltbv.methods.router import Router, Routing, means_so_far
from ltbv.models.experts import Experts
from ltbv.schedules import Cosine

TOP = 30


def router_of(network: Experts) -> Router:
    """The routers of a stack, or a Refusal where there are none."""
    router = getattr(network, Routing.name, None)
    if not isinstance(router, Router):
        raise Refusal("a router is asked, and the network has none; give Net(parts=(Routing(30),))")
    return router


def router_targets(means: Tensor, labels: Tensor) -> Tensor:
    """Where the experts so far are wrong and a later mean is right: [R, E, B, C], labels [R, B] -> [R, E - 1, B]."""
    right = means.argmax(-1) == labels.unsqueeze(1)
    later = right.flip(1).int().cummax(1).values.flip(1).bool()  # right here or at some later expert
    return ~right[:, :-1] & later[:, 1:]


@dataclass(frozen=True)
class RouterObjective(Objective):
    """The routers' loss of each run; the experts are only looked at."""

    positive_weight: float = 100.0

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        with torch.no_grad():
            output = network(batch.images)
        means = means_so_far(output.logits)
        targets = router_targets(means, batch.labels).to(means.dtype)
        scores = router_of(network)(means[:, :-1], output.features[:, :-1])
        weight = 1 + (self.positive_weight - 1) * targets
        losses = F.binary_cross_entropy_with_logits(scores, targets, weight=weight, reduction="none").mean((1, 2))
        return Losses(losses, right(output.logits, batch.labels))


@dataclass(frozen=True)
class Routed:
    """Experts are asked one after the other, each only for the images whose router asks for it."""

    def __call__(self, network: Experts, images: Tensor) -> Answer:
        answers = [self.of_run(network, run, own) for run, own in enumerate(_of_runs(images, network.runs))]
        return Answer(*(torch.stack(part) for part in zip(*answers, strict=True)))

    def of_run(self, network: Experts, run: int, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean logits [B, C] of the experts asked, and how many those were [B], for images [B, channels, H, W]."""
        router, maps = router_of(network), network.stem_of(run)(images)
        active = torch.arange(len(images), device=images.device)
        used = torch.ones_like(active)
        total: Tensor | None = None
        for expert in range(network.experts):
            output = network.expert_of(run, expert)(maps)
            logits, features = output.logits[0, 0], output.features[0, 0]
            total = logits if total is None else total.index_add(0, active, logits)
            if expert == network.experts - 1:
                break
            means = total[active] / (expert + 1)
            asks = router.at(run, expert)(means[None, None], features[None, None])[0, 0] > 0
            active, maps = active[asks], maps[asks]
            if not len(active):
                break
            used[active] += 1
        assert total is not None, "a network has an expert"
        return total / used.unsqueeze(1), used


def _of_runs(images: Tensor, runs: int) -> list[Tensor]:
    """[B, R*channels, H, W] -> R times [B, channels, H, W]."""
    return [own.contiguous(memory_format=torch.channels_last) for own in images.unflatten(1, (runs, -1)).unbind(1)]


ROUTED = Routed()


def routing(stage: Stage) -> Stage:
    """The stage that trains routers for the experts of an earlier one."""
    return Stage(
        "router",
        RouterObjective(),
        net=stage.net.plus(Routing(TOP)),
        start=stage.name,
        train=("router",),
        sampler=(CLASS_BALANCED,),
        epochs=0.1,
        learning_rate=Cosine(0.01),
    )
