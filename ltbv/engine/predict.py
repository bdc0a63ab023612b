"""What does a trained stack say of the test set? Logits of every run, and the few numbers that statistics need."""

from typing import NamedTuple

import numpy as np
import torch

from ltbv.data.readers import Reader
from ltbv.engine.device import precision
from ltbv.methods.base import Answer, Rule
from ltbv.models.experts import Experts

MOST_EXPERT_LOGITS = 3_000_000  # E N C of a run, kept without being asked for: three experts on CIFAR-100, 6 MB


class Predictions(NamedTuple):
    """Float32 logits [R, N, C] by the method's rule; the experts asked [R, N] where the rule chooses among them; and
    float32 expert_logits [R, E, N, C] where it takes their mean and they are wanted."""

    logits: np.ndarray
    experts_used: np.ndarray | None = None
    expert_logits: np.ndarray | None = None


def wants_experts(asked: bool | None, experts: int, points: int, classes: int) -> bool:
    """Are the logits of each expert to be kept? As asked; None: where a run has few."""
    return experts * points * classes <= MOST_EXPERT_LOGITS if asked is None else asked


@torch.no_grad()
def predict(
    network: Experts, test: Reader, rule: Rule, *, block: int = 250, experts: bool | None = False
) -> Predictions:
    """What a stack answers to the whole test set; `experts`: also what each of them says, see `wants_experts`."""
    network.eval()
    held = (*network.parameters(), *network.buffers())  # class means on features are buffers alone
    dtype = next(values.dtype for values in held if values.is_floating_point())
    logits: list[torch.Tensor] = []
    asked: list[torch.Tensor | None] = []
    each: list[torch.Tensor | None] = []
    for start in range(0, len(test), block):
        with precision(test.device, dtype):
            answer = Answer(*rule(network, test.block(slice(start, start + block), network.runs)))
        said = answer.expert_logits
        if said is not None and not wants_experts(experts, said.shape[1], len(test), said.shape[3]):
            said = None
        logits.append(answer.logits.cpu().float())
        asked.append(None if answer.experts_used is None else answer.experts_used.cpu())
        each.append(None if said is None else said.cpu().float())
    return Predictions(torch.cat(logits, 1).numpy(), _joined(asked, 1), _joined(each, 2))


def _joined(blocks: list[torch.Tensor | None], axis: int) -> np.ndarray | None:
    """All blocks, if every one of them says something."""
    known = [block for block in blocks if block is not None]
    return torch.cat(known, axis).numpy() if len(known) == len(blocks) else None


def record(
    logits: np.ndarray,
    labels: np.ndarray,
    experts_used: np.ndarray | None = None,
    keep_logits: bool = True,
    expert_logits: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """What is kept of one run, from its float32 logits [N, C], the test labels [N], the experts asked [N] and what each
    of them says [E, N, C].

    label      uint16/32, argmax before any cast (float16 makes false ties)
    p_true     softmax probability of the true class
    negative   the class other than the true one with the largest probability, and
    p_negative that probability: the hardest negative
    lse        log sum exp of the logits
    sum_p2     sum of squared probabilities
    logits     float16, or float32 where one is too large for that; if they are to be kept
    experts_used   uint8, where a rule chose among experts
    expert_logits  [E, N, C], as the logits, whose terms they are: `logits` are their mean
    """
    points = np.arange(len(labels))
    wide = logits.astype(np.float64)
    lse = np.logaddexp.reduce(wide, axis=1)
    probability = np.exp(wide - lse[:, None])
    others = logits.copy()
    others[points, labels] = -np.inf
    negative = others.argmax(1)
    small = np.uint16 if logits.shape[1] <= 2**16 else np.uint32
    asked = {} if experts_used is None else {"experts_used": experts_used.astype(np.uint8)}
    kept = {"logits": logits} | ({} if expert_logits is None else {"expert_logits": expert_logits})
    return asked | {
        "label": logits.argmax(1).astype(small),
        "p_true": probability[points, labels].astype(np.float32),
        "negative": negative.astype(small),
        "p_negative": probability[points, negative].astype(np.float32),
        "lse": lse.astype(np.float32),
        "sum_p2": (probability**2).sum(1).astype(np.float32),
        **({name: _halved(values) for name, values in kept.items()} if keep_logits else {}),
    }


def _halved(logits: np.ndarray) -> np.ndarray:
    """Float16, or as they are where one is too large for that."""
    return logits.astype(np.float16 if np.abs(logits).max() < np.finfo(np.float16).max else np.float32)
