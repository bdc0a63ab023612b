"""LDAM and LDAM-DRW: larger margins for rarer classes (Cao et al., NeurIPS 2019, arXiv 1906.07413).

A cosine head (scale 30) and cross-entropy with the margin m_k ~ n_k^(-1/4) taken off the true class; DRW re-weights the
classes by their effective number (beta 0.9999) after 80 % of training. The paper speaks of inverse counts, the authors'
code uses effective numbers; we follow the code. The cosine head multiplies by the scale itself, as in RIDE's port.
"""

from ltbv.losses import ldam
from ltbv.methods.base import Loss, Method, Stage, register
from ltbv.models.experts import Net
from ltbv.schedules import Step

DEFERRED = Step(0.0, 0.9999, at=0.8)
PAPER = "Cao et al., NeurIPS 2019, arXiv 1906.07413"

LDAM = register(
    Method(
        "ldam",
        "LDAM",
        stages=(Stage("representation", Loss(ldam), net=Net(head="cosine")),),
        paper=PAPER,
        summary="label-distribution-aware margins on a cosine head",
    )
)

LDAM_DRW = register(
    Method(
        "ldam_drw",
        "LDAM-DRW",
        stages=(Stage("representation", Loss(ldam, beta=DEFERRED), net=Net(head="cosine")),),
        paper=PAPER,
        summary="LDAM, classes re-weighted in the last fifth of training",
    )
)
