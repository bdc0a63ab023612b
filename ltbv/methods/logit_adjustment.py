"""Logit adjustment: take the training set's class frequencies out of the answer (Menon et al., ICLR 2021, arXiv
2007.07314; Ren et al., "Balanced meta-softmax", NeurIPS 2020, arXiv 2007.10740).

    post hoc   argmax z_k - tau log pi_k of CE's network, pi_k = n_k / n
    loss       cross-entropy of z_k + tau log pi_k; the network answers with z

tau = 1, for which both are consistent for the balanced error; the loss then is balanced softmax, and is registered
under that name. (Ren et al. add meta-learnt sampling on large sets, which is not part of it here.) Post hoc the
adjustment is a change of the head's bias. A class that a resample lost counts as one image post hoc; the loss never
sees it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.data.batches import Feed
from ltbv.errors import Refusal
from ltbv.losses import balanced_softmax
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.registry import register
from ltbv.models.experts import Experts

PAPER = "Menon et al., ICLR 2021, arXiv 2007.07314"


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
    )
)
