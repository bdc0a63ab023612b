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
        arrays[f"momentum {place}"] = _copied(optimiser.state[parameter]["momentum_buffer"])
    return arrays


def restore(arrays: dict[str, np.ndarray], network: nn.Module, optimiser: torch.optim.Optimizer) -> np.ndarray:
    """Put a snapshot back; gives the losses [R, epochs done]."""
    weights = {name.partition(" ")[2]: values for name, values in arrays.items() if name.startswith("weights ")}
    network.load_state_dict({name: torch.as_tensor(values) for name, values in weights.items()})
    for place, parameter in enumerate(_learning(optimiser)):
        buffer = torch.as_tensor(arrays[f"momentum {place}"]).to(parameter)
        optimiser.state[parameter]["momentum_buffer"] = buffer
    kept = iter(json.loads(arrays["draws"].tobytes()))
    for draws in _all_draws(network):
        draws.bit_generator.state = next(kept)
    return arrays["losses"]


def _copied(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().clone().numpy()


def _learning(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _all_draws(network: nn.Module) -> list[np.random.Generator]:
    return [draws for layer in layers(network) for draws in getattr(layer, "draws", ())]


def _draws(network: nn.Module) -> list[dict]:
    return [draws.bit_generator.state for draws in _all_draws(network)]
