"""Class-balanced fine-tuning: train as usual, then go on with the whole network on balanced data and a small learning
rate (Cui et al., "Large scale fine-grained categorization", CVPR 2018, arXiv 1806.06193).

No code was published for it. Nothing is frozen and nothing drawn anew, unlike cRT. A tenth of CE's epochs, learning
rate 0.01 with a cosine, class-balanced sampling: the length and the rate are ours.
"""

from ltbv.data.samplers import CLASS_BALANCED
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.registry import register
from ltbv.schedules import Cosine

FINE_TUNING = Stage(
    "fine-tuning",
    Loss(cross_entropy),
    start=REPRESENTATION.name,
    sampler=(CLASS_BALANCED,),
    epochs=0.1,
    learning_rate=Cosine(0.01),
)

CB_FINETUNING = register(
    Method(
        "cb_finetuning",
        "CB fine-tuning",
        stages=(REPRESENTATION, FINE_TUNING),
        paper="Cui et al., CVPR 2018, arXiv 1806.06193",
        summary="CE's network, trained on with class-balanced sampling",
        about=__doc__,
        kind="Decoupling",
        adds_to="ce",
        unpublished="no code was published for it",
    )
)
