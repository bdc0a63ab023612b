"""MiSLAS: mixup, then a classifier trained on with labels that are softened by class (Zhong et al., CVPR 2021, arXiv
2104.00466).

    1. mixup, as `mixup`
    2. the classifier goes on from there, and a factor for each class's logit with it, class-balanced, cross-entropy
       with targets 1 - eps_y + eps_y / C for the label and eps_y / C for the others,
       eps_k = tail + (head - tail) sin(pi/2 u_k),  u_k = (n_k - n_min) / (n_max - n_min)

head = 0.4 and tail = 0.1, which were released for CIFAR-100 of imbalance 100; less imbalance has less (0.3 and 0 at 50,
0.2 and 0 at 10). The second stage is a twentieth of the first, 10 epochs of 200, at the rate 0.02 for the classifier
and 0.1 for the factors, both with a cosine. CIFAR-10 has 0.3, 0 and 0.05 there: `--protocol paper` is for CIFAR-100.

Paper and code differ: in the paper the others share eps_y among C - 1, the code we follow softens with C. In the code
batch norm goes on adapting in the second stage on CIFAR-100 (not on CIFAR-10); here it is frozen with the rest, as in
all second stages. A class that a resample lost has no part in n_min; where all classes are of one size u is 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbv.data.samplers import CLASS_BALANCED
from ltbv.losses import softened
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.decoupling import Scales
from ltbv.methods.mixup import REPRESENTATION
from ltbv.methods.published import CROPS, USUAL, Published, Terms
from ltbv.methods.registry import register
from ltbv.optimisers import SGD
from ltbv.schedules import Cosine, Drops, Warmup

RATE, FACTORS = Cosine(0.02), Cosine(0.1)
FIRST = USUAL.but(learning_rate=Warmup(Drops(0.1, at=(0.8, 0.9), factors=(0.1, 0.01)), warmup=5))
SECOND = Terms(10, 128, RATE, 2e-4, SGD(nesterov=False), CROPS)
CODE = Published(
    "the configurations of Zhong et al. (MiSLAS, 2021)", ("cifar100-lt",), FIRST, stages=(("classifier", SECOND),)
)


@dataclass(frozen=True)
class LabelAware:
    """Cross-entropy with targets softened by class size, [B], of logits [B, C], labels [B], counts [C]."""

    head: float = 0.4
    tail: float = 0.1

    def smoothing(self, counts: Tensor) -> Tensor:
        """eps [C] float64, `head` for the largest class and `tail` for the smallest."""
        sizes = counts.double()
        most = sizes.amax(-1, keepdim=True)
        least = torch.where(counts > 0, sizes, most).amin(-1, keepdim=True)
        span = most - least
        u = torch.where(span > 0, (sizes - least) / span.clamp(min=1), 1.0).clamp(min=0)
        return self.tail + (self.head - self.tail) * (torch.pi / 2 * u).sin()

    def __call__(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        return softened(logits, labels, self.smoothing(counts).to(logits.dtype)[labels])


MISLAS = register(
    Method(
        "mislas",
        "MiSLAS",
        stages=(
            REPRESENTATION,
            Stage(
                "classifier",
                Loss(LabelAware()),
                net=REPRESENTATION.net.plus(Scales()),
                start=REPRESENTATION.name,
                train=("heads", "scales"),
                sampler=(CLASS_BALANCED,),
                epochs=0.05,
                learning_rate=RATE,
                own=(("scales", SGD(learning_rate=FACTORS)),),
            ),
        ),
        paper="Zhong et al., CVPR 2021, arXiv 2104.00466",
        summary="mixup, then the classifier and factors for its logits with labels softened by class",
        about=__doc__,
        kind="Decoupling",
        adds_to="mixup",
        published=(CODE,),
    )
)
