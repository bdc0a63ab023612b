"""How does a batch norm with its residual and relu pass over memory as rarely as can be? Triton kernels, a pass each.

A feature map is read as a matrix: P = B*H*W rows, D columns, the channels of all copies next to each other
(channels-last memory). A copy's channels may be padded in memory: of each `wide` columns the first `true` are channels
and the rest stay 0; parameters and statistics are [copies, true].

Sums go through partial sums of fixed blocks of rows that are added up in a fixed order, so that the same input gives
the same bytes. In Triton's interpreter (TRITON_INTERPRET=1) all of it runs on a CPU.
"""

import triton
import triton.language as tl

FEW = tl.constexpr(16)  # rows of a tile that different threads of a column hold


@triton.jit
def parameters_of(columns, D, true, wide):
    """Where the parameters of these columns are, and which columns have any."""
    channel = columns % wide
    return columns // wide * true + channel, (columns < D) & (channel < true)


@triton.jit
def tile(block, strips, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Rows and columns of the `block`th tile, strips of columns side by side."""
    return block // strips * ROWS + tl.arange(0, ROWS), block % strips * COLUMNS + tl.arange(0, COLUMNS)


@triton.jit
def of_map(rows, columns, P, D):
    """Where these rows and columns of a map are, and which of them it has."""
    inside = (rows < P)[:, None] & (columns < D)[None, :]
    return rows[:, None] * D + columns[None, :], inside


@triton.jit
def by_column(ptr, columns, D):
    """A number for each column, beside each other."""
    return tl.load(ptr + columns, mask=columns < D, other=0.0).to(tl.float32)[None, :]


@triton.jit
def few(x):
    """[ROWS, COLUMNS] -> [FEW, COLUMNS], rows added up that one thread holds: its registers have better use."""
    return tl.sum(tl.reshape(x, (x.shape[0] // FEW, FEW, x.shape[1])), 0)


@triton.jit
def moments(x_ptr, partial_ptr, P, D, strips, steps, blocks, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """partial[block] = sums of x - x_0 and of (x - x_0)^2 by column; the first row x_0 keeps digits from cancelling.

    Each block takes every `blocks`th tile, the last first: what was written last is still in the cache.
    """
    block = tl.program_id(0) // strips
    columns = tl.program_id(0) % strips * COLUMNS + tl.arange(0, COLUMNS)
    live = columns < D
    first = by_column(x_ptr, columns, D)
    rows = ((steps - 1) * blocks + block) * ROWS + tl.arange(0, ROWS)
    inside = (rows < P)[:, None] & live[None, :]
    x = tl.load(x_ptr + rows[:, None] * D + columns[None, :], mask=inside, other=0.0)
    sums = tl.zeros((FEW, COLUMNS), tl.float32)
    squares = tl.zeros((FEW, COLUMNS), tl.float32)
    for _ in range(steps):
        rows -= blocks * ROWS
        ahead = (rows >= 0)[:, None] & live[None, :]
        after = tl.load(x_ptr + rows[:, None] * D + columns[None, :], mask=ahead, other=0.0)
        centred = tl.where(inside, x.to(tl.float32) - first, 0.0)
        sums += few(centred)
        squares += few(centred * centred)
        x, inside = after, ahead
    at = partial_ptr + block * 2 * D + columns
    tl.store(at, tl.sum(sums, 0), mask=live)
    tl.store(at + D, tl.sum(squares, 0), mask=live)


@triton.jit
def total(partial_ptr, columns, blocks, D, BLOCKS: tl.constexpr):
    """Both sums over all blocks, by column."""
    block = tl.arange(0, BLOCKS)
    at = partial_ptr + block[:, None] * 2 * D + columns[None, :]
    inside = (block < blocks)[:, None] & (columns < D)[None, :]
    return tl.sum(tl.load(at, mask=inside, other=0.0), 0), tl.sum(tl.load(at + D, mask=inside, other=0.0), 0)


@triton.jit
def statistics(
    x_ptr, partial_ptr, weight_ptr, bias_ptr, running_mean_ptr, running_var_ptr,
    scale_ptr, shift_ptr, mean_ptr, rstd_ptr,
    blocks, P, D, true, wide, momentum, epsilon,
    BLOCKS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """scale and shift such that norm(x) = scale x + shift; mean, 1 / std; running statistics move on."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    at, live = parameters_of(columns, D, true, wide)
    sums, squares = total(partial_ptr, columns, blocks, D, BLOCKS)
    off = sums / P
    mean = tl.load(x_ptr + columns, mask=live, other=0.0).to(tl.float32) + off
    var = tl.maximum(squares / P - off * off, 0.0)
    rstd = 1.0 / tl.sqrt(var + epsilon)
    scale = tl.load(weight_ptr + at, mask=live, other=0.0) * rstd
    inside = columns < D
    tl.store(scale_ptr + columns, scale, mask=inside)
    tl.store(shift_ptr + columns, tl.load(bias_ptr + at, mask=live, other=0.0) - mean * scale, mask=inside)
    tl.store(mean_ptr + columns, mean, mask=inside)
    tl.store(rstd_ptr + columns, rstd, mask=inside)
    before = tl.load(running_mean_ptr + at, mask=live, other=0.0)
    tl.store(running_mean_ptr + at, before + momentum * (mean - before), mask=live)
    before = tl.load(running_var_ptr + at, mask=live, other=0.0)
    tl.store(running_var_ptr + at, before + momentum * (var * (P / (P - 1.0)) - before), mask=live)


@triton.jit
def activate(
    x_ptr, residual_ptr, scale_ptr, shift_ptr, y_ptr, P, D, strips,
    RESIDUAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """y = relu(scale x + shift + residual)."""
    rows, columns = tile(tl.program_id(0), strips, ROWS, COLUMNS)
    at, inside = of_map(rows, columns, P, D)
    scale, shift = by_column(scale_ptr, columns, D), by_column(shift_ptr, columns, D)
    y = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32) * scale + shift
    if RESIDUAL:
        y += tl.load(residual_ptr + at, mask=inside, other=0.0).to(tl.float32)
    y = tl.where(y > 0, y, tl.where(y != y, y, 0.0))  # what is no number stays none, as in torch
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def back_sums(
    dy_ptr, dtwin_ptr, x_ptr, y_ptr, scale_ptr, shift_ptr, mean_ptr, g_ptr, partial_ptr, P, D, strips, steps, blocks,
    RESIDUAL: tl.constexpr, TWINS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """partial[block] = sums of g and of g (x - mean) by column, g = dy where y > 0; the residual's gradient, g, is
    written. With TWINS, y was given out twice, and its gradient is the sum of two."""
    block = tl.program_id(0) // strips
    columns = tl.program_id(0) % strips * COLUMNS + tl.arange(0, COLUMNS)
    rows = ((steps - 1) * blocks + block) * ROWS + tl.arange(0, ROWS)
    live = columns < D
    scale, shift = by_column(scale_ptr, columns, D), by_column(shift_ptr, columns, D)
    mean = by_column(mean_ptr, columns, D)
    sums = tl.zeros((FEW, COLUMNS), tl.float32)
    products = tl.zeros((FEW, COLUMNS), tl.float32)
    for _ in range(steps):
        at, inside = of_map(rows, columns, P, D)
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(dy_ptr + at, mask=inside, other=0.0).to(tl.float32)
        if TWINS:
            g += tl.load(dtwin_ptr + at, mask=inside, other=0.0).to(tl.float32)
        if RESIDUAL:
            g = tl.where(tl.load(y_ptr + at, mask=inside, other=0.0).to(tl.float32) > 0, g, 0.0)
            tl.store(g_ptr + at, g.to(g_ptr.dtype.element_ty), mask=inside)
        else:
            g = tl.where(x * scale + shift > 0, g, 0.0)
        sums += few(g)
        products += few(g * (x - mean))
        rows -= blocks * ROWS
    at = partial_ptr + block * 2 * D + columns
    tl.store(at, tl.sum(sums, 0), mask=live)
    tl.store(at + D, tl.sum(products, 0), mask=live)


@triton.jit
def back_statistics(
    partial_ptr, scale_ptr, mean_ptr, rstd_ptr, slope_ptr, offset_ptr, dweight_ptr, dbias_ptr, blocks, P, D, true, wide,
    BLOCKS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Gradients of weight and bias; slope and offset such that dx = scale g + slope x + offset."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    at, live = parameters_of(columns, D, true, wide)
    sums, products = total(partial_ptr, columns, blocks, D, BLOCKS)
    scale = tl.load(scale_ptr + columns, mask=live, other=0.0)
    mean = tl.load(mean_ptr + columns, mask=live, other=0.0)
    rstd = tl.load(rstd_ptr + columns, mask=live, other=0.0)
    dweight = rstd * products
    slope = -scale * rstd * dweight / P
    inside = columns < D
    tl.store(slope_ptr + columns, slope, mask=inside)
    tl.store(offset_ptr + columns, -scale * sums / P - slope * mean, mask=inside)
    tl.store(dweight_ptr + at, dweight, mask=live)
    tl.store(dbias_ptr + at, sums, mask=live)


@triton.jit
def back_apply(
    g_ptr, x_ptr, scale_ptr, shift_ptr, slope_ptr, offset_ptr, dx_ptr, P, D, strips,
    MASKED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """dx = scale g + slope x + offset; g is masked here where it is not yet (scale x + shift > 0)."""
    rows, columns = tile(tl.program_id(0), strips, ROWS, COLUMNS)
    at, inside = of_map(rows, columns, P, D)
    scale, slope = by_column(scale_ptr, columns, D), by_column(slope_ptr, columns, D)
    offset = by_column(offset_ptr, columns, D)
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(g_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if not MASKED:
        g = tl.where(x * scale + by_column(shift_ptr, columns, D) > 0, g, 0.0)
    dx = scale * g + slope * x + offset
    tl.store(dx_ptr + at, dx.to(dx_ptr.dtype.element_ty), mask=inside)


@triton.jit
def pack(
    w_ptr,
    packed_ptr,
    count,
    outputs,
    inputs,
    wide_outputs,
    wide_inputs,
    taps,
    TURNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """[K, O, I, taps] float32 -> [K, O', taps, I'] in half precision, 0 where there is no channel.

    TURNED: [K, I', taps, O'], the taps backwards: a convolution of stride 1 with these is the other's gradient.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if TURNED:
        o, tap, i = at % wide_outputs, taps - 1 - at // wide_outputs % taps, at // (wide_outputs * taps) % wide_inputs
    else:
        i, tap, o = at % wide_inputs, at // wide_inputs % taps, at // (wide_inputs * taps) % wide_outputs
    copy = at // (wide_inputs * taps * wide_outputs)
    there = (at < count) & (i < inputs) & (o < outputs)
    w = tl.load(w_ptr + ((copy * outputs + o) * inputs + i) * taps + tap, mask=there, other=0.0)
    tl.store(packed_ptr + at, w.to(packed_ptr.dtype.element_ty), mask=at < count)


@triton.jit
def unpack(
    packed_ptr, w_ptr, count, parts, outputs, inputs, wide_outputs, wide_inputs, taps, wide_count, BLOCK: tl.constexpr
):
    """The inverse, of a gradient that may come in parts to be added up: [parts, K, O', taps, I'] -> [K, O, I, taps]."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tap, i, o = at % taps, at // taps % inputs, at // (taps * inputs) % outputs
    copy = at // (taps * inputs * outputs)
    source = packed_ptr + ((copy * wide_outputs + o) * taps + tap) * wide_inputs + i
    w = tl.zeros((BLOCK,), tl.float32)
    for part in range(parts):
        w += tl.load(source + part * wide_count, mask=at < count, other=0.0).to(tl.float32)
    tl.store(w_ptr + at, w, mask=at < count)
