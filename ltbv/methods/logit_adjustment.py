"""Logit adjustment: take the training set's class frequencies out of the answer (Menon et al., ICLR 2021, arXiv
2007.07314; Ren et al., "Balanced meta-softmax", NeurIPS 2020, arXiv 2007.10740).

    post hoc   argmax z_k - tau log pi_k of CE's network, pi_k = n_k / n
    loss       cross-entropy of z_k + tau log pi_k; the network answers with z

tau = 1, for which both are consistent for the balanced error; the loss then is balanced softmax, and is registered
under that name. (Ren et al. add meta-learnt sampling on large sets, which is not part of it here.) Post hoc the
adjustment is a change of the head's bias. A class that a resample lost counts as one image post hoc; the loss never
sees it.

For `--protocol paper` the settings of `logit_adjustment` are those of the authors' code: 1,241 epochs of CIFAR-10-LT,
1,419 of CIFAR-100-LT, three drops by ten, crops of a border of 2 (it pads to 36 pixels in all), and a penalty of 1e-4
|w|^2, which is a weight decay of 2e-4. Its warm-up grows with every step, ours with every epoch; its ResNet-32 is of
bottlenecks, ours of the basic blocks that all other papers have. Ren et al. count balanced softmax in steps, 13,000 of
512 images at imbalance 200, after AutoAugment and Cutout; `balanced_softmax` has the settings of the table that its
number of 43.0 % is from, Bag of Tricks'.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation
from ltbv.errors import Refusal
from ltbv.losses import balanced_softmax
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.published import BAG_OF_TRICKS, Published, Terms
from ltbv.methods.registry import register
from ltbv.models.experts import Experts
from ltbv.optimisers import SGD
from ltbv.schedules import Drops, Warmup

PAPER = "Menon et al., ICLR 2021, arXiv 2007.07314"


def menon(dataset: str, epochs: int, warmup: int, drops: tuple[int, int, int]) -> Published:
    """The settings of their code for one data set."""
    rate = Warmup(Drops(0.1, at=tuple(epoch / epochs for epoch in drops), factors=(0.1, 0.01, 0.001)), warmup)
    terms = Terms(epochs, 128, rate, 2e-4, SGD(), Augmentation(pad=2, flip=True))
    return Published("the released code of Menon et al. (2021)", (dataset,), terms)


CODE = (menon("cifar10-lt", 1241, 20, (604, 926, 1128)), menon("cifar100-lt", 1419, 22, (691, 1059, 1290)))


@dataclass(frozen=True)
class Adjust:
    """bias_k <- bias_k - tau log pi_k, in each head of each run."""

    tau: float = 1.0

    def __call__(self, network: Experts, feed: Feed) -> None:
        bias = getattr(network.heads, "bias", None)
        if not isinstance(bias, Tensor):
            raise Refusal("logit adjustment moves the bias of linear heads, and these have none; give Net(head=LINEAR)")
        counts = torch.as_tensor(feed.counts).to(bias).clamp(min=1)
        prior = torch.log(counts / counts.sum(1, keepdim=True)).repeat_interleave(network.experts, 0)
        bias -= self.tau * prior


LOGIT_ADJUSTMENT = register(
    Method(
        "logit_adjustment",
        "Logit adjustment",
        stages=(REPRESENTATION,),
        posthoc=Adjust(),
        paper=PAPER,
        summary="CE's network, log class frequencies taken off its logits",
        about=__doc__,
        kind="Loss",
        adds_to="ce",
        published=CODE,
    )
)

BALANCED_SOFTMAX = register(
    Method(
        "balanced_softmax",
        "Balanced softmax",
        stages=(Stage("representation", Loss(balanced_softmax)),),
        paper="Ren et al., NeurIPS 2020, arXiv 2007.10740",
        summary="cross-entropy of logits with log class counts added: the logit-adjusted loss, tau 1",
        about=__doc__,
        kind="Loss",
        published=(BAG_OF_TRICKS,),
    )
)
