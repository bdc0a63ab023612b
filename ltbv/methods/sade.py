"""SADE: three experts for three kinds of test set, and weights for them that unlabelled test images decide (Zhang et
al., "Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition", NeurIPS 2022, arXiv
2107.09249).

RIDE's network of three experts with cosine heads; their losses are summed, without a diversity term:

    CE(z_1) + CE(z_2 + log pi) + CE(z_3 + log pi - tau log pi'),   tau = 2

for test sets with a long tail as in training, uniform ones, and the training set's turned round: pi_k = n_k / n, and
pi' gives the class of rank r the share of the class of rank C + 1 - r. `sade` answers with the mean of the experts.

    sade_tta            answers with sum_e w_e z_e, w = softmax(a). From a = (1/3, 1/3, 1/3), a climbs the mean cosine
                        of softmax(z) between two random views of each test image: SGD (0.1, Nesterov 0.9, decay 5e-4)
                        on batches of 128, five times through the test set, until after an epoch a weight, rounded to
                        two digits, is below 0.05
    sade_tta_forward    the same, shown the test set as one with a long tail in the order of training, 50 times as many
                        images of the first class as of the last; and
    sade_tta_backward   turned round. To be read in the table of other test sets, under forward and backward 50

The test-time forms see the whole test set before they answer (without labels), which no other method does: they are
marked, "sees test", wherever they stand. Their weights cost up to ten further passes over it. Ours: a run has its own
weights, as it has its own network. Views are varied as the images of its training are: crops, mirror images, turned
where `--protocol paper` turns these, by RandAugment where that is asked. The authors' are of crops and mirror images
too, not turned, but jittered in colour, greyed and blurred, as no images of their training on CIFAR are. A forward or
backward test set is a part of the test images, drawn for each run; the labels make that set and nothing else.

As in the code 1e-9 is added to shares within logarithms. Ours: a class that a resample lost counts as one image, and
classes of one size share the mean of their turned shares (there the order of ids decides). Published settings are those
of the configuration for CIFAR-100, whose rate drops to a tenth and a hundredth.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ltbv.data.views import Pair, Views
from ltbv.errors import Refusal, unknown
from ltbv.losses import cross_entropy
from ltbv.methods.base import Adapting, Answer, Method, Moment, Output, OutputObjective, Rule, Stage
from ltbv.methods.objective import added
from ltbv.methods.published import Published
from ltbv.methods.registry import register
from ltbv.methods.ride import WITH
from ltbv.models.experts import Experts, Net
from ltbv.models.parts import COSINE
from ltbv.schedules import Drops, Warmup
from ltbv.stats import long_tailed_priors

RATE = Warmup(Drops(0.1, at=(0.8, 0.9), factors=(0.1, 0.01)), warmup=5)
CODE = Published("the configurations of Zhang et al. (SADE, 2022)", ("cifar100-lt",), WITH.but(learning_rate=RATE))


def reverse_ranked(shares: Tensor) -> Tensor:
    """The same shares [C] in reverse rank; classes of one share have the mean of what falls to them."""
    ascending, order = shares.sort(stable=True)
    found = ascending.flip(0)[order.argsort()]
    alike = (shares.unsqueeze(0) == shares.unsqueeze(1)).to(shares.dtype)
    return alike @ found / alike.sum(1)


def offsets(counts: Tensor, tau: float = 2.0) -> Tensor:
    """What is added to the logits of each expert in training, [3, C] float64, of counts [C]; Zhang et al., 2022."""
    shares = counts.clamp(min=1).double()
    shares = shares / shares.sum()
    log_shares, log_turned = (shares + 1e-9).log(), (reverse_ranked(shares) + 1e-9).log()
    return torch.stack([torch.zeros_like(shares), log_shares, log_shares - tau * log_turned])


@dataclass(frozen=True)
class Skills(OutputObjective):
    """sum_e CE(z_e + offset_e), means over the batch, of three experts: `offsets`."""

    tau: float = 2.0

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        if len(output.logits) != 3:
            raise Refusal(f"losses for 3 experts, and the network has {len(output.logits)}; give Net(experts=3)")
        moved = output.logits + offsets(counts, self.tau).to(output.logits.dtype).unsqueeze(1)
        return added(cross_entropy(logits, labels).mean() for logits in moved)


class Ascent(NamedTuple):
    """Where the weights of experts stand: a [..., E], of which `weights` is the softmax, and its momentum."""

    parameters: Tensor
    momentum: Tensor

    @classmethod
    def start(cls, runs: int, experts: int, device: torch.device | None = None) -> "Ascent":
        """All experts alike."""
        parameters = torch.full((runs, experts), 1 / experts, dtype=torch.float64, device=device)
        return cls(parameters, torch.zeros_like(parameters))

    @property
    def weights(self) -> Tensor:
        """w, [..., E], which sum to 1."""
        return self.parameters.softmax(-1)

    def step(
        self, first: Tensor, second: Tensor, rate: float = 0.1, keep: float = 0.9, decay: float = 5e-4
    ) -> "Ascent":
        """After one step of SGD with Nesterov's momentum up `similarity` of two views' logits, [..., E, B, C] each."""
        with torch.enable_grad():
            here = self.parameters.detach().requires_grad_()
            (slope,) = torch.autograd.grad(-similarity(here.softmax(-1), first, second).sum(), here)
        slope = slope + decay * self.parameters
        momentum = keep * self.momentum + slope
        return Ascent(self.parameters - rate * (slope + keep * momentum), momentum)

    def where(self, going: Tensor, other: "Ascent") -> "Ascent":
        """The other one for the runs that are `going`, [R]; this one for those that have stopped."""
        mine, theirs = (torch.stack(tuple(of)) for of in (self, other))
        return Ascent(*torch.where(going.unsqueeze(-1), theirs, mine))


def together(weights: Tensor, logits: Tensor) -> Tensor:
    """sum_e w_e z_e: [..., B, C] from weights [..., E] and logits [..., E, B, C]."""
    return (weights[..., None, None] * logits).sum(-3)


def similarity(weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The mean cosine of softmax(sum_e w_e z_e) between two views; [...] of weights [..., E], logits [..., E, B, C]."""
    one, other = (together(weights, logits).softmax(-1) for logits in (first, second))
    return F.cosine_similarity(one, other, dim=-1, eps=1e-6).mean(-1)


def climbed(ascent: Ascent, network: Experts, pairs: Iterable[Pair], going: Tensor) -> Ascent:
    """After one epoch; runs that are not `going`, [R], stay."""
    for pair in pairs:
        first, second = (network(images).logits.double() for images in pair)
        ascent = ascent.where(going, ascent.step(first, second))
    return ascent


@dataclass(frozen=True)
class ByWeight:
    """Answers with sum_e w_e z_e, `weights` [R, E]."""

    weights: Tensor

    def __call__(self, network: Experts, images: Tensor) -> Answer:
        logits = network(images).logits
        return Answer(together(self.weights.to(logits.dtype), logits))


@dataclass(frozen=True)
class Aggregated(Adapting):
    """Weights of experts from unlabelled test images; formulas in the module's docstring.

    prior   a name of `stats.long_tailed_priors`: the test set is shown with its shares; '' as it is
    epochs  times through the test set at most, in batches of `batch`; `least` is the weight that ends it
    """

    prior: str = ""
    epochs: int = 5
    batch: int = 128
    least: float = 0.05

    def __post_init__(self) -> None:
        if self.prior and self.prior not in (known := long_tailed_priors(np.array([2, 1]))):
            raise unknown("prior of a test set", self.prior, known)

    def rule(self, network: Experts, views: Views) -> Rule:
        prior = long_tailed_priors(views.counts)[self.prior] if self.prior else None
        ascent = Ascent.start(network.runs, network.experts, views.reader.device)
        going = torch.ones(network.runs, dtype=torch.bool, device=views.reader.device)
        for epoch in range(self.epochs):
            ascent = climbed(ascent, network, views.pairs(epoch, self.batch, prior), going)
            going = going & (ascent.weights.round(decimals=2) >= self.least).all(-1)
        return ByWeight(ascent.weights)


SADE = register(
    Method(
        "sade",
        "SADE",
        stages=(Stage("experts", Skills(), net=Net(experts=3, head=COSINE)),),
        paper="Zhang et al., NeurIPS 2022, arXiv 2107.09249",
        summary="three experts, trained for test sets like training, uniform, and turned round",
        about=__doc__,
        kind="Experts",
        adds_to="balanced_softmax",
        published=(CODE,),
    )
)

for _key, _label, _prior, _summary in (
    ("sade_tta", "SADE, aggregated", "", "weights of SADE's experts from the unlabelled test images"),
    ("sade_tta_forward", "SADE, aggregated forward", "forward_50", "the same, shown a test set as in training"),
    ("sade_tta_backward", "SADE, aggregated backward", "backward_50", "the same, shown a test set turned round"),
):
    register(
        replace(SADE, key=_key, label=_label, predict=Aggregated(_prior), summary=_summary, adds_to="sade"),
    )
