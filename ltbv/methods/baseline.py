"""Cross-entropy on the long-tailed set as it is: the reference of every comparison."""

from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage, register

REPRESENTATION = Stage("representation", Loss(cross_entropy))

CE = register(
    Method(
        "ce",
        "CE",
        stages=(REPRESENTATION,),
        summary="cross-entropy, instance-balanced sampling; the reference of every comparison",
    )
)
