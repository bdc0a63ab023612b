"""How is a network asked of more images than memory holds at once? Some at a time; and again, for its gradient.

What it says of all of them is put together, so that a loss sees the whole batch: its denominators, whatever they are,
are those of the batch. Of each part only what went in is kept; in the backward pass it is asked anew (Chen et al.,
2016, arXiv:1604.06174), one part after the other. Batch norm sees parts: it normalises by their moments, and its
running moments move once for each.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ltbv.models.stack import layers

Images = Tensor | Sequence[Tensor]


def in_parts(
    network: nn.Module, ask: Callable[[Images], tuple[Tensor, ...]], images: Images, size: int
) -> list[Tensor]:
    """What `ask` says of images [B, ...], or of several such batches, with the images in axis 2 of each tensor."""
    said = [
        checkpoint(ask, part, use_reentrant=False, preserve_rng_state=False, context_fn=partial(_twice, network))
        for part in _parts(images, size)
    ]
    return [torch.cat(values, 2) for values in zip(*said, strict=True)]


def _parts(images: Images, size: int) -> Iterator[Images]:
    """So many images each; a single one that is left joins those before it."""
    n = len(images if isinstance(images, Tensor) else images[0])
    for start, end in pairwise([0, *range(size, n - 1, size), n]):
        yield images[start:end] if isinstance(images, Tensor) else [batch[start:end] for batch in images]


def _twice(network: nn.Module) -> tuple[contextlib.AbstractContextManager[Any], contextlib.AbstractContextManager[Any]]:
    """Nothing for the first time; the second time it draws what it drew then, and remembers nothing of it."""
    return contextlib.nullcontext(), _as_it_was(network, [of.bit_generator.state for of in _draws(network)])


@contextlib.contextmanager
def _as_it_was(network: nn.Module, drawn: Sequence[Any]) -> Iterator[None]:
    before = [of.bit_generator.state for of in _draws(network)]
    buffers = [(of, of.detach().clone()) for of in network.buffers()]
    _set(network, drawn)
    try:
        yield
    finally:
        _set(network, before)
        for buffer, was in buffers:
            buffer.data.copy_(was)  # what autograd keeps of a frozen norm stays valid


def _set(network: nn.Module, states: Sequence[Any]) -> None:
    for draws, state in zip(_draws(network), states, strict=True):
        draws.bit_generator.state = state


def _draws(network: nn.Module) -> list[np.random.Generator]:
    """Of members that forget at random."""
    return [draws for layer in layers(network) for draws in getattr(layer, "draws", ())]
