"""One pass over activations forward, and one backward: clamp, divide, round, clip, multiply, in the order of Brevitas.

Values are read in the order in which they lie in memory, whatever the layout. The channel of the ``i``-th is
``(i // inner) % channels``: ``inner`` is the size of an image for contiguous tensors, and 1 for channels-last ones.
Every intermediate result is rounded to the type of the values, as PyTorch's operations would.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brevitas_a2q.quant._kernels.compiler import Floats, compiled, compiled_sums, inlined
from brevitas_a2q.quant._kernels.halves import load, settle, store

__all__ = ["CEIL", "DPU", "FLOOR", "ROUND", "TO_ZERO", "activate", "activation_gradients"]

ROUND, FLOOR, CEIL, TO_ZERO, DPU = range(5)

_BLOCK = 4096  # values whose gradients are summed in their own type


@inlined
def _clamped(value: Any, low: Any, high: Any) -> Any:
    # What ReLU and its kin do; NaN stays.
    value = low if value < low else value
    return high if value > high else value


@inlined
def _rounded(u: Any, rounding: int) -> Any:
    if rounding == 0:
        return np.rint(u)
    if rounding == 1:
        return np.floor(u)
    if rounding == 2:
        return np.ceil(u)
    if rounding == 3:
        return np.trunc(u)
    tie_below_zero = (u < 0) & (u - np.floor(u) == 0.5)
    return np.ceil(u) if tie_below_zero else np.rint(u)


@inlined
def _quantized(raw: Any, step: Any, zero: Any, shifted: Any, limits: Any, rounding: int, like: Any) -> Any:
    low, high, q_min, q_max = limits
    u = settle(_clamped(raw, low, high) / step, like)
    u = settle(u + zero, like) if shifted else u
    c = _clamped(_rounded(u, rounding), q_min, q_max)
    c = settle(c - zero, like) if shifted else c
    return settle(c * step, like)


@inlined
def _slopes(raw: Any, outer: Any, step: Any, zero: Any, shifted: Any, limits: Any, rounding: int, like: Any) -> Any:
    """Gradient of a value, and what it adds to those of the scale, of ``q_max`` and of ``q_min``."""
    low, high, q_min, q_max = limits
    nothing = step - step
    ratio = _clamped(raw, low, high) / step
    u = settle(ratio, like)
    u = settle(u + zero, like) if shifted else u
    c = _rounded(u, rounding)
    over, under = c > q_max, c < q_min
    within = (not over) & (not under)
    along = outer * ((_clamped(c, q_min, q_max) - zero) - (ratio if within else nothing))
    inner = outer if within & (not (raw <= low)) & (not (raw >= high)) else nothing
    return inner, along, outer if over else nothing, outer if under else nothing


@compiled
def _forward(x: Any, y: Any, step: Any, zero: Any, limits: Any, rounding: int) -> None:
    shifted = zero != 0
    for i in range(len(x)):
        y[i] = store(_quantized(load(x[i]), step, zero, shifted, limits, rounding, x), x)


@compiled
def _forward_rows(x: Any, y: Any, s: Floats, z: Floats, limits: Any, rounding: int) -> None:
    # Each row holds one value of every channel.
    channels, shifted = len(s), z.any()
    for start in range(0, len(x), channels):
        for i in range(channels):
            value = _quantized(load(x[start + i]), s[i], z[i], shifted, limits, rounding, x)
            y[start + i] = store(value, x)


@compiled_sums
def _backward(x: Any, grad: Any, step: Any, zero: Any, limits: Any, rounding: int, grad_x: Any, sums: Any) -> None:
    shifted, nothing = zero != 0, step - step
    total, above, below = nothing, nothing, nothing
    for i in range(len(x)):
        found = _slopes(load(x[i]), load(grad[i]), step, zero, shifted, limits, rounding, x)
        grad_x[i] = store(found[0], x)
        total += found[1]
        above += found[2]
        below += found[3]
    sums[0] += total
    sums[1] += above
    sums[2] += below


@compiled_sums
def _backward_rows(x: Any, grad: Any, s: Floats, z: Floats, limits: Any, rounding: int, grad_x: Any, sums: Any) -> None:
    channels, shifted = len(s), z.any()
    for start in range(0, len(x), channels):
        for i in range(channels):
            raw, outer = load(x[start + i]), load(grad[start + i])
            found = _slopes(raw, outer, s[i], z[i], shifted, limits, rounding, x)
            grad_x[start + i] = store(found[0], x)
            sums[i, 0] += found[1]
            sums[i, 1] += found[2]
            sums[i, 2] += found[3]


@inlined
def _limits(low: float, high: float, q_min: float, q_max: float, like: Any) -> Any:
    kind = like.dtype.type
    return kind(low), kind(high), kind(q_min), kind(q_max)


@compiled
def activate(
    first: int,
    last: int,
    x: Any,
    y: Any,
    s: Floats,
    z: Floats,
    low: float,
    high: float,
    q_min: float,
    q_max: float,
    rounding: int,
    inner: int,
) -> None:
    """Quantize values ``first`` to ``last`` (multiples of the channels, where ``inner`` is 1).

    Args:
        first: Of the values.
        last: One beyond.
        x: Values in the order of memory; sixteen-bit ones as ``kernels.halves`` wants them.  # shape: (n,)
        y: Receives them quantized.  # shape: (n,)
        s: Scales.  # shape: (channels,)
        z: Zero-points.  # shape: (channels,)
        low: What values are clamped to from below before they are quantized; 0 for ReLU.
        high: The same from above.
        q_min: Lowest code.
        q_max: Highest code.
        rounding: ``ROUND``, ``FLOOR``, ``CEIL``, ``TO_ZERO`` or ``DPU``.
        inner: Values of one channel next to each other.
    """
    limits = _limits(low, high, q_min, q_max, s)
    if len(s) > 1 and inner == 1:
        _forward_rows(x[first:last], y[first:last], s, z, limits, rounding)
        return
    start = first
    while start < last:
        channel = (start // inner) % len(s)
        end = last if len(s) == 1 else min(last, (start // inner + 1) * inner)
        if rounding == 0:  # compiled apart, since it is what most quantizers do
            _forward(x[start:end], y[start:end], s[channel], z[channel], limits, 0)
        else:
            _forward(x[start:end], y[start:end], s[channel], z[channel], limits, rounding)
        start = end


@compiled
def activation_gradients(
    first: int,
    last: int,
    x: Any,
    grad: Any,
    s: Floats,
    z: Floats,
    low: float,
    high: float,
    q_min: float,
    q_max: float,
    rounding: int,
    inner: int,
    grad_x: Any,
    sums: Floats,
) -> None:
    """Gradients of :func:`activate`, whose arguments these are; rounding passes them straight through.

    Args:
        first: Of the values.
        last: One beyond.
        x: # shape: (n,)
        grad: Of ``y``.  # shape: (n,)
        s: # shape: (channels,)
        z: # shape: (channels,)
        low: Of the clamp; a value that is not inside of it gets no gradient.
        high: The same.
        q_min: As there.
        q_max: As there.
        rounding: As there.
        inner: As there.
        grad_x: Receives the gradient of ``x``.  # shape: (n,)
        sums: Of each channel, float64, increased by the gradient of its scale, and by the sums of ``grad`` where values
            are clipped from above, and from below.  # shape: (channels, 3)
    """
    limits = _limits(low, high, q_min, q_max, s)
    start = first
    if len(s) > 1 and inner == 1:
        _backward_rows(x[first:last], grad[first:last], s, z, limits, rounding, grad_x[first:last], sums)
        start = last
    while start < last:
        channel = (start // inner) % len(s)
        end = min(last, start + _BLOCK)
        end = end if len(s) == 1 else min(end, (start // inner + 1) * inner)
        step, zero, found = s[channel], z[channel], sums[channel]
        if rounding == 0:
            _backward(x[start:end], grad[start:end], step, zero, limits, 0, grad_x[start:end], found)
        else:
            _backward(x[start:end], grad[start:end], step, zero, limits, rounding, grad_x[start:end], found)
        start = end
