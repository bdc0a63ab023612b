"""Cross-entropy on the long-tailed set as it is: the reference of every comparison.

Its published settings are those of Cao et al. (LDAM, 2019), in whose table the CIFAR numbers of most papers begin.
"""

from ltbv.data.samplers import INSTANCE, Sampler
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.published import CAO
from ltbv.methods.registry import register


def resampled(sampler: Sampler = INSTANCE) -> Stage:
    """Cross-entropy training with images drawn by `sampler`."""
    return Stage("representation", Loss(cross_entropy), sampler=(sampler,))


REPRESENTATION = resampled()

CE = register(
    Method(
        "ce",
        "CE",
        stages=(REPRESENTATION,),
        summary="cross-entropy, instance-balanced sampling; the reference of every comparison",
        about=__doc__,
        published=(CAO,),
    )
)
