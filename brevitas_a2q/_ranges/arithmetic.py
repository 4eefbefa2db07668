"""Arithmetic, element by element, of two tensors or of a tensor and a constant."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from brevitas_a2q._ranges.annotation import MAX_ANNOTATION, FloatArray, IntArray, aligned, broadcast_shape
from brevitas_a2q._ranges.rounding import outward, products, quotients, sums
from brevitas_a2q._ranges.value import Codes, Value, integer_sum_fits

__all__ = ["absolute", "add", "div", "dropout", "maximum", "minimum", "mul", "neg", "sub", "where"]

# A quantized bias carries the product of two scales, rounded more than once.
_SCALE_TOLERANCE: Final = 2.0**-20
# How far, in steps of the sum's scale, such a bias may lie from the integers that stand for it.
_STEP_TOLERANCE: Final = 0.25


def _operands(a: Value, b: Value) -> tuple[tuple[int, ...], Value, Value]:
    """The result's shape, and both operands with annotations of its rank that fit together."""
    shape = broadcast_shape(a.shape, b.shape)
    return shape, _of_rank(a.coarse(b), len(shape)), _of_rank(b.coarse(a), len(shape))


def _of_rank(x: Value, rank: int) -> Value:
    lo, hi = x.ends()
    codes = None if x.codes is None else x.codes.aligned(rank)
    return replace(x, lo=aligned(lo, rank), hi=aligned(hi, rank), codes=codes)


def _origin(a: Value, b: Value, how: str) -> str:
    if a.number is not None or b.number is not None:
        return b.origin if a.number is not None else a.origin
    return f"{how} of {a.origin} and {b.origin}" if len(a.origin) + len(b.origin) < 100 else how


def add(a: Value, b: Value) -> Value:
    """Sum; integers where both have one scale, or where a constant is a multiple of it."""
    shape, a, b = _operands(a, b)
    real = sums((a.lo, a.hi), (b.lo, b.hi))
    return Value.of(shape, _added(a, b, len(shape)), *real, _origin(a, b, "sum"))


def sub(a: Value, b: Value) -> Value:
    """Difference."""
    return add(a, neg(b)).under(_origin(a, b, "difference"))


def _added(a: Value, b: Value, rank: int) -> Codes | None:
    if a.number is not None and b.number is None:
        a, b = b, a
    if a.codes is None:
        return None
    if b.number is not None:
        offset = _in_steps(a.codes, b, rank)
        return None if offset is None else _checked(a.codes.scale, a.codes.lo + offset, a.codes.hi + offset)
    if b.codes is None:
        return None
    other = _at_scale_of(a.codes, b.codes, rank)
    if other is None:
        return None
    return _checked(a.codes.scale, a.codes.lo + other.lo, a.codes.hi + other.hi)


def _checked(scale: FloatArray, lo: IntArray, hi: IntArray) -> Codes | None:
    """Plain integers, unless they are too large to be computed with."""
    return Codes.plain(scale, lo, hi) if integer_sum_fits(max(abs(int(lo.min())), abs(int(hi.max())))) else None


def _in_steps(codes: Codes, constant: Value, rank: int) -> IntArray | None:
    """The constant in units of the stream's scale, if it is integral in them."""
    own = constant.codes
    if own is not None and own.lo.size <= MAX_ANNOTATION:
        scale, steps = aligned(own.scale, rank), aligned(own.lo, rank)
        near = np.abs(scale - codes.scale) <= _SCALE_TOLERANCE * np.abs(codes.scale)
        if near.all() and (np.abs(steps * (scale / codes.scale - 1)) <= _STEP_TOLERANCE).all():
            return np.asarray(steps, np.int64)
    if not np.array_equal(constant.lo, constant.hi):
        return None
    with np.errstate(all="ignore"):
        steps = np.round(constant.lo / codes.scale)
        if (np.abs(steps) < 2.0**53).all() and (steps * codes.scale == constant.lo).all():
            return np.asarray(steps, np.int64)
    return None


def neg(x: Value) -> Value:
    """Negation: the same integers at the negated scale."""
    lo, hi = x.ends()
    codes = None if x.codes is None else replace(x.codes, scale=-x.codes.scale)
    if x.number is not None:
        return Value.constant(-x.number, codes, x.origin)
    return Value.of(x.shape, codes, -hi, -lo, x.origin)


def mul(a: Value, b: Value) -> Value:
    """Product; of integers by a constant at another scale, of two streams of integers as their products."""
    shape, a, b = _operands(a, b)
    real = products((a.lo, a.hi), (b.lo, b.hi))
    return Value.of(shape, _multiplied(a, b), *real, _origin(a, b, "product"))


def _multiplied(a: Value, b: Value) -> Codes | None:
    if a.number is not None and b.number is None:
        a, b = b, a
    if a.codes is None:
        return None
    if b.number is not None:
        return _scaled(a.codes, b.lo, b.hi, divide=False)
    if b.codes is None:
        return None
    x, y = a.codes, b.codes
    largest = max(abs(x.range.lo), x.range.hi) * max(abs(y.range.lo), y.range.hi)
    if not integer_sum_fits(largest):
        return None
    corners = [i * j for i in (x.lo, x.hi) for j in (y.lo, y.hi)]
    lo, hi = np.minimum.reduce(np.broadcast_arrays(*corners)), np.maximum.reduce(np.broadcast_arrays(*corners))
    return Codes.plain(x.scale * y.scale, lo, hi)


def _scaled(codes: Codes, lo: FloatArray, hi: FloatArray, divide: bool) -> Codes | None:
    """Integers times a constant; those that it makes zero are zero at the scale they had."""
    if not np.array_equal(lo, hi) or not np.isfinite(lo).all() or (divide and (lo == 0).any()):
        return None
    zero = lo == 0
    with np.errstate(all="ignore"):
        scale = codes.scale / lo if divide else codes.scale * np.where(zero, 1.0, lo)
    if not np.isfinite(scale).all() or not (scale != 0).all():
        return None
    if not zero.any():
        return replace(codes, scale=scale)
    scaled = replace(codes, scale=scale)
    return scaled.with_range(np.where(zero, 0, codes.lo), np.where(zero, 0, codes.hi))


def div(a: Value, b: Value) -> Value:
    """Quotient; unbounded where the divisor may be zero."""
    shape, a, b = _operands(a, b)
    real = quotients((a.lo, a.hi), (b.lo, b.hi))
    codes = _scaled(a.codes, b.lo, b.hi, divide=True) if a.codes is not None and b.number is not None else None
    return Value.of(shape, codes, *real, _origin(a, b, "quotient"))


def absolute(x: Value) -> Value:
    """Magnitude."""
    if x.number is not None:
        return Value.constant(np.abs(x.number), None, x.origin)
    lo, hi = x.ends()
    low = np.where((lo <= 0) & (hi >= 0), 0.0, np.minimum(np.abs(lo), np.abs(hi)))
    codes = None
    if x.codes is not None:
        c = x.codes
        bottom = np.where((c.lo <= 0) & (c.hi >= 0), 0, np.minimum(np.abs(c.lo), np.abs(c.hi)))
        positive = replace(c, scale=np.abs(c.scale))
        codes = positive.with_range(bottom, np.maximum(np.abs(c.lo), np.abs(c.hi)))
        if (c.lo < 0).any():  # mirrored integers are no codes of the quantizer's any more
            codes = Codes.plain(codes.scale, codes.lo, codes.hi)
    return Value.of(x.shape, codes, low, np.maximum(np.abs(lo), np.abs(hi)), x.origin)


def maximum(a: Value, b: Value) -> Value:
    """The larger of two, element by element."""
    return _extremum(a, b, True)


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two, element by element."""
    return _extremum(a, b, False)


def _extremum(a: Value, b: Value, largest: bool) -> Value:
    shape, a, b = _operands(a, b)
    choose = np.maximum if largest else np.minimum
    codes, pair = None, _paired(a, b, len(shape))
    if pair is not None:
        c, lo, hi = pair
        rising = c.scale > 0
        # At a negative scale the larger value has the smaller integer.
        low = np.where(rising == largest, np.maximum(c.lo, lo), np.minimum(c.lo, lo))
        high = np.where(rising == largest, np.maximum(c.hi, hi), np.minimum(c.hi, hi))
        codes = c.with_range(low, high)
    return Value.of(shape, codes, choose(a.lo, b.lo), choose(a.hi, b.hi), _origin(a, b, "extremum"))


def where(a: Value, b: Value, shape: tuple[int, ...] | None = None) -> Value:
    """One or the other, element by element, chosen by data."""
    common, a, b = _operands(a, b)
    shape = broadcast_shape(common, shape or common)
    pair = _paired(a, b, len(common))
    codes = None
    if pair is not None:
        c, lo, hi = pair
        codes = c.with_range(np.minimum(c.lo, lo), np.maximum(c.hi, hi))
    return Value.of(shape, codes, np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi), _origin(a, b, "choice"))


def _paired(a: Value, b: Value, rank: int) -> tuple[Codes, IntArray, IntArray] | None:
    """The first's integers, and the second's at the same scale; None where there are none."""
    if a.number is not None and b.number is None:
        a, b = b, a
    if a.codes is None:
        return None
    if b.number is not None:
        steps = _in_steps(a.codes, b, rank)
        return None if steps is None else (a.codes, steps, steps)
    other = None if b.codes is None else _at_scale_of(a.codes, b.codes, rank)
    return None if other is None else (a.codes, other.lo, other.hi)


def _at_scale_of(codes: Codes, other: Codes, rank: int) -> Codes | None:
    """The other integers at the first ones' scale, turned where the scales differ in sign; None at another scale."""
    turned = other if codes.same_scale(other, rank) else other.mirrored()
    return turned if codes.same_scale(turned, rank) else None


def dropout(x: Value, ratio: float, training: bool) -> Value:
    """Dropout: in training some elements become zero, and the others grow by ``1 / (1 - ratio)``."""
    if not training or ratio == 0:
        return x
    if not 0 < ratio < 1 or not x.bounded:
        return Value.unknown(x.shape, f"dropout of {x.origin}")
    factor = np.asarray(1 / (1 - ratio))
    kept = Value.interval((), *outward(*outward(factor, factor)))
    grown = mul(Value.interval(x.shape, *x.ends(), x.origin), kept)
    return where(grown, Value.constant(np.zeros((), np.float32))).under(f"dropout in training of {x.origin}")
