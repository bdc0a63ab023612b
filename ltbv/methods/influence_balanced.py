"""Influence-balanced loss: images that move the boundary most weigh least (Park et al., ICCV 2021, arXiv 2110.02444).

    until half of training      mean of l_i, cross-entropy
    from then on                (1/B) sum_i w_{y_i} l_i alpha / (I_i + 0.001)
    I_i                         sum_k |p_ik - [k = y_i]| * sum_d |f_id| = 2 (1 - p_{y_i}) |f_i|_1
    ib_focal                    each term times (1 - exp(-w_{y_i} l_i))^gamma, gamma = 1

w_k ~ 1 / n_k, summing to C; alpha = 1000. I is the influence of an image on the last layer: the size of its gradient.
As released, nothing is held constant: the gradient runs through I into logits and features. An image that is solved
keeps a loss, l_i / (1 - p_y) -> 1, so the loss does not go to 0, and alpha sets the length of the step. In the paper w
is normalised by alpha / sum 1/n; we follow the code.

Where the loss takes over, the authors' code divides the learning rate by 100 as well: 0.1 with a warm-up of 5 epochs,
0.001 from half of training, 1e-5 from 80 %, 1e-7 from 90 %. It goes with alpha, so it is the method's own rate under
every protocol; at 0.1 a step would be a hundred times as long as theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.losses import cross_entropy, inverse_power
from ltbv.methods.base import Method, Moment, Output, OutputObjective, Stage
from ltbv.methods.objective import added
from ltbv.methods.published import CIFAR, USUAL, Published
from ltbv.methods.registry import register
from ltbv.schedules import Drops, Step, Warmup

HALF = 0.5  # share of the epochs after which the loss takes over
RATE = Warmup(Drops(0.1, at=(HALF, 0.8, 0.9), factors=(1e-2, 1e-4, 1e-6)), warmup=5)
CODE = Published("the script of Park et al. (IB, 2021)", CIFAR, USUAL.but(learning_rate=RATE))


def influence_balanced(
    logits: Tensor,
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    alpha: float = 1000.0,
    gamma: float = 0.0,
    epsilon: float = 1e-3,
) -> Tensor:
    """w_y l alpha / (I + epsilon), times (1 - exp(-w_y l))^gamma where gamma is not 0; [B]. Park et al., 2021.

    logits [B, C], features [B, D], labels [B], weights [C] of classes; I and l as in the module's docstring.
    """
    loss = cross_entropy(logits, labels)
    influence = -2 * torch.expm1(-loss) * features.abs().sum(-1)
    weighted = weights.to(loss.dtype)[labels] * loss
    balanced = weighted * alpha / (influence + epsilon)
    if not gamma:
        return balanced
    missing = -torch.expm1(-weighted)  # at 0 a power below 1 has an infinite slope
    return missing.clamp(min=torch.finfo(loss.dtype).tiny) ** gamma * balanced


@dataclass(frozen=True)
class InfluenceBalanced(OutputObjective):
    """The mean of cross-entropy, and from the share `at` of the stage on of `influence_balanced`, of each expert.

    weights   of classes, [C] from counts [C]
    """

    gamma: float = 0.0
    alpha: float = 1000.0
    at: float = HALF
    weights: Callable[[Tensor], Tensor] = inverse_power

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        if not now.value(Step(0.0, 1.0, at=self.at)):
            return added(cross_entropy(logits, labels).mean() for logits in output.logits)
        weights = self.weights(counts)
        return added(
            influence_balanced(logits, features, labels, weights, self.alpha, self.gamma).mean()
            for logits, features in zip(output.logits, output.features, strict=True)
        )


for _key, _label, _gamma in (("ib", "IB", 0.0), ("ib_focal", "IB-Focal", 1.0)):
    register(
        Method(
            _key,
            _label,
            stages=(Stage("representation", InfluenceBalanced(_gamma), learning_rate=RATE),),
            paper="Park et al., ICCV 2021, arXiv 2110.02444",
            summary="from half of training on, images weigh by their class and the inverse of their influence"
            + (", less where they are right" if _gamma else ""),
            about=__doc__,
            kind="Loss",
            adds_to="ib" if _gamma else "ce",
            published=(CODE,),
        )
    )
