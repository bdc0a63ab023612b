"""Is a gain only more parameters? Cross-entropy with as much computing as three RIDE experts.

`ce_ensemble` is three CE networks of full width that share nothing but the order of images, each with its own loss; the
mean of their logits answers, as RIDE's experts do (a deep ensemble, Lakshminarayanan et al., NeurIPS 2017, arXiv
1612.01474, would average probabilities and shuffle for each member). It takes three times CE's multiply-adds, twice
RIDE's. `ce_wide` is one CE network whose later stages are 4/3 as wide: as many multiply-adds as RIDE with three
experts, to 2 % on ResNet-32, to 6 % on the network of glyphs-lt.
"""

from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.registry import register
from ltbv.models.experts import Net

CE_ENSEMBLE = register(
    Method(
        "ce_ensemble",
        "CE ensemble (3)",
        stages=(Stage("members", Loss(cross_entropy), net=Net(experts=3, width=1.0, apart=True)),),
        paper="Lakshminarayanan et al., NeurIPS 2017, arXiv 1612.01474",
        summary="three CE networks that share nothing; mean of their logits",
        about=__doc__,
        kind="Capacity",
        adds_to="ce",
        unpublished="it is a control of this package, in no paper on long tails",
    )
)

CE_WIDE = register(
    Method(
        "ce_wide",
        "CE, wider",
        stages=(Stage("representation", Loss(cross_entropy), net=Net(width=4 / 3)),),
        summary="one CE network with about the multiply-adds of RIDE with three experts",
        about=__doc__,
        kind="Capacity",
        adds_to="ce",
        unpublished="it is a control of this package, in no paper on long tails",
    )
)
