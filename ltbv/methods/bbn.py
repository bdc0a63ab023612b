"""BBN: two branches, one learns from the data as they are, one from their reverse (Zhou et al., CVPR 2020, arXiv
1912.02413).

    z     2 (alpha W_1 f_1 + (1 - alpha) W_2 f_2) + b
    loss  alpha CE(z, y_1) + (1 - alpha) CE(z, y_2),  means over the batch
    alpha 1 - (epoch / epochs)^2, from 1 to almost 0

Image i of a shuffled batch, y_1, passes the first branch, image i of a reversed one (class k with probability ~ 1/n_k),
y_2, the second; both pass the shared layers, batch after batch. A branch is the last block, one linear layer stands on
both. When it answers, both branches see the image and alpha is 1/2: z = W_1 f_1 + W_2 f_2 + b.

The factor 2 and the bias are the released code's, which we follow; the factor keeps the scale of the answer. As in the
code, alpha of a stage of 90 epochs counts to 100 and of 180 to 200. Its own rates and weight decay, which drop earlier
than those of other methods (after 60 and 80 % of the epochs), hold under `--protocol paper`.

Ours: the reversed images of a class are gone through before one comes again (the code draws with replacement), and a
class without images has no chance (the code divides by 0). Which of two labels a mixed logit should have is undecided,
so training accuracy is not told.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.data.batches import Batch
from ltbv.data.samplers import INSTANCE, ByClass
from ltbv.losses import cross_entropy
from ltbv.methods.base import Method, Moment, Net, Objective, Stage
from ltbv.methods.published import CIFAR, CROPS, Published, Terms
from ltbv.methods.registry import register
from ltbv.models.experts import Experts
from ltbv.models.parts import JOINT, JointLinear
from ltbv.optimisers import SGD
from ltbv.schedules import Drops, Warmup

RATE = Warmup(Drops(0.1, at=(0.6, 0.8), factors=(0.01, 0.0001)), warmup=5, first=1 / 3)
CODE = Published("the configurations of Zhou et al. (BBN, 2020)", CIFAR, Terms(200, 128, RATE, 2e-4, SGD(), CROPS))
LENGTHS = {90: 100, 180: 200}  # epochs of the code's other settings, and what alpha counts to in them


def alpha(epoch: int, epochs: int) -> float:
    """1 - (epoch / epochs)^2, epoch from 0: the weight of the first branch."""
    return 1 - (epoch / LENGTHS.get(epochs, epochs)) ** 2


def mix(first: Tensor, second: Tensor, weight: Tensor, bias: Tensor, alpha: float | Tensor) -> Tensor:
    """2 (alpha W_1 f_1 + (1 - alpha) W_2 f_2) + b of one run: logits [B, C].

    first, second [B, D] features of the branches, weight [C, 2D] of both side by side, bias [C].
    """
    return torch.cat([2 * alpha * first, 2 * (1 - alpha) * second], -1) @ weight.T + bias


@dataclass(frozen=True)
class Cumulative(Objective):
    """Cross-entropy of mixed logits with the labels of both batches, weighed alike (the paper's cumulative
    learning)."""

    batch_each = True

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Tensor:
        features = network([batch.images for batch in batches]).features
        share = now.dial(alpha).to(features.dtype)

        def of_run(features: Tensor, weight: Tensor, bias: Tensor, first: Tensor, second: Tensor) -> Tensor:
            logits = mix(features[0], features[1], weight, bias, share)
            one, other = (cross_entropy(logits, labels).mean() for labels in (first, second))
            return share * one + (1 - share) * other

        heads = network.heads
        assert isinstance(heads, JointLinear)
        return torch.vmap(of_run)(features, heads.weight, heads.bias, *(batch.labels for batch in batches))


BBN = register(
    Method(
        "bbn",
        "BBN",
        stages=(
            Stage(
                "branches",
                Cumulative(),
                net=Net(experts=2, width=1.0, head=JOINT, own_blocks=1),
                sampler=(INSTANCE, ByClass(-1.0)),
            ),
        ),
        paper="Zhou et al., CVPR 2020, arXiv 1912.02413",
        summary="two branches, of the data as they are and reversed, mixed from the one to the other",
        about=__doc__,
        kind="Experts",
        adds_to="ce",
        published=(CODE,),
    )
)
