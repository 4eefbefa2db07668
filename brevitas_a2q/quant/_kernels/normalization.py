"""Rows of A2Q and A2Q+: weights ``g * v / ||v||_1`` rounded to zero, and their gradients."""

from __future__ import annotations

import numpy as np

from brevitas_a2q.quant._kernels.compiler import Codes, Floats, Integers, Limits, compiled, compiled_sums, divisor
from brevitas_a2q.quant._kernels.repair import enforce

__all__ = ["normalization_gradients", "normalize_rows"]

_SMALL, _LARGE = 1e-18, 1e18  # sizes between them are added and divided by without under- or overflow
_LARGEST = 1e30  # of what the backward pass multiplies by


@compiled_sums
def _prepare(w: Floats, centred: bool, eps: float, v: Floats) -> tuple[float, float]:
    """Centre a row if asked.

    Returns:
        Its l1 norm, 0 where only rounding residue of a mean is left; and the power of two that ``v`` was multiplied by.
    """
    largest, total = np.float64(0), 0.0
    for i in range(len(w)):
        size = np.float64(abs(w[i]))
        largest = size if size > largest else largest
    factor = 1.0 if _SMALL < largest < _LARGE or largest == 0 else 2.0 ** min(-np.floor(np.log2(largest)), 1022.0)
    for i in range(len(w)):
        v[i] = w[i] * factor
        total += v[i]
    mean, norm = w.dtype.type(total / len(w) if centred else 0.0), 0.0
    for i in range(len(w)):
        v[i] -= mean
        norm += abs(v[i])
    return (0.0 if centred and norm <= 4 * eps * len(w) * largest * factor else norm), factor


@compiled
def _cap(budget: Limits, centred: bool) -> float:
    """Largest l1 norm of the integers."""
    up, down, upper, lower = budget
    room, size = max(0, min(upper, lower)), up + down if centred else max(up, down)
    return np.float64(room // size) * (2 if centred else 1) if size > 0 else np.inf


@compiled
def normalize_rows(
    w: Floats,
    s: Floats,
    t: Floats,
    x_lo: Integers,
    x_hi: Integers,
    upper: Integers,
    lower: Integers,
    q_min: int,
    q_max: int,
    centred: bool,
    eps: float,
    largest: float,
    taps: int,
    codes: Codes,
    out: Floats,
    columns: Floats,
) -> None:
    """Quantize every row by A2Q, or by A2Q+ where ``centred``.

    Args:
        w: Direction of the weights.  # shape: (C, K)
        s: Scales.  # shape: (C,) or (1,)
        t: log2 of their norms.  # shape: (C,) or (1,)
        x_lo: Lowest input, int64.  # shape: (C,) or (1,)
        x_hi: Highest input.
        upper: What the accumulator holds above zero.
        lower: What it holds below.
        q_min: Lowest code.
        q_max: Highest code.
        centred: Whether weights are zero-centred.
        eps: Resolution of the type of the weights.
        largest: What ``q * s`` may not exceed.
        taps: 1, or where rows have their taps outermost (channels-last), their number.
        codes: Receives the integers, int16.  # shape: (C, K)
        out: Receives ``q * s``, NaN where a weight is.  # shape: (C, K)
        columns: Receives ``1 / ||v||_1``, ``g / s``, and the same where ``g`` is learned, 0 where the cap holds; each
            finite.  # shape: (C, 3)
    """
    v = np.empty_like(w[0])
    for r in range(len(w)):
        step, c = divisor(s, r), r % len(x_lo)
        budget = x_hi[c], -x_lo[c], upper[r % len(upper)], lower[r % len(lower)]
        norm, factor = _prepare(w[r], centred, eps, v)
        cap = _cap(budget, centred)
        learned = 2.0 ** np.float64(t[r % len(t)]) / step
        ratio = min(learned, cap)
        inverse = 1 / norm if norm > 0 else 0.0
        gain = w.dtype.type(min(ratio * inverse, _LARGEST))
        reach = min(largest / np.float64(step), 65536.0)
        low, high = w.dtype.type(-np.floor(min(-q_min, reach))), w.dtype.type(np.floor(min(q_max, reach)))
        for i in range(w.shape[1]):
            codes[r, i] = min(max(np.trunc(v[i] * gain), low), high) if norm > 0 else 0
        enforce(codes[r], budget[0], budget[1], budget[2], budget[3], taps)
        scale = s[r % len(s)]
        for i in range(w.shape[1]):
            out[r, i] = codes[r, i] * scale if w[r, i] == w[r, i] else w[r, i]
        columns[r, 0] = min(inverse * factor, _LARGEST)
        columns[r, 1] = min(ratio, _LARGEST) if norm > 0 else 0.0
        columns[r, 2] = columns[r, 1] if learned <= cap else 0.0


@compiled_sums
def normalization_gradients(
    w: Floats,
    grad: Floats,
    s: Floats,
    codes: Codes,
    columns: Floats,
    centred: bool,
    grad_w: Floats,
    grad_s: Floats,
    grad_t: Floats,
) -> None:
    """Gradients of :func:`normalize_rows`; rounding and clipping pass them straight through.

    With ``e = <grad, v> / ||v||_1``, the gradient of ``g``, that of ``v`` is ``g / ||v||_1 * (grad - e sign(v))``.
    Where the cap holds ``g = s * cap``, so the scale gets what the log-norm does not.

    Args:
        w: # shape: (C, K)
        grad: Of ``out``.  # shape: (C, K)
        s: # shape: (C,) or (1,)
        codes: # shape: (C, K)
        columns: # shape: (C, 3)
        centred: Whether weights are zero-centred.
        grad_w: Receives the gradient of the weights.  # shape: (C, K)
        grad_s: Receives that of every row's scale.  # shape: (C,)
        grad_t: Receives that of every row's log-norm.  # shape: (C,)
    """
    for r in range(len(w)):
        inverse, ratio, free = columns[r, 0], columns[r, 1], columns[r, 2]
        step, length = np.float64(divisor(s, r)), w.shape[1]
        middle = along = from_codes = all_signs = all_grads = 0.0
        if centred:
            for i in range(length):
                middle += w[r, i] * inverse
            middle /= length
        for i in range(length):
            direction = w[r, i] * inverse - middle
            all_signs += (direction > 0) - (direction < 0)
            all_grads += grad[r, i]
            along += grad[r, i] * direction
            from_codes += grad[r, i] * codes[r, i]
        gain = min(min(step * inverse, _LARGEST) * ratio, _LARGEST)
        mean = (all_grads - along * all_signs) / length if centred else 0.0
        for i in range(length):
            direction = w[r, i] * inverse - middle
            grad_w[r, i] = (grad[r, i] - along * ((direction > 0) - (direction < 0)) - mean) * gain
        grad_s[r] = from_codes - along * free
        grad_t[r] = along * free * step * np.log(2.0)
