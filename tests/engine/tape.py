"""A pretended GPU: a step is recorded as the operations that it does, and these alone are repeated, without Python."""

from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ltbv.engine.replay import WARM_UPS


class Tape(TorchDispatchMode):
    """Keeps every operation with the very tensors that it took and gave."""

    def __init__(self):
        super().__init__()
        self.operations: list[tuple] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = operation(*args, **(kwargs or {}))
        before = {_memory(tensor) for tensor in _tensors((args, kwargs))} | {None}
        # A view needs nothing: it sees what is written to its memory.
        places = [None if _memory(one) in before else one for one in _tensors(given)]
        writes = any(one.alias_info and one.alias_info.is_write for one in operation._schema.arguments)
        if writes or any(place is not None for place in places):
            self.operations.append((operation, args, kwargs or {}, places))
        return given

    @torch.no_grad()
    def play(self) -> None:
        for operation, args, kwargs, places in self.operations:
            given = operation(*args, **kwargs)
            for place, tensor in zip(places, _tensors(given), strict=True):
                if place is not None and place.numel():
                    place.copy_(tensor)


def _tensors(of: object) -> list[torch.Tensor]:
    """What an operation takes or gives: tensors, and lists and dictionaries of them."""
    if isinstance(of, torch.Tensor):
        return [of]
    parts = of.values() if isinstance(of, dict) else of if isinstance(of, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _memory(tensor: torch.Tensor) -> int | None:
    """Where a tensor lies; nowhere, for the zeros of forward mode."""
    return None if tensor._is_zerotensor() else tensor.untyped_storage().data_ptr()


class Recorder:
    """Warm-up steps, then one on tape. (On a GPU that one does nothing; here it is one more to be undone.)"""

    def __init__(self):
        self.recorded = 0

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        for _ in range(WARM_UPS):
            step()
        tape = Tape()
        with tape:
            step()
        return tape.play
