"""SAM, sharpness-aware minimisation: the gradient is taken where the loss near the weights is highest (Foret et al.,
ICLR 2021, arXiv 2010.01412), on long-tailed data with deferred re-weighting (Rangwani et al., NeurIPS 2022, arXiv
2212.13827).

    step on  d L(w + e) / dw,  e = rho g / |g|,  g = d L(w) / dw

|g| is the length of one run's gradient over all its weights. L is the loss of the batch, the same in both passes. rho
is 0.2 for `sam`, on cross-entropy, and 0.8 for `sam_drw`, on CE-DRW: Rangwani et al.'s for CIFAR-100-LT (0.1 and 0.5
for CIFAR-10-LT), who train as Cao et al. (LDAM) do.

Batch norm normalises by the batch in both passes. Its running statistics, by which the network answers, are moved by
the first pass alone, at the weights that stay; in the released code the second moves them too, at weights that nobody
keeps. Momentum and weight decay are of w. The loss that is told is the second pass's, the accuracy the first's. A step
takes twice the work of a plain one; the second pass is never in half precision.
"""

from dataclasses import dataclass

from ltbv.data.batches import Batch
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Losses, Method, Moment, Objective, OutputObjective, Stage
from ltbv.methods.ldam import DEFERRED
from ltbv.methods.objective import refuse_hooks, right
from ltbv.methods.published import USUAL, Published
from ltbv.methods.registry import register
from ltbv.models import virtual
from ltbv.models.experts import Experts

COMMANDS = Published("the commands of Rangwani et al. (2022)", ("cifar100-lt",), USUAL)


def check_radius(radius: float) -> None:
    """Refuse a radius that is none."""
    if not radius > 0:
        raise Refusal(f"an ascent of rho {radius!r}; give a length above 0")


@dataclass(frozen=True)
class SharpnessAware(Objective):
    """A loss at the weights `radius` up its gradient; see the module."""

    loss: OutputObjective
    radius: float

    looks_ahead = True

    def __post_init__(self) -> None:
        refuse_hooks(self.loss, "an ascent")
        check_radius(self.radius)

    def work(self) -> float:
        return 2.0

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        output = network(batch.images)
        up = virtual.uphill(network, self.loss.of_output(output, batch.labels, now))
        there = virtual.outputs(network, virtual.ascended(network, up, self.radius), batch.images)
        return Losses(self.loss.of_output(there, batch.labels, now), right(output.logits, batch.labels))


for _key, _label, _base, _loss, _radius in (
    ("sam", "SAM", "ce", Loss(cross_entropy), 0.2),
    ("sam_drw", "SAM, CE-DRW", "ce_drw", Loss(cross_entropy, beta=DEFERRED), 0.8),
):
    register(
        Method(
            _key,
            _label,
            stages=(Stage("representation", SharpnessAware(_loss, _radius)),),
            paper="Foret et al., ICLR 2021, arXiv 2010.01412; Rangwani et al., NeurIPS 2022, arXiv 2212.13827",
            summary=f"{_base.upper().replace('_', '-')} whose gradient is taken where the loss nearby is highest",
            about=__doc__,
            kind="Steps",
            adds_to=_base,
            published=(COMMANDS,),
        )
    )
