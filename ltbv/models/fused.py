"""Why not one layer after the other on a GPU? Because a stack's layers wait for memory: three passes take the place of
eight.

`conv_norm_relu` is relu(norm(conv(x)) + residual) as one autograd function: cuDNN's grouped convolution in half
precision, and kernels of ours (`kernels`, in Triton) for the rest. cuDNN is several times slower for some numbers of
channels a group than for powers of two, so a copy's channels are padded in memory, with weights that are 0: maps
between fused layers may be wider than the network is, parameters never are.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS, COLUMNS = 32, 128  # of a tile: 4,096 numbers, 32 a thread
FEW_COLUMNS = 16  # of a program that adds up the partial sums
MOST_BLOCKS = 512  # of partial sums


def padded(channels: int) -> int:
    """Channels of a copy in memory: the next power of two, 16 at least."""
    return max(16, 1 << (channels - 1).bit_length())


def widen(x: Tensor, copies: int, channels: int) -> Tensor:
    """A map [B, copies*channels, H, W] with padded channels; one that is padded already is left as it is."""
    extra = padded(channels) - channels
    if not extra or x.shape[1] != copies * channels:
        return x
    nhwc = x.movedim(1, -1).unflatten(-1, (copies, channels))
    return F.pad(nhwc, (0, extra)).flatten(-2).movedim(-1, 1)


def narrow(x: Tensor, copies: int, channels: int) -> Tensor:
    """The inverse of `widen`; a map that is not padded is left as it is."""
    if x.shape[1] == copies * channels:
        return x
    return x.movedim(1, -1).unflatten(-1, (copies, -1))[..., :channels].flatten(-2).movedim(-1, 1)


@lru_cache
def available() -> bool:
    """Is Triton there? It comes with torch on Linux."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


def serves(weight: Tensor, x: Tensor) -> bool:
    """Can a convolution with `weight` [K, outputs, inputs, k, k] of `x` be fused with what follows it?

    On a GPU, in bfloat16 (`engine.device.precision`), for maps that 32-bit addresses reach.
    """
    if not (x.is_cuda and torch.is_autocast_enabled("cuda") and available()):
        return False
    copies, outputs, inputs = weight.shape[:3]
    return x[:, 0].numel() * copies * max(padded(outputs), padded(inputs)) < 2**31


@lru_cache
def _programs(device: torch.device) -> int:
    """How many programs fill the device."""
    return 6 * torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 8


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _power(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _blocks(rows: int, columns: int, device: torch.device) -> tuple[int, int, int]:
    """Strips of columns, blocks of rows, tiles a block, for partial sums."""
    strips = _ceil(columns, COLUMNS)
    wanted = max(1, min(_ceil(rows, ROWS), MOST_BLOCKS, _ceil(_programs(device), strips)))
    steps = _power(_ceil(_ceil(rows, wanted), ROWS))
    return strips, _ceil(rows, steps * ROWS), steps


def _last(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def _weights(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """[K, outputs, inputs, k, k] -> padded [K*outputs', inputs', k, k], channels last in memory."""
    copies, outputs, inputs, *kernel = weight.shape
    wide = copies * padded(outputs), padded(inputs), *kernel
    if wide == (copies * outputs, inputs, *kernel):
        return weight.flatten(0, 1).to(dtype, memory_format=torch.channels_last)
    found = torch.zeros(wide, dtype=dtype, device=weight.device).to(memory_format=torch.channels_last)
    found.unflatten(0, (copies, -1))[:, :outputs, :inputs].copy_(weight)
    return found


class _ConvNormRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, residual, weight, scale, bias, running_mean, running_var, stride, momentum, epsilon, dtype):
        from ltbv.models import kernels

        x, w = _last(x, dtype), _weights(weight, dtype)
        copies, padding, true = len(weight), weight.shape[-1] // 2, weight.shape[1]
        ctx.geometry = [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], copies
        raw = _last(torch.ops.aten.convolution(x, w, None, *ctx.geometry), dtype)
        batch, columns, height, width = raw.shape
        rows, device = batch * height * width, raw.device
        strips, blocks, steps = _blocks(rows, columns, device)
        tiles = strips * _ceil(rows, ROWS)
        tile = {"ROWS": ROWS, "COLUMNS": COLUMNS, "num_warps": 4}
        finish = {"true": true, "wide": padded(true), "BLOCKS": _power(blocks), "COLUMNS": FEW_COLUMNS, "num_warps": 4}
        partial = torch.empty((blocks, 2, columns), device=device)
        kernels.moments[(strips * blocks,)](raw, partial, rows, columns, strips, steps, **tile)
        of_columns = torch.empty((4, columns), device=device)
        kernels.statistics[(_ceil(columns, FEW_COLUMNS),)](
            raw, partial, scale, bias, running_mean, running_var, *of_columns.unbind(),
            blocks, rows, columns, momentum=momentum, epsilon=epsilon, **finish,
        )  # fmt: skip
        added = None if residual is None else _last(residual, dtype)
        y = torch.empty_like(raw)
        kernels.activate[(tiles,)](
            raw, raw if added is None else added, *of_columns[:2].unbind(), y, rows, columns, strips,
            RESIDUAL=added is not None, **tile,
        )  # fmt: skip
        ctx.save_for_backward(x, w, raw, None if added is None else y, of_columns)
        ctx.weight, ctx.blocks, ctx.tile, ctx.finish = weight.shape, (strips, blocks, steps, tiles), tile, finish
        return y

    @staticmethod
    def backward(ctx, dy):
        from ltbv.models import kernels

        x, w, raw, y, of_columns = ctx.saved_tensors
        (strips, blocks, steps, tiles), (copies, outputs, inputs, *_) = ctx.blocks, ctx.weight
        dy, columns, device = _last(dy, raw.dtype), raw.shape[1], raw.device
        rows, residual = raw.numel() // columns, y is not None
        scale, shift, mean, rstd = of_columns.unbind()
        partial = torch.empty((blocks, 2, columns), device=device)
        g = torch.empty_like(raw) if residual else dy
        kernels.back_sums[(strips * blocks,)](
            dy, raw, y if residual else raw, scale, shift, mean, g, partial, rows, columns, strips, steps,
            RESIDUAL=residual, **ctx.tile,
        )  # fmt: skip
        slope, offset = torch.empty((2, columns), device=device).unbind()
        dscale, dbias = torch.empty((2, copies, outputs), device=device).unbind()
        kernels.back_statistics[(_ceil(columns, FEW_COLUMNS),)](
            partial, scale, mean, rstd, slope, offset, dscale, dbias, blocks, rows, columns, **ctx.finish
        )
        draw = torch.empty_like(raw)
        kernels.back_apply[(tiles,)](
            g, raw, scale, shift, slope, offset, draw, rows, columns, strips, MASKED=residual, **ctx.tile
        )
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[2], False]
        dx, dw, _ = torch.ops.aten.convolution_backward(draw, x, w, None, *ctx.geometry, wanted)
        if dw is not None:
            dw = dw.unflatten(0, (copies, -1))[:, :outputs, :inputs]
            dw = dw.to(torch.float32, memory_format=torch.contiguous_format)
        return dx, g if residual else None, dw, dscale, dbias, None, None, None, None, None, None


def conv_norm_relu(conv, norm, x: Tensor, residual: Tensor | None, dtype: torch.dtype) -> Tensor:
    """relu(norm(conv(x)) + residual) with batch statistics; running statistics move on. Sums are float32.

    x         [B, K*inputs, H, W], padded or not
    residual  [B, K*outputs, H', W'], padded or not, or None
    dtype     of maps and products; parameters are float32
    Gives [B, K*padded(outputs), H', W'] in channels-last memory.
    """
    copies, outputs, inputs = conv.weight.shape[:3]
    residual = None if residual is None else widen(residual, copies, outputs)
    return _ConvNormRelu.apply(
        widen(x, copies, inputs), residual, conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var,
        conv.stride, norm.momentum, norm.epsilon, dtype,
    )  # fmt: skip
