"""Why not one layer after the other on a GPU? Because a stack's layers wait for memory: three passes take the place of
eight.

`conv_norm_relu` is relu(norm(conv(x)) + residual) as one autograd function: cuDNN's grouped convolution in half
precision, and kernels of ours (`kernels`, in Triton) for the rest. Maps between fused layers may be wider than the
network is (`channels`), parameters never are.
"""

import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor, nn

from ltbv.errors import reason
from ltbv.models.channels import padded, widen


class Convolution(Protocol):
    """What is asked of a convolution: `stack.Conv`."""

    weight: nn.Parameter
    stride: int


class Normalisation(Protocol):
    """What is asked of a batch norm: `stack.Norm`."""

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    momentum: float
    epsilon: float


@lru_cache
def _has_triton(device: torch.device) -> bool:
    """Does it work here? It comes with torch on Linux, and wants a C compiler at its first kernel."""
    if find_spec("triton") is None:
        return False
    try:
        from ltbv.models.passes import try_out

        try_out(device)
    except Exception as error:
        print(f"layers are not fused, for Triton does not work here: {reason(error)}", file=sys.stderr)
        return False
    return True


def serves(weight: Tensor, x: Tensor) -> bool:
    """Can a convolution with `weight` [K, outputs, inputs, k, k] of `x` be fused with what follows it?

    On a GPU, in bfloat16 (`engine.device.precision`), for maps that 32-bit addresses reach.
    """
    if not (x.is_cuda and torch.is_autocast_enabled("cuda") and _has_triton(x.device)):
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None:  # forward mode, vmap: the passes know gradients only
        return False
    copies, outputs, inputs = weight.shape[:3]
    return x[:, 0].numel() * copies * max(padded(outputs), padded(inputs)) < 2**31


def shares(weight: Tensor, stride: int) -> bool:
    """Can copies beside each other of a fused convolution read one map [B, K/experts*inputs, H, W] (`strided`)?"""
    from ltbv.models.passes import is_ours

    inputs = weight.shape[2]
    return inputs == padded(inputs) and is_ours(weight.shape, stride)


def conv_norm_relu(
    conv: Convolution, norm: Normalisation, x: Tensor, residual: Tensor | None, dtype: torch.dtype
) -> Tensor | tuple[Tensor, Tensor]:
    """relu(norm(conv(x)) + residual) with batch statistics; running statistics move on. Sums are float32.

    x         [B, K*inputs, H, W], padded or not; or fewer, if it `shares`
    residual  [B, K*outputs, H', W'], padded or not, or None
    dtype     of maps and products; parameters are float32
    Gives [B, K*padded(outputs), H', W'] in channels-last memory; twice where there is a residual, for what follows and
    for its shortcut, so that their gradients need no pass of their own to be added up.
    """
    from ltbv.models.passes import ConvNormRelu  # imports Triton

    copies, outputs, inputs = conv.weight.shape[:3]
    residual = None if residual is None else widen(residual.to(dtype), copies, outputs)
    return ConvNormRelu.apply(
        widen(x.to(dtype), copies, inputs), residual, conv.weight,
        norm.weight, norm.bias, norm.running_mean, norm.running_var,
        conv.stride, norm.momentum, norm.epsilon, dtype,
    )  # fmt: skip
