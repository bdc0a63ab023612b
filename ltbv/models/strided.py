"""How does a stack halve its maps on a GPU? With 3 x 3 convolutions of stride 2 of our own, in Triton.

cuDNN has a fast grouped convolution where a group has as many inputs as outputs; where a stage begins it has not, and
cuDNN takes the groups one by one, six times as long (benchmarks/results/gpu.md). Here a program computes a tile of
pixels of one copy. Maps are channels-last, [B, H, W, K*I] and [B, H', W', K*O]; weights lie as [K*O, 3, 3, I]
(`kernels.pack`); I and O are powers of two, 16 at least. Sums have a fixed order.

Where experts of a run part ways, SHARE copies beside each other read one and the same map: it is [B, H, W, K/SHARE*I],
and its gradient the sum of theirs. No copy of it is made.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

PIXELS = 128  # of a tile
FEW_PIXELS = 64  # of a tile of the weights' gradient, whose sums lie in registers
SPLITS = 8  # parts of the pixels over which that gradient is summed apart


@triton.jit
def _forward(x_ptr, w_ptr, y_ptr, M, H, W, OH, OW, K, SHARE, IN: tl.constexpr, OUT: tl.constexpr, PIXELS: tl.constexpr):
    pixel, copy = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS), tl.program_id(1)
    column, row, image = pixel % OW, pixel // OW % OH, pixel // (OW * OH)
    inputs, outputs = tl.arange(0, IN), tl.arange(0, OUT)
    sums = tl.zeros((PIXELS, OUT), tl.float32)
    for tap in range(9):
        r, c = row * 2 + tap // 3 - 1, column * 2 + tap % 3 - 1
        inside = (pixel < M) & (r >= 0) & (r < H) & (c >= 0) & (c < W)
        at = ((image * H + r) * W + c) * (K // SHARE * IN) + copy // SHARE * IN
        x = tl.load(x_ptr + at[:, None] + inputs[None, :], mask=inside[:, None], other=0.0)
        w = tl.load(w_ptr + ((copy * OUT + outputs[None, :]) * 9 + tap) * IN + inputs[:, None])
        sums = tl.dot(x, w, sums, input_precision="ieee")
    at = y_ptr + pixel[:, None] * (K * OUT) + copy * OUT + outputs[None, :]
    tl.store(at, sums.to(y_ptr.dtype.element_ty), mask=(pixel < M)[:, None])


@triton.jit
def _backward_map(
    dy_ptr, w_ptr, dx_ptr, B, H, W, OH, OW, K, SHARE, IN: tl.constexpr, OUT: tl.constexpr, PIXELS: tl.constexpr
):
    """Pixels of one parity of row and column see the same taps: one where even, two where odd."""
    odd_row, odd_column = tl.program_id(2) // 2, tl.program_id(2) % 2
    rows, columns = tl.maximum((H + 1 - odd_row) // 2, 1), tl.maximum((W + 1 - odd_column) // 2, 1)
    pixel, source = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS), tl.program_id(1)
    c, r, image = pixel % columns * 2 + odd_column, pixel // columns % rows * 2 + odd_row, pixel // (columns * rows)
    exists = (image < B) & (r < H) & (c < W)  # where there is one row or column, there is none that is odd
    inputs, outputs = tl.arange(0, IN), tl.arange(0, OUT)
    sums = tl.zeros((PIXELS, IN), tl.float32)
    for i in range(1 + odd_row):
        for j in range(1 + odd_column):
            tap_row, tap_column = 1 - odd_row + 2 * i, 1 - odd_column + 2 * j
            row, column = (r + 1 - tap_row) // 2, (c + 1 - tap_column) // 2
            inside = exists & (row < OH) & (column < OW)
            tap = tap_row * 3 + tap_column
            for copy in range(source * SHARE, source * SHARE + SHARE):
                at = ((image * OH + row) * OW + column) * (K * OUT) + copy * OUT
                dy = tl.load(dy_ptr + at[:, None] + outputs[None, :], mask=inside[:, None], other=0.0)
                w = tl.load(w_ptr + ((copy * OUT + outputs[:, None]) * 9 + tap) * IN + inputs[None, :])
                sums = tl.dot(dy, w, sums, input_precision="ieee")
    at = dx_ptr + ((image * H + r) * W + c)[:, None] * (K // SHARE * IN) + source * IN + inputs[None, :]
    tl.store(at, sums.to(dx_ptr.dtype.element_ty), mask=exists[:, None])


@triton.jit
def _backward_weight(
    x_ptr, dy_ptr, partial_ptr, M, H, W, OH, OW, K, SHARE, steps,
    IN: tl.constexpr, OUT: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    tap, copy, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    inputs, outputs = tl.arange(0, IN), tl.arange(0, OUT)
    sums = tl.zeros((OUT, IN), tl.float32)
    for step in range(steps):
        pixel = (split * steps + step) * PIXELS + tl.arange(0, PIXELS)
        r, c = pixel // OW % OH * 2 + tap // 3 - 1, pixel % OW * 2 + tap % 3 - 1
        inside = (pixel < M) & (r >= 0) & (r < H) & (c >= 0) & (c < W)
        at = ((pixel // (OW * OH) * H + r) * W + c) * (K // SHARE * IN) + copy // SHARE * IN
        x = tl.load(x_ptr + at[:, None] + inputs[None, :], mask=inside[:, None], other=0.0)
        at = pixel * (K * OUT) + copy * OUT
        dy = tl.load(dy_ptr + at[None, :] + outputs[:, None], mask=(pixel < M)[None, :], other=0.0)
        sums = tl.dot(dy, x, sums, input_precision="ieee")
    at = partial_ptr + (((split * K + copy) * OUT + outputs[:, None]) * 9 + tap) * IN + inputs[None, :]
    tl.store(at, sums)


def _share(x: Tensor, w: Tensor, copies: int) -> int:
    """How many copies read one map."""
    return copies * w.shape[1] // x.shape[1]


def forward(x: Tensor, w: Tensor, copies: int) -> Tensor:
    """[B, K/SHARE*I, H, W] and [K*O, I, 3, 3] -> [B, K*O, H', W'], all channels-last, H' = ceil(H / 2)."""
    batch, _, height, width = x.shape
    after = (height + 1) // 2, (width + 1) // 2
    inputs, outputs = w.shape[1], len(w) // copies
    y = torch.empty((batch, len(w), *after), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    pixels = batch * after[0] * after[1]
    _forward[(triton.cdiv(pixels, PIXELS), copies)](
        x, w, y, pixels, height, width, *after, copies, _share(x, w, copies), IN=inputs, OUT=outputs, PIXELS=PIXELS
    )
    return y


def backward_map(dy: Tensor, x: Tensor, w: Tensor, copies: int) -> Tensor:
    """The gradient of `x`, of which only the shape is looked at."""
    batch, _, height, width = x.shape
    dx = torch.empty_like(x)
    tiles = triton.cdiv(batch * ((height + 1) // 2) * ((width + 1) // 2), PIXELS)
    share = _share(x, w, copies)
    _backward_map[(tiles, copies // share, 4)](
        dy, w, dx, batch, height, width, *dy.shape[2:], copies, share,
        IN=w.shape[1], OUT=len(w) // copies, PIXELS=PIXELS,
    )  # fmt: skip
    return dx


def backward_weight(dy: Tensor, x: Tensor, w: Tensor, copies: int) -> Tensor:
    """The gradient of `w`, of which only the shape is looked at, in parts to be added up: [SPLITS, K*O, 3, 3, I]."""
    batch, _, height, width = x.shape
    pixels = dy[:, 0].numel()
    steps = triton.cdiv(pixels, SPLITS * FEW_PIXELS)
    partial = torch.empty((SPLITS, len(w), 3, 3, w.shape[1]), device=x.device)
    _backward_weight[(9, copies, SPLITS)](
        x, dy, partial, pixels, height, width, *dy.shape[2:], copies, _share(x, w, copies), steps,
        IN=w.shape[1], OUT=len(w) // copies, PIXELS=FEW_PIXELS,
    )  # fmt: skip
    return partial
