"""What does a trained stack say of the test set? Logits of every run, and the few numbers that statistics need."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ltbv.answers import shaped
from ltbv.data.readers import Reader
from ltbv.data.undrawn import undrawn
from ltbv.engine.device import precision
from ltbv.errors import Refusal
from ltbv.guest import place
from ltbv.methods.base import Answer, Rule
from ltbv.models.experts import Experts

MOST_CLASSES = 1000  # with more of them, a run's logits are not kept without being asked for
TOP = 20  # classes whose logits are kept then
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


def wants_logits(asked: bool | None, classes: int) -> bool:
    """Are all logits to be kept? As asked; None: where there are few classes."""
    return classes <= MOST_CLASSES if asked is None else asked


def predict(
    network: Experts, test: Reader, rule: Rule, *, block: int = 250, experts: bool | None = False
) -> Predictions:
    """What a stack answers to the whole test set; `experts`: also what each of them says, see `wants_experts`."""
    blocks = list(answers(network, test, rule, block=block, experts=experts))
    logits = np.concatenate([one.logits for one in blocks], 1)
    return Predictions(logits, *(_joined([one[k] for one in blocks], axis) for k, axis in ((1, 1), (2, 2))))


@torch.no_grad()
def answers(
    network: Experts,
    test: Reader,
    rule: Rule,
    *,
    block: int = 250,
    experts: bool | None = False,
    classes: int | None = None,
) -> Iterator[Predictions]:
    """The same, so many test images after the other; refused where it is not of so many classes, if that is known."""
    network.eval()
    held = (*network.parameters(), *network.buffers())  # class means on features are buffers alone
    dtype = next(values.dtype for values in held if values.is_floating_point())
    for start in range(0, len(test), block):
        with precision(test.device, dtype):
            images = test.block(slice(start, start + block), network.runs)
            with undrawn(f"the rule {place(rule)}"):
                found = rule(network, images)
            answer = _checked(found, rule, (network.runs, len(images)), classes)
        said = answer.expert_logits
        if said is not None and not wants_experts(experts, said.shape[1], len(test), said.shape[3]):
            said = None
        yield Predictions(
            answer.logits.cpu().float().numpy(),
            None if answer.experts_used is None else answer.experts_used.cpu().numpy(),
            None if said is None else said.cpu().float().numpy(),
        )


def _checked(found: object, rule: Rule, of: tuple[int, int], classes: int | None) -> Answer:
    """What a rule gave, if it is an answer with logits of all runs, images (`of` so many) and classes."""
    who = f"the rule {place(rule)}"
    if not isinstance(found, tuple):
        raise Refusal(f"{who} gave a {type(found).__name__}; it has to give an Answer, of logits [R, B, C]")
    answer, shape = Answer(*found), getattr(found[0], "shape", ())
    wanted = (*of, *shape[2:3]) if classes is None else (*of, classes)
    if not isinstance(answer.logits, Tensor) or len(wanted) < 3 or tuple(shape) != wanted:
        said = f"logits of shape {tuple(shape)}" if hasattr(found[0], "shape") else f"a {type(answer.logits).__name__}"
        here = ", ".join(map(str, (*of, classes or "classes")))
        raise Refusal(f"{who} gave {said}; it has to give logits [R, B, C], here ({here})")
    if answer.experts_used is not None:
        shaped(answer.experts_used, of, who, "how many experts an image asked, [R, B]")
    if (each := answer.expert_logits) is not None:
        size = each.shape[1] if isinstance(each, Tensor) and each.ndim > 1 else 1
        shaped(each, (of[0], size, *answer.logits.shape[1:]), who, "logits of experts, [R, E, B, C]")
    return answer


def _joined(blocks: list[np.ndarray | None], axis: int) -> np.ndarray | None:
    """All blocks, if every one of them says something."""
    known = [block for block in blocks if block is not None]
    return np.concatenate(known, axis) if len(known) == len(blocks) else None


class Recorded(NamedTuple):
    """Of a run: what `record` keeps, and of how many test images the logits are not finite; of such a run nothing."""

    fields: dict[str, np.ndarray]
    diverged: int


def recorded(
    network: Experts,
    test: Reader,
    labels: np.ndarray,
    rule: Rule,
    slots: Collection[int],
    *,
    keep_logits: bool | None = None,
    experts: bool | None = None,
    block: int = 250,
    classes: int | None = None,
) -> dict[int, Recorded]:
    """What is kept of the runs at these places of a stack, see `answers`; of logits that are not, no more than a block
    is held."""
    parts: dict[int, list[dict[str, np.ndarray]]] = {slot: [] for slot in slots}
    diverged, start = dict.fromkeys(slots, 0), 0
    for one in answers(network, test, rule, block=block, experts=experts, classes=classes):
        here = labels[start : start + one.logits.shape[1]]
        start += len(here)
        wanted = wants_logits(keep_logits, one.logits.shape[2])
        for slot in slots:
            diverged[slot] += int((~np.isfinite(one.logits[slot])).any(1).sum())
            if not diverged[slot]:
                own = {name: values[slot] for name, values in one._asdict().items() if values is not None}
                parts[slot].append(_told(**own, labels=here, keep_logits=wanted, top=keep_logits is None))
    whole = {slot: {} if diverged[slot] else _halved(_put_together(parts[slot])) for slot in slots}
    return {slot: Recorded(whole[slot], diverged[slot]) for slot in slots}


def _put_together(blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The fields of all points; those of experts [E, N, C], all others [N, ...]."""
    axes = {"expert_logits": 1}
    return {name: np.concatenate([of[name] for of in blocks], axes.get(name, 0)) for name in blocks[0]}


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
    top_logits, top_classes   [N, 20] the largest ones and what they are of, where logits are not kept for their number
    experts_used   uint8, where a rule chose among experts
    expert_logits  [E, N, C], as the logits, whose terms they are: `logits` are their mean
    """
    return _halved(_told(logits, labels, experts_used, keep_logits, expert_logits))


def _told(
    logits: np.ndarray,
    labels: np.ndarray,
    experts_used: np.ndarray | None = None,
    keep_logits: bool = True,
    expert_logits: np.ndarray | None = None,
    top: bool = False,
) -> dict[str, np.ndarray]:
    """`record` with logits in float32; `top`: the largest ones in the place of all."""
    points = np.arange(len(labels))
    wide = logits.astype(np.float64)
    lse = np.logaddexp.reduce(wide, axis=1)
    probability = np.exp(wide - lse[:, None])
    others = logits.copy()
    others[points, labels] = -np.inf
    negative = others.argmax(1)
    small = np.uint16 if logits.shape[1] <= 2**16 else np.uint32
    asked = {} if experts_used is None else {"experts_used": experts_used.astype(np.uint8)}
    kept: dict[str, Any] = {}
    if keep_logits:
        kept = {"logits": logits} | ({} if expert_logits is None else {"expert_logits": expert_logits})
    elif top:
        first = np.sort(np.argpartition(-logits, min(TOP, logits.shape[1]) - 1, axis=1)[:, :TOP], axis=1)
        order = np.argsort(-np.take_along_axis(logits, first, 1), axis=1, kind="stable")
        first = np.take_along_axis(first, order, 1)
        kept = {"top_logits": np.take_along_axis(logits, first, 1), "top_classes": first.astype(small)}
    return asked | {
        "label": logits.argmax(1).astype(small),
        "p_true": probability[points, labels].astype(np.float32),
        "negative": negative.astype(small),
        "p_negative": probability[points, negative].astype(np.float32),
        "lse": lse.astype(np.float32),
        "sum_p2": (probability**2).sum(1).astype(np.float32),
        **kept,
    }


LOGITS = ("logits", "top_logits", "expert_logits")


def _halved(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits as float16, or as they are where one is too large for that."""
    kinds = {
        name: np.float16 if np.abs(fields[name]).max() < np.finfo(np.float16).max else np.float32
        for name in LOGITS
        if name in fields
    }
    return {name: values.astype(kinds[name]) if name in kinds else values for name, values in fields.items()}
