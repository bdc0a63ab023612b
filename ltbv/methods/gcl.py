"""GCL: noise lowers the logits of rare classes in training, so that their images count as a cloud (Li et al., CVPR
2022, "Gaussian clouded logit adjustment", arXiv 2305.11733).

    cross-entropy of s (cos_ik - nu |e_ik| delta_k - m [k = y_i]), on a cosine head
    e_ik      normal with deviation 1/3, kept within -1 and 1, drawn for each image and class
    delta_k   (log n_max - log n_k) / (log n_max - log n_min): 0 for the largest class, 1 for the smallest

    gcl             mixup: images laid over each other in twos, lambda ~ Beta(1, 1), one a batch; each of the two labels
                    of an image has noise of its own; s = 30, nu = 0.5, m = 0
    gcl_classifier  then the classifier alone goes on, class-balanced: s = 20, nu = 0.5, m = 0.1, each term times
                    1 - p_y, which is held constant (focal loss, gamma 1); 0.15 of the epochs, learning rate 0.002 with
                    a cosine, as released

Code and paper differ: as released, the noise is in absolute value, so that it only lowers logits, and falls on every
class, not on the label's alone; we follow the code. The network answers with 30 cos, without noise. As released mixup
is on in the second stage too; the authors say that it serves in the first alone (issue 2 of their repository), and so
it is here. Short trainings lose by it, as `mixup` says: on glyphs-lt in 20 epochs two runs of `gcl` have 48.5 % (of
`gcl_classifier` 53.9), and 67.1 (71.2) with `Clouded()` alone for the first objective. Batch norm is frozen with the
body in the second stage, as there. Ours: an image brings a number along for each of its labels, of which the noise of
the classes is made; a class without images counts as the smallest there is.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ltbv.data.batches import Batch
from ltbv.data.draws import normal, spread
from ltbv.data.samplers import CLASS_BALANCED
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods.base import Losses, Method, Moment, Objective, Output, Stage
from ltbv.methods.mixup import Mixup
from ltbv.methods.objective import added, right
from ltbv.methods.partnered import Partnered
from ltbv.methods.published import CIFAR, USUAL, Published
from ltbv.methods.registry import register
from ltbv.models.experts import Experts, Net
from ltbv.models.parts import COSINE
from ltbv.models.stack import CosineLinear
from ltbv.schedules import Cosine, Drops, Warmup

PAPER = "Li et al., CVPR 2022, arXiv 2305.11733"
RATE = Cosine(0.002)
FIRST = USUAL.but(batch=64, learning_rate=Warmup(Drops(0.1, at=(0.8, 0.9), factors=(0.1, 0.01)), warmup=5))
SECOND = FIRST.but(epochs=30, learning_rate=RATE)
CODE = Published("the scripts of Li et al. (GCL, 2022)", CIFAR, FIRST, stages=(("classifier", SECOND),))


def class_clouds(counts: Tensor) -> Tensor:
    """delta_k = (log n_max - log n_k) / (log n_max - log n_min), [C] float64 of counts [C]; 0 where all are alike."""
    smallest = torch.where(counts > 0, counts, counts.amax()).amin()
    sizes = torch.maximum(counts, smallest).double().log()
    apart = sizes.amax() - sizes
    return apart / apart.amax().clamp(min=torch.finfo(apart.dtype).tiny)


def clouded(
    cosines: Tensor,
    labels: Tensor,
    counts: Tensor,
    noise: Tensor,
    *,
    scale: float = 30.0,
    share: float = 0.5,
    margin: float = 0.0,
    gamma: float = 0.0,
) -> Tensor:
    """Cross-entropy of scale (cos - share |noise| delta - margin onehot(y)), times (1 - p_y)^gamma, a constant; [B].

    cosines [B, C], labels [B], counts [C], noise [B, C]; delta is `class_clouds`. Li et al., 2022.
    """
    own = F.one_hot(labels, cosines.shape[-1]).double()
    lowered = share * noise.abs() * class_clouds(counts) + margin * own
    loss = cross_entropy(scale * (cosines - lowered.to(cosines.dtype)), labels)
    return (-torch.expm1(-loss.detach())) ** gamma * loss if gamma else loss


@dataclass(frozen=True)
class Clouded(Objective):
    """The mean of `clouded`, of each expert, added up, with noise from the number that each image brings along."""

    scale: float = 30.0
    share: float = 0.5
    margin: float = 0.0
    gamma: float = 0.0

    draws = 1

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        assert batch.draws is not None
        output = network(batch.images)
        whole = torch.ones_like(batch.labels, dtype=output.logits.dtype)
        losses = self.of_labels(network, output, batch.labels, now, batch.draws, whole)
        return Losses(losses, right(output.logits, batch.labels))

    def of_labels(
        self, network: Experts, output: Output, labels: Tensor, now: Moment, draws: Tensor, shares: Tensor
    ) -> Tensor:
        """The loss of each run, [R], of labels [R, B] of which `shares` [R, B] count; noise of `draws` [R, B, 1]."""
        if not isinstance(network.heads, CosineLinear):
            raise Refusal("clouds are around cosines, and these heads give none; give Net(head=COSINE)")
        experts, _, classes = output.logits.shape[1:]
        noise = normal(spread(draws[..., 0], experts * classes)).unflatten(-1, (experts, classes)) / 3
        chosen = {"scale": self.scale, "share": self.share, "margin": self.margin, "gamma": self.gamma}

        def of_run(cosines: Tensor, labels: Tensor, counts: Tensor, noise: Tensor, shares: Tensor) -> Tensor:
            each = (clouded(one, labels, counts, noise[:, e], **chosen) for e, one in enumerate(cosines))
            return added((shares * losses).mean() for losses in each)

        cosines = output.logits / network.heads.scale
        return torch.vmap(of_run)(cosines, labels, now.counts, noise.clamp(-1, 1), shares)


CLOUDED = Stage("representation", Partnered(Clouded(), Mixup()), net=Net(head=COSINE))
CLASSIFIER = Stage(
    "classifier",
    Clouded(scale=20.0, margin=0.1, gamma=1.0),
    net=CLOUDED.net,
    start=CLOUDED.name,
    train=("heads",),
    sampler=(CLASS_BALANCED,),
    epochs=0.15,
    learning_rate=RATE,
)

GCL = register(
    Method(
        "gcl",
        "GCL",
        stages=(CLOUDED,),
        paper=PAPER,
        summary="mixup, where noise lowers the logits of rare classes, on a cosine head",
        about=__doc__,
        kind="Loss",
        adds_to="mixup",
        published=(CODE,),
    )
)

GCL_CLASSIFIER = register(
    Method(
        "gcl_classifier",
        "GCL + classifier",
        stages=(CLOUDED, CLASSIFIER),
        paper=PAPER,
        summary="GCL's network, its classifier trained on with class-balanced sampling",
        about=__doc__,
        kind="Decoupling",
        adds_to="gcl",
        published=(CODE,),
    )
)
