"""Decoupling: train the representation as usual, then mend the classifier (Kang et al., ICLR 2020, arXiv 1910.09217).

    cRT        the classifier is drawn anew and trained alone, class-balanced
    LWS        z_k <- f_k z_k, the factors f (1 at first) trained alone, class-balanced; classifier and bias stay
    tau-norm   w_k <- w_k / |w_k|^tau, bias 0, nothing trained; tau = 1: choosing it needs data that are neither
               training nor test
    NCM        the class whose mean feature is nearest: features less their mean over all images, of length 1, class
               means of those ('cl2n', the authors' default)

Class-balanced is a class drawn uniformly, then its next image, n times an epoch. The authors' sampler goes through the
classes in turn and gives four images of each; it offers n_max C of them, but their loop stops after n, as ours does.

The authors' code lets the frozen network's batch-norm statistics go on adapting during cRT and LWS; we freeze them with
the rest, as RIDE's re-implementation does. The length of cRT and LWS on CIFAR is unpublished: a tenth of the
representation's epochs, learning rate 0.1 with a cosine, is ours. All of these stand on CE's network, trained once. For
`--protocol paper` cRT, LWS and tau-norm have the only whole recipe that was published for CIFAR under their names, that
of Zhang et al. (Bag of Tricks, AAAI 2021).

    crt_decay  cRT whose classifier has ten times the weight decay, 5e-3: a variant of ours, not the authors'. Less
               fitting of the classifier moves accuracy from the many-shot classes to the few-shot ones.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbv.data.batches import Feed
from ltbv.data.samplers import CLASS_BALANCED
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.published import BAG_OF_TRICKS
from ltbv.methods.registry import register
from ltbv.models.experts import Experts
from ltbv.models.parts import Part, Shape
from ltbv.models.stack import NEVER, Layer, Linear
from ltbv.schedules import Cosine

PAPER = "Kang et al., ICLR 2020, arXiv 1910.09217"
BLOCK = 250  # images at once


def retrained(stage: Stage, weight_decay: float | None = None) -> Stage:
    """cRT's second stage, after any first one: new heads, trained alone; at a weight decay of their own if told."""
    return Stage(
        "classifier",
        Loss(cross_entropy),
        net=stage.net,
        start=stage.name,
        reset=("heads",),
        train=("heads",),
        sampler=(CLASS_BALANCED,),
        epochs=0.1,
        learning_rate=Cosine(0.1),
        weight_decay=weight_decay,
    )


def rescaled(stage: Stage) -> Stage:
    """LWS's second stage, after any first one: a factor for each class, trained alone."""
    return replace(retrained(stage), name="scales", net=stage.net.plus(Scales()), reset=(), train=("scales",))


class Scale(Layer):
    """Each class's logit times a factor of its own, 1 at first: [K, B, C] -> the same shape (LWS, Kang et al.,
    2020)."""

    def __init__(self, copies: int, classes: int):
        super().__init__()
        self.copies = copies
        self.weight = nn.Parameter(torch.ones(copies, classes))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        del generator
        self._fill(self.weight, copy, 1.0)

    def forward(self, logits: Tensor) -> Tensor:
        return logits * self.weight.unsqueeze(1)


@dataclass(frozen=True)
class Scales(Part):
    """A factor for each class's logit."""

    name = "scales"
    at = "logits"

    def build(self, shape: Shape) -> Scale:
        return Scale(shape.copies, shape.classes)


@dataclass(frozen=True)
class TauNorm:
    """w_k <- w_k / |w_k|^tau, bias <- 0, in each head of each run."""

    tau: float = 1.0

    def __call__(self, network: Experts, feed: Feed) -> None:
        del feed
        if not isinstance(network.heads, Linear):
            raise Refusal("tau-norm brings the vectors of linear heads to length 1; these are cosine heads, which are")
        weight: Tensor = network.heads.weight
        weight /= weight.norm(dim=-1, keepdim=True) ** self.tau
        network.heads.bias.zero_()


class NearestMean(Layer):
    """2 f'.c_k - |c_k|^2 with f' = (f - m) / |f - m|: [K, B, D] -> [K, B, C], the nearer the mean c_k, the larger.

    It differs from -|f' - c_k|^2 by |f'|^2 = 1, the same for all classes. Not trained: `mean` [K, D] and `centres`
    [K, C, D] are filled from features; a class with no centre (NaN) is never nearest. Nearest class mean, 'cl2n' of
    Kang et al., 2020.
    """

    mean: Tensor
    centres: Tensor

    def __init__(self, mean: Tensor, centres: Tensor):
        super().__init__()
        self.copies = len(mean)
        self.register_buffer("mean", mean)
        self.register_buffer("centres", centres)

    def forward(self, x: Tensor) -> Tensor:
        centred = F.normalize(x - self.mean.unsqueeze(1), dim=-1)
        squares = self.centres.square().sum(-1).unsqueeze(1)
        logits = 2 * torch.bmm(centred, self.centres.transpose(1, 2)) - squares
        none = self.centres.isnan().all(-1).unsqueeze(1) & centred.isfinite().all(-1, keepdim=True)
        return torch.where(none, NEVER, logits)  # of features that are not finite themselves, nothing is hidden


def nearest_class_mean(network: Experts, feed: Feed) -> None:
    """Each head becomes `NearestMean` of the features of its run's training images, unaugmented."""
    features = torch.cat([network(batch.images).features for batch in feed.plain(BLOCK)], 2).flatten(0, 1)
    labels = torch.as_tensor(feed.labels).to(features.device).repeat_interleave(network.experts, 0)
    overall = features.mean(1)
    directions = F.normalize(features - overall.unsqueeze(1), dim=-1)
    members = F.one_hot(labels, feed.counts.shape[1]).to(features.dtype)
    centres = members.transpose(1, 2) @ directions / members.sum(1).unsqueeze(-1)  # NaN for a class without images
    network.heads = NearestMean(overall, centres)


CRT = register(
    Method(
        "crt",
        "cRT",
        stages=(REPRESENTATION, retrained(REPRESENTATION)),
        paper=PAPER,
        summary="CE's network, classifier trained anew with class-balanced sampling",
        about=__doc__,
        kind="Decoupling",
        published=(BAG_OF_TRICKS,),
        adds_to="ce",
    )
)

CRT_DECAY = register(
    Method(
        "crt_decay",
        "cRT, more decay",
        stages=(REPRESENTATION, retrained(REPRESENTATION, weight_decay=5e-3)),
        paper="ours, after " + PAPER,
        summary="cRT with ten times the weight decay on the classifier",
        about=__doc__,
        kind="Decoupling",
        adds_to="crt",
        unpublished="it is a variant of this package, in no paper",
    )
)

LWS = register(
    Method(
        "lws",
        "LWS",
        stages=(REPRESENTATION, rescaled(REPRESENTATION)),
        paper=PAPER,
        summary="CE's network, a factor for each class's logit trained with class-balanced sampling",
        about=__doc__,
        kind="Decoupling",
        published=(BAG_OF_TRICKS,),
        adds_to="ce",
    )
)

TAU_NORM = register(
    Method(
        "tau_norm",
        "tau-norm",
        stages=(REPRESENTATION,),
        posthoc=TauNorm(),
        paper=PAPER,
        summary="CE's network, class vectors brought to equal length",
        about=__doc__,
        kind="Decoupling",
        published=(BAG_OF_TRICKS,),
        adds_to="ce",
    )
)

NCM = register(
    Method(
        "ncm",
        "NCM",
        stages=(REPRESENTATION,),
        posthoc=nearest_class_mean,
        paper=PAPER,
        summary="CE's network, the class whose mean feature is nearest",
        about=__doc__,
        kind="Decoupling",
        adds_to="ce",
        unpublished="its authors have none for CIFAR",
    )
)
