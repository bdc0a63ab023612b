"""RIDE: several diverse experts that share their first layers (Wang et al., ICLR 2021, arXiv 2010.01809).

Experts of three quarters the width, each with a head and a loss of its own (the losses are summed, not averaged), and a
diversity term that rewards experts for disagreeing, more so on rare classes; the mean of their logits answers. The loss
is LDAM with deferred re-weighting on cosine heads, unless another is named.

Paper and released code differ in the diversity term, and both forms are here:

    pairwise (paper, eq. 3-4)   1 / (E - 1) sum_{j != i} KL(p_i || p_j)
                                T_k = T (psi_k + 1 - max psi)
    mean (released code)        Tbar^2 KL(pbar || p_i), pbar = softmax of the mean logits, no gradient through pbar
                                T_k = T psi_k / max psi, Tbar their mean

    with p_i = softmax(z_i / T_k) class by class and psi_k = gamma C n_k / n + 1 - gamma, gamma = 0.05.

The temperatures and the class weights (effective number, beta 0.9999) hold from the switch epoch (80 % of training) on,
as in the code; before it T_k = T = 1. `ride` takes the mean form with weight 0.45. A diversity weight of 0 means no
diversity term (in the released code it silently means another loss); `distribution_aware=False` keeps T_k = T.

    ride_2_one_temperature   diversity with T_k = T throughout, the ablation's first row
    ride_routed   a second stage trains routers that ask further experts only where needed: see `routing`
    ride_distil   a teacher of six experts, trained as `ride_6`, in evaluation mode:
                  + T^2 KL(softmax(teacher's mean logits / T) || softmax(student's / T)), T = 1.5, counted once (the
                  released code counts it, and the whole loss, once for each expert, and leaves the teacher's batch norm
                  in training mode)
    ride_ce, ...  RIDE on another method: see `ride_on`

Published settings (`--protocol paper`) are those of the released configurations for CIFAR-100; there are none for
CIFAR-10. The student's warm-up of 20 epochs is theirs, where the loss is several times as large.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ltbv.errors import unknown
from ltbv.losses import ExampleLoss, cross_entropy, focal, ldam
from ltbv.methods.base import Loss, Method, Moment, OutputObjective, Stage, Sum, mean
from ltbv.methods.published import CROPS, DROPS, USUAL, Published
from ltbv.methods.registry import register
from ltbv.methods.routing import ROUTED, routing
from ltbv.models.experts import Net, Output
from ltbv.models.parts import COSINE
from ltbv.optimisers import SGD
from ltbv.schedules import Cosine, Number, Step, Warmup

BETA = 0.9999
SWITCH = 0.8
SWITCHED = Step(0.0, 1.0, at=SWITCH)
PAPER = "Wang et al., ICLR 2021, arXiv 2010.01809"
BASE_LOSSES: dict[str, ExampleLoss] = {"ldam": ldam, "cross_entropy": cross_entropy, "focal": focal}


def ride_loss(
    expert_logits: Tensor,
    labels: Tensor,
    counts: Tensor,
    *,
    reweighted: bool,
    base_loss: str = "ldam",
    diversity: str = "mean",
    diversity_weight: float = 0.45,
    distribution_aware: bool = True,
    gamma: float = 0.05,
    temperature: float = 1.0,
    max_margin: float = 0.5,
    scale: float = 30.0,
) -> Tensor:
    """sum_i [ loss(z_i) - diversity_weight * D_i ] for one run; scalar.

    expert_logits [E, B, C] as the heads give them (for LDAM cosine heads, already times the scale), labels [B], counts
    [C]. `reweighted`: class weights (effective number, beta 0.9999) and, if `distribution_aware`, class temperatures
    are on. A positive `diversity_weight` rewards diversity; `max_margin` and `scale` are LDAM's. Formulas in the
    module's docstring; Wang et al., 2021.
    """
    loss = _named(base_loss)
    if base_loss == "ldam":
        loss = partial(ldam, max_margin=max_margin, scale=scale)
    terms = (
        Loss(loss, beta=BETA if reweighted else 0.0),
        Diversity(diversity, diversity_weight, float(reweighted and distribution_aware), gamma, temperature),
    )
    now = Moment(0, 1, counts.unsqueeze(0))
    return Sum(terms).of_run(Output(expert_logits, expert_logits), labels, counts, now)


def _named(name: str) -> ExampleLoss:
    if name not in BASE_LOSSES:
        raise unknown("base loss", name, BASE_LOSSES)
    return BASE_LOSSES[name]


def class_share(counts: Tensor, gamma: float) -> Tensor:
    """psi_k = gamma C n_k / n + 1 - gamma; [C] float64, mean 1, larger for larger classes."""
    counts = counts.double()
    return gamma * counts.shape[-1] * counts / counts.sum(-1, keepdim=True) + 1 - gamma


def mean_diversity(logits: Tensor, counts: Tensor, by_class: bool, gamma: float, temperature: float) -> Tensor:
    """sum_i Tbar^2 KL(pbar || p_i), mean over the batch; scalar."""
    share = class_share(counts, gamma)
    per_class = temperature * (share / share.amax() if by_class else torch.ones_like(share)).to(logits.dtype)
    consensus = torch.log_softmax(logits.mean(0) / per_class, -1).detach()
    divergence = consensus.exp() * (consensus - torch.log_softmax(logits / per_class, -1))
    return per_class.mean() ** 2 * divergence.sum(-1).mean(-1).sum()


def pairwise_diversity(logits: Tensor, counts: Tensor, by_class: bool, gamma: float, temperature: float) -> Tensor:
    """sum_i 1 / (E - 1) sum_{j != i} KL(p_i || p_j), mean over the batch; scalar."""
    share = class_share(counts, gamma)
    per_class = temperature * (share + 1 - share.amax() if by_class else torch.ones_like(share)).to(logits.dtype)
    log_p = torch.log_softmax(logits / per_class, -1)
    divergence = log_p.exp().unsqueeze(1) * (log_p.unsqueeze(1) - log_p.unsqueeze(0))  # [E, E, B, C], 0 where i = j
    return divergence.sum(-1).mean(-1).sum() / (len(logits) - 1)


DIVERSITIES = {"mean": mean_diversity, "pairwise": pairwise_diversity}


@dataclass(frozen=True)
class Diversity(OutputObjective):
    """- weight * D, D summed over a run's experts; nothing where the weight is 0 or there is one expert.

    form         'mean' or 'pairwise'
    by_class     1 while each class has a temperature of its own, 0 while all have `temperature`; may be a schedule
    gamma        how far the temperatures of classes lie apart
    """

    form: str = "mean"
    weight: float = 0.45
    by_class: Number = SWITCHED
    gamma: float = 0.05
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.form not in DIVERSITIES:
            raise unknown("form of diversity", self.form, DIVERSITIES)

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        if self.weight == 0 or len(output.logits) == 1:
            return output.logits.new_zeros(())
        by_class = bool(now.value(self.by_class))
        return -self.weight * DIVERSITIES[self.form](output.logits, counts, by_class, self.gamma, self.temperature)


@dataclass(frozen=True)
class Distillation(OutputObjective):
    """weight T^2 KL(softmax(teacher / T) || softmax(student / T)), both of mean logits.

    The teacher is the first network of the stage's `given`. Hinton et al., "Distilling the knowledge", 2015.
    """

    temperature: float = 1.5
    weight: float = 1.0

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        teacher, student = (torch.log_softmax(of.logits.mean(0) / self.temperature, -1) for of in (given[0], output))
        divergence = (teacher.exp() * (teacher - student)).sum(-1).mean()
        return self.weight * self.temperature**2 * divergence


DEFERRED = (Loss(ldam, beta=Step(0.0, BETA, at=SWITCH)), Diversity())  # LDAM-DRW of each expert, and diversity


def first_stage(number: int) -> Stage:
    """RIDE's first stage."""
    return Stage("experts", Sum(DEFERRED), net=Net(experts=number, head=COSINE))


# Their augmentation turns images by up to 15 degrees, which no other method's does. Routers and students have others.
WITH = USUAL.but(weight_decay=5e-4, optimiser=SGD(), augmentation=replace(CROPS, rotate=15.0))
ROUTERS = WITH.but(epochs=5, batch=512, learning_rate=Cosine(0.01))
CONFIGURATIONS = "the configurations of Wang et al. (RIDE, 2021)"
RECIPE = Published(CONFIGURATIONS, ("cifar100-lt",), WITH, stages=(("router", ROUTERS),))
STUDENT = replace(RECIPE, stages=(("experts", WITH.but(learning_rate=Warmup(DROPS, warmup=20))), *RECIPE.stages))

TEACHER = replace(first_stage(6), name="teacher")


def distilled(number: int) -> tuple[Stage, ...]:
    """The teacher, and experts that learn from it."""
    return TEACHER, replace(first_stage(number), objective=Sum((*DEFERRED, Distillation())), given=(TEACHER.name,))


def _register(key: str, number: int, stages: tuple[Stage, ...], with_: str = "", adds_to: str = "ldam_drw") -> Method:
    return register(
        Method(
            key,
            f"RIDE ({number} experts)" + (f" + {with_}" if with_ else ""),
            stages=stages,
            predict=ROUTED if stages[-1].net.chooses else mean,
            paper=PAPER,
            summary=f"{number} diverse LDAM-DRW experts that share their first layers"
            + (f"; {with_}" if with_ else ""),
            about=__doc__,
            kind="RIDE",
            adds_to=adds_to,
            family="" if with_ else "RIDE",
            published=(STUDENT if TEACHER in stages else RECIPE,),
        )
    )


for _number in (2, 3, 4, 6):
    _key = "ride" if _number == 3 else f"ride_{_number}"
    _register(_key, _number, (first_stage(_number),))
    if _number < 6:
        _register(f"{_key}_routed", _number, (first_stage(_number), routing(first_stage(_number))), "routing", _key)
for _number in (2, 3, 4):
    _key, _stages = "ride" if _number == 3 else f"ride_{_number}", distilled(_number)
    _register(f"{_key}_distil", _number, _stages, "distillation", _key)
    _register(
        f"{_key}_distil_routed", _number, (*_stages, routing(_stages[1])), "distillation, routing", f"{_key}_distil"
    )
_alike = replace(first_stage(2), objective=Sum((DEFERRED[0], Diversity(by_class=0.0))))
_register("ride_2_one_temperature", 2, (_alike,), "one temperature for all classes")
