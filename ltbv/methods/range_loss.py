"""Range loss: pull a class's furthest images together, push the two nearest classes apart (Zhang et al., ICCV 2017,
arXiv 1611.08976).

    cross-entropy + weight (intra + inter)
    intra    mean over the classes with a pair in the batch of 2 / (1/d_1 + 1/d_2), d_1, d_2 the class's two largest
             distances (d_1 where it has one pair only)
    inter    max(0, margin - the smallest distance between two classes' centres in the batch)

Distances are squared, of feature vectors brought to length 1, so they lie within 0 and 4; weight 0.1, margin 1. The
paper was written for faces: vectors of any length, a margin of 2e4, the sum over classes, batches with many images of
few classes. Length, weight and margin are ours, and not tuned; batches are those of every other method here, so a class
with one image in a batch feels the centres' term only.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import Method, Moment, OutputObjective, Stage
from ltbv.methods.objective import added
from ltbv.methods.registry import register
from ltbv.models.experts import Output


def range_loss(features: Tensor, labels: Tensor, classes: int, margin: float = 1.0) -> Tensor:
    """intra + inter of one batch, from features [B, D] and labels [B]; scalar. Formulas in the module's docstring."""
    directions = F.normalize(features, dim=-1)
    distances = _squared_distances(directions)
    order = torch.arange(len(labels), device=labels.device)
    is_pair = (labels.unsqueeze(1) == labels) & (order.unsqueeze(1) < order)
    # A class's two largest are among the two largest of its rows; a column more, for a batch of one image.
    furthest = F.pad(torch.where(is_pair, distances, 0.0), (0, 1)).topk(2, dim=1).values
    members = F.one_hot(labels, classes).T.to(directions.dtype)  # [C, B]
    of_class = torch.where(members.unsqueeze(-1) > 0, furthest, 0.0).flatten(1).topk(2, dim=1).values
    first, second = of_class.clamp(min=1e-6).unbind(1)
    harmonic = torch.where(of_class[:, 1] > 0, 2 / (1 / first + 1 / second), of_class[:, 0])
    paired = (is_pair.any(1).to(members.dtype) @ members.T) > 0
    intra = (harmonic * paired).sum() / paired.sum().clamp(min=1)

    size = members.sum(1)
    centres = members @ directions / size.clamp(min=1).unsqueeze(1)
    both = (size.unsqueeze(1) > 0) & (size > 0) & ~torch.eye(classes, dtype=torch.bool, device=labels.device)
    nearest = torch.where(both, _squared_distances(centres), torch.inf).amin()
    return intra + F.relu(margin - nearest)


def _squared_distances(points: Tensor) -> Tensor:
    squares = points.square().sum(-1)
    return (squares.unsqueeze(1) + squares - 2 * points @ points.T).clamp(min=0)


@dataclass(frozen=True)
class RangeObjective(OutputObjective):
    """Cross-entropy + weight * `range_loss`, for each expert, added up."""

    weight: float = 0.1
    margin: float = 1.0
    beyond_head = "moves features"

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        return added(
            cross_entropy(logits, labels).mean() + self.weight * range_loss(features, labels, len(counts), self.margin)
            for logits, features in zip(output.logits, output.features, strict=True)
        )


RANGE_LOSS = register(
    Method(
        "range_loss",
        "Range loss",
        stages=(Stage("representation", RangeObjective()),),
        paper="Zhang et al., ICCV 2017, arXiv 1611.08976",
        summary="cross-entropy; a class's furthest images pulled together, nearest classes pushed apart",
        about=__doc__,
        kind="Loss",
        adds_to="ce",
        unpublished="its authors' are for faces",
    )
)
