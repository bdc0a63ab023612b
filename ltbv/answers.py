"""Is what code of others gives what was asked of it? If not: who gave what, and what was wanted, in one line."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ltbv.errors import Refusal


def shaped(
    found: object, shape: tuple[int, ...], who: str, wanted: str, like: Tensor | None = None, wide: bool = False
) -> Tensor:
    """What `who` gave, if it is a tensor of this shape: another one would be spread over it, and add up wrongly.

    like   a tensor of the device and the precision that are wanted; half of it will do,
    wide   and so will twice as much: of sums, which lose nothing by it
    """
    if not isinstance(found, Tensor):
        raise Refusal(f"{who} gave a {type(found).__name__}; it has to give a tensor, {wanted}")
    other = found if like is None else like
    fits = other is found or (
        found.is_floating_point() and (wide or found.dtype.itemsize <= max(other.dtype.itemsize, 4))
    )
    if tuple(found.shape) != tuple(shape) or found.device != other.device or not fits:
        place = (f" on {found.device}", f" on {other.device}") if found.device != other.device else ("", "")
        said = f"{_kind(found.dtype)} of shape {tuple(found.shape)}{place[0]}"
        asked = f"{_kind(found.dtype if fits else other.dtype)} of shape {tuple(shape)}{place[1]}"
        raise Refusal(f"{who} gave {said}; it has to give {wanted}, here {asked}")
    return found


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def followed(losses: Tensor, who: str) -> Tensor:
    """The losses, if weights have a part in them."""
    if torch.is_grad_enabled() and not losses.requires_grad:
        said = f"{who} gave what no weight that learns has a part in, detached from the graph"
        raise Refusal(f"{said}; compute it of the logits, without .detach(), .data, .argmax() or torch.no_grad()")
    return losses


@contextmanager
def untouched(who: str, given: Mapping[str, Tensor | None]) -> Iterator[None]:
    """Refuse that one of these tensors, by name, is changed in here: others go by them too."""
    before = {name: tensor._version for name, tensor in given.items() if tensor is not None}
    yield
    for name, version in before.items():
        tensor = given[name]
        if tensor is not None and tensor._version != version:
            said = f"{who} changes in place the {name} that it was given, {_kind(tensor.dtype)} of shape"
            raise Refusal(f"{said} {tuple(tensor.shape)}; make new ones, as x = x + 1 does and x += 1 does not")


@contextmanager
def watched() -> Iterator[list[str]]:
    """Whose generators of the host code of others draws from in here, or seeds, of torch, numpy and Python, told at the
    end; they are put back."""
    moved: list[str] = []
    before = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    try:
        yield moved
    finally:
        after = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])
    old, new = before[1]["state"], after[1]["state"]
    same = {
        "torch": torch.equal(before[0], after[0]),
        "numpy": bool((old["key"] == new["key"]).all() and old["pos"] == new["pos"]),
        "Python": before[2] == after[2],
    }
    moved += [name for name, is_same in same.items() if not is_same]
