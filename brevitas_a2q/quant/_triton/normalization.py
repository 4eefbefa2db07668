"""Rows of A2Q and A2Q+: weights ``g * v / ||v||_1`` rounded to zero, and their gradients; one program for each.

The same as :mod:`brevitas_a2q.quant._kernels.normalization`, which see.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from brevitas_a2q.quant._triton.numeric import clamped, power
from brevitas_a2q.quant._triton.rows import budget_of, enforce

__all__ = ["normalization_gradient", "normalize_row"]


@triton.jit
def _factor(largest: tl.tensor) -> Any:
    """Power of two by which a row is multiplied so that sums and quotients stay within range."""
    exponent = ((largest.to(tl.int64, bitcast=True) >> 52) - 1023).to(tl.float64)
    scaled = power(tl.minimum(-exponent, 1022.0))
    fits = ((largest > 1e-18) & (largest < 1e18)) | (largest == 0)
    return tl.where(fits, 1.0, tl.where(largest == float("inf"), 0.0, scaled))


@triton.jit
def _prepare(w: tl.tensor, length: tl.tensor, CENTRED: tl.constexpr, EPS: tl.constexpr, BLOCK: tl.constexpr) -> Any:
    """Of a row: what it is multiplied by, then what is subtracted, and the l1 norm of that; 0 where only rounding
    residue of a mean is left."""
    kind: tl.constexpr = w.dtype.element_ty
    largest = tl.zeros([BLOCK], tl.float64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        size = tl.abs(tl.load(w + place, place < length, 0).to(tl.float64))
        largest = tl.where(size > largest, size, largest)
    most = tl.max(largest, 0)
    factor = _factor(most)
    mean = tl.zeros((), kind)
    if CENTRED:
        total = tl.zeros([BLOCK], tl.float64)
        for first in range(0, length, BLOCK):
            place = first + tl.arange(0, BLOCK)
            total += (tl.load(w + place, place < length, 0).to(tl.float64) * factor).to(kind).to(tl.float64)
        mean = (tl.sum(total, 0) / length).to(kind)
    sizes = tl.zeros([BLOCK], tl.float64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        value = (tl.load(w + place, mask, 0).to(tl.float64) * factor).to(kind) - mean
        sizes += tl.where(mask, tl.abs(value).to(tl.float64), 0.0)
    norm = tl.sum(sizes, 0)
    residue = tl.full((), 4 * EPS, tl.float64) * length * most * factor
    return factor, mean, tl.where(norm <= residue, 0.0, norm) if CENTRED else norm


@triton.jit
def _cap(up: tl.tensor, down: tl.tensor, upper: tl.tensor, lower: tl.tensor, CENTRED: tl.constexpr) -> Any:
    """Largest l1 norm of the integers; float64."""
    zero = upper - upper
    room = tl.maximum(tl.minimum(upper, lower), zero)
    size = (up + down) if CENTRED else tl.maximum(up, down)
    cap = (room // tl.maximum(size, zero + 1)).to(tl.float64) * (1 + CENTRED)
    return tl.where(size > 0, cap, float("inf"))


@triton.jit(do_not_specialize=["taps", "s_step", "t_step", "b_step", "b_size", "q_min", "q_max"])
def normalize_row(
    w: tl.tensor,
    s: tl.tensor,
    t: tl.tensor,
    table: tl.tensor,
    codes: tl.tensor,
    out: tl.tensor,
    columns: tl.tensor,
    length: tl.tensor,
    taps: tl.tensor,
    s_step: tl.tensor,
    t_step: tl.tensor,
    b_step: tl.tensor,
    b_size: tl.tensor,
    q_min: tl.tensor,
    q_max: tl.tensor,
    CENTRED: tl.constexpr,
    EPS: tl.constexpr,
    LARGEST: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Quantize a row by A2Q, or by A2Q+ where ``CENTRED``."""
    row = tl.program_id(0).to(tl.int64)
    w, out, codes, columns = w + row * length, out + row * length, codes + row * length, columns + row * 3
    kind: tl.constexpr = w.dtype.element_ty
    scale = tl.load(s + row * s_step)
    step = tl.where(scale > 0, scale, 1.0).to(tl.float64)
    up, down, upper, lower = budget_of(table, row, b_step, b_size)
    factor, mean, norm = _prepare(w, length, CENTRED, EPS, BLOCK)
    cap = _cap(up, down, upper, lower, CENTRED)
    learned = power(tl.load(t + row * t_step).to(tl.float64)) / step
    ratio = tl.minimum(learned, cap)
    some = norm > 0
    inverse = tl.where(some, 1 / tl.where(some, norm, 1.0), 0.0)
    largest = tl.full((), 1e30, tl.float64)
    gain = tl.minimum(ratio * inverse, largest).to(kind)
    reach = tl.minimum(LARGEST / step, 65536.0)
    low, high = -tl.floor(tl.minimum(reach, -q_min)).to(kind), tl.floor(tl.minimum(reach, q_max)).to(kind)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        value = ((tl.load(w + place, mask, 0).to(tl.float64) * factor).to(kind) - mean) * gain
        code = clamped(tl.where(value == value, value, 0.0), low, high)  # the next step rounds to zero
        tl.store(codes + place, tl.where(some, code, 0.0).to(tl.int16), mask)
    tl.debug_barrier()
    enforce(codes, length, taps, up, down, upper, lower, BLOCK)
    tl.debug_barrier()
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        value, code = tl.load(w + place, mask, 0), tl.load(codes + place, mask, 0)
        tl.store(out + place, tl.where(value == value, code.to(kind) * scale, value), mask)
    shown = tl.where(some, tl.minimum(ratio, largest), 0.0)
    tl.store(columns, tl.minimum(inverse * factor, largest).to(kind))
    tl.store(columns + 1, shown.to(kind))
    tl.store(columns + 2, tl.where(learned <= cap, shown, 0.0).to(kind))


@triton.jit(do_not_specialize=["s_step"])
def normalization_gradient(
    w: tl.tensor,
    grad: tl.tensor,
    s: tl.tensor,
    codes: tl.tensor,
    columns: tl.tensor,
    grad_w: tl.tensor,
    grad_s: tl.tensor,
    grad_t: tl.tensor,
    length: tl.tensor,
    s_step: tl.tensor,
    CENTRED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Gradients of a row's weights, scale and log-norm."""
    row = tl.program_id(0).to(tl.int64)
    w, grad, codes, grad_w = w + row * length, grad + row * length, codes + row * length, grad_w + row * length
    columns += row * 3
    kind: tl.constexpr = w.dtype.element_ty
    inverse, ratio = tl.load(columns), tl.load(columns + 1).to(tl.float64)
    free = tl.load(columns + 2).to(tl.float64)
    scale = tl.load(s + row * s_step)
    step = tl.where(scale > 0, scale, 1.0).to(tl.float64)
    middle = step - step
    if CENTRED:
        total = tl.zeros([BLOCK], tl.float64)
        for first in range(0, length, BLOCK):
            place = first + tl.arange(0, BLOCK)
            total += (tl.load(w + place, place < length, 0) * inverse).to(tl.float64)
        middle = tl.sum(total, 0) / length
    along, from_codes = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
    signs, grads = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        outer = tl.load(grad + place, mask, 0).to(tl.float64)
        direction = _direction(w, place, mask, inverse, middle)
        signs += _sign(direction)
        grads += outer
        along += outer * direction
        from_codes += outer * tl.load(codes + place, mask, 0).to(tl.float64)
    all_along, all_grads = tl.sum(along, 0), tl.sum(grads, 0)
    largest = tl.full((), 1e30, tl.float64)
    gain = tl.minimum(tl.minimum(step * inverse.to(tl.float64), largest) * ratio, largest)
    mean = ((all_grads - all_along * tl.sum(signs, 0)) / length) if CENTRED else middle
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        mask = place < length
        sign = _sign(_direction(w, place, mask, inverse, middle))
        inner = (tl.load(grad + place, mask, 0).to(tl.float64) - all_along * sign - mean) * gain
        tl.store(grad_w + place, inner.to(kind), mask)
    shared = all_along * free
    tl.store(grad_s + row, (tl.sum(from_codes, 0) - shared).to(kind))
    tl.store(grad_t + row, (shared * step * tl.log(tl.full((), 2, tl.float64))).to(kind))


@triton.jit
def _direction(w: tl.tensor, place: tl.tensor, mask: tl.tensor, inverse: tl.tensor, middle: tl.tensor) -> Any:
    # Nothing beyond the row's end.
    return tl.where(mask, (tl.load(w + place, mask, 0) * inverse).to(tl.float64) - middle, 0.0)


@triton.jit
def _sign(direction: tl.tensor) -> Any:
    return tl.where(direction > 0, 1.0, tl.where(direction < 0, -1.0, 0.0)).to(tl.float64)
