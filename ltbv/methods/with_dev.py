"""Is a gain only more images? Cross-entropy, and CE-DRW, trained on the sample and the development images.

The fair comparison of methods that look at development images (`l2rw`, `meta_weight_net`, `jamal_ce`): these train on
the very same ones, as many of each class, drawn for each run. Counts, in the class weights of DRW, are of all that is
trained on.
"""

from ltbv.data.development import PER_CLASS
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.ldam import DEFERRED
from ltbv.methods.published import CAO
from ltbv.methods.registry import register

for _key, _label, _objective in (
    ("ce", "CE", Loss(cross_entropy)),
    ("ce_drw", "CE-DRW", Loss(cross_entropy, beta=DEFERRED)),
):
    register(
        Method(
            f"{_key}_with_dev",
            f"{_label} with dev",
            stages=(Stage("representation", _objective, held=PER_CLASS, with_held=True),),
            summary=f"{_label}, trained on the sample and the development images: the comparison at equal images",
            about=__doc__,
            kind="Development",
            adds_to=_key,
            published=(CAO,),
        )
    )
