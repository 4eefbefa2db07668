"""Quantizers: which integers they make of real values that lie between two ends.

A quantizer never falls where its input rises, so its integers at the ends, each moved outward past the errors of the
division by the scale and of the sum with the zero-point, bound all others. Moving a value outward changes its integer
only where it lies within two roundings of a boundary; there the range gains one code that only rounding can reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ranges.annotation import (
    MAX_ANNOTATION,
    Array,
    FloatArray,
    IntArray,
    RangeError,
    aligned,
    broadcast_size,
    full_rank,
)
from brevitas_a2q._ranges.datatypes import IntType
from brevitas_a2q._ranges.rounding import products, quotients, sums
from brevitas_a2q._ranges.value import Codes, Value
from brevitas_a2q.bounds import IntRange

__all__ = ["ROUNDING_MODES", "bipolar", "quantize", "round_as", "threshold", "truncate"]

ROUNDING_MODES: Final[dict[str, Callable[[Any], Any]]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)),
}

_INT_MAX: Final = 2.0**62


def round_as(mode: str, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Round by a rounding mode of QONNX; half to even unless told otherwise.

    Example:
        >>> round_as("ROUND", np.array([0.5, 1.5, -2.5])).tolist(), round_as("HALF_UP", np.array([0.5, -2.5])).tolist()
        ([0.0, 2.0, -2.0], [1.0, -3.0])
    """
    rounded: npt.NDArray[Any] = ROUNDING_MODES[mode](x)
    return rounded


@dataclass(frozen=True, eq=False)
class _Steps:
    """A quantizer's parameters, and its input in steps of the scale: ``x / scale + zero_point``, moved outward."""

    shape: tuple[int, ...]
    scale: FloatArray
    zero_point: IntArray
    lo: FloatArray
    hi: FloatArray


def _steps(x: Value, scale: Array, zero_point: Array, rounding: str | None = None) -> _Steps:
    scale, zero_point = np.asarray(scale, np.float64), np.asarray(zero_point, np.float64)
    if not scale.size or not (np.isfinite(scale).all() and (scale != 0).all()):
        raise RangeError("found a scale of zero, or none", expected="finite scales other than 0")
    if not zero_point.size or (zero_point != np.round(zero_point)).any() or (np.abs(zero_point) > 1 << 24).any():
        raise RangeError("found a zero-point that is not a small integer", expected="integers")
    try:
        shape = np.broadcast_shapes(x.shape, scale.shape, zero_point.shape)
    except ValueError as error:
        raise RangeError(
            f"found scales of shape {scale.shape} for {x.shape}", expected="shapes that broadcast"
        ) from error
    rank = len(shape)
    scale, zero_point = (aligned(full_rank(a, rank) if a.ndim else a, rank) for a in (scale, zero_point))
    if broadcast_size(*(full_rank(a, rank) for a in (scale, zero_point))) > MAX_ANNOTATION:
        raise RangeError("found scales that vary over too many elements", expected="scales per channel")
    parameters = Value.interval(shape, *(np.broadcast_arrays(scale, zero_point)[0],) * 2)
    source = x if x.number is not None and x.number.size <= MAX_ANNOTATION else x.coarse(parameters)
    ends = tuple(aligned(end, rank) for end in source.ends())
    lo, hi = quotients((ends[0], ends[1]), (scale, scale))
    if rounding is not None:
        lo, hi = round_as(rounding, lo), round_as(rounding, hi)
    if zero_point.any():
        lo, hi = sums((lo, hi), (zero_point, zero_point))
    return _Steps(shape, scale, zero_point.astype(np.int64), lo, hi)


def quantize(
    x: Value,
    scale: Array,
    zero_point: Array,
    bits: int,
    signed: bool,
    narrow: bool = False,
    rounding: str = "ROUND",
    origin: str = "",
    *,
    rounds_first: bool = False,
) -> Value:
    """``round(clip(x / scale + zero_point))``, as integers less the zero-point at the scale.

    Args:
        x: Real values.
        scale: Not zero; shape broadcastable with the input.
        zero_point: Integral; shape broadcastable with the input.
        bits: Of the codes; one signed bit is -1 or 1, by sign.
        signed: Whether codes are two's complement.
        narrow: Whether the lowest signed (highest unsigned) code is left out.
        rounding: A key of :data:`ROUNDING_MODES`.
        origin: What to call it.
        rounds_first: Whether the zero-point is added behind the rounding, as in ONNX' ``QuantizeLinear``.
    """
    if rounding not in ROUNDING_MODES:
        raise RangeError(f"found rounding mode {rounding!r}", expected=f"one of {', '.join(ROUNDING_MODES)}")
    steps = _steps(x, scale, zero_point, rounding if rounds_first else None)
    if bits == 1 and signed:
        return _signs(x, steps, steps.lo, steps.hi, origin)
    dtype = IntType.of(bits, signed)
    bottom, top = dtype.range.lo + int(narrow and signed), dtype.range.hi - int(narrow and not signed)
    # A float32 limit above 24 bits is rounded; what it lets through is clipped again as integers.
    ends = (np.clip(round_as(rounding, np.clip(end, bottom, top)), bottom, top) for end in (steps.lo, steps.hi))
    lo, hi = (end.astype(np.int64) - steps.zero_point for end in ends)
    return Value.of_codes(steps.shape, Codes(steps.scale, lo, hi, dtype, steps.zero_point, narrow), origin)


def _signs(x: Value, steps: _Steps, lo: FloatArray, hi: FloatArray, origin: str) -> Value:
    if x.maybe_nan:  # it is positive where an executor asks whether it is below zero, else negative
        lo, hi = np.asarray(-np.inf), np.asarray(np.inf)
    low, high = (np.where(np.asarray(end) >= 0, 1, -1).astype(np.int64) - steps.zero_point for end in (lo, hi))
    return Value.of_codes(steps.shape, Codes(steps.scale, low, high, IntType("BIPOLAR"), steps.zero_point), origin)


def bipolar(x: Value, scale: Array, origin: str = "") -> Value:
    """-1 or 1, by the sign of ``x`` itself; zero counts as positive."""
    steps = _steps(x, scale, np.zeros(()))
    lo, hi = (aligned(end, len(steps.shape)) for end in x.ends())
    return _signs(x, steps, lo, hi, origin)


def truncate(
    x: Value,
    scale: float,
    shift: int,
    *,
    output_scale: float,
    rounding: str = "FLOOR",
    dtype: IntType | None = None,
    narrow: bool = False,
    origin: str = "",
) -> Value:
    """Integers of a known scale, divided by ``2^shift`` and rounded; clipped to a type if there is one.

    Args:
        x: Multiples of ``scale``, up to rounding.
        scale: Of one step of the input.
        shift: Bits that are dropped.
        output_scale: Of one step of the output.
        rounding: Of the division, a key of :data:`ROUNDING_MODES`.
        dtype: Of the output; None: no limits.
        narrow: Whether the type's lowest signed code is left out.
        origin: What to call it.
    """
    if rounding not in ROUNDING_MODES:
        raise RangeError(f"found rounding mode {rounding!r}", expected=f"one of {', '.join(ROUNDING_MODES)}")
    steps = _steps(x, np.asarray(scale), np.zeros(()))
    ends = [np.round(end) / 2.0**shift for end in (steps.lo, steps.hi)]
    if dtype is not None:
        bottom, top = dtype.range.lo + int(narrow and dtype.signed), dtype.range.hi - int(narrow and not dtype.signed)
        ends = [np.clip(end, bottom, top) for end in ends]
    ends = [round_as(rounding, end) for end in ends]
    if not all((np.abs(end) < _INT_MAX).all() for end in ends):
        return Value.unknown(steps.shape, f"truncation of {x.origin}")
    lo, hi = (end.astype(np.int64) for end in ends)
    step = np.asarray(float(output_scale))
    codes = Codes.plain(step, lo, hi) if dtype is None else Codes(step, lo, hi, dtype, np.zeros((), np.int64), narrow)
    return Value.of_codes(steps.shape, codes, origin)


def threshold(
    x: Value,
    thresholds: Array,
    *,
    scale: float = 1.0,
    bias: int = 0,
    each: int = 1,
    axis: int = 1,
    dtype: IntType | None = None,
    origin: str = "",
) -> Value:
    """An integer for every threshold that is at most ``x``, plus an integer, at a scale.

    Args:
        x: Real values.
        thresholds: In any order.  # shape: (channels or 1, steps)
        scale: Of one step of the output.
        bias: Added to the count.
        each: What a threshold counts.
        axis: Of the channels.
        dtype: Of the output; None: the smallest that holds every count.
        origin: What to call it.
    """
    limits = np.asarray(thresholds, np.float64)
    if limits.ndim != 2 or limits.shape[0] not in (1, x.shape[axis]) or not limits.shape[1]:
        raise RangeError(f"found thresholds of shape {limits.shape}", expected=f"(1 or {x.shape[axis]}, steps)")
    column = np.broadcast_to(np.ones(()), tuple(limits.shape[0] if d == axis else 1 for d in range(x.rank)))
    source = Value.interval(x.shape, *x.ends()).coarse(Value.interval(x.shape, column, column))
    if max(source.lo.size, source.hi.size, limits.shape[0]) > MAX_ANNOTATION // max(1, limits.shape[1].bit_length()):
        source = Value.interval(x.shape, np.asarray(source.lo.min()), np.asarray(source.hi.max()))
    lo, hi = (each * _counts(full_rank(end, x.rank), limits, axis) + bias for end in (source.lo, source.hi))
    steps = IntRange(bias, bias + each * limits.shape[1])
    if x.maybe_nan:  # NaN is above no threshold, and below none: executors differ in what they ask
        lo, hi = np.full_like(lo, steps.lo), np.full_like(hi, steps.hi)
    if dtype is None or not (dtype.range.contains(steps)):
        dtype = IntType.smallest(steps)
    step = np.asarray(float(np.float32(scale)))
    codes = Codes(step, lo, hi, dtype, np.zeros((), np.int64))
    if not bias:
        return Value.of_codes(x.shape, codes, origin)
    # The bias is added after the count has been scaled, so the error is that of the larger of the two.
    offset = np.asarray(float(np.float32(bias * step)))
    counts = products(((lo - bias).astype(np.float64), (hi - bias).astype(np.float64)), (step, step))
    return Value.of(x.shape, codes, *sums(counts, (offset, offset)), origin)


def _counts(x: FloatArray, thresholds: FloatArray, axis: int) -> IntArray:
    """How many thresholds of its channel are at most each element."""
    ordered = np.sort(thresholds, axis=1)
    last = np.moveaxis(x, axis, -1)
    if ordered.shape[0] == 1:
        count = np.searchsorted(ordered[0], last, side="right")
    else:
        spread = np.broadcast_to(last, (*last.shape[:-1], ordered.shape[0]))
        columns = [np.searchsorted(row, spread[..., c], side="right") for c, row in enumerate(ordered)]
        count = np.stack(columns, axis=-1)
    return np.asarray(np.moveaxis(count, -1, axis), np.int64)
