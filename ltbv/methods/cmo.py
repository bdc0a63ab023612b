"""CMO: boxes of images of rare classes are pasted onto the data as they are (Park et al., "The majority can help the
minority", CVPR 2022, arXiv 2112.00412).

CutMix whose backgrounds are a shuffled batch and whose boxes come from a second one, in which rare classes are drawn
more often: an image of class k with a chance ~ 1/n_k, so classes alike. lambda ~ Beta(1, 1), half of the batches,
labels by area.

In the authors' code boxes are pasted from the fifth epoch on and not in the last three of 200; here that is from 2 % to
98.5 % of the stage. The paper's q(1, k) ~ 1/n_k is a chance of the class, the code's of the image, which we follow.
Images of a class are gone through before one comes again; the code draws with replacement. `cmo` is on cross-entropy,
`cmo_drw` on deferred re-weighting, for which the authors have numbers of 200 epochs.
"""

from ltbv.data.samplers import CLASS_BALANCED, INSTANCE
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.cutmix import Cutmix
from ltbv.methods.ldam import DEFERRED
from ltbv.methods.partnered import Partnered
from ltbv.methods.published import CIFAR, USUAL, Published
from ltbv.methods.registry import register
from ltbv.schedules import Drops

CHANCE = Drops(0.5, at=(0.0, 0.02, 0.985), factors=(0.0, 1.0, 0.0))
SCRIPT = Published("the script of Park et al. (CMO, 2022)", CIFAR, USUAL)


def pasted_on(loss: Loss) -> Stage:
    """Training with this loss, boxes of balanced batches on batches of the data as they are."""
    return Stage("representation", Partnered(loss, Cutmix(chance=CHANCE)), sampler=(INSTANCE, CLASS_BALANCED))


for _key, _label, _loss, _words in (
    ("ce", "CMO", Loss(cross_entropy), "cross-entropy"),
    ("ce_drw", "CMO, CE-DRW", Loss(cross_entropy, beta=DEFERRED), "CE-DRW"),
):
    register(
        Method(
            _key.replace("ce", "cmo"),
            _label,
            stages=(pasted_on(_loss),),
            paper="Park et al., CVPR 2022, arXiv 2112.00412",
            summary=f"{_words}, boxes of images of rare classes pasted onto the data as they are",
            about=__doc__,
            kind="Mixing",
            adds_to=_key,
            published=(SCRIPT,),
        )
    )
