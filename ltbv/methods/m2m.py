"""M2m: images of large classes are translated into images of small ones (Kim et al., CVPR 2020, arXiv 2004.00431).

A network g is trained as CE is, to the end, and stands still. The network f, drawn anew, is trained with cross-entropy
on the data as they are until 80 % of the epochs, from then on class-balanced, and then with images made for it:

    chosen    image i of class k is to be replaced with probability 1 - n_k / n_0, n_0 the largest class
    seed      image j of the same batch, with probability ~ a_ij = 1 - beta^max(n_j - n_i, 0)
    made      x <- x_j + noise of length 1/2; ten times x <- x - eta d / |d|, pixels kept within 0 and 1,
              d the gradient of CE(g(x), k) + lambda z_f(x) of the seed's class, both networks as when they answer
    accepted  where g is sure, p_g(k | x) >= gamma, with probability a_ij: x then takes the place of image i

with eta 0.1, lambda 0.5, gamma 0.9. An image without a seed, or whose own is not accepted, stays, as in the code; in
the paper a random image of its class takes the place, which is the same in distribution.

beta is 0.999 where n_0 is 5000, as released for CIFAR-10; ours, as none was released for others: 0.999^(5000 / n_0), so
that seeds are accepted alike in any data of the same shape (0.999 itself would accept less than half where n_0 is 500).
Ours too: the length of the noise is that of each image (in the code it shrinks with the number of images made at once).
Images are never made in half precision.

How much is made depends on how sure g is. On glyphs-lt, whose CE is not sure of its own training images of small
classes, 3 of 704 images were accepted late in one run (406 had been chosen and had luck with the coin): there M2m is
little else than late class-balanced sampling.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ltbv.data.batches import Batch, Feed
from ltbv.data.draws import spread
from ltbv.data.samplers import CLASS_BALANCED, INSTANCE, Deferred
from ltbv.losses import cross_entropy
from ltbv.methods.base import Losses, Method, Moment, Objective, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.objective import right
from ltbv.methods.published import USUAL, Published
from ltbv.methods.registry import register
from ltbv.models.experts import Experts
from ltbv.models.stack import evaluating
from ltbv.schedules import Number, Step

SCRIPT = Published("the script of Kim et al. (M2m, 2020)", ("cifar10-lt",), USUAL)
LATE = 0.8  # share of the epochs after which images are made
MAKES = Step(0.0, 1.0, at=LATE)


def replacement(counts: Tensor) -> Tensor:
    """1 - n_k / n_0, [..., C] from counts [..., C]: the chance that an image of class k is to be replaced."""
    counts = counts.double()
    return 1 - counts / counts.amax(-1, keepdim=True)


def acceptance(counts: Tensor, beta: float | Tensor) -> Tensor:
    """a = 1 - beta^max(n_seed - n_target, 0), [..., C, C] by target class and seed class, from counts [..., C]."""
    counts = counts.double()
    more = (counts.unsqueeze(-2) - counts.unsqueeze(-1)).clamp(min=0)
    return 1 - torch.as_tensor(beta, dtype=more.dtype, device=more.device) ** more


def beta_for(counts: Tensor, beta: float = 0.999, head: float = 5000.0) -> Tensor:
    """beta^(head / n_0), [..., 1, 1]: `beta` is meant for a largest class of `head` images."""
    return beta ** (head / counts.double().amax(-1))[..., None, None]


class Replacement(NamedTuple):
    """Which images of a batch are to be made, and of what: `chosen`, the position of its `seed`, and whether the coin
    of its acceptance fell `well`; all [R, B]."""

    chosen: Tensor
    seed: Tensor
    well: Tensor


def drawn_replacements(labels: Tensor, counts: Tensor, beta: Tensor, draws: Tensor) -> Replacement:
    """From labels [R, B], counts [R, C], beta [R, 1, 1] and three uniform numbers of each image, draws [R, B, 3]."""
    classes, size = counts.shape[1], labels.shape[1]
    of_target = acceptance(counts, beta).gather(1, labels.unsqueeze(2).expand(-1, -1, classes))
    of_seed = of_target.gather(2, labels.unsqueeze(1).expand(-1, size, -1))  # a_ij, [R, B, B]
    reached = of_seed.cumsum(-1)
    seed = (reached <= draws[..., 1:2] * reached[..., -1:]).sum(-1).clamp(max=size - 1)
    accepted = of_seed.gather(2, seed.unsqueeze(2)).squeeze(2)
    chosen = (draws[..., 0] < replacement(counts).gather(1, labels)) & (reached[..., -1] > 0)
    return Replacement(chosen, seed, draws[..., 2] < accepted)


def random_start(uniform: Tensor, length: float = 0.5) -> Tensor:
    """u - 1/2, shortened to `length` where it is longer: noise for images, from uniform u [..., channels, H, W]."""
    noise = uniform - 0.5
    norm = noise.square().sum((-3, -2, -1), keepdim=True).sqrt()
    return noise * (length / norm.clamp(min=length))


def translated(pixels: Tensor, loss: Callable[[Tensor], Tensor], steps: int = 10, step_size: float = 0.1) -> Tensor:
    """Pixels [..., channels, H, W] within 0 and 1, after `steps` of x <- x - step_size d / |d|, kept within 0 and 1.

    d is the gradient of `loss(x)`, summed, and |d| its length in each image. Where d is 0 an image stays.
    """
    for _ in range(steps):
        with torch.enable_grad():
            here = pixels.detach().requires_grad_()
            (d,) = torch.autograd.grad(loss(here).sum(), here)
        norm = d.square().sum((-3, -2, -1), keepdim=True).sqrt()
        pixels = (here.detach() - step_size * d / norm.clamp(min=torch.finfo(d.dtype).tiny)).clamp(0, 1)
    return pixels


@dataclass(frozen=True)
class Translating(Objective):
    """Cross-entropy; late in the stage on batches in which images that were made take the places of others.

    beta, head   `beta_for`
    weight       lambda, of the seed class's logit
    sure         gamma, how probable g has to find the class that is meant
    """

    beta: float = 0.999
    head: float = 5000.0
    weight: float = 0.5
    sure: float = 0.9
    steps: int = 10
    step_size: float = 0.1

    draws = 4
    beyond_head = "makes images"

    def work(self) -> Number:
        # In forward passes: 3 and one of g are a plain step; a step on pixels is forward and back in f and in g.
        return Step(3 / 4, (3 + 2 * 2 * self.steps) / 4, at=LATE)

    def from_given(self, feed: Feed, given: tuple[Experts, ...], now: Moment) -> Mapping[str, Tensor]:
        return {"mean": feed.mean, "std": feed.std}

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        images = self._mixed(network, batch, given[0], now) if now.value(MAKES) else batch.images
        output = network(images)
        losses = torch.vmap(cross_entropy)(output.logits[:, 0], batch.labels).mean(1)
        return Losses(losses, right(output.logits, batch.labels))

    @torch.no_grad()
    def _mixed(self, network: Experts, batch: Batch, sure_of: Experts, now: Moment) -> Tensor:
        """The batch's images, some of them made: [B, R*channels, H, W]."""
        runs, labels, draws = network.runs, batch.labels, batch.draws
        assert draws is not None
        mean, std = (now.memory[name][:, None, None] for name in ("mean", "std"))
        plan = drawn_replacements(labels, now.counts, beta_for(now.counts, self.beta, self.head), draws[..., :3])
        own = batch.images.unflatten(1, (runs, -1))  # [B, R, channels, H, W]
        seeds = own[plan.seed.T, torch.arange(runs, device=labels.device)]
        noise = random_start(spread(draws[..., 3].T, seeds[0, 0].numel()).view(seeds.shape)).to(seeds.dtype)
        seed_labels = labels.gather(1, plan.seed)

        def normalised(pixels: Tensor) -> Tensor:
            return ((pixels - mean) / std).flatten(1, 2).contiguous(memory_format=torch.channels_last)

        def say(of: Experts, pixels: Tensor) -> Tensor:
            return of(normalised(pixels)).logits[:, 0]

        def loss(pixels: Tensor) -> Tensor:
            target = torch.vmap(cross_entropy)(say(sure_of, pixels), labels)
            return target + self.weight * say(network, pixels).gather(2, seed_labels.unsqueeze(2)).squeeze(2)

        with evaluating(network), torch.autocast(labels.device.type, enabled=False):
            made = translated((seeds * std + mean + noise).clamp(0, 1), loss, self.steps, self.step_size)
            probability = F.softmax(say(sure_of, made), -1).gather(2, labels.unsqueeze(2)).squeeze(2)
        taken = plan.chosen & plan.well & (probability >= self.sure)
        taken = taken.T.repeat_interleave(own.shape[2], 1)[..., None, None]
        return torch.where(taken, normalised(made), batch.images)


M2M = register(
    Method(
        "m2m",
        "M2m",
        stages=(
            REPRESENTATION,
            Stage(
                "translated",
                Translating(),
                sampler=(Deferred(INSTANCE, CLASS_BALANCED, at=LATE),),
                given=(REPRESENTATION.name,),
                salt=1,
            ),
        ),
        paper="Kim et al., CVPR 2020, arXiv 2004.00431",
        summary="late in training, images of large classes are translated into images of small ones",
        about=__doc__,
        kind="Re-sampling",
        adds_to="drs",
        published=(SCRIPT,),
    )
)
