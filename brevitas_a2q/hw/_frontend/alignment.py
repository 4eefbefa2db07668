"""Streams of different scales brought to one, so that an adder of integers can take their sum.

``a * s_a + b * s_b`` is ``(p * a + q * b) * step`` wherever ``s_a / s_b`` is a ratio ``p / q`` of integers: exactly so
with two shifts where the scales are powers of two apart, and with two small constant factors for any other such ratio.
Other scales have no such step. Their sum is taken in fixed point, close enough to cost it, and the graph says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.tensor import FloatArray

__all__ = ["Alignment", "align"]

_LARGEST_FACTOR: Final = 1 << 8  # of an exact ratio: what still is a cheap constant multiplier
_GUARD_BITS: Final = 3  # of fixed point: the sum is off by at most 1/16 of a step of the coarser stream


@dataclass(frozen=True, eq=False)
class Alignment:
    """Integer factors of two streams, and the scale of the sum of what they make of them.

    Arrays hold one value per channel, or one for all; ``error`` is how far the sum can be off, in steps of the coarser
    stream, and 0 where the factors are exact.
    """

    factors: tuple[IntArray, IntArray]  # shapes: (channels,) or (1,)
    step: FloatArray  # shape: (channels,) or (1,)
    error: float = 0.0


def align(scales: tuple[FloatArray, FloatArray], largest: tuple[int, int]) -> Alignment:
    """Factors that bring two streams to one scale.

    Args:
        scales: Step of each stream, negative where the stream is subtracted; shapes (channels,) or (1,).
        largest: Magnitude of the largest integer of each stream.

    Example:
        >>> found = align((np.array([0.5]), np.array([0.125])), (15, 15))
        >>> [f.tolist() for f in found.factors], found.step.tolist(), found.error
        ([[4], [1]], [0.125], 0.0)
        >>> found = align((np.array([0.5]), np.array([0.3])), (15, 15))
        >>> [f.tolist() for f in found.factors], found.error <= 1 / 16
        ([[128], [77]], True)
    """
    first, second = np.broadcast_arrays(*scales)
    ratios = [_ratio(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    if all(abs(r.numerator) <= _LARGEST_FACTOR and r.denominator <= _LARGEST_FACTOR for r in ratios):
        p = np.array([abs(r.numerator) for r in ratios], np.int64)
        q = np.array([r.denominator if r > 0 else -r.denominator for r in ratios], np.int64)
        return Alignment((p, q), first / p)
    return _fixed_point(first, second, largest)


def _ratio(a: float, b: float) -> Fraction:
    """Of the scales as the file holds them, in float32."""
    return Fraction(float(np.float32(a))) / Fraction(float(np.float32(b)))


def _fixed_point(first: FloatArray, second: FloatArray, largest: tuple[int, int]) -> Alignment:
    """The coarser stream's step is a power of two of the sum's, the finer one's is rounded to a multiple of it."""
    coarse_is_first = np.abs(first) >= np.abs(second)
    fine = np.where(coarse_is_first, largest[1], largest[0])
    shift = int(fine.max()).bit_length() + _GUARD_BITS
    step = np.maximum(np.abs(first), np.abs(second)) / (1 << shift)
    factors = tuple(np.round(scale / step).astype(np.int64) for scale in (first, second))
    off = sum(np.abs(f * step - s) * n for f, s, n in zip(factors, (first, second), largest, strict=True))
    return Alignment((factors[0], factors[1]), step, float(np.max(off / step)) / (1 << shift))
