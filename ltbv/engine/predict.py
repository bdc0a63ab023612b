"""What does a trained stack say of the test set? Logits of every run, and the few numbers that statistics need."""

import numpy as np
import torch

from ltbv.data.readers import Reader
from ltbv.engine.device import precision
from ltbv.methods.base import Answer, Rule
from ltbv.models.experts import Experts


@torch.no_grad()
def predict(network: Experts, test: Reader, rule: Rule, *, block: int = 250) -> tuple[np.ndarray, np.ndarray | None]:
    """Float32 logits [R, N, C] by the method's rule, and the experts asked [R, N] where the rule chooses among them."""
    network.eval()
    held = (*network.parameters(), *network.buffers())  # class means on features are buffers alone
    dtype = next(values.dtype for values in held if values.is_floating_point())
    answers = []
    for start in range(0, len(test), block):
        with precision(test.device, dtype):
            logits, used = Answer(*rule(network, test.block(slice(start, start + block), network.runs)))
        answers.append(Answer(logits.cpu(), None if used is None else used.cpu()))
    whole = torch.cat([answer.logits.float() for answer in answers], 1).numpy()
    asked = [answer.experts_used for answer in answers if answer.experts_used is not None]
    return whole, torch.cat(asked, 1).numpy() if len(asked) == len(answers) else None


def record(
    logits: np.ndarray, labels: np.ndarray, experts_used: np.ndarray | None = None, keep_logits: bool = True
) -> dict[str, np.ndarray]:
    """What is kept of one run, from its float32 logits [N, C], the test labels [N] and the experts asked [N].

    label      uint16/32, argmax before any cast (float16 makes false ties)
    p_true     softmax probability of the true class
    negative   the class other than the true one with the largest probability, and
    p_negative that probability: the hardest negative
    lse        log sum exp of the logits
    sum_p2     sum of squared probabilities
    logits     float16, or float32 where one is too large for that; if they are to be kept
    experts_used   uint8, where a rule chose among experts
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
    kept = {"logits": logits.astype(np.float16 if np.abs(logits).max() < np.finfo(np.float16).max else np.float32)}
    return asked | {
        "label": logits.argmax(1).astype(small),
        "p_true": probability[points, labels].astype(np.float32),
        "negative": negative.astype(small),
        "p_negative": probability[points, negative].astype(np.float32),
        "lse": lse.astype(np.float32),
        "sum_p2": (probability**2).sum(1).astype(np.float32),
        **(kept if keep_logits else {}),
    }
