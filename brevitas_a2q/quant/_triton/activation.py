"""Kernels that quantize activations; see :mod:`brevitas_a2q.quant._kernels.activation`, whose arithmetic it is.

Memory holds ``(outer, channels, inner)`` values. A program takes a tile of it: so many positions, which are pairs of
an outer and an inner place, of so many channels. The backward pass leaves the sums of every tile, and a second kernel
adds these in the order of the tiles.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from brevitas_a2q.quant._triton.numeric import clamped, divided, power, rounded, settled

__all__ = ["backward", "forward", "reduce"]


@triton.jit
def _tile(
    positions: tl.tensor,
    channels: tl.tensor,
    inner: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SINGLE: tl.constexpr,
    WIDE: tl.constexpr,
) -> Any:
    """Number of the program's tile among those of the same channels, these channels, and places in memory with their
    mask."""
    tiles = tl.cdiv(channels, COLUMNS)
    part, which = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    kind: tl.constexpr = tl.int64 if WIDE else tl.int32
    position = part.to(kind) * ROWS + tl.arange(0, ROWS)
    channel = which * COLUMNS + tl.arange(0, COLUMNS)
    if SINGLE:
        places = position[:, None] + channel[None, :]
    else:
        start = (position // inner) * (tl.cast(channels, kind) * inner) + position % inner
        places = start[:, None] + (channel * tl.cast(inner, kind))[None, :]
    mask = (position < positions)[:, None] & (channel < channels)[None, :]
    return part, channel, places, mask


@triton.jit
def _limits(
    bits: tl.tensor, SIGNED: tl.constexpr, NARROW: tl.constexpr, kind: tl.constexpr, compute: tl.constexpr
) -> Any:
    """Lowest and highest code, towards zero where the type does not hold them."""
    top = power(tl.load(bits).to(tl.float64) - SIGNED)
    q_min = (NARROW - top) if SIGNED else top - top
    q_max = top - (1 + (NARROW and not SIGNED))
    return _cut(q_min, top, kind).to(compute), _cut(q_max, top, kind).to(compute)


@triton.jit
def _cut(value: tl.tensor, top: tl.tensor, kind: tl.constexpr) -> Any:
    if kind == tl.bfloat16:
        short = (value.to(tl.uint64, bitcast=True) & 0xFFFFE00000000000).to(tl.float64, bitcast=True)
        held = tl.where(top > 256, short, value)
    elif kind == tl.float16:
        short = (value.to(tl.uint64, bitcast=True) & 0xFFFFFC0000000000).to(tl.float64, bitcast=True)
        held = tl.where(top > 2048, short, value)
    else:
        held = value
    return held


@triton.jit
def _columns(values: tl.tensor, channel: tl.tensor, channels: tl.tensor, step: tl.tensor, compute: tl.constexpr) -> Any:
    # One value for each channel, or one for all.
    return tl.load(values + channel * step, channel < channels, 1).to(compute)[None, :]


@triton.jit(do_not_specialize=["positions", "s_step", "z_step"])
def forward(
    x: tl.tensor,
    y: tl.tensor,
    scale: tl.tensor,
    zero: tl.tensor,
    bits: tl.tensor,
    positions: tl.tensor,
    channels: tl.tensor,
    inner: tl.tensor,
    s_step: tl.tensor,
    z_step: tl.tensor,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    SIGNED: tl.constexpr,
    NARROW: tl.constexpr,
    ROUNDING: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SINGLE: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Quantize a tile."""
    kind: tl.constexpr = x.dtype.element_ty
    compute: tl.constexpr = tl.float64 if kind == tl.float64 else tl.float32
    _, channel, places, mask = _tile(positions, channels, inner, ROWS, COLUMNS, SINGLE, WIDE)
    q_min, q_max = _limits(bits, SIGNED, NARROW, kind, compute)
    s, z = _columns(scale, channel, channels, s_step, compute), _columns(zero, channel, channels, z_step, compute)
    raw = tl.load(x + places, mask, 0).to(compute)
    u = settled(divided(clamped(raw, LOW, HIGH), s), kind)
    u = settled(u + z, kind)
    code = clamped(rounded(u, ROUNDING), q_min, q_max)
    code = settled(code - z, kind)
    tl.store(y + places, settled(code * s, kind).to(kind), mask)


@triton.jit(do_not_specialize=["positions", "s_step", "z_step"])
def backward(
    x: tl.tensor,
    grad: tl.tensor,
    grad_x: tl.tensor,
    sums: tl.tensor,
    scale: tl.tensor,
    zero: tl.tensor,
    bits: tl.tensor,
    positions: tl.tensor,
    channels: tl.tensor,
    inner: tl.tensor,
    s_step: tl.tensor,
    z_step: tl.tensor,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    SIGNED: tl.constexpr,
    NARROW: tl.constexpr,
    ROUNDING: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SINGLE: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Gradient of a tile's values, and its share of those of scales and limits.

    ``sums``, of the type that is computed in, receives for each tile and channel the gradient of the scale, and what
    is clipped from above and from below.  # shape: (3, tiles, channels)
    """
    kind: tl.constexpr = x.dtype.element_ty
    compute: tl.constexpr = tl.float64 if kind == tl.float64 else tl.float32
    part, channel, places, mask = _tile(positions, channels, inner, ROWS, COLUMNS, SINGLE, WIDE)
    q_min, q_max = _limits(bits, SIGNED, NARROW, kind, compute)
    s, z = _columns(scale, channel, channels, s_step, compute), _columns(zero, channel, channels, z_step, compute)
    raw = tl.load(x + places, mask, 0).to(compute)
    outer = tl.load(grad + places, mask, 0).to(compute)
    ratio = divided(clamped(raw, LOW, HIGH), s)
    code = rounded(settled(settled(ratio, kind) + z, kind), ROUNDING)
    over, under = code > q_max, code < q_min
    within = (over | under) == 0
    passed = within & ((raw <= LOW) == 0) & ((raw >= HIGH) == 0)
    tl.store(grad_x + places, tl.where(passed, outer, 0.0).to(kind), mask)
    along = outer * ((clamped(code, q_min, q_max) - z) - tl.where(within, ratio, 0.0))
    size = tl.cast(tl.cdiv(positions, ROWS), tl.int64) * channels
    at = sums + part.to(tl.int64) * channels + channel
    inside = channel < channels
    tl.store(at, tl.sum(tl.where(mask, along, 0.0), 0), inside)
    tl.store(at + size, tl.sum(tl.where(mask & over, outer, 0.0), 0), inside)
    tl.store(at + 2 * size, tl.sum(tl.where(mask & under, outer, 0.0), 0), inside)


@triton.jit(do_not_specialize=["parts", "channels", "s_step"])
def reduce(
    sums: tl.tensor,
    scale: tl.tensor,
    bits: tl.tensor,
    of_scale: tl.tensor,
    of_zero: tl.tensor,
    of_bits: tl.tensor,
    parts: tl.tensor,
    channels: tl.tensor,
    s_step: tl.tensor,
    SIGNED: tl.constexpr,
    PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Gradients of each channel's scale and zero-point, and its share of the bit width's, from the sums of tiles."""
    channel = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside, size = channel < channels, tl.cast(parts, tl.int64) * channels
    along = tl.zeros([PARTS, COLUMNS], tl.float64)
    above = tl.zeros([PARTS, COLUMNS], tl.float64)
    below = tl.zeros([PARTS, COLUMNS], tl.float64)
    for first in range(0, parts, PARTS):
        part = first + tl.arange(0, PARTS)
        at = sums + (part.to(tl.int64) * channels)[:, None] + channel[None, :]
        mask = (part < parts)[:, None] & inside[None, :]
        along += tl.load(at, mask, 0).to(tl.float64)
        above += tl.load(at + size, mask, 0).to(tl.float64)
        below += tl.load(at + 2 * size, mask, 0).to(tl.float64)
    s = tl.load(scale + channel * s_step, inside, 0).to(tl.float64)
    clipped_above, clipped_below = tl.sum(above, 0), tl.sum(below, 0)
    slope = power(tl.load(bits).to(tl.float64) - SIGNED) * tl.log(tl.full((), 2, tl.float64))
    pushed = slope * (s * (clipped_above - SIGNED * clipped_below))
    tl.store(of_scale + channel, tl.sum(along, 0).to(of_scale.dtype.element_ty), inside)
    tl.store(of_zero + channel, (-s * (clipped_above + clipped_below)).to(of_zero.dtype.element_ty), inside)
    tl.store(of_bits + channel, pushed.to(of_bits.dtype.element_ty), inside)
