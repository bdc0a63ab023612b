"""mixup: two images laid over each other, and their labels likewise (Zhang et al., ICLR 2018, arXiv 1710.09412).

    x = lambda x_a + (1 - lambda) x_b,  loss lambda l(z, a) + (1 - lambda) l(z, b),  lambda ~ Beta(alpha, alpha)

lambda is drawn once a batch, and the partner is another image of the batch, as in the authors' code; alpha = 1, as
those who train long-tailed CIFAR have it (Zhang et al., Bag of Tricks, AAAI 2021; Zhong et al., MiSLAS, CVPR 2021).
Images are blended after they are normalised. Bag of Tricks trains twice as long with it, 400 epochs: that is what
`--protocol paper` does, and what its number is of; MiSLAS' first stage lasts 200. Short trainings lose by it: on
glyphs-lt in 20 epochs two runs have 41.5 % where CE has 59.8, in a plain loop of torch 42.0 and 58.7.
"""

from dataclasses import dataclass

from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Moment, Stage
from ltbv.methods.partnered import Blend, Pairs, Partnered, all_over, check_alpha, one_a_batch
from ltbv.methods.published import CIFAR, TRICKS, USUAL, Published
from ltbv.methods.registry import register
from ltbv.optimisers import SGD

TWICE = Published(f"{TRICKS}, twice as long as its others", CIFAR, USUAL.but(epochs=400, optimiser=SGD()))


@dataclass(frozen=True)
class Mixup(Blend):
    """Both images in every pixel, one lambda ~ Beta(alpha, alpha) a batch, which is the label weight too."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha, "mixup")

    def __call__(self, pairs: Pairs, draws: Tensor, now: Moment) -> tuple[Tensor, Tensor]:
        own = one_a_batch(draws, self.alpha)
        return all_over(pairs, own), own.expand_as(pairs.own)


REPRESENTATION = Stage("representation", Partnered(Loss(cross_entropy), Mixup()))

MIXUP = register(
    Method(
        "mixup",
        "mixup",
        stages=(REPRESENTATION,),
        paper="Zhang et al., ICLR 2018, arXiv 1710.09412",
        summary="cross-entropy, two images laid over each other, and their labels likewise",
        about=__doc__,
        kind="Mixing",
        adds_to="ce",
        published=(TWICE,),
    )
)
