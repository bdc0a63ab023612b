"""Where do many random numbers of one image come from? From the one that it brings along, by arithmetic.

`Objective.draws` are drawn on the host, so there can be few of them; a step that is recorded on a GPU draws nothing.
"""

import torch
from torch import Tensor

MASK = 0xFFFFFFFF


def symmetric_beta(first: Tensor, second: Tensor, shape: float) -> Tensor:
    """Numbers ~ Beta(shape, shape), for any shape above 0, of two uniform ones within [0, 1) each; [...] -> [...].

    (1 + t / sqrt(1 + t^2)) / 2 with t = sqrt((1 - u)^(-1/shape) - 1) cos(2 pi v), which is Student's t of 2 shape
    degrees of freedom, over their root (Bailey, "Polar generation of random variates with the t-distribution", 1994).
    """
    long = ((1 - first.double()) ** (-1 / shape) - 1).sqrt()
    t = (long * (2 * torch.pi * second.double()).cos()).clamp(-1e150, 1e150)  # whose squares are finite
    return (1 + t / (1 + t.square()).sqrt()) / 2


def spread(draws: Tensor, size: int) -> Tensor:
    """`size` numbers, uniform within [0, 1), of each of `draws`, which are: [...] -> [..., size], float64.

    The same draw gives the same numbers, on any device. 32 bits of each number are random: those of a counter and of
    the draw's 53 bits, mixed three times by xor, shift and multiplication (Wellons' hash `lowbias32`).
    """
    high = draws.double() * 2**32
    low = (high - high.floor()) * 2**21
    key = _mixed(high.long() ^ _mixed(low.long()))
    place = torch.arange(size, device=draws.device) * 0x9E3779B9 & MASK
    return _mixed(_mixed(key.unsqueeze(-1) ^ _mixed(place))).double() / 2**32


def normal(uniform: Tensor) -> Tensor:
    """Numbers that are normal with mean 0 and deviation 1, of uniform ones as `spread` gives them; the same shape.

    sqrt(2) erfinv(2 u - 1) in the middle of u's step of 2^-32, so all are finite, within 6.3 of 0.
    """
    return 2**0.5 * torch.erfinv(2 * (uniform + 2.0**-33) - 1)


def _mixed(x: Tensor) -> Tensor:
    """A permutation of the numbers of 32 bits, in int64."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & MASK
    x = (x ^ (x >> 15)) * 0x846CA68B & MASK
    return x ^ (x >> 16)
