"""Which passes does a fused layer take over memory? Forward three after the convolution, backward three before it.

forward    raw = conv(x); sums of raw by channel; statistics; y = relu(scale raw + shift + residual)
backward   sums of g and g raw by channel, g = dy where y > 0; statistics; draw; gradients of x and the weights
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltbv.models import kernels, strided
from ltbv.models.channels import padded

COLUMNS = 64  # of a tile: 16 bytes for each of eight threads
ROWS = 64  # of a tile
FEW_COLUMNS = 16  # of a program that adds up the partial sums
MOST_BLOCKS = 512  # of partial sums
PACKED = 1024  # weights a program packs
MOST_CHANNELS = 128  # of a convolution of ours: more do not fit into a processor's memory


@lru_cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _map_grid(rows: int, columns: int) -> tuple[int]:
    return (_ceil(rows, ROWS) * _ceil(columns, COLUMNS),)


def _last(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def is_ours(shape: torch.Size, stride: int) -> bool:
    """Is the convolution with weights of this shape, [K, outputs, inputs, k, k], that of `strided`?"""
    wide = padded(shape[1]), padded(shape[2])
    return shape[3] == 3 and stride == 2 and wide[0] != wide[1] and max(wide) <= MOST_CHANNELS


class _Conv:
    """The grouped convolution of packed weights: cuDNN's, but where it is slow."""

    def __init__(self, shape: torch.Size, stride: int):
        self.copies, self.outputs, self.inputs, self.size, _ = self.shape = shape
        self.wide = padded(self.outputs), padded(self.inputs)
        self.of_aten = [stride] * 2, [self.size // 2] * 2, [1, 1], False, [0, 0], self.copies
        self.is_ours = is_ours(shape, stride)

    def packed(self, weight: Tensor, dtype: torch.dtype, turned: bool = False) -> Tensor:
        """[K, outputs, inputs, k, k] -> [K*outputs', inputs', k, k], padded, channels-last; or `turned`, backwards."""
        rows, columns = reversed(self.wide) if turned else self.wide
        shape = self.copies * rows, columns, self.size, self.size
        found = torch.empty(shape, dtype=dtype, device=weight.device, memory_format=torch.channels_last)
        kernels.pack[(_ceil(found.numel(), PACKED),)](
            weight, found, found.numel(), self.outputs, self.inputs, *self.wide, self.size**2,
            TURNED=turned, BLOCK=PACKED,
        )  # fmt: skip
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

    def gradient_of_map(self, dy: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """For stride 1 it is a convolution too: cuDNN's first choice for the gradient can be ten times as slow."""
        if self.is_ours:
            return strided.backward_map(dy, x, self.packed(weight, dy.dtype), self.copies)
        if self.of_aten[0] == [1, 1]:
            return self(dy, self.packed(weight, dy.dtype, turned=True))
        return self._back(dy, x, self.packed(weight, dy.dtype), [True, False, False])[0]

    def gradient_of_weight(self, dy: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        w = weight.new_empty((self.copies * self.wide[0], self.wide[1], self.size, self.size), dtype=dy.dtype)
        if self.is_ours:
            return self.unpacked(strided.backward_weight(dy, x, w, self.copies), w)
        w = w.to(memory_format=torch.channels_last)
        dw = self._back(dy, x, w, [False, True, False])[1]
        return self.unpacked(dw.contiguous(memory_format=torch.channels_last), w)

    def _back(self, dy: Tensor, x: Tensor, w: Tensor, wanted: list[bool]) -> tuple[Tensor, ...]:
        return torch.ops.aten.convolution_backward(dy, x, w, None, *self.of_aten, wanted)


class _Sums:
    """How a sum by channel over a map of P rows and D columns is cut up: into as many programs as run at a time.

    programs   that a processor's registers have room for
    """

    def __init__(self, rows: int, columns: int, programs: int, device: torch.device):
        strips = _ceil(columns, COLUMNS)
        wanted = max(1, min(MOST_BLOCKS, programs * _processors(device) // strips))
        steps = _ceil(rows, wanted * ROWS)
        self.blocks = _ceil(rows, steps * ROWS)
        self.partial = torch.empty((self.blocks, 2, columns), device=device)
        self.grid, self.size = (strips * self.blocks,), (rows, columns, strips, steps, self.blocks)
        self.tile = {"ROWS": ROWS, "COLUMNS": COLUMNS}
        self.end = {"BLOCKS": 1 << (self.blocks - 1).bit_length(), "COLUMNS": FEW_COLUMNS}


class ConvNormRelu(torch.autograd.Function):
    """relu(norm(conv(x)) + residual) of maps in `dtype`; x and residual are padded, parameters are not.

    Where there is a residual the result is given out twice, for what follows and for its shortcut: their gradients are
    added up in the first pass backward.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight: Tensor,
        scale: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        stride: int,
        momentum: float,
        epsilon: float,
        dtype: torch.dtype,
    ) -> Tensor | tuple[Tensor, Tensor]:
        conv = _Conv(weight.shape, stride)
        x = _last(x, dtype)
        raw = conv(x, conv.packed(weight, dtype))
        columns = raw.shape[1]
        rows = raw.numel() // columns
        if rows < 2:
            raise ValueError("one value a channel has no variance: a batch norm needs two images, or larger maps")
        sums = _Sums(rows, columns, 6, raw.device)
        of_columns = torch.empty((4, columns), device=raw.device)
        kernels.moments[sums.grid](raw, sums.partial, *sums.size, **sums.tile)
        kernels.statistics[(_ceil(columns, FEW_COLUMNS),)](
            raw, sums.partial, scale, bias, running_mean, running_var, *of_columns,
            sums.blocks, rows, columns, conv.outputs, conv.wide[0], momentum, epsilon, **sums.end,
        )  # fmt: skip
        added, y = None if residual is None else _last(residual, dtype), torch.empty_like(raw)
        kernels.activate[_map_grid(rows, columns)](
            raw, raw if added is None else added, *of_columns[:2], y, rows, columns, _ceil(columns, COLUMNS),
            RESIDUAL=added is not None, ROWS=ROWS, COLUMNS=COLUMNS,
        )  # fmt: skip
        ctx.save_for_backward(x, weight, raw, None if added is None else y, of_columns)
        ctx.conv = conv
        ctx.set_materialize_grads(False)
        return y if added is None else (y, y.detach())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *dys: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, raw, y, of_columns = ctx.saved_tensors
        conv, residual = ctx.conv, y is not None
        dy, *twins = [_last(dy, raw.dtype) for dy in dys if dy is not None]
        columns = raw.shape[1]
        rows = raw.numel() // columns
        sums = _Sums(rows, columns, 5, raw.device)
        scale, shift, mean, rstd = of_columns
        g = torch.empty_like(raw) if residual else dy
        kernels.back_sums[sums.grid](
            dy, twins[0] if twins else dy, raw, y if residual else raw, scale, shift, mean, g, sums.partial, *sums.size,
            RESIDUAL=residual, TWINS=bool(twins), **sums.tile,
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
            MASKED=residual, ROWS=ROWS, COLUMNS=COLUMNS,
        )  # fmt: skip
        dx = conv.gradient_of_map(draw, x, weight) if ctx.needs_input_grad[0] else None
        dw = conv.gradient_of_weight(draw, x, weight) if ctx.needs_input_grad[2] else None
        return dx, g if residual else None, dw, dscale, dbias, None, None, None, None, None, None


def try_out(device: torch.device) -> None:
    """Compile and launch a kernel."""
    _Conv(torch.Size((1, 1, 1, 1, 1)), 1).packed(torch.zeros(1, 1, 1, 1, 1, device=device), torch.bfloat16)
