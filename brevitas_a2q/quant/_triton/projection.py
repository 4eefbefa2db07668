"""Rows of weights projected onto their budget, and the gradient of that; one program for each.

The same as :mod:`brevitas_a2q.quant._kernels.projection`, which see.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from brevitas_a2q.quant._triton.coupled import best_pair
from brevitas_a2q.quant._triton.numeric import clamped, divided, nearest
from brevitas_a2q.quant._triton.rows import budget_of, enforce, holds, reach_of, take

__all__ = ["project_row", "projection_gradient"]


@triton.jit(do_not_specialize=["taps", "s_step", "b_step", "b_size", "q_min", "q_max"])
def project_row(
    w: tl.tensor,
    s: tl.tensor,
    table: tl.tensor,
    codes: tl.tensor,
    out: tl.tensor,
    normals: tl.tensor,
    spare: tl.tensor,
    length: tl.tensor,
    taps: tl.tensor,
    s_step: tl.tensor,
    b_step: tl.tensor,
    b_size: tl.tensor,
    q_min: tl.tensor,
    q_max: tl.tensor,
    LARGEST: tl.constexpr,
    BLOCK: tl.constexpr,
    UNITS: tl.constexpr,
) -> None:
    """Project a row; ``out`` holds it in units until it is done, ``spare`` is memory for ``3 * UNITS`` float64."""
    row = tl.program_id(0).to(tl.int64)
    w, out, codes, normals = w + row * length, out + row * length, codes + row * length, normals + row * 4
    spare += row * (3 * UNITS)
    kind: tl.constexpr = w.dtype.element_ty
    scale = tl.load(s + row * s_step)
    step = tl.where(scale > 0, scale, 1.0)
    reach = tl.minimum(LARGEST / step.to(tl.float64), 65536.0).to(tl.int64)
    limit_plus = tl.minimum(reach, q_max).to(tl.float64)
    limit_minus = tl.minimum(reach, -q_min).to(tl.float64)
    up, down, upper, lower = budget_of(table, row, b_step, b_size)
    plus, minus = tl.zeros([BLOCK], tl.int64), tl.zeros([BLOCK], tl.int64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        value = tl.load(w + place, mask, 0)
        u = tl.where(value == value, divided(value, step), 0.0)
        code = clamped(nearest(u), -limit_minus.to(kind), limit_plus.to(kind)).to(tl.int64)
        plus, minus = plus + tl.maximum(code, 0), minus + tl.maximum(-code, 0)
        tl.store(out + place, u, mask)
        tl.store(codes + place, code.to(tl.int16), mask)
    tl.debug_barrier()
    n0 = tl.full((), 0, tl.float64)
    n1, n2, n3 = n0, n0, n0
    positive, negative = tl.sum(plus, 0), tl.sum(minus, 0)
    if holds(positive, negative, up, down, upper, lower) == 0:
        if (upper >= 0) & (lower >= 0):
            most, coupled = reach_of(out, length, BLOCK), (up > 0) & (down > 0)
            if coupled:
                number_plus, number_minus, n0, n1, n2, n3 = best_pair(
                    out, length, limit_plus, limit_minus, up, down, upper, lower, most, spare, BLOCK, UNITS
                )
                over_plus, over_minus = up > 0, up > 0
            else:
                size = tl.maximum(up, down)
                cap_plus = tl.where(up > 0, upper, lower) // size
                cap_minus = tl.where(up > 0, lower, upper) // size
                over_plus, over_minus = positive > cap_plus, negative > cap_minus
                number_plus, number_minus = cap_plus.to(tl.float64), cap_minus.to(tl.float64)
                n0 = (positive >= cap_plus).to(tl.float64)
                n3 = (negative >= cap_minus).to(tl.float64)
            for side in range(2):
                first_side = side == 0
                sign, limit = 1.0 - 2.0 * side, tl.where(first_side, limit_plus, limit_minus)
                if tl.where(first_side, over_plus, over_minus):
                    number = tl.where(first_side, number_plus, number_minus)
                    take(out, codes, length, taps, sign, limit, number, most, coupled, BLOCK)
        tl.debug_barrier()
        enforce(codes, length, taps, up, down, upper, lower, BLOCK)
    tl.debug_barrier()
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        value, code = tl.load(w + place, mask, 0), tl.load(codes + place, mask, 0)
        tl.store(out + place, tl.where(value == value, code.to(kind) * scale, value), mask)
    tl.store(normals, n0.to(kind))
    tl.store(normals + 1, n1.to(kind))
    tl.store(normals + 2, n2.to(kind))
    tl.store(normals + 3, n3.to(kind))


@triton.jit
def _share(
    plus: tl.tensor, minus: tl.tensor, total: tl.tensor, balance: tl.tensor, along: tl.tensor, across: tl.tensor
) -> Any:
    # S- grows as a negative weight falls, hence the sign of its coefficient.
    size = plus * plus * (total + balance) + minus * minus * (total - balance)
    share = (plus * (along + across) - minus * (along - across)) / tl.maximum(size, 1e-30)
    return share * plus, -share * minus


@triton.jit(do_not_specialize=["s_step"])
def projection_gradient(
    w: tl.tensor,
    grad: tl.tensor,
    s: tl.tensor,
    codes: tl.tensor,
    normals: tl.tensor,
    grad_w: tl.tensor,
    grad_s: tl.tensor,
    length: tl.tensor,
    s_step: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Gradients of a row's weights and scale."""
    row = tl.program_id(0).to(tl.int64)
    w, grad, codes, grad_w = w + row * length, grad + row * length, codes + row * length, grad_w + row * length
    normals += row * 4
    kind: tl.constexpr = w.dtype.element_ty
    n0, n1 = tl.load(normals).to(tl.float64), tl.load(normals + 1).to(tl.float64)
    n2, n3 = tl.load(normals + 2).to(tl.float64), tl.load(normals + 3).to(tl.float64)
    at_plus = n0 - n0
    at_minus = at_plus
    if (n0 != 0) | (n1 != 0) | (n2 != 0) | (n3 != 0):
        total, balance = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
        along, across = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
        for first in range(0, length, BLOCK):
            place = first + tl.arange(0, BLOCK)
            mask = place < length
            code, outer = tl.load(codes + place, mask, 0), tl.load(grad + place, mask, 0).to(tl.float64)
            sign = tl.where(code > 0, 1.0, tl.where(code < 0, -1.0, 0.0)).to(tl.float64)
            total, balance = total + sign * sign, balance + sign
            along, across = along + sign * sign * outer, across + sign * outer
        all_total, all_balance = tl.sum(total, 0), tl.sum(balance, 0)
        all_along, all_across = tl.sum(along, 0), tl.sum(across, 0)
        first_plus, first_minus = _share(n0, n1, all_total, all_balance, all_along, all_across)
        then_plus, then_minus = _share(n2, n3, all_total, all_balance, all_along, all_across)
        at_plus, at_minus = first_plus + then_plus, first_minus + then_minus
    scale = tl.load(s + row * s_step)
    inverse = 1.0 / tl.where(scale > 0, scale, 1.0).to(tl.float64)
    from_codes, from_weights = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        code, outer = tl.load(codes + place, mask, 0), tl.load(grad + place, mask, 0).to(tl.float64)
        inner = outer - tl.where(code > 0, at_plus, tl.where(code < 0, at_minus, 0.0))
        tl.store(grad_w + place, inner.to(kind), mask)
        from_codes += outer * code.to(tl.float64)
        from_weights += tl.where(mask, inner * tl.load(w + place, mask, 0).to(tl.float64), 0.0)
    tl.store(grad_s + row, (tl.sum(from_codes, 0) - tl.sum(from_weights, 0) * inverse).to(kind))
