"""Class weights, and conditional ones that development images set: long-tailed recognition as domain adaptation (Jamal
et al., CVPR 2020, arXiv 2003.10780).

    until 80 % of training      mean of l_i, a plain training
    from then on                theta~ = theta - eta grad sum_i w_{y_i} l_i                  a virtual step, a SUM
                                eps_i  = tau eta <grad l_i(theta), grad L_D(theta~)>         tau = 0.01
                                step on (1/B) sum_i (w_{y_i} + eps_i) l_i                    eps as constants

    w_k ~ (1 - beta) / (1 - beta^n_k), summing to C, beta = 0.9999, n_k after the development images are taken away

eta is the current rate. Weights are neither clipped nor normalised, and may be negative; momentum goes on through both
phases. Paper and code differ: the virtual loss is a mean in Algorithm 1 and a sum in the code, tau is in the code only,
and the text has beta = (n - 1) / n. We follow the code (`reduction`, `tau` and `beta` are settings of `Conditional`).
The virtual rate drops with the optimiser's here, an epoch before the code's. Released is `jamal_ce`; `jamal_focal`
(softmax form, gamma 1) and `jamal_ldam` (cosine head, scale 30) take their loss in both phases, for the development
images too. The last epoch answers, theirs is the best on the test set.

At these constants eps is small beside w: about 2e-4, 7e-4 at most, on ResNet-32 with random weights, against w of 0.05
to 4. So the released method is nearly class weights over the last fifth, divided by the batch. A larger tau is another
experiment. Development images are supervision that other methods do not have: held out of the pool, never trained on;
`ce_drw_with_dev` is the comparison at equal images.

A step of the last fifth takes 3.7 times a plain one's work, by its passes; measured 4.1 to 4.4 times CE's time where
development images are as many as a batch, or more (1.6 times a run; ResNets of 8/16/32, five runs at once, on a CPU).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.data.batches import Batch
from ltbv.data.development import PER_CLASS
from ltbv.data.samplers import INSTANCE, Held
from ltbv.errors import unknown
from ltbv.losses import ExampleLoss, cross_entropy, effective_number, focal, ldam
from ltbv.methods.base import Losses, Method, Moment, Objective, Stage
from ltbv.methods.by_image import AHEAD, HELD, PLAIN, VIRTUAL, agreement, image_losses, losses_at
from ltbv.methods.objective import right
from ltbv.methods.published import CIFAR, CROPS, DROPS, Published, Terms
from ltbv.methods.registry import register
from ltbv.models import virtual
from ltbv.models.experts import Experts, Net
from ltbv.models.parts import COSINE, LINEAR
from ltbv.optimisers import SGD
from ltbv.schedules import Number, Step

BETA = 0.9999
CODE = Published("the released code of Jamal et al. (2020)", CIFAR, Terms(200, 100, DROPS, 5e-4, SGD(), CROPS))


def class_weights(counts: Tensor, beta: float = BETA) -> Tensor:
    """w [..., C] float64, effective numbers that sum to C, of counts [..., C] without the development images.

    A class without images has 0, and the others share C. Jamal et al., 2020; Cui et al., 2019.
    """
    return effective_number(counts, beta)


@dataclass(frozen=True)
class Conditional(Objective):
    """(1/B) sum_i (w_{y_i} + eps_i) l_i of the first batch, eps by the second, development images; see the module.

    at          share of the stage that is plain training, the mean of l_i
    reduction   of the virtual loss: 'sum' (released code) or 'mean' (paper)
    """

    looks_ahead = True
    loss: ExampleLoss = cross_entropy
    at: float = 0.8
    tau: float = 0.01
    beta: float = BETA
    reduction: str = "sum"

    def __post_init__(self) -> None:
        if self.reduction not in ("sum", "mean"):
            raise unknown("reduction of a virtual loss", self.reduction, ("sum", "mean"))

    def work(self) -> Number:
        return Step(1.0, (PLAIN + VIRTUAL + HELD + AHEAD) / PLAIN, at=self.at)

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        later = now.value(Step(0.0, 1.0, at=self.at))
        weights = self.weights(network, batches, now) if later else torch.ones_like(batches[0].labels)
        output, labels = network(batches[0].images), batches[0].labels
        losses = image_losses(self.loss, output, labels, now.counts)
        return Losses((weights * losses).mean(1), right(output.logits, labels))

    def weights(self, network: Experts, batches: tuple[Batch, ...], now: Moment) -> Tensor:
        """w_{y_i} + eps_i, [R, B]."""
        live, own = virtual.weights(network), batches[0]
        losses = losses_at(self.loss, network, live, own, now.counts)
        by_class = class_weights(now.counts, self.beta).to(losses.dtype).gather(1, own.labels)
        size = own.labels.shape[1] if self.reduction == "mean" else 1
        there = virtual.stepped(live, (by_class * losses).sum(1) / size, now.rate)
        _, slopes = agreement(self.loss, network, batches, live, there, now.counts)
        return by_class + self.tau * now.rate * slopes / size


for _key, _label, _loss, _head in (
    ("ce", "CE", cross_entropy, LINEAR),
    ("focal", "Focal", focal, LINEAR),
    ("ldam", "LDAM", ldam, COSINE),
):
    register(
        Method(
            f"jamal_{_key}",
            f"Jamal et al. on {_label}",
            stages=(
                Stage(
                    "representation",
                    Conditional(_loss),
                    net=Net(head=_head),
                    sampler=(INSTANCE, Held()),
                    held=PER_CLASS,
                ),
            ),
            paper="Jamal et al., CVPR 2020, arXiv 2003.10780",
            summary=f"{_label}, in the last fifth weighed by class and, a little, by development images",
            about=__doc__,
            kind="Development",
            adds_to=_key,
            published=(CODE,),
        )
    )
