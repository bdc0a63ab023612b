"""What does one example cost? Losses of one run, per example; the caller weighs and reduces.

Every loss is `(logits [B, C] as the network gives them, labels [B], counts [C]) -> [B]`: pure, on any device, in any
precision. `counts` are the images of each class in that run's training set; a class the resample lost has 0.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ExampleLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (logits [B, C], labels [B], counts [C]) -> [B]


def cross_entropy(logits: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """-log softmax(z)_y; [B]."""
    del counts
    return F.cross_entropy(logits, labels, reduction="none")


def focal(logits: Tensor, labels: Tensor, counts: Tensor | None = None, gamma: float = 1.0) -> Tensor:
    """(1 - p_y)^gamma * -log p_y with p = softmax(z); [B]. Lin et al., Focal Loss, 2017, in the softmax form.

    A class weight multiplies the result. (Some published code computes p from the weighted loss; this does not.)
    """
    loss = cross_entropy(logits, labels, counts)
    missing = -torch.expm1(-loss)  # 1 - p_y; at 0 a power below 1 has an infinite slope, so it stops just short of it
    return missing.clamp(min=torch.finfo(loss.dtype).tiny) ** gamma * loss


def ldam(logits: Tensor, labels: Tensor, counts: Tensor, max_margin: float = 0.5, scale: float = 30.0) -> Tensor:
    """Cross-entropy of z - scale * m_y onehot(y); [B]. Cao et al., LDAM, 2019, eq. 13.

    m_k = max_margin * n_k^(-1/4) / max_j n_j^(-1/4): rarer classes must win by more. `logits` come from a cosine head
    and are already multiplied by its `scale`; on a plain linear head the margin would mean something else.
    """
    margins = ldam_margins(counts, max_margin).to(logits.dtype)
    return cross_entropy(logits - scale * margins * F.one_hot(labels, logits.shape[-1]), labels)


def ldam_margins(counts: Tensor, max_margin: float = 0.5) -> Tensor:
    """Margins [C] float64, the rarest class present has `max_margin`, a class without images 0."""
    present = counts > 0
    raw = torch.where(present, counts.clamp(min=1).double() ** -0.25, 0.0)
    return max_margin * raw / raw.amax(-1, keepdim=True)


def effective_number(counts: Tensor, beta: float) -> Tensor:
    """Class weights [C] float64 proportional to (1 - beta) / (1 - beta^n_k), summing to C. Cui et al., 2019, eq. 4.

    beta = 0 gives every class 1; beta -> 1 approaches 1 / n_k. A class without images gets 0, and the others share C.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta {beta!r} is outside [0, 1): (1 - beta) / (1 - beta^n) has no meaning there")
    return _shared_out(torch.where(counts > 0, (1 - beta) / (1 - beta ** counts.clamp(min=1).double()), 0.0))


def inverse_power(counts: Tensor, power: float = 1.0) -> Tensor:
    """Class weights [C] float64 proportional to n_k^-power, summing to C. A class without images gets 0."""
    return _shared_out(torch.where(counts > 0, counts.clamp(min=1).double() ** -power, 0.0))


def _shared_out(raw: Tensor) -> Tensor:
    """The same in proportion, [C], summing to C."""
    return raw * raw.shape[-1] / raw.sum(-1, keepdim=True)


def weighted_mean(
    losses: Tensor, labels: Tensor, weights: Tensor, by: str = "weights", shares: Tensor | None = None
) -> Tensor:
    """sum_i w_{y_i} l_i / sum_i w_{y_i} as in PyTorch's weighted mean, or (`by="batch"`) / B; scalar.

    shares   [B], how much of each loss counts in the sum above; the sum below stays
    """
    weight = weights.to(losses.dtype)[labels]
    counted = losses if shares is None else shares * losses
    return (weight * counted).sum() / (weight.sum() if by == "weights" else len(losses))


def balanced_softmax(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of z_k + log n_k; [B]. Ren et al., Balanced Meta-Softmax, 2020.

    The logit-adjusted loss of Menon et al., 2021, with tau = 1: log n_k and log pi_k differ by a constant. A class
    without images cannot be the answer.
    """
    return cross_entropy(logits + torch.log(counts.to(logits.dtype)), labels)


CONVEX = (cross_entropy, balanced_softmax)  # in the logits, so a linear head has one optimum with weight decay


def sigmoid_focal(logits: Tensor, labels: Tensor, counts: Tensor | None = None, gamma: float = 1.0) -> Tensor:
    """sum_k (1 - p_k)^gamma * -log p_k, p_k the probability that a sigmoid gives the right side of class k; [B].

    Lin et al., 2017, as class-balanced loss uses it (Cui et al., 2019): C questions, "is it class k?", for each image.
    """
    del counts
    right = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, right, reduction="none")
    missing = -torch.expm1(-loss)
    return (missing.clamp(min=torch.finfo(loss.dtype).tiny) ** gamma * loss).sum(-1)


def softened(logits: Tensor, labels: Tensor, smoothing: float | Tensor) -> Tensor:
    """-sum_k t_k log softmax(z)_k with t = 1 - eps + eps / C for the label and eps / C for the others; [B].

    smoothing   eps, a number or one for each image, [B]. Szegedy et al., "Rethinking the Inception architecture", 2016
    """
    log_p = torch.log_softmax(logits, -1)
    own = log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return -(1 - smoothing) * own - smoothing * log_p.mean(-1)
