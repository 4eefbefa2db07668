"""The nearest row within a budget where every weight counts by the power of its input.

``q_i = round(max(|u_i| - theta / h_i, 0))`` minimizes ``sum h_i (q_i - u_i)^2`` under a cap on ``sum |q_i|``, up to
ties at the threshold, which are filled one unit at a time by what they gain (Fox's greedy allocation). The thresholds
of positive and of negative weights follow from which limits of the budget bind.
"""

from __future__ import annotations

import numpy as np

from brevitas_a2q.ptq._kernels.budget import fits, room
from brevitas_a2q.quant._kernels.compiler import Floats, Integers, Limits, compiled

__all__ = ["project_row"]

_HALVINGS = 30  # of the interval that a threshold lies in
_POSITIVE, _NEGATIVE, _BOTH = 1, -1, 0


@compiled
def _soft(u: Floats, h: Floats, theta: float, largest: int, sign: int, q: Integers) -> int:
    """Codes of one sign (0: of both) at a threshold; returns the sum of their magnitudes."""
    total = 0
    for i in range(len(u)):
        if sign != _BOTH and (u[i] > 0) != (sign == _POSITIVE):
            continue
        size = abs(u[i]) - theta / h[i] if h[i] > 0 else 0.0
        code = min(np.int64(np.floor(max(size, 0.0) + 0.5)), largest)
        q[i] = code if u[i] > 0 else -code
        total += code
    return total


@compiled
def _cap_side(u: Floats, h: Floats, cap: int, largest: int, sign: int, q: Integers) -> int:
    """Codes of one sign (0: of both) at the least threshold at which their magnitudes sum to at most ``cap``."""
    total = _soft(u, h, 0.0, largest, sign, q)
    if total <= cap:
        return total
    low, high = 0.0, 0.0
    for i in range(len(u)):
        high = max(high, (abs(u[i]) + 1.0) * h[i])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        total = _soft(u, h, middle, largest, sign, q)
        if total == cap:
            return total
        if total > cap:
            low = middle
        else:
            high = middle
    return _soft(u, h, high, largest, sign, q)


@compiled
def _fill(u: Floats, h: Floats, largest: int, budget: Limits, sums: tuple[int, int], q: Integers) -> None:
    """Units that still gain, the best first, while they fit."""
    plus, minus = sums
    while True:
        positive, negative = room(plus, minus, budget)
        best, where = 0.0, -1
        for i in range(len(u)):
            code = abs(q[i])
            if code < largest and (positive if u[i] > 0 else negative) > 0:
                gain = h[i] * (abs(u[i]) - code - 0.5)
                if gain > best:
                    best, where = gain, i
        if where < 0:
            return
        if u[where] > 0:
            q[where] += 1
            plus += 1
        else:
            q[where] -= 1
            minus += 1


@compiled
def _other_cap(own: int, budget: Limits) -> int:
    """Largest ``S-`` beside this ``S+`` (swap the limits for the other way round)."""
    up, down, upper, lower = budget
    return min((upper - up * own) // down, (lower - down * own) // up)


@compiled
def _project_tile(u: Floats, h: Floats, largest: int, budget: Limits, q: Integers) -> None:
    up, down, upper, lower = budget
    plus = _soft(u, h, 0.0, largest, _POSITIVE, q)
    minus = _soft(u, h, 0.0, largest, _NEGATIVE, q)
    if fits(plus, minus, budget):
        return
    if upper < 0 or lower < 0:
        q[:] = 0
        return
    if up == 0 or down == 0:
        positive, negative = room(0, 0, budget)
        plus = _cap_side(u, h, positive, largest, _POSITIVE, q)
        minus = _cap_side(u, h, negative, largest, _NEGATIVE, q)
    elif up == down:
        _cap_side(u, h, min(upper, lower) // up, largest, _BOTH, q)
        plus, minus = 0, 0
        for i in range(len(q)):
            plus += max(q[i], 0)
            minus += max(-q[i], 0)
    else:  # where both limits bind; a sign that needs less leaves the rest to the other
        det = float(up - down) * float(up + down)
        at_plus = max((up * float(upper) - down * float(lower)) / det, 0.0)
        at_minus = max((up * float(lower) - down * float(upper)) / det, 0.0)
        if plus < at_plus:
            minus = _cap_side(u, h, max(_other_cap(plus, budget), 0), largest, _NEGATIVE, q)
        elif minus < at_minus:
            plus = _cap_side(u, h, max(_other_cap(minus, (up, down, lower, upper)), 0), largest, _POSITIVE, q)
        else:
            plus = _cap_side(u, h, np.int64(at_plus), largest, _POSITIVE, q)
            minus = _cap_side(u, h, np.int64(at_minus), largest, _NEGATIVE, q)
        if not fits(plus, minus, budget):  # rounding of the floats above, at most a unit
            q[:] = 0
            plus = minus = 0
    _fill(u, h, largest, budget, (plus, minus), q)


@compiled
def project_row(u: Floats, h: Floats, largest: int, tile: int, budget: Limits, q: Integers) -> None:
    """Codes of a row, tile by tile.

    Args:
        u: Weights in units of the scale, float64.  # shape: (K,)
        h: Power of each input, at least 0; a weight of an input without power gets the code 0.  # shape: (K,)
        largest: Largest magnitude of a code.
        tile: Weights per accumulation.
        budget: ``(x_hi, |x_lo|, U, L)`` of each.
        q: The result.  # shape: (K,)
    """
    for start in range(0, len(u), tile):
        end = min(start + tile, len(u))
        _project_tile(u[start:end], h[start:end], largest, budget, q[start:end])
