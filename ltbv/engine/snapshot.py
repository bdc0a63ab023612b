"""How far is a stage? Everything that training needs to go on at the end of an epoch, as plain arrays.

What an epoch draws depends on its number alone, so weights, momenta, losses and the draws of foreign modules (dropout)
are all there is: a stage that went on from a snapshot ends with the weights of one that was never interrupted.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from ltbv.models.stack import layers

STATE = ("momentum_buffer", "exp_avg", "exp_avg_sq", "step")  # of torch's SGD and AdamW, for a parameter


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


def take_snapshot(network: nn.Module, optimisers: Iterable[Optimizer], history: np.ndarray) -> dict[str, np.ndarray]:
    """All that the rest of the stage depends on; `history` [2, R, epochs done], losses and accuracies."""
    arrays = {"history": history, "draws": np.frombuffer(json.dumps(_draws(network)).encode(), np.uint8)}
    arrays |= {f"weights {name}": _copied(tensor) for name, tensor in network.state_dict().items()}
    for group, optimiser in enumerate(optimisers):
        for place, parameter in enumerate(_learning(optimiser)):
            # what the objective does not look at has no state
            for name, tensor in optimiser.state.get(parameter, {}).items():
                arrays[f"moving {group} {place} {name}"] = _copied(tensor)
    return arrays


def restore(
    arrays: dict[str, np.ndarray], network: nn.Module, optimisers: Iterable[Optimizer], runs: int, epochs: int
) -> np.ndarray | None:
    """Put a snapshot back; gives the history [2, R, epochs done]. None, and nothing is changed, if it does not fit."""
    weights = {f"weights {name}": tensor for name, tensor in network.state_dict().items()}
    moving = {
        f"moving {group} {place} {name}": (optimiser, parameter, name)
        for group, optimiser in enumerate(optimisers)
        for place, parameter in enumerate(_learning(optimiser))
        for name in STATE
    }
    state = {name: of for name, of in moving.items() if name in arrays}
    expected = {name: (tuple(tensor.shape), _type(tensor)) for name, tensor in weights.items()}
    expected |= {
        name: ((), np.dtype(np.float32)) if what == "step" else (tuple(parameter.shape), _type(parameter))
        for name, (_, parameter, what) in state.items()
    }
    found = {name: (values.shape, values.dtype) for name, values in arrays.items() if name not in ("history", "draws")}
    history = arrays.get("history", np.zeros(0))
    if found != expected or history.ndim != 3 or history.dtype != np.float64:
        return None
    if history.shape[:2] != (2, runs) or not 0 < history.shape[2] < epochs:
        return None
    before = _draws(network)
    try:
        for draws, drawn in zip(_all_draws(network), json.loads(arrays["draws"].tobytes()), strict=True):
            draws.bit_generator.state = drawn
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError):
        for draws, drawn in zip(_all_draws(network), before, strict=True):
            draws.bit_generator.state = drawn
        return None
    network.load_state_dict({name.partition(" ")[2]: torch.as_tensor(arrays[name]) for name in weights})
    for name, (optimiser, parameter, what) in state.items():
        device = parameter.device if what != "step" or parameter.is_cuda else "cpu"
        optimiser.state[parameter][what] = torch.as_tensor(arrays[name]).to(device)
    return history


def _type(tensor: torch.Tensor) -> np.dtype:
    """Of its numbers in a file."""
    return torch.empty(0, dtype=tensor.dtype).numpy().dtype


def _copied(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().clone().numpy()


def _learning(optimiser: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _all_draws(network: nn.Module) -> list[np.random.Generator]:
    return [draws for layer in layers(network) for draws in getattr(layer, "draws", ())]


def _draws(network: nn.Module) -> list[Mapping[str, Any]]:
    return [draws.bit_generator.state for draws in _all_draws(network)]
