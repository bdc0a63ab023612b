"""Where is the minimum of R smooth convex functions, all at once? L-BFGS, each run with its own steps and memory.

    d = -H g, by the two-loop recursion over the last pairs (s, y); then x + t d with t = 1, 1/2, 1/4, ... until
    f(x + t d) <= f(x) + 1e-4 t g'd                    (Nocedal and Wright, "Numerical Optimization", 2006, ch. 7)

A run that is done, |g| <= tolerance |g_0|, or whose decrease rounding hides, stands still; no run feels another, but
for a call that all share.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ltbv.errors import Refusal

Function = Callable[[Tensor], tuple[Tensor, Tensor]]  # x [R, P] -> values [R], gradients [R, P]
SUFFICIENT, HALVINGS = 1e-4, 30


def minimise(function: Function, start: Tensor, *, tolerance: float, most: int, memory: int) -> tuple[Tensor, Tensor]:
    """x [R, P] and the values [R] there."""
    x, (f, g) = start, function(start)
    aim = tolerance * g.norm(dim=1)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    stuck = torch.zeros_like(f, dtype=torch.bool)
    for _ in range(most):
        if not (g.isfinite().all(1) & f.isfinite()).all():
            raise Refusal("lbfgs: a loss is not finite; look at the features, or give more weight decay")
        going = (g.norm(dim=1) > aim) & ~stuck
        if not going.any():
            return x, f
        d = -_product(g, pairs)
        slope = (g * d).sum(1)
        step = torch.ones_like(f) if pairs else (1 / g.abs().sum(1).clamp(min=1)).to(f.dtype)
        step = torch.where(going, step, 0.0)
        rounding = 4 * torch.finfo(f.dtype).eps * f.abs()
        for _ in range(HALVINGS):
            there = x + step[:, None] * d
            f_there, g_there = function(there)
            short = f_there > f + SUFFICIENT * step * slope + rounding
            if not short.any():
                break
            step = torch.where(short, step / 2, step)
        else:  # of these no decrease can be told any more: rounding is reached
            stuck = stuck | short
            step = torch.where(short, 0.0, step)
            there = x + step[:, None] * d
            f_there, g_there = function(there)
        s, y = there - x, g_there - g
        along = (s * y).sum(1)
        known = along > torch.finfo(f.dtype).eps * y.square().sum(1)
        pairs = [*pairs[-(memory - 1) :], (s, y, torch.where(known, 1 / along, 0.0))]
        x, f, g = there, f_there, g_there
    if left := int(((g.norm(dim=1) > aim) & ~stuck).sum()):
        raise Refusal(f"lbfgs: {left} runs are not at their optimum after {most} iterations; give more weight decay")
    return x, f


def _product(g: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """H g by the two-loop recursion; a pair that says nothing of a run (rho 0) is passed over."""
    q, shares = g, []
    for s, y, rho in reversed(pairs):
        shares.append(rho * (s * q).sum(1))
        q = q - shares[-1][:, None] * y
    if pairs:
        s, y, rho = pairs[-1]
        scale = torch.where(rho > 0, (s * y).sum(1) / y.square().sum(1).clamp(min=torch.finfo(g.dtype).tiny), 1.0)
        q = q * scale[:, None]
    for (s, y, rho), share in zip(pairs, reversed(shares), strict=True):
        q = q + (share - rho * (y * q).sum(1))[:, None] * s
    return q
