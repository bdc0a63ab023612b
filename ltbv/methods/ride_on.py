"""RIDE as a framework: three experts with diversity, on other methods (Wang et al., ICLR 2021, Figure 3).

    ride_ce, ride_focal                 plain heads, the loss of each expert, diversity; no class weights, T_k = 1
    ride_crt, ride_lws, ride_tau_norm   ride_ce's network, then cRT, LWS or tau-norm on each expert's head

`ride` itself is RIDE on LDAM-DRW. The released code has no switch for these (its CE path cannot be reached from its
settings); cRT's length is that of `decoupling`. `--protocol paper` has RIDE's configuration with the loss
exchanged, as the authors say; what they trained the second stage of cRT and LWS with is not known, so it refuses these.
ride_ce's network is trained once for all that stand on it.
"""

from ltbv.methods.base import Loss, Method, Stage, Sum
from ltbv.methods.decoupling import TauNorm, rescaled, retrained
from ltbv.methods.registry import register
from ltbv.methods.ride import BASE_LOSSES, PAPER, RECIPE, Diversity
from ltbv.models.experts import Net


def unweighted(base_loss: str) -> Stage:
    """Three experts with linear heads and a loss without class weights."""
    return Stage("experts", Sum((Loss(BASE_LOSSES[base_loss]), Diversity(by_class=0.0))), net=Net(experts=3))


ON_CE = unweighted("cross_entropy")

LOST = "the released code has none for the second stage, and its authors have not kept theirs"

for _key, _label, _stages, _posthoc in (
    ("ce", "CE", (ON_CE,), None),
    ("focal", "Focal", (unweighted("focal"),), None),
    ("crt", "cRT", (ON_CE, retrained(ON_CE)), None),
    ("lws", "LWS", (ON_CE, rescaled(ON_CE)), None),
    ("tau_norm", "tau-norm", (ON_CE,), TauNorm()),
):
    register(
        Method(
            f"ride_{_key}",
            f"RIDE on {_label}",
            stages=_stages,
            posthoc=_posthoc,
            paper=PAPER,
            summary=f"three diverse experts, {_label} each",
            about=__doc__,
            kind="RIDE on others",
            adds_to=_key,
            published=(RECIPE,) if len(_stages) == 1 else (),
            unpublished="" if len(_stages) == 1 else LOST,
        )
    )
