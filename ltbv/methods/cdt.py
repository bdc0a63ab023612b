"""CDT: a temperature for each class, so that rare classes need longer logits in training (Ye et al., 2020, arXiv
2001.01385).

    cross-entropy of z_k / a_k, a_k = (n_max / n_k)^gamma; the network answers with z

It is VS loss with tau = 0. gamma = 0.2, which Bag of Tricks has for both CIFAR sets and the paper searches up to (0.4
on CIFAR-10); at imbalance 100 the rarest class's logits are divided by 2.5. The authors' own code is not to be had: the
formula and `--protocol paper` are those of Bag of Tricks.
"""

from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.published import BAG_OF_TRICKS
from ltbv.methods.registry import register
from ltbv.methods.vs_loss import VectorScaling

CDT = register(
    Method(
        "cdt",
        "CDT",
        stages=(Stage("representation", Loss(VectorScaling(gamma=0.2, tau=0.0))),),
        paper="Ye et al., 2020, arXiv 2001.01385",
        summary="cross-entropy of logits divided by a temperature of their class",
        about=__doc__,
        kind="Loss",
        adds_to="ce",
        published=(BAG_OF_TRICKS,),
    )
)
