"""The abstract value: what is known of a tensor for every input of a network.

Soundness: whatever the network's input (within its own value), every element of the tensor lies in ``[lo, hi]``, both
in exact arithmetic and as float32 arithmetic computes it, in any order and with or without fused multiply-add. Where
there are ``codes``, the datapath holds an integer ``v`` in ``[codes.lo, codes.hi]`` for it, and ``scale * v`` is the
element in exact arithmetic.

Infinity is a value like others: an end that may be infinite is infinite. What may be no number at all (NaN) has two
infinite ends, or says so. Quantizers that compare (BipolarQuant, MultiThreshold) make an integer of NaN, either end of
theirs, which counts; others do not, and an execution that gives NaN to one of them is not one of integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from brevitas_a2q._ranges.annotation import (
    MAX_ANNOTATION,
    Array,
    FloatArray,
    IntArray,
    aligned,
    broadcast_size,
    full_rank,
    joined,
)
from brevitas_a2q._ranges.datatypes import IntType
from brevitas_a2q._ranges.rounding import FLOAT_MAX, on_grid, outward
from brevitas_a2q.bounds import IntRange

__all__ = ["Codes", "Value", "integer_sum_fits", "raw_codes"]

_FAR: Final = 2.0**62


def integer_sum_fits(largest: int) -> bool:
    """Whether sums of this magnitude can be computed in 64 bits without a thought for overflow."""
    return largest < 1 << 62


@dataclass(frozen=True, eq=False)
class Codes:
    """Integers behind a tensor: ``value = scale * v`` with ``v`` in ``[lo, hi]``, and ``v = code - zero_point``.

    ``lo`` and ``hi`` come from range analysis, so they can be narrower than the data type; they do not include 0 of
    themselves. ``scale`` is not zero; it is negative where a constant turned the sign.
    """

    scale: FloatArray  # shape: broadcastable to the tensor
    lo: IntArray  # shape: broadcastable to the tensor
    hi: IntArray  # shape: broadcastable to the tensor
    dtype: IntType  # of the codes, before the zero-point is subtracted
    zero_point: IntArray  # shape: broadcastable to the tensor; all zero except behind asymmetric quantizers
    narrow: bool = False  # whether the type's outermost code is left out, as Brevitas' narrow ranges do

    @classmethod
    def plain(cls, scale: FloatArray, lo: IntArray, hi: IntArray) -> Codes:
        """Integers of a range, in the smallest type that holds them, without a zero-point."""
        return cls(scale, lo, hi, IntType.smallest(IntRange(int(lo.min()), int(hi.max()))), np.zeros((), np.int64))

    @property
    def range(self) -> IntRange:
        """Lowest and highest integer of the whole tensor."""
        return IntRange(int(self.lo.min()), int(self.hi.max()))

    @property
    def raw_range(self) -> IntRange | None:
        """What a datapath multiplies that subtracts the zero-point from the sum only; None without a zero-point.

        0 is included; padding with the value 0 is the code of the zero-point there.
        """
        if not self.zero_point.any():
            return None
        lo, hi = np.minimum(self.lo, 0) + self.zero_point, np.maximum(self.hi, 0) + self.zero_point
        return IntRange(int(lo.min()), int(hi.max())).with_zero()

    @property
    def uniform_scale(self) -> float | None:
        """The scale if it is one number for the whole tensor."""
        first = self.scale.flat[0]
        return float(first) if (self.scale == first).all() else None

    def type_range(self) -> tuple[IntArray, IntArray]:
        """Lowest and highest ``v`` that the data type alone allows; shapes broadcast to the tensor."""
        lo, hi = self.dtype.range.lo, self.dtype.range.hi
        if self.narrow:
            lo, hi = (lo + 1, hi) if self.dtype.signed else (lo, hi - 1)
        return lo - self.zero_point, hi - self.zero_point

    @property
    def integer_type(self) -> IntType:
        """Type of the integers ``v``: the codes' own, or the smallest that holds them less the zero-point."""
        if not self.zero_point.any():
            return self.dtype
        lo, hi = self.type_range()
        return IntType.smallest(IntRange(int(lo.min()), int(hi.max())))

    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest real value, up to rounding."""
        ends = self.scale * self.lo, self.scale * self.hi
        return np.minimum(*ends), np.maximum(*ends)

    def enclosure(self) -> tuple[FloatArray, FloatArray]:
        """Ends that float32 values of these integers do not leave: integer and scale are rounded, and their product."""
        lo, hi = self.interval()
        exact = on_grid(self.scale) & on_grid(self.lo.astype(np.float64)) & on_grid(self.hi.astype(np.float64))
        if exact.all():
            return outward(lo, hi, exact=True)
        return outward(*outward(*outward(lo, hi)))

    def same_scale(self, other: Codes, rank: int) -> bool:
        """Whether both have the same scale, as float32 numbers, element by element."""
        a, b = (aligned(c.scale, rank).astype(np.float32) for c in (self, other))
        return a.shape == b.shape and bool((a == b).all())

    def mirrored(self) -> Codes:
        """The same values as negated integers at the negated scale."""
        return Codes.plain(-self.scale, -self.hi, -self.lo)

    def holds(self, lo: IntArray, hi: IntArray) -> bool:
        """Whether the data type holds these integers."""
        bottom, top = self.type_range()
        return bool((lo >= bottom).all() and (hi <= top).all())

    def with_range(self, lo: IntArray, hi: IntArray) -> Codes:
        """The same integers in another range; in another type if this one does not hold it."""
        if self.holds(lo, hi):
            return replace(self, lo=lo, hi=hi)
        return Codes.plain(self.scale, lo, hi)

    def aligned(self, rank: int) -> Codes:
        """Every annotation no larger than it needs to be."""
        return replace(
            self,
            scale=aligned(self.scale, rank),
            lo=aligned(self.lo, rank),
            hi=aligned(self.hi, rank),
            zero_point=aligned(self.zero_point, rank),
        )


@dataclass(frozen=True, eq=False)
class Value:
    """What is known of one tensor; see the module.

    Example:
        >>> Value.unknown((2, 3)).bounded, Value.interval((2, 3), np.float64(0), np.float64(1)).never_negative
        (False, True)
    """

    shape: tuple[int, ...]
    lo: FloatArray  # shape: broadcastable to the tensor; -inf where nothing bounds it
    hi: FloatArray  # shape: broadcastable to the tensor
    codes: Codes | None = None
    origin: str = ""  # what bounds it, or why nothing does
    number: Array | None = None  # of constants
    nan: bool = False  # whether it may be NaN although it has an end

    @classmethod
    def unknown(cls, shape: tuple[int, ...], origin: str = "") -> Value:
        """Nothing but the shape is known."""
        return cls(shape, np.asarray(-np.inf), np.asarray(np.inf), None, origin)

    @classmethod
    def interval(cls, shape: tuple[int, ...], lo: FloatArray, hi: FloatArray, origin: str = "") -> Value:
        """Real numbers between two ends; an end beyond float32 is none, for the value may be infinite or NaN."""
        with np.errstate(all="ignore"):
            broken = not (np.abs(lo) <= FLOAT_MAX).all() or not (np.abs(hi) <= FLOAT_MAX).all()
        if broken:
            lo = np.where(np.isnan(lo) | (lo < -FLOAT_MAX), -np.inf, lo)
            hi = np.where(np.isnan(hi) | (hi > FLOAT_MAX), np.inf, hi)
        rank = len(shape)
        return cls(shape, aligned(joined(lo, np.min), rank), aligned(joined(hi, np.max), rank), None, origin)

    @classmethod
    def of_codes(cls, shape: tuple[int, ...], codes: Codes, origin: str = "") -> Value:
        """Integers times a scale, as a quantizer makes them."""
        return cls.of(shape, codes, *codes.enclosure(), origin)

    @classmethod
    def of(cls, shape: tuple[int, ...], codes: Codes | None, lo: FloatArray, hi: FloatArray, origin: str = "") -> Value:
        """Integers (if any) and the ends between which their real values lie."""
        real = cls.interval(shape, lo, hi, origin)
        if codes is None or not np.isfinite(real.lo).all() or not np.isfinite(real.hi).all():
            return real
        if max(codes.scale.size, codes.zero_point.size) > MAX_ANNOTATION:
            return real
        joint = replace(codes, lo=joined(codes.lo, np.min), hi=joined(codes.hi, np.max)).aligned(len(shape))
        sizes = [full_rank(a, len(shape)) for a in (joint.scale, joint.zero_point, joint.lo, joint.hi)]
        return real if broadcast_size(*sizes) > MAX_ANNOTATION else replace(real, codes=joint)

    @classmethod
    def constant(cls, number: Array, codes: Codes | None = None, origin: str = "constant") -> Value:
        """A constant of any numeric type."""
        numeric = number.dtype.kind in "fiub" and number.size
        lo, hi = (np.asarray(float(end)) for end in (number.min(), number.max())) if numeric else (np.zeros(()),) * 2
        return cls(number.shape, lo, hi, codes, origin, number)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite everywhere."""
        return bool(np.isfinite(self.lo).all() and np.isfinite(self.hi).all())

    @property
    def maybe_nan(self) -> bool:
        """Whether an element may be NaN."""
        return self.nan or bool(np.isinf(self.lo).any() and np.isinf(self.hi).any())

    @property
    def never_negative(self) -> bool:
        """Whether no element can be negative."""
        return bool((self.lo >= 0).all())

    def ends(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest value, element by element also of constants, as far as that fits an annotation."""
        if self.number is None or self.number.size > MAX_ANNOTATION or self.number.dtype.kind not in "fiub":
            return self.lo, self.hi
        each = aligned(self.number.astype(np.float64), self.rank)
        return each, each

    def integer_ends(self) -> tuple[IntArray, IntArray]:
        """Lowest and highest integer, also of what float32 arithmetic makes of the tensor.

        A sum whose scale float32 does not resolve (a large constant added and subtracted again) can be rounded to
        other integers than the datapath has; where it can be more than a quarter of a step off, they count too.
        """
        assert self.codes is not None
        c = self.codes
        with np.errstate(all="ignore"):
            steps = self.lo / c.scale, self.hi / c.scale
            lo = np.minimum(c.lo, np.ceil(np.clip(np.minimum(*steps) - 0.75, -_FAR, _FAR)).astype(np.int64))
            hi = np.maximum(c.hi, np.floor(np.clip(np.maximum(*steps) + 0.75, -_FAR, _FAR)).astype(np.int64))
        return np.asarray(lo), np.asarray(hi)

    def hull(self, other: Value) -> Value:
        """What holds of a tensor that is one or the other, element by element."""
        if self.shape != other.shape:
            raise ValueError(f"shapes {self.shape} and {other.shape}")
        (lo, hi), (other_lo, other_hi) = self.coarse(other).ends(), other.coarse(self).ends()
        codes = None
        a, b = self.codes, other.codes
        if a is not None and b is not None and a.same_scale(b, self.rank):
            codes = a.with_range(np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi))
        origin = " and ".join(dict.fromkeys((self.origin, other.origin)))
        return Value.of(self.shape, codes, np.minimum(lo, other_lo), np.maximum(hi, other_hi), origin)

    def coarse(self, *others: Value) -> Value:
        """The value itself if its annotations combine with those of others; else one that says less."""
        arrays: list[Any] = [self.lo, self.hi]
        for other in others:
            arrays += list(other.ends())
        rank = max(a.ndim for a in arrays)
        shapes = [a.reshape((1,) * (rank - a.ndim) + a.shape) for a in arrays]
        if broadcast_size(*shapes) <= MAX_ANNOTATION:
            return self
        return Value.interval(self.shape, np.asarray(self.lo.min()), np.asarray(self.hi.max()), self.origin)

    def under(self, origin: str) -> Value:
        """The same value with another account of where it comes from."""
        return replace(self, origin=origin)


def raw_codes(codes: Codes) -> IntRange | None:
    """What a datapath multiplies that subtracts the zero-point only from the sum; None without a zero-point.

    Padding with the value 0 is the code of the zero-point there.
    """
    if not codes.zero_point.any():
        return None
    lo, hi = np.minimum(codes.lo, 0) + codes.zero_point, np.maximum(codes.hi, 0) + codes.zero_point
    return IntRange(int(lo.min()), int(hi.max())).with_zero()
