"""LDAM, and deferring: larger margins for rarer classes, and re-weighting or re-sampling only late in training (Cao et
al., NeurIPS 2019, arXiv 1906.07413).

    LDAM   cross-entropy of z - s m_y onehot(y), m_k = 0.5 n_k^(-1/4) / max_j n_j^(-1/4), on a cosine head, s = 30
    DRW    classes weighted by effective number (beta 0.9999) after 80 % of training, for any loss
    DRS    classes drawn alike after 80 % of training, every image once an epoch before that

The paper speaks of inverse counts, the authors' code uses effective numbers; we follow the code, and divide by the sum
of the weights as it does. The cosine head multiplies by the scale itself, as in RIDE's port: the same number.
"""

from ltbv.data.samplers import CLASS_BALANCED, INSTANCE, Deferred
from ltbv.losses import cross_entropy, focal, ldam
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.published import CAO
from ltbv.methods.registry import register
from ltbv.models.experts import Net
from ltbv.models.parts import COSINE
from ltbv.schedules import Step

DEFERRED = Step(0.0, 0.9999, at=0.8)
PAPER = "Cao et al., NeurIPS 2019, arXiv 1906.07413"

LDAM = register(
    Method(
        "ldam",
        "LDAM",
        stages=(Stage("representation", Loss(ldam), net=Net(head=COSINE)),),
        paper=PAPER,
        summary="label-distribution-aware margins on a cosine head",
        about=__doc__,
        kind="Loss",
        published=(CAO,),
    )
)

LDAM_DRW = register(
    Method(
        "ldam_drw",
        "LDAM-DRW",
        stages=(Stage("representation", Loss(ldam, beta=DEFERRED), net=Net(head=COSINE)),),
        paper=PAPER,
        summary="LDAM, classes re-weighted in the last fifth of training",
        about=__doc__,
        kind="Deferred",
        published=(CAO,),
        adds_to="ldam",
    )
)

CE_DRW = register(
    Method(
        "ce_drw",
        "CE-DRW",
        stages=(Stage("representation", Loss(cross_entropy, beta=DEFERRED)),),
        paper=PAPER,
        summary="cross-entropy, classes re-weighted in the last fifth of training",
        about=__doc__,
        kind="Deferred",
        published=(CAO,),
        adds_to="ce",
    )
)

FOCAL_DRW = register(
    Method(
        "focal_drw",
        "Focal-DRW",
        stages=(Stage("representation", Loss(focal, beta=DEFERRED)),),
        paper=PAPER,
        summary="focal loss, classes re-weighted in the last fifth of training",
        about=__doc__,
        kind="Deferred",
        published=(CAO,),
        adds_to="focal",
    )
)

DRS = register(
    Method(
        "drs",
        "CE-DRS",
        stages=(Stage("representation", Loss(cross_entropy), sampler=(Deferred(INSTANCE, CLASS_BALANCED, at=0.8),)),),
        paper=PAPER,
        summary="cross-entropy, classes drawn alike in the last fifth of training",
        about=__doc__,
        kind="Deferred",
        published=(CAO,),
        adds_to="ce",
    )
)
