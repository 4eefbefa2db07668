"""Pools and reductions: maxima keep the integers of their input; means are integer sums at a smaller scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from brevitas_a2q._ranges.annotation import FloatArray, RangeError
from brevitas_a2q._ranges.movement import along, reshape
from brevitas_a2q._ranges.rounding import FLOAT_MAX, UNIT, quotients, weighed
from brevitas_a2q._ranges.value import Codes, Value, integer_sum_fits
from brevitas_a2q._ranges.windows import Window

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "extremum_along",
    "max_pool",
    "mean",
    "total",
]


def _spatial(x: Value, window: Window) -> tuple[int, ...]:
    if x.rank != len(window.kernel) + 2:
        raise RangeError(f"found an input of {x.rank} axes", expected=f"{len(window.kernel) + 2}")
    size = x.shape[2:]
    for axis, (before, behind) in enumerate(window.pads):
        if max(before, behind) >= window.span(axis) or min(before, behind) < 0:
            raise RangeError(f"found pads {window.pads} of kernel {window.kernel}", expected="pads below its span")
    if min(window.positions(size)) < 1:
        raise RangeError(f"found kernel {window.kernel} on {size}", expected="a window that fits")
    return size


def max_pool(x: Value, window: Window) -> Value:
    """The largest element of each window; padding never wins, for it is less than any number."""
    size = _spatial(x, window)
    shape = (*x.shape[:2], *window.positions(size))
    if window.meets_nothing(size) or x.maybe_nan:
        return Value.unknown(shape, "a pool whose windows can hold no number")
    return along(x, tuple(range(2, x.rank)), shape, x.origin)


def average_pool(x: Value, window: Window, *, count_include_pad: bool = True, divisor: int | None = None) -> Value:
    """The mean of each window: its integer sum at a scale divided by the number of its elements.

    Args:
        x: shape (batch, channels, *spatial).
        window: With padding of zeros.
        count_include_pad: Whether padding counts as elements.
        divisor: What the sum is divided by instead of the number of elements.

    Returns:
        Integers where all windows are divided by one number; real numbers where windows at the border are not.
    """
    size = _spatial(x, window)
    if divisor is not None and divisor == 0:
        raise RangeError("found a divisor of 0", expected="another")
    shape = (*x.shape[:2], *window.positions(size))
    incomplete = window.padded or window.overhangs(size)
    origin = f"average pool of {x.origin}"
    image = along(x, tuple(range(2, x.rank)), shape, origin)
    if divisor is None and incomplete and not (count_include_pad and not window.overhangs(size)):
        # Divisors differ: each output is a mean of the elements its window holds, and of zeros where these count.
        lo, hi = image.ends()
        if window.meets_nothing(size) and not count_include_pad:
            return Value.unknown(shape, "a pool whose windows can be empty")
        if count_include_pad:
            lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
        return Value.interval(shape, *_mean_error(lo, hi, window.taps), origin)
    if incomplete:
        image = _with_zero(image)
    return _divided_sum(image, shape, window.taps, divisor or window.taps, origin)


def _with_zero(x: Value) -> Value:
    codes = None if x.codes is None else x.codes.with_range(np.minimum(x.codes.lo, 0), np.maximum(x.codes.hi, 0))
    return replace(x, lo=np.minimum(x.lo, 0), hi=np.maximum(x.hi, 0), codes=codes)


def _mean_error(lo: FloatArray, hi: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    with np.errstate(all="ignore"):
        reach = np.maximum(np.abs(lo), np.abs(hi))
        # The sum may overflow where the mean does not.
        lo, hi = np.where(lo * count < -FLOAT_MAX, -np.inf, lo), np.where(hi * count > FLOAT_MAX, np.inf, hi)
        return weighed(lo, hi, np.where(np.isfinite(reach), reach, 0.0) * (count + 2) * UNIT * 1.01)


def exact_sums(codes: Codes, largest: int) -> bool:
    """Whether float32 adds values of these integers without an error, in any order."""
    mantissa = np.frexp(np.abs(codes.scale))[0]
    tiny = np.abs(codes.scale) < 2.0**-100
    return bool((mantissa == 0.5).all()) and not tiny.any() and largest < 1 << 24


def _divided_sum(image: Value, shape: tuple[int, ...], count: int, divisor: int, origin: str) -> Value:
    """The sum of ``count`` elements, each as one of ``image``, divided by ``divisor``."""
    lo, hi = image.ends()
    with np.errstate(all="ignore"):
        total_lo, total_hi = lo * count, hi * count
        reach = np.maximum(np.abs(total_lo), np.abs(total_hi))
    codes, exact = None, False
    c = image.codes
    if c is not None:
        largest = max(abs(c.range.lo), abs(c.range.hi)) * count
        exact = exact_sums(c, largest)
        if integer_sum_fits(largest):
            codes = Codes.plain(c.scale / divisor, c.lo * count, c.hi * count)
    error = 0.0 if exact else np.where(np.isfinite(reach), reach, 0.0) * (count + 1) * UNIT * 1.01
    bounds = weighed(total_lo, total_hi, error)
    number = np.asarray(float(divisor))
    divided = quotients(bounds, (number, number))
    # Sums that float32 could not hold may still be divided before they are added.
    return Value.of(shape, codes, *divided, origin)


def adaptive_average_pool(x: Value, sizes: Sequence[int]) -> Value:
    """The mean of each of ``sizes`` parts of the image; integers where all parts are of one size."""
    size = x.shape[2:]
    if len(sizes) != len(size) or min(sizes) < 1:
        raise RangeError(f"found sizes {tuple(sizes)} for {size}", expected="one for each spatial axis")
    if all(n % m == 0 for n, m in zip(size, sizes, strict=True)):
        kernel = tuple(n // m for n, m in zip(size, sizes, strict=True))
        return average_pool(x, Window.of(kernel, kernel))
    shape, origin = (*x.shape[:2], *sizes), f"average pool of {x.origin}"
    image = along(x, tuple(range(2, x.rank)), shape, origin)
    count = prod(-(-n // m) + 1 for n, m in zip(size, sizes, strict=True))
    return Value.interval(shape, *_mean_error(*image.ends(), count), origin)


def adaptive_max_pool(x: Value, sizes: Sequence[int]) -> Value:
    """The largest element of each of ``sizes`` parts of the image."""
    return along(x, tuple(range(2, x.rank)), (*x.shape[:2], *sizes), x.origin)


def _axes(x: Value, axes: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(sorted({axis % x.rank for axis in axes if -x.rank <= axis < x.rank}))
    if len(chosen) != len(axes) or not chosen:
        raise RangeError(f"found axes {tuple(axes)} of {x.rank}", expected="different axes of the tensor")
    return chosen


def _reduced(x: Value, axes: tuple[int, ...], keepdims: bool, pooled: Value) -> Value:
    if keepdims:
        return pooled
    return reshape(pooled, tuple(n for d, n in enumerate(x.shape) if d not in axes))


def _kept(x: Value, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if d in axes else n for d, n in enumerate(x.shape))


def mean(x: Value, axes: Sequence[int], keepdims: bool = True) -> Value:
    """The mean along axes."""
    chosen = _axes(x, axes)
    count, shape, origin = prod(x.shape[d] for d in chosen), _kept(x, chosen), f"mean of {x.origin}"
    return _reduced(x, chosen, keepdims, _divided_sum(along(x, chosen, shape, origin), shape, count, count, origin))


def total(x: Value, axes: Sequence[int], keepdims: bool = True) -> Value:
    """The sum along axes."""
    chosen = _axes(x, axes)
    count, shape, origin = prod(x.shape[d] for d in chosen), _kept(x, chosen), f"sum of {x.origin}"
    return _reduced(x, chosen, keepdims, _divided_sum(along(x, chosen, shape, origin), shape, count, 1, origin))


def extremum_along(x: Value, axes: Sequence[int], keepdims: bool = True) -> Value:
    """The largest, or the smallest, element along axes: one of them in any case."""
    chosen = _axes(x, axes)
    if x.maybe_nan:
        return _reduced(x, chosen, keepdims, Value.unknown(_kept(x, chosen), f"extremum of {x.origin}"))
    return _reduced(x, chosen, keepdims, along(x, chosen, _kept(x, chosen), x.origin))
