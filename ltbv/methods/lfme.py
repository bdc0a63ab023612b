"""LFME: experts of many, medium and few teach one student, each as long as it knows more (Xiang et al., ECCV 2020,
arXiv 2001.01536).

    loss  CE(f z, y) + sum_g w_g KD_g
    KD_g  mean over the batch of KL(softmax(t_g / T) || softmax(f z[g] / T)),  T = 2, z[g] the classes of group g
    w_g   1 while acc_S < 0.3 acc_E, else max(0, (acc_E - acc_S) / (0.7 acc_E)): self-paced
    f     of each image, start + (1 - start) min(1, 2 e / epochs), e from 1: curriculum
    start u (1 - s_g) + s_g: u the expert's probability of the image's label, from 0 to 1 within its class; s_g the mean
          class size of the smallest group / that of g

The expert of a group is a network of its own, trained on the images of its classes alone, among these; in one stage,
each expert with batches of its own. acc_E is its accuracy among its classes, acc_S the student's among all, after its
last epoch (0 at first), on development images, ten of each class from outside the sample. The student, drawn anew, is
trained class-balanced, and answers alone.

Where paper and released code differ we follow the code: factors scale logits, in both terms, and drop no image; no T^2.
In the code f grows beyond 1 after half of the epochs, against its own comment: here it stays. The threshold is the
code's 0.3. All networks are of the common protocol (the code has ResNet-10, 120 and 90 epochs). Ours too: u is 1 in a
class of one image or of equal ones (0/0 in the code); a group without classes, or whose classes a run has lost, has an
expert that is trained on all images and not asked; where fewer than two of many, medium and few have classes, thirds of
the classes are the groups.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ltbv.data.batches import Batch, Feed
from ltbv.data.development import PER_CLASS
from ltbv.data.samplers import CLASS_BALANCED, OfGroup
from ltbv.losses import cross_entropy
from ltbv.methods.base import Losses, Method, Moment, Net, Objective, Stage
from ltbv.methods.objective import Groups, added, right
from ltbv.methods.registry import register
from ltbv.models.experts import Experts
from ltbv.models.stack import NEVER

GROUPS = ("many", "medium", "few")  # expert e is that of group e
BLOCK = 250  # images at once


def expert_weight(student: float, expert: float, threshold: float = 0.3) -> float:
    """w of one expert, from its accuracy among its classes and the student's among all: 1 while the student is below
    `threshold` times the expert, then falling, 0 from where it is as good. Of an expert that is never right, 0."""
    if expert <= 0:
        return 0.0
    if student < threshold * expert:
        return 1.0
    return max(0.0, (expert - student) / expert / (1 - threshold))


def distilled_loss(
    logits: Tensor,
    labels: Tensor,
    experts: Sequence[Tensor],
    groups: Sequence[Tensor | Sequence[int]],
    weights: Sequence[float | Tensor] | Tensor,
    factors: Tensor,
    temperature: float = 2.0,
) -> Tensor:
    """CE(f z, y) + sum_g w_g KD_g of one run; scalar. Formulas in the module's docstring.

    logits [B, C] of the student, labels [B], factors [B]; of each group an expert's logits [B, C_g], class ids [C_g]
    and a weight.
    """
    scaled = factors.unsqueeze(-1) * logits
    loss = cross_entropy(scaled, labels).mean()
    for of_expert, ids, weight in zip(experts, groups, weights, strict=True):
        teacher, student = (F.log_softmax(z / temperature, -1) for z in (of_expert, scaled[:, ids]))
        loss = loss + weight * (teacher.exp() * (teacher - student)).sum(-1).mean()
    return loss


def start_factors(confidence: Tensor, labels: Tensor, share: Tensor) -> Tensor:
    """u (1 - s) + s of each image, [..., n]: from its expert's probability of its label [..., n], labels [..., n], and
    s [..., C] of its class's group. u is 1 where all images of a class have the same probability."""
    least, most = (
        torch.full_like(share, start).scatter_reduce(-1, labels, confidence, how).gather(-1, labels)
        for start, how in ((torch.inf, "amin"), (-torch.inf, "amax"))
    )
    span = most - least
    u = torch.where(span > 0, (confidence - least) / torch.where(span > 0, span, 1), 1)
    s = share.gather(-1, labels)
    return u * (1 - s) + s


def growth(epoch: int, epochs: int) -> float:
    """How far factors have grown to 1: 2 e / epochs, epoch = e - 1 from 0, at most 1."""
    return min(1.0, 2 * (epoch + 1) / epochs)


def group_shares(counts: Tensor, groups: Groups) -> Tensor:
    """s of each class, [..., C] from counts [..., C]: mean images of a class of the last group that has classes / those
    of the class's group; 1 at most, and where neither has images."""
    ids = [list(group) for group in groups.values() if len(group)]
    shares = torch.ones(counts.shape, dtype=torch.float64, device=counts.device)
    smallest = counts[..., ids[-1]].double().mean(-1)
    for group in ids:
        mean = counts[..., group].double().mean(-1)
        shares[..., group] = (smallest / mean).nan_to_num(1.0).clamp(max=1.0).unsqueeze(-1)
    return shares


class Places(NamedTuple):
    """Which expert is whose.

    of_class   [C] the place of a class's group
    asked      [R, E] whether the run has images of the group
    outside    [R, E, C] the classes that an expert does not know; one that is not asked knows all
    """

    of_class: Tensor
    asked: Tensor
    outside: Tensor


def whose_classes(now: Moment) -> Places:
    """Of the runs of a moment."""
    member = torch.zeros(len(GROUPS), now.counts.shape[1], dtype=torch.bool, device=now.counts.device)
    for e, name in enumerate(GROUPS):
        member[e, list(now.groups[name])] = True
    asked = (now.counts.unsqueeze(1) * member).sum(-1) > 0
    return Places(member.int().argmax(0), asked, ~member & asked.unsqueeze(-1))


@dataclass(frozen=True)
class OfTheirGroup(Objective):
    """Cross-entropy of each expert among the classes of its group, on a batch of its own; added up."""

    batch_each = True

    def from_given(self, feed: Feed, given: tuple[Experts, ...], now: Moment) -> Mapping[str, Tensor]:
        return {"outside": whose_classes(now).outside}

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        logits = network([batch.images for batch in batches]).logits
        logits = logits.masked_fill(now.memory["outside"].unsqueeze(2), NEVER)
        each = [(logits[:, e], batch.labels) for e, batch in enumerate(batches)]
        losses = added(torch.vmap(cross_entropy)(*of).mean(1) for of in each)
        return Losses(losses, added(right(z.unsqueeze(1), labels) for z, labels in each) / len(each))


@dataclass(frozen=True)
class Taught(Objective):
    """`distilled_loss` with the experts of the first network of `given`, whose weights are found anew in every epoch.

    threshold, temperature   as in `expert_weight`, `distilled_loss`
    """

    threshold: float = 0.3
    temperature: float = 2.0

    def from_given(self, feed: Feed, given: tuple[Experts, ...], now: Moment) -> Mapping[str, Tensor]:
        own = [_experts_say(given[0], batch, now) for batch in feed.plain(BLOCK)]
        labels = torch.as_tensor(feed.labels).to(now.counts.device)
        confidence = torch.cat([F.softmax(z, -1) for z in own], 1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        share = group_shares(now.counts, now.groups).to(confidence.dtype)
        knows = _accuracies(feed, now, lambda batch: _experts_say(given[0], batch, now))
        ids = {
            name: torch.as_tensor(list(now.groups[name]), device=now.counts.device) for name in _filled(now).values()
        }
        return {"start": start_factors(confidence, labels, share), "accuracy": knows * whose_classes(now).asked, **ids}

    def each_epoch(self, network: Experts, feed: Feed, given: tuple[Experts, ...], now: Moment) -> Mapping[str, Tensor]:
        experts = now.memory["accuracy"]
        knows = _accuracies(feed, now, lambda batch: network(batch.images).logits[:, 0])
        pairs = zip((knows * (now.epoch > 0)).flatten().tolist(), experts.flatten().tolist(), strict=True)
        weights = torch.tensor([expert_weight(*pair, self.threshold) for pair in pairs], dtype=experts.dtype)
        return {"weights": weights.view_as(experts).to(experts.device)}

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        assert batch.positions is not None
        with torch.no_grad():
            experts = given[0](batch.images).logits
        output = network(batch.images)
        start = now.memory["start"].gather(1, batch.positions)
        factors = start + (1 - start) * now.dial(growth).to(start.dtype)
        filled = _filled(now)
        groups = [now.memory[name] for name in filled.values()]

        def of_run(logits: Tensor, labels: Tensor, experts: Tensor, weights: Tensor, factors: Tensor) -> Tensor:
            of_groups = [experts[e][:, ids] for e, ids in zip(filled, groups, strict=True)]
            asked = [weights[e] for e in filled]
            return distilled_loss(logits, labels, of_groups, groups, asked, factors, self.temperature)

        given_each = batch.labels, experts, now.memory["weights"], factors
        losses = torch.vmap(of_run)(output.logits[:, 0], *given_each)
        return Losses(losses, right(output.logits, batch.labels))


def _filled(now: Moment) -> dict[int, str]:
    """Places and names of the groups that have classes."""
    return {e: name for e, name in enumerate(GROUPS) if len(now.groups[name])}


def _experts_say(experts: Experts, batch: Batch, now: Moment) -> Tensor:
    """Logits [R, B, C] of each image, of the expert of its class's group, among its classes."""
    of_class, _, outside = whose_classes(now)
    logits = experts(batch.images).logits.masked_fill(outside.unsqueeze(2), NEVER)
    place = of_class[batch.labels][:, None, :, None].expand(-1, 1, -1, logits.shape[-1])
    return logits.gather(1, place).squeeze(1)


def _accuracies(feed: Feed, now: Moment, say: Callable[[Batch], Tensor]) -> Tensor:
    """The share of the development images of each group that logits [R, B, C] have right, [R, E]; 0 of an empty one."""
    of_class = whose_classes(now).of_class
    counted = [
        (say(batch).argmax(-1) == batch.labels, of_class[batch.labels]) for batch in feed.plain(BLOCK, held=True)
    ]
    hits, place = (torch.cat(of, 1) for of in zip(*counted, strict=True))
    member = F.one_hot(place, len(GROUPS)).double()
    return (hits.unsqueeze(-1) * member).sum(1) / member.sum(1).clamp(min=1)


EXPERTS = Stage(
    "experts",
    OfTheirGroup(),
    net=Net(experts=len(GROUPS), width=1.0, apart=True),
    sampler=tuple(OfGroup(name) for name in GROUPS),
    held=PER_CLASS,
)

LFME = register(
    Method(
        "lfme",
        "LFME",
        stages=(
            EXPERTS,
            Stage("student", Taught(), sampler=(CLASS_BALANCED,), given=(EXPERTS.name,), held=PER_CLASS),
        ),
        paper="Xiang et al., ECCV 2020, arXiv 2001.01536",
        summary="experts of many, medium and few teach one student, each as long as it knows more",
        about=__doc__,
        kind="Experts",
        adds_to="class_balanced",
        unpublished="the released code has none for CIFAR",
    )
)
