"""How is a network looked at that is not to be trained? Its tensors have shapes and no numbers, and none are drawn."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Made = TypeVar("Made")

# Each gives back the tensor that it fills. Torch draws where there are no numbers too, in Python, which takes longer
# than all else of making a network.
FILLING = {
    *(getattr(Tensor, name) for name in ("normal_", "uniform_", "erfinv_", "zero_", "fill_")),
    *(getattr(nn.init, name) for name in ("uniform_", "normal_", "constant_", "kaiming_uniform_", "kaiming_normal_")),
}


class _Unfilled(TorchFunctionMode):
    """A tensor without numbers is not filled."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        given: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        named = named or {}
        if function in FILLING:
            filled = given[0] if given else named.get("tensor")
            if isinstance(filled, Tensor) and filled.is_meta:
                return filled
        return function(*given, **named)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Tensors that are made in here have no numbers."""
    with torch.device("meta"), _Unfilled():
        yield


def of_shapes(make: Callable[[], Made]) -> Made:
    """What is made, for its shapes; with numbers where making it reads some."""
    try:
        with shapes_only():
            return make()
    except RuntimeError:
        with torch.device("cpu"):
            return make()
