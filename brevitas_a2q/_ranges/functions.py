"""Functions of one tensor, element by element: activations, limits, normalisation.

Elementary functions are taken to be computed within ``2^-18``, relative and absolute: libraries approximate them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ranges.annotation import FloatArray, RangeError, aligned, broadcast_shape, full_rank
from brevitas_a2q._ranges.rounding import FLOAT_MAX, UNIT, outward, products, widened
from brevitas_a2q._ranges.value import Codes, Value

__all__ = ["FUNCTIONS", "batch_norm", "clip", "function", "hard_sigmoid", "leaky_relu", "prelu", "relu", "softmax"]

_ELEMENTARY: Final = 2.0**-18


def relu(x: Value) -> Value:
    """``max(x, 0)``."""
    return clip(x, 0.0, math.inf)


def clip(x: Value, low: float, high: float) -> Value:
    """``min(max(x, low), high)``; integers where the limits that bind are multiples of the scale."""
    lo, hi = x.ends()
    codes = None if x.codes is None else _clipped(x.codes, low, high)
    return Value.of(x.shape, codes, np.clip(lo, low, high), np.clip(hi, low, high), x.origin)


def _clipped(codes: Codes, low: float, high: float) -> Codes | None:
    with np.errstate(all="ignore"):
        steps = np.asarray(low / codes.scale), np.asarray(high / codes.scale)
    bottom, top = np.minimum(*steps), np.maximum(*steps)  # NaN (an infinity by a scale is none) binds nowhere
    for limit, free in ((bottom, codes.lo >= bottom), (top, codes.hi <= top)):
        on_step = np.isfinite(limit) & (np.round(limit) == limit) & (np.abs(limit) < 2.0**53)
        if not (free | on_step).all():
            return None
    far = 2.0**62  # beyond every integer, where a limit does not bind (and need not be a step)
    floor = np.where(codes.lo >= bottom, -far, np.clip(bottom, -far, far)).astype(np.int64)
    ceiling = np.where(codes.hi <= top, far, np.clip(top, -far, far)).astype(np.int64)
    return codes.with_range(np.clip(codes.lo, floor, ceiling), np.clip(codes.hi, floor, ceiling))


def leaky_relu(x: Value, slope: float) -> Value:
    """``x`` where it is not negative, ``slope * x`` elsewhere."""
    return prelu(x, Value.constant(np.asarray(slope, np.float32)))


def prelu(x: Value, slope: Value) -> Value:
    """As :func:`leaky_relu`, with slopes that broadcast to ``x``."""
    if broadcast_shape(x.shape, slope.shape) != x.shape:
        raise RangeError(f"found slopes of shape {slope.shape}", expected=f"a shape that broadcasts to {x.shape}")
    source = Value.interval(x.shape, *x.ends()).coarse(slope)
    lo, hi = source.ends()
    factor = tuple(full_rank(end, x.rank) for end in slope.ends())
    below = products((np.minimum(lo, 0), np.minimum(hi, 0)), (factor[0], factor[1]))
    above = np.maximum(lo, 0), np.maximum(hi, 0)
    low, high = (
        np.where(lo >= 0, positive, np.where(hi < 0, negative, choose(negative, positive)))
        for negative, positive, choose in zip(below, above, (np.minimum, np.maximum), strict=True)
    )
    return Value.interval(x.shape, low, high, x.origin)


def hard_sigmoid(x: Value, alpha: float, beta: float) -> Value:
    """``min(max(alpha * x + beta, 0), 1)``; PyTorch computes ``min(max(x + 3, 0), 6) / 6``."""
    lo, hi = x.ends()
    with np.errstate(all="ignore"):
        ends = alpha * lo + beta, alpha * hi + beta
        error = 8 * UNIT * (abs(alpha) * np.maximum(np.abs(lo), np.abs(hi)) + abs(beta))
        low, high = widened(np.minimum(*ends), np.maximum(*ends), error)
    if alpha == 0 and not x.bounded:
        return Value.unknown(x.shape, "zero times infinity")
    return Value.interval(x.shape, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0), x.origin)


def batch_norm(
    x: Value,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    epsilon: float,
    axis: int = 1,
) -> Value:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` with frozen statistics.

    The error covers every order in which it is computed: as written, as a slope and an offset, fused, or folded into
    the layer before. It is relative to the terms, not to the result: a large mean is subtracted with its own error.

    Args:
        x: The tensor.
        gamma: One number per channel, as the next three.  # shape: (channels,)
        beta: shape (channels,).
        mean: shape (channels,).
        variance: shape (channels,); with epsilon above 0.
        epsilon: Added to the variance.
        axis: Of the channels.
    """
    column = tuple(x.shape[axis] if d == axis else 1 for d in range(x.rank))
    parameters = [np.asarray(p, np.float64) for p in (gamma, beta, mean, variance)]
    if any(p.shape != (x.shape[axis],) for p in parameters):
        raise RangeError(f"found parameters of shapes {[p.shape for p in parameters]}", expected=f"({x.shape[axis]},)")
    g, b, m, v = (aligned(p.reshape(column), x.rank) for p in parameters)
    if not (v + epsilon > 0).all():
        return Value.unknown(x.shape, "batch normalisation by a variance that is not positive")
    source = Value.interval(x.shape, *x.ends(), x.origin).coarse(Value.interval(x.shape, *(np.ones(column),) * 2))
    slope = g / np.sqrt(v + epsilon)
    with np.errstate(all="ignore"):
        ends = [full_rank(np.asarray(end), x.rank) * slope + (b - m * slope) for end in (source.lo, source.hi)]
        reach = np.maximum(np.abs(source.lo), np.abs(source.hi))
        terms = np.abs(slope) * (reach + np.abs(m)) + np.abs(b)
        ends = [np.where(terms <= FLOAT_MAX, end, np.nan) for end in ends]  # a term may overflow where the sum does not
        error = 24 * UNIT * terms
    return Value.interval(x.shape, *widened(np.minimum(*ends), np.maximum(*ends), error), x.origin)


def _softplus(x: FloatArray) -> FloatArray:
    return np.logaddexp(0.0, x)


def _selu(x: FloatArray) -> FloatArray:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return np.asarray(scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _erf(x: FloatArray) -> FloatArray:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


# Functions that never fall.
_RISING: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "exp": np.exp,
    "softplus": _softplus,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": _selu,
    "erf": _erf,
    "softsign": lambda x: x / (1 + np.abs(x)),  # NaN at infinity
    "sqrt": np.sqrt,
    "log": np.log,
}
_EXACT: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "trunc": np.trunc,
    "sign": np.sign,
}
# x times something between 0 and 1: never above max(x, 0), and never below this.
_GATED: Final = {"silu": -0.2785, "gelu": -0.1701, "hardswish": -0.3751, "mish": -0.3089}
_NEVER_NEGATIVE: Final = ("sigmoid", "exp", "softplus", "sqrt")

FUNCTIONS: Final = (*_RISING, *_EXACT, *_GATED)


def function(x: Value, name: str) -> Value:
    """A function of :data:`FUNCTIONS`; real numbers, but for roundings, which make integers. Others are unknown."""
    lo, hi = x.ends()
    origin = f"{name} of {x.origin}" if len(x.origin) < 100 else name
    if name in _EXACT:
        return _rounded(x, name, origin)
    with np.errstate(all="ignore"):
        if name in _GATED:
            # An infinity times nothing is NaN.
            low, high = np.where(lo < 0, _GATED[name], 0.0), np.where(np.isinf(lo), np.nan, np.maximum(hi, 0.0))
        elif name in _RISING:
            low, high = (np.asarray(_RISING[name](end)) for end in (lo, hi))
        else:
            return Value.unknown(x.shape, origin)
        finite = np.where(np.isfinite(low) & np.isfinite(high), np.maximum(np.abs(low), np.abs(high)), 0.0)
    low, high = widened(low, high, _ELEMENTARY * (1 + finite))
    if name in _NEVER_NEGATIVE or (name in _GATED and x.never_negative):
        low = np.where(np.isinf(low), low, np.maximum(low, 0.0))
    return Value.interval(x.shape, low, high, origin)


def _rounded(x: Value, name: str, origin: str) -> Value:
    lo, hi = (np.asarray(_EXACT[name](end)) for end in x.ends())
    if not (np.maximum(np.abs(lo), np.abs(hi)) < 2.0**53).all():
        return Value.interval(x.shape, lo, hi, origin)
    return Value.of(x.shape, Codes.plain(np.ones(()), lo.astype(np.int64), hi.astype(np.int64)), lo, hi, origin)


def softmax(x: Value, axis: int, log: bool = False) -> Value:
    """Softmax along an axis: numbers from 0 to 1; its logarithm from below up to 0."""
    if not x.bounded:
        return Value.unknown(x.shape, f"softmax of {x.origin}")
    if not log:
        return Value.interval(x.shape, np.zeros(()), np.asarray(1 + _ELEMENTARY), f"softmax of {x.origin}")
    lo = np.asarray(x.lo.min() - x.hi.max() - np.log(x.shape[axis]))
    ends = widened(lo, np.zeros(()), _ELEMENTARY * (1 + np.abs(np.where(np.isfinite(lo), lo, 0.0))))
    return Value.interval(x.shape, *outward(*ends, exact=True), f"log softmax of {x.origin}")
