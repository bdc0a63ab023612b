"""Which parameters move by which rule? The optimisers of a stage, made for a stack of runs.

Parts with an optimiser of their own have one, those that step first another moment; the rest moves by the stage's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ltbv.engine.protocol import Protocol
from ltbv.engine.terms import stage_decay, stage_rate
from ltbv.errors import Refusal
from ltbv.methods.base import Stage
from ltbv.models.experts import Experts
from ltbv.models.stack import by_run, lengths, of_owner
from ltbv.optimisers import SGD, Adam, AdamW, Optimiser
from ltbv.schedules import Number, times

BACKBONE = ("stem", "branches")  # whose rate is `Protocol.body_rate` times that of the rest


@dataclass(frozen=True, eq=False)
class Moved:
    """Parameters that move together: `rate` is theirs, `first` says that they step before the loss."""

    rule: Optimiser
    rate: Number
    parameters: list[nn.Parameter]
    first: bool
    torch: torch.optim.Optimizer


class Optimisers:
    """All that moves the parameters of a stage. `after_backward` is shown those that are about to move."""

    def __init__(self, stage: Stage, network: Experts, protocol: Protocol):
        self.network = network
        self.after_backward: Callable[[list[nn.Parameter]], None] = _nothing
        rate = stage_rate(stage, protocol)
        decay = stage_decay(stage, protocol)
        own = dict(stage.own)
        by_group: dict[tuple[str, bool, float], tuple[Optimiser, list[nn.Parameter]]] = {}
        for name in network.names:
            rule = own.get(name, protocol.optimiser)
            share = protocol.body_rate if name in BACKBONE and name not in own else 1.0
            key = (name if name in own else "", name in stage.first, share)
            learn = [p for p in getattr(network, name).parameters() if p.requires_grad]
            by_group.setdefault(key, (rule, []))[1].extend(learn)
        self.groups = []
        for (_, first, share), (rule, parameters) in by_group.items():
            if parameters:
                its = _rate(rule, rate, protocol)
                its = its if share == 1 else times(its, share)
                made = _made(rule, parameters, decay if rule.weight_decay is None else rule.weight_decay)
                self.groups.append(Moved(rule, its, parameters, first, made))

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        return (group.torch for group in self.groups)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that learn, group by group."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def set_rates(self, rate_of: Callable[[Number], float | Tensor]) -> None:
        """What holds in the steps that follow: numbers, or tensors that are filled again."""
        for group in self.groups:
            for of_torch in group.torch.param_groups:
                of_torch["lr"] = rate_of(group.rate)

    def step(self, losses: Tensor, *, first: bool) -> None:
        """Follow the gradient of the losses [R] of all runs, in the groups whose turn it is."""
        groups = [group for group in self.groups if group.first == first]
        for group in self.groups:
            group.torch.zero_grad(set_to_none=True)
        moving = [parameter for group in groups for parameter in group.parameters]
        if len(groups) == len(self.groups):
            losses.backward(torch.ones_like(losses))
        else:
            losses.backward(torch.ones_like(losses), inputs=moving)
        self.after_backward(moving)
        for group in groups:
            if group.rule.clip is not None:
                clip(self.network, group.parameters, group.rule.clip)
            group.torch.step()


def _nothing(parameters: list[nn.Parameter]) -> None:
    """Gradients are whole."""


def _rate(rule: Optimiser, rate: Number, protocol: Protocol) -> Number:
    """The learning rate of a rule: its own, in the protocol's proportion where that is of the same rule, or `rate`."""
    alike = type(rule) is type(protocol.optimiser)
    if rule.learning_rate is not None:
        return times(rule.learning_rate, protocol.scale) if alike and type(rule) is SGD else rule.learning_rate
    if not alike and isinstance(rule, (SGD, AdamW, Adam)):  # `_made` refuses any other
        raise Refusal(
            f"{rule} has no learning rate, and the stage's is that of {type(protocol.optimiser).__name__}; give it one"
        )
    return rate


@torch.no_grad()
def clip(network: Experts, parameters: list[nn.Parameter], norm: float) -> None:
    """Shorten the gradient of each run that is longer than `norm`, by its own length."""
    wanted = {id(parameter) for parameter in parameters}
    owned = [(p.grad, run) for p, run in by_run(network, network.runs) if id(p) in wanted and p.grad is not None]
    found = lengths(owned, network.runs, parameters[0].device)
    factor = (norm / found.clamp(min=1e-12)).clamp(max=1.0)
    for gradient, run in owned:
        gradient *= of_owner(factor, gradient, run)


def _made(rule: Optimiser, parameters: list[nn.Parameter], decay: float) -> torch.optim.Optimizer:
    """Of torch; the rate is set for each epoch."""
    if isinstance(rule, (AdamW, Adam)):
        made = torch.optim.AdamW if isinstance(rule, AdamW) else torch.optim.Adam
        return made(
            parameters,
            lr=1.0,
            betas=rule.betas,
            eps=rule.epsilon,
            weight_decay=decay,
            capturable=parameters[0].is_cuda,
            fused=True,
        )
    if isinstance(rule, SGD):
        return torch.optim.SGD(
            parameters, lr=1.0, momentum=rule.momentum, weight_decay=decay, nesterov=rule.nesterov, fused=True
        )
    raise Refusal(f"optimiser {rule!r} says no rule; give SGD(...), AdamW(...) or Adam(...) of ltbv.optimisers")
