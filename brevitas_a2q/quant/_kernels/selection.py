"""The largest of many values, without sorting them: one pass that keeps as many as are asked for.

A value is looked at closer only where the largest of its block exceeds the smallest of those kept, which for values in
no particular order happens ``k log(n / k)`` times. The result is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brevitas_a2q.quant._kernels.compiler import Floats, Integers, compiled, compiled_sums, inlined
from brevitas_a2q.quant._kernels.halves import load

__all__ = ["keep_largest"]

_BLOCK = 512


@inlined
def _measure(value: Any, sign: int, low: Any, high: Any) -> Any:
    value = low if value < low else value
    value = high if value > high else value
    return abs(value) if sign == 0 else sign * value


@compiled_sums
def _largest(x: Any, sign: int, low: Any, high: Any, start: Any) -> Any:
    found = start
    for i in range(len(x)):
        value = _measure(load(x[i]), sign, low, high)
        found = value if value > found else found
    return found


@compiled
def _shrink(values: Floats, where: Integers, k: int) -> Any:
    """Bring the ``k`` largest to the front; returns the smallest of them."""
    order = np.argsort(-values)[:k]
    kept, places = values[order], where[order]
    values[:k], where[:k] = kept, places
    return values[k - 1]


@compiled
def keep_largest(
    first: int, last: int, x: Any, sign: int, low: float, high: float, values: Floats, where: Integers
) -> int:
    """The largest of values ``first`` to ``last``; NaN is passed over.

    Args:
        first: Of the values.
        last: One beyond.
        x: Values; sixteen-bit ones as ``kernels.halves`` wants them.  # shape: (n,)
        sign: 1 for the values, -1 for their negatives, 0 for their magnitudes.
        low: What values are clamped to from below, before.
        high: The same from above.
        values: Float; its first half receives the largest, in no order.  # shape: (2 k,)
        where: int64; receives their places in ``x``.  # shape: (2 k,)

    Returns:
        How many there are: ``k``, or fewer.
    """
    k, kind = len(values) // 2, values.dtype.type
    lowest, highest, count, limit = kind(low), kind(high), 0, kind(-np.inf)
    for start in range(first, last, _BLOCK):
        end = min(last, start + _BLOCK)
        if count >= k and _largest(x[start:end], sign, lowest, highest, limit) <= limit:
            continue
        for i in range(start, end):
            value = _measure(load(x[i]), sign, lowest, highest)
            if value > limit or (count < k and value == value):
                values[count], where[count] = value, i
                count += 1
                if count == 2 * k:
                    limit = _shrink(values, where, k)
                    count = k
    if count > k:
        _shrink(values[:count], where[:count], k)
    return min(count, k)
