"""How far is a stage? Everything that training needs to go on at the end of an epoch, as plain arrays.

What an epoch draws depends on its number alone, so weights, momentum, losses and the draws of foreign modules (dropout)
are all there is: a stage that went on from a snapshot ends with the weights of one that was never interrupted.
"""

import json
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn

from ltbv.models.stack import layers


class Keeper(ABC):
    """Keeps the snapshots of one stage."""

    @abstractmethod
    def load(self) -> dict[str, np.ndarray] | None:
        """The last snapshot, or None."""

    @abstractmethod
    def is_due(self) -> bool:
        """Is it time for another?"""

    @abstractmethod
    def save(self, arrays: dict[str, np.ndarray]) -> None:
        """Keep this one instead of the last."""


def take_snapshot(network: nn.Module, optimiser: torch.optim.Optimizer, losses: np.ndarray) -> dict[str, np.ndarray]:
    """All that the rest of the stage depends on; `losses` [R, epochs done]."""
    arrays = {"losses": losses, "draws": np.frombuffer(json.dumps(_draws(network)).encode(), np.uint8)}
    arrays |= {f"weights {name}": _copied(tensor) for name, tensor in network.state_dict().items()}
    for place, parameter in enumerate(_learning(optimiser)):
        if parameter in optimiser.state:  # what the objective does not look at has no momentum
            arrays[f"momentum {place}"] = _copied(optimiser.state[parameter]["momentum_buffer"])
    return arrays


def restore(
    arrays: dict[str, np.ndarray], network: nn.Module, optimiser: torch.optim.Optimizer, runs: int, epochs: int
) -> np.ndarray | None:
    """Put a snapshot back; gives the losses [R, epochs done]. None, and nothing is changed, if it does not fit."""
    weights = {f"weights {name}": tensor for name, tensor in network.state_dict().items()}
    moving = ((f"momentum {place}", parameter) for place, parameter in enumerate(_learning(optimiser)))
    momentum = {name: parameter for name, parameter in moving if name in arrays}
    expected = {name: (tuple(tensor.shape), _type(tensor)) for name, tensor in (weights | momentum).items()}
    found = {name: (values.shape, values.dtype) for name, values in arrays.items() if name not in ("losses", "draws")}
    losses = arrays.get("losses", np.zeros(0))
    if found != expected or losses.ndim != 2 or losses.dtype != np.float64:
        return None
    if len(losses) != runs or not 0 < losses.shape[1] < epochs:
        return None
    before = _draws(network)
    try:
        for draws, state in zip(_all_draws(network), json.loads(arrays["draws"].tobytes()), strict=True):
            draws.bit_generator.state = state
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError):
        for draws, state in zip(_all_draws(network), before, strict=True):
            draws.bit_generator.state = state
        return None
    network.load_state_dict({name.partition(" ")[2]: torch.as_tensor(arrays[name]) for name in weights})
    for name, parameter in momentum.items():
        optimiser.state[parameter]["momentum_buffer"] = torch.as_tensor(arrays[name]).to(parameter)
    return losses


def _type(tensor: torch.Tensor) -> np.dtype:
    """Of its numbers in a file."""
    return torch.empty(0, dtype=tensor.dtype).numpy().dtype


def _copied(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().clone().numpy()


def _learning(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _all_draws(network: nn.Module) -> list[np.random.Generator]:
    return [draws for layer in layers(network) for draws in getattr(layer, "draws", ())]


def _draws(network: nn.Module) -> list[dict]:
    return [draws.bit_generator.state for draws in _all_draws(network)]
