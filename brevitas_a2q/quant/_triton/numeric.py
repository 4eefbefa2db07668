"""Arithmetic of single values: the same bits on every GPU, and as on a processor.

Triton's own division is not correctly rounded and its functions flush subnormals, so that these are made of
operations that IEEE 754 defines.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["clamped", "divided", "nearest", "power", "rounded", "settled"]


@triton.jit
def divided(a: tl.tensor, b: tl.tensor) -> tl.tensor:
    """Correctly rounded ``a / b``."""
    return tl.math.div_rn(a, b) if a.dtype == tl.float32 else a / b


@triton.jit
def nearest(u: tl.tensor) -> tl.tensor:
    """Rounded, ties to even."""
    # From here on there are integers only, and adding as much leaves no other digits.
    big: tl.constexpr = 4503599627370496.0 if u.dtype == tl.float64 else 8388608.0
    size = tl.abs(u)
    whole = (size + big) - big
    return tl.where(size < big, tl.where(u < 0, -whole, whole), u)


@triton.jit
def rounded(u: tl.tensor, rounding: tl.constexpr) -> tl.tensor:
    """Rounded as ``ROUND``, ``FLOOR``, ``CEIL``, ``TO_ZERO`` and ``DPU`` of the kernels for processors say."""
    near = nearest(u)
    floor = near - tl.where(near > u, 1.0, 0.0)
    ceil = near + tl.where(near < u, 1.0, 0.0)
    if rounding == 0:
        found = near
    elif rounding == 1:
        found = floor
    elif rounding == 2:
        found = ceil
    elif rounding == 3:
        found = tl.where(u < 0, ceil, floor)
    else:
        found = tl.where((u < 0) & (u - floor == 0.5), ceil, near)
    return found


@triton.jit
def clamped(value: tl.tensor, low: tl.tensor, high: tl.tensor) -> tl.tensor:
    """Within limits; NaN stays."""
    value = tl.where(value < low, low, value)
    return tl.where(value > high, high, value)


@triton.jit
def settled(value: tl.tensor, kind: tl.constexpr) -> tl.tensor:
    """A float32 rounded to what a sixteen-bit type holds, ties to even; other types as they are."""
    if kind == tl.bfloat16:
        bits = value.to(tl.uint32, bitcast=True)
        up = ((bits >> 16) & 1) + 0x7FFF
        short = ((bits + up) & 0xFFFF0000).to(tl.float32, bitcast=True)
        held = tl.where(value == value, short, float("nan"))
    elif kind == tl.float16:
        held = value.to(tl.float16).to(tl.float32)
    else:
        held = value
    return held


@triton.jit
def power(exponent: tl.tensor) -> tl.tensor:
    """``2^exponent`` of a float64, exact for integers; zero where it is no normal number."""
    whole = tl.floor(tl.minimum(tl.maximum(exponent, -1022.0), 1023.0))
    exact = ((whole.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    rest = exponent - whole
    found = tl.where(rest == 0, exact, exact * tl.exp2(rest))
    return tl.where(exponent < -1022, 0.0, tl.where(exponent >= 1024, float("inf"), found))
