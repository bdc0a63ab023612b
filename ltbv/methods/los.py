"""LOS: the classifier goes on with labels that say little more than that any class may be it (Sun et al., "Label
over-smooth can balance", ICLR 2025, openreview.net/forum?id=OeKp3AdiVO).

    cross-entropy with the target 1 - delta + delta / C for the label and delta / C for the others, delta = 0.98

on CE's network, the classifier alone, images as often as they are: no counts are used. The loss is least where z_y is
above every other z_k by log(1 + C (1 - delta) / delta), 1.1 for 100 classes, in every class: so the logits of all
classes are led to one size, as far as a short training at a small rate goes. Length and rate are the method: a tenth of
the epochs, batches of 64, learning rate 5e-4 with a cosine, no weight decay, SGD without Nesterov, as released.

There the network before it is a ResNet-34 of 200 epochs at the rate 0.01 with ten times the weight decay, 5e-3, which
`--protocol paper` has for the study's network; batch norm goes on adapting (frozen here with the body), and the best
epoch on the test set answers (the last here).
"""

from dataclasses import dataclass

from torch import Tensor

from ltbv.losses import softened
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.published import CROPS, Published, Terms
from ltbv.methods.registry import register
from ltbv.optimisers import SGD
from ltbv.schedules import Cosine

RATE = Cosine(5e-4)  # of the classifier
TERMS = Terms(200, 64, Cosine(0.01), 5e-3, SGD(nesterov=False), CROPS)
CODE = Published(
    "the released code of Sun et al. (LOS, 2025), which trains a ResNet-34",
    ("cifar100-lt",),
    TERMS,
    stages=(("classifier", TERMS.but(epochs=20, learning_rate=RATE, weight_decay=0.0)),),
)


@dataclass(frozen=True)
class Softened:
    """`losses.softened` by the same share for every image."""

    smoothing: float = 0.98

    def __call__(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        del counts
        return softened(logits, labels, self.smoothing)


LOS = register(
    Method(
        "los",
        "LOS",
        stages=(
            REPRESENTATION,
            Stage(
                "classifier",
                Loss(Softened()),
                start=REPRESENTATION.name,
                train=("heads",),
                epochs=0.1,
                learning_rate=RATE,
                weight_decay=0.0,
                terms=Terms(batch=64, optimiser=SGD(nesterov=False)),
            ),
        ),
        paper="Sun et al., ICLR 2025",
        summary="CE's network, its classifier trained on with labels smoothed by .98",
        about=__doc__,
        kind="Decoupling",
        adds_to="ce",
        published=(CODE,),
    )
)
