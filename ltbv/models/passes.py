"""Which passes does a fused layer take over memory? Forward three after the convolution, backward three before it.

forward    raw = conv(x); sums of raw by channel; statistics; y = relu(scale raw + shift + residual)
backward   sums of g and g raw by channel, g = dy where y > 0; statistics; draw; gradients of x and the weights
"""

from functools import lru_cache

import torch
from torch import Tensor

from ltbv.models import kernels, strided
from ltbv.models.fused import padded

COLUMNS = 64  # of a tile: 16 bytes for each of eight threads
ROWS = {"map": 64, "sum": 32}  # of a tile; sums are kept in registers, and more of them leave room for fewer programs
FEW_COLUMNS = 16  # of a program that adds up the partial sums
MOST_BLOCKS = 512  # of partial sums
PACKED = 1024  # weights a program packs


@lru_cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _map_grid(rows: int, columns: int) -> tuple[int]:
    return (_ceil(rows, ROWS["map"]) * _ceil(columns, COLUMNS),)


def _last(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


class _Conv:
    """The grouped convolution of packed weights: cuDNN's, but where it is slow."""

    def __init__(self, shape: torch.Size, stride: int):
        self.copies, self.outputs, self.inputs, self.size, _ = self.shape = shape
        self.wide = padded(self.outputs), padded(self.inputs)
        self.of_aten = [stride] * 2, [self.size // 2] * 2, [1, 1], False, [0, 0], self.copies
        self.is_ours = self.size == 3 and stride == 2 and self.wide[0] != self.wide[1]

    def packed(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """[K, outputs, inputs, k, k] -> [K*outputs', inputs', k, k], padded, channels-last."""
        found = torch.empty(
            (self.copies * self.wide[0], self.wide[1], self.size, self.size),
            dtype=dtype,
            device=weight.device,
            memory_format=torch.channels_last,
        )
        kernels.pack[(_ceil(found.numel(), PACKED),)](
            weight, found, found.numel(), self.outputs, self.inputs, *self.wide, self.size**2, BLOCK=PACKED
        )
        return found

    def unpacked(self, parts: Tensor, weight: Tensor) -> Tensor:
        """The gradient of `weight` from that of its packed form, in one part or several to be added up."""
        found = torch.empty(self.shape, device=weight.device)
        wide = weight.numel()
        kernels.unpack[(_ceil(found.numel(), PACKED),)](
            parts, found, found.numel(), parts.numel() // wide, self.outputs, self.inputs, *self.wide, self.size**2,
            wide, BLOCK=PACKED,
        )  # fmt: skip
        return found

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        if self.is_ours:
            return strided.forward(x, w, self.copies)
        return _last(torch.ops.aten.convolution(x, w, None, *self.of_aten), x.dtype)

    def back(self, dy: Tensor, x: Tensor, w: Tensor, map_wanted: bool, weight_wanted: bool) -> list[Tensor | None]:
        """Gradients of x and of the weights, those wanted."""
        if self.is_ours:
            dx = strided.backward_map(dy, x, w, self.copies) if map_wanted else None
            dw = strided.backward_weight(dy, x, w, self.copies) if weight_wanted else None
        else:
            wanted = [map_wanted, weight_wanted, False]
            dx, dw, _ = torch.ops.aten.convolution_backward(dy, x, w, None, *self.of_aten, wanted)
            dw = None if dw is None else dw.contiguous(memory_format=torch.channels_last)
        return [dx, None if dw is None else self.unpacked(dw, w)]


class _Sums:
    """How a sum by channel over a map of P rows and D columns is cut up: into as many programs as run at a time.

    programs   that a processor's registers have room for
    """

    def __init__(self, rows: int, columns: int, programs: int, device: torch.device):
        strips = _ceil(columns, COLUMNS)
        wanted = max(1, min(MOST_BLOCKS, programs * _processors(device) // strips))
        steps = _ceil(rows, wanted * ROWS["sum"])
        self.blocks = _ceil(rows, steps * ROWS["sum"])
        self.partial = torch.empty((self.blocks, 2, columns), device=device)
        self.grid, self.size = (strips * self.blocks,), (rows, columns, strips, steps)
        self.tile = {"ROWS": ROWS["sum"], "COLUMNS": COLUMNS}
        self.end = {"BLOCKS": 1 << (self.blocks - 1).bit_length(), "COLUMNS": FEW_COLUMNS}


class ConvNormRelu(torch.autograd.Function):
    """relu(norm(conv(x)) + residual) of maps in `dtype`; x and residual are padded, parameters are not."""

    @staticmethod
    def forward(ctx, x, residual, weight, scale, bias, running_mean, running_var, stride, momentum, epsilon, dtype):
        conv = _Conv(weight.shape, stride)
        x, w = _last(x, dtype), conv.packed(weight, dtype)
        raw = conv(x, w)
        columns = raw.shape[1]
        rows = raw.numel() // columns
        sums = _Sums(rows, columns, 8, raw.device)
        of_columns = torch.empty((4, columns), device=raw.device)
        kernels.moments[sums.grid](raw, sums.partial, *sums.size, **sums.tile)
        kernels.statistics[(_ceil(columns, FEW_COLUMNS),)](
            raw, sums.partial, scale, bias, running_mean, running_var, *of_columns,
            sums.blocks, rows, columns, conv.outputs, conv.wide[0], momentum, epsilon, **sums.end,
        )  # fmt: skip
        added, y = None if residual is None else _last(residual, dtype), torch.empty_like(raw)
        kernels.activate[_map_grid(rows, columns)](
            raw, raw if added is None else added, *of_columns[:2], y, rows, columns, _ceil(columns, COLUMNS),
            RESIDUAL=added is not None, ROWS=ROWS["map"], COLUMNS=COLUMNS,
        )  # fmt: skip
        ctx.save_for_backward(x, w, raw, None if added is None else y, of_columns)
        ctx.conv = conv
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w, raw, y, of_columns = ctx.saved_tensors
        conv, residual = ctx.conv, y is not None
        dy, columns = _last(dy, raw.dtype), raw.shape[1]
        rows = raw.numel() // columns
        sums = _Sums(rows, columns, 5, raw.device)
        scale, shift, mean, rstd = of_columns
        g = torch.empty_like(raw) if residual else dy
        kernels.back_sums[sums.grid](
            dy, raw, y if residual else raw, scale, shift, mean, g, sums.partial, *sums.size,
            RESIDUAL=residual, **sums.tile,
        )  # fmt: skip
        slope, offset = torch.empty((2, columns), device=raw.device)
        dscale, dbias = torch.empty((2, conv.copies, conv.outputs), device=raw.device)
        kernels.back_statistics[(_ceil(columns, FEW_COLUMNS),)](
            sums.partial, scale, mean, rstd, slope, offset, dscale, dbias,
            sums.blocks, rows, columns, conv.outputs, conv.wide[0], **sums.end,
        )  # fmt: skip
        draw = torch.empty_like(raw)
        kernels.back_apply[_map_grid(rows, columns)](
            g, raw, scale, shift, slope, offset, draw, rows, columns, _ceil(columns, COLUMNS),
            MASKED=residual, ROWS=ROWS["map"], COLUMNS=COLUMNS,
        )  # fmt: skip
        dx, dw = conv.back(draw, x, w, ctx.needs_input_grad[0], ctx.needs_input_grad[2])
        return dx, g if residual else None, dw, dscale, dbias, None, None, None, None, None, None
