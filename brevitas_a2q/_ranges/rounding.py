"""Directed rounding: ends that no float32 computation of a value leaves, in whatever order it is done.

Rounding to nearest never reverses an order, and leaves what float32 can hold as it is. So if every element of a
result, in exact arithmetic, lies below ``h``, the computed result lies below the smallest float32 number that is not
below ``h``; a fused multiply-add rounds less often, and what it computes lies between the same ends. Results smaller
than the smallest normal number may be flushed to zero.

Ends are float64 here, and computed in float64. A float64 result that float32 could not hold is moved outward past every
error of its own; one that float32 can hold is moved only if it may be inexact.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ranges.annotation import FloatArray

__all__ = ["FLOAT_MAX", "UNIT", "on_grid", "outward", "products", "quotients", "sums", "weighed", "widened"]

FLOAT_MAX: Final = float(np.finfo(np.float32).max)
UNIT: Final = 2.0**-24
"""Largest relative error of one rounding to float32."""

_SMALLEST_NORMAL: Final = float(np.finfo(np.float32).tiny)

Flags = npt.NDArray[np.bool_]


def on_grid(x: FloatArray) -> Flags:
    """Which numbers float32 holds exactly."""
    with np.errstate(all="ignore"):
        return np.asarray(x.astype(np.float32) == x)


def outward(lo: FloatArray, hi: FloatArray, exact: Flags | bool = False) -> tuple[FloatArray, FloatArray]:
    """Ends on float32's grid that enclose these, and the errors with which these were computed in float64.

    Args:
        lo: Lower ends.
        hi: Upper ends.
        exact: Where both ends are free of error.

    Example:
        >>> lo, hi = outward(np.float64(0.1), np.float64(0.1))
        >>> bool(lo < 0.1 < hi), [float(end) for end in outward(np.float64(0.5), np.float64(0.5), exact=True)]
        (True, [0.5, 0.5])
    """
    lo, hi = np.asarray(lo), np.asarray(hi)
    broken = np.isnan(lo) | np.isnan(hi)
    if broken.any():  # what may be NaN has no ends
        lo, hi = np.where(broken, -np.inf, lo), np.where(broken, np.inf, hi)
    return -_up(-lo, exact), _up(hi, exact)


def _up(x: FloatArray, exact: Flags | bool) -> FloatArray:
    with np.errstate(all="ignore"):
        nearest = x.astype(np.float32)
        step = (nearest < x) | ((nearest == x) & (x != 0) & ~np.asarray(exact))
        raised = np.where(step, np.nextafter(nearest, np.float32(np.inf)), nearest).astype(np.float64)
    raised = np.where((raised > -_SMALLEST_NORMAL) & (raised < 0), 0.0, raised)
    raised = np.where((raised > 0) & (raised < _SMALLEST_NORMAL), _SMALLEST_NORMAL, raised)
    return np.asarray(raised)


def sums(a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Ends of the sum of two values, each given by its ends."""
    with np.errstate(all="ignore"):
        (lo, lo_exact), (hi, hi_exact) = (_two_sum(x, y) for x, y in zip(a, b, strict=True))
    return outward(lo, hi, lo_exact & hi_exact)


def _two_sum(a: FloatArray, b: FloatArray) -> tuple[FloatArray, Flags]:
    """The sum in float64, and where it is exact (Knuth's error-free transformation)."""
    total = np.asarray(a + b)
    b_part = total - a
    return total, np.asarray((a - (total - b_part)) + (b - b_part) == 0)


def products(a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Ends of the product of two values, each given by its ends; unbounded where an operand is."""
    with np.errstate(all="ignore"):
        corners = [np.asarray(x * y) for x in a for y in b]
    exact = on_grid(a[0]) & on_grid(a[1]) & on_grid(b[0]) & on_grid(b[1])
    return _hull(corners, exact)


def quotients(a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Ends of a quotient, each operand given by its ends; unbounded where the divisor can be zero."""
    with np.errstate(all="ignore"):
        corners = [np.asarray(x / y) for x in a for y in b]
        pairs = [(x, y) for x in a for y in b]
        exact = np.asarray(True)
        for corner, (x, y) in zip(corners, pairs, strict=True):
            exact = exact & (corner * y == x) & on_grid(y) & on_grid(x)
    lo, hi = _hull(corners, exact)
    zero = (b[0] <= 0) & (b[1] >= 0)
    return np.asarray(np.where(zero, -np.inf, lo)), np.asarray(np.where(zero, np.inf, hi))


def _hull(corners: list[FloatArray], exact: Flags) -> tuple[FloatArray, FloatArray]:
    lo, hi = corners[0], corners[0]
    for corner in corners[1:]:
        lo, hi = np.minimum(lo, corner), np.maximum(hi, corner)  # NaN stays NaN, and becomes unbounded
    return outward(lo, hi, exact)


def weighed(lo: FloatArray, hi: FloatArray, error: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    """As :func:`widened`, for sums of terms of one sign, which no rounding turns: ends do not cross zero."""
    low, high = widened(lo, hi, error)
    return np.where(lo >= 0, np.maximum(low, 0.0), low), np.where(hi <= 0, np.minimum(high, 0.0), high)


def widened(lo: FloatArray, hi: FloatArray, error: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    """Ends moved outward by an error; where that is zero, ends that float32 holds stay."""
    error = np.asarray(error, np.float64)
    with np.errstate(all="ignore"):
        return outward(lo - error, hi + error, exact=error == 0)
