"""Rows of weights projected onto their budget, and the gradient of that.

Inputs of one sign leave each sign of the weights a cap of its own, and its best units fill it. Otherwise, with
``a = x_hi > 0`` and ``b = |x_lo| > 0``, the constraints ``a S+ + b S- <= U`` and ``b S+ + a S- <= L`` couple the signs.
Let ``H(S+)`` be what the best ``S+`` positive units gain together with as many of the best negative ones as the budget
leaves room for, fractions of a unit included. ``H`` is concave, and integers cannot gain more. All ``S+`` in a window
around the optimum over the reals are compared. Where the best of them is inside of the window and gains at least ``H``
at either end, it is the best of all; else the window is widened. So the optimum is proven for every row.
"""

from __future__ import annotations

from math import gcd
from typing import TypeAlias

import numpy as np

from brevitas_a2q.quant._kernels.compiler import Codes, Floats, Integers, Limits, compiled, compiled_sums, divisor
from brevitas_a2q.quant._kernels.repair import enforce, holds
from brevitas_a2q.quant._kernels.units import bin_width, bracket, count_units, threshold_of, units_at, window

__all__ = ["project_rows", "projection_gradients"]

Pair: TypeAlias = tuple[int, int]  # of positive and of negative weights
Both: TypeAlias = tuple[Floats, Floats]
Normals: TypeAlias = tuple[float, float, float, float]

_WINDOW = 16  # units to either side of the threshold that are sorted at first, where the signs are coupled
_WIDER = 3
_HALVINGS = 20  # of the interval that a threshold lies in, to a thousandth of a bin


@compiled
def _round(w: Floats, s: float, limits: Pair, u: Floats, codes: Codes) -> Pair:
    """Divide a row by its scale and round it, NaN to zero; returns ``S+`` and ``S-``."""
    total = magnitude = 0
    low, high, zero = w.dtype.type(-limits[1]), w.dtype.type(limits[0]), w.dtype.type(0)
    for i in range(len(w)):
        u[i] = w[i] / s if w[i] == w[i] else zero
        codes[i] = min(max(np.rint(u[i]), low), high)
    for i in range(len(w)):
        total += np.int64(codes[i])
        magnitude += abs(np.int64(codes[i]))
    return (magnitude + total) // 2, (magnitude - total) // 2


@compiled
def _fill(u: Floats, sign: int, limit: int, cap: int, taps: int, codes: Codes) -> None:
    """The best ``cap`` units of one sign, in place of its codes."""
    low, high = bracket(u, sign, limit, cap)
    while True:
        above, gains, where = window(u, sign, limit, low, high, taps, codes)
        if above <= cap and (cap <= above + len(gains) or low == 0):
            break
        apart = max(high - low, 0.25)  # more than nothing, where sizes lost their resolution in the type of the row
        low, high = max(low - apart, 0.0), high + apart
    for n in range(min(cap - above, len(gains))):
        if gains[n] > 0:
            codes[where[n]] += sign


@compiled
def _load(counts: Both, width: float, scale: float, slant: tuple[float, float]) -> float:
    return slant[0] * units_at(counts[0], width, scale * slant[0]) + slant[1] * units_at(
        counts[1], width, scale * slant[1]
    )


@compiled
def _tight(counts: Both, width: float, slant: tuple[float, float], cap: float) -> tuple[float, float]:
    """Thresholds at which the units of both signs use up one constraint, ``slant[0] S+ + slant[1] S- = cap``."""
    low, high = 0.0, width * len(counts[0]) / max(slant[0], slant[1])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _load(counts, width, middle, slant) > cap:
            low = middle
        else:
            high = middle
    return high * slant[0], high * slant[1]


@compiled
def _real_optimum(counts: Both, width: float, budget: Limits) -> tuple[tuple[float, float], Normals]:
    """Thresholds near the optimum over the reals, and the normals ``(S+, S-)`` of the constraints tight there."""
    up, down, upper, lower = budget
    a, b = np.float64(up), np.float64(down)
    big = max(a, b)
    first, second = (a / big, b / big), (b / big, a / big)
    theta = _tight(counts, width, first, upper / big)
    plus, minus = units_at(counts[0], width, theta[0]), units_at(counts[1], width, theta[1])
    if b * plus + a * minus <= lower:
        return theta, (first[0], first[1], 0.0, 0.0)
    theta = _tight(counts, width, second, lower / big)
    plus, minus = units_at(counts[0], width, theta[0]), units_at(counts[1], width, theta[1])
    if a * plus + b * minus <= upper or a == b:
        return theta, (second[0], second[1], 0.0, 0.0)
    det = (a - b) * (a + b)
    plus, minus = (a * upper - b * lower) / det, (a * lower - b * upper) / det
    theta = threshold_of(counts[0], width, plus)[0], threshold_of(counts[1], width, minus)[0]
    return theta, (1.0, 0.0, 0.0, 1.0)


@compiled
def _best_pair(budget: Limits, above: Pair, gains: Both, complete: tuple[bool, bool]) -> tuple[int, int, bool]:
    """Best numbers of positive and negative units to take from two windows.

    Args:
        budget: ``a``, ``b``, ``U``, ``L``.
        above: Units of each sign that gain more than those in its window.
        gains: Of the units in each window, largest first.
        complete: Whether a window reaches down to gains of zero.

    Returns:
        The numbers, and whether it is certain that no others are better.
    """
    up, down, upper, lower = budget
    inside = len(gains[1])
    of_plus, of_minus, m = 0.0, gains[1].sum(), inside  # what the first n and the first m units gain together
    best, plus, minus, first, last = -np.inf, 0, 0, -1, -1
    at_first = at_last = np.inf  # H at either end of what is compared
    # The ends are certain where nothing lies beyond them.
    left_is_end, right_is_end = above[0] == 0, complete[0]
    for n in range(len(gains[0]) + 1):
        of_plus += gains[0][n - 1] if n > 0 else 0.0
        spent = above[0] + n
        most = min((upper - up * spent) // down, (lower - down * spent) // up) - above[1]
        if most < 0:
            right_is_end = above[1] == 0
            break
        room = min((upper - up * spent) / down, (lower - down * spent) / up) - above[1]
        if room > inside and not complete[1]:
            left_is_end = False
            continue
        while m > most:
            m -= 1
            of_minus -= gains[1][m]
        gain = of_plus + of_minus
        if gain > best:
            best, plus, minus = gain, n, m
        at_last = gain + ((room - m) * gains[1][m] if m < inside else 0.0)
        if first < 0:
            first, at_first = n, at_last
        last = n
    enough = best + 1e-10 * (1 + abs(best))  # sums are rounded
    left_is_certain = left_is_end or (first < plus and at_first <= enough)
    return plus, minus, left_is_certain and (right_is_end or (plus < last and at_last <= enough)) and first >= 0


@compiled
def _couple(u: Floats, limits: Pair, budget: Limits, counts: Both, width: float, taps: int, codes: Codes) -> Normals:
    """The nearest codes of a row whose signs share the budget; returns the normals of the tight constraints."""
    theta, normals = _real_optimum(counts, width, budget)
    reach0 = _WINDOW * threshold_of(counts[0], width, units_at(counts[0], width, theta[0]))[1]
    reach1 = _WINDOW * threshold_of(counts[1], width, units_at(counts[1], width, theta[1]))[1]
    while True:
        low = max(theta[0] - reach0, 0.0), max(theta[1] - reach1, 0.0)
        high = theta[0] + reach0, theta[1] + reach1
        above0, gains0, where0 = window(u, 1, limits[0], low[0], high[0], taps, codes)
        above1, gains1, where1 = window(u, -1, limits[1], low[1], high[1], taps, codes)
        complete = low[0] == 0, low[1] == 0
        plus, minus, certain = _best_pair(budget, (above0, above1), (gains0, gains1), complete)
        if certain:
            break
        reach0 *= _WIDER
        reach1 *= _WIDER
    for n in range(plus):
        codes[where0[n]] += 1
    for n in range(minus):
        codes[where1[n]] -= 1
    return normals


@compiled
def _within(u: Floats, limits: Pair, budget: Limits, sums: Pair, taps: int, codes: Codes) -> Normals:
    """Bring a rounded row within its budget; returns the normals of up to two constraints that bind."""
    up, down, upper, lower = budget
    if up > 0 and down > 0:
        width = bin_width(u)
        counts = count_units(u, width, limits)
        divisor = np.int64(gcd(up, down))  # all that units add up to are its multiples
        smaller = up // divisor, down // divisor, upper // divisor, lower // divisor
        return _couple(u, limits, smaller, counts, width, taps, codes)
    cap0, cap1 = (upper // up, lower // up) if up > 0 else (lower // down, upper // down)
    if sums[0] > cap0:
        _fill(u, 1, limits[0], cap0, taps, codes)
    if sums[1] > cap1:
        _fill(u, -1, limits[1], cap1, taps, codes)
    return np.float64(sums[0] >= cap0), 0.0, 0.0, np.float64(sums[1] >= cap1)


@compiled
def project_rows(
    w: Floats,
    s: Floats,
    x_lo: Integers,
    x_hi: Integers,
    upper: Integers,
    lower: Integers,
    q_min: int,
    q_max: int,
    largest: float,
    taps: int,
    codes: Codes,
    out: Floats,
    normals: Floats,
) -> None:
    """Project every row onto its budget.

    Args:
        w: Weights.  # shape: (C, K)
        s: Scales.  # shape: (C,) or (1,)
        x_lo: Lowest input, int64.  # shape: (C,) or (1,)
        x_hi: Highest input.
        upper: What the accumulator holds above zero.
        lower: What it holds below.
        q_min: Lowest code.
        q_max: Highest code.
        largest: What ``q * s`` may not exceed.
        taps: 1, or where rows have their taps outermost (channels-last), their number. Units that gain the same are
            taken in the order of rows that have them innermost.
        codes: Receives the integers, int16.  # shape: (C, K)
        out: Receives ``q * s``, NaN where a weight is.  # shape: (C, K)
        normals: Receives the normals of up to two constraints that bind, as coefficients of ``S+`` and ``S-`` one after
            the other, zero where none does.  # shape: (C, 4)
    """
    u = np.empty_like(w[0])
    for r in range(len(w)):
        step = divisor(s, r)
        reach = np.int64(min(largest / np.float64(step), 65536.0))
        limits = min(q_max, reach), min(-q_min, reach)
        c = r % len(x_lo)
        budget = x_hi[c], -x_lo[c], upper[r % len(upper)], lower[r % len(lower)]
        sums = _round(w[r], step, limits, u, codes[r])
        for i in range(4):
            normals[r, i] = 0
        if not holds(sums[0], sums[1], budget[0], budget[1], budget[2], budget[3]):
            if budget[2] >= 0 and budget[3] >= 0:
                normals[r, 0], normals[r, 1], normals[r, 2], normals[r, 3] = _within(
                    u, limits, budget, sums, taps, codes[r]
                )
            enforce(codes[r], budget[0], budget[1], budget[2], budget[3], taps)
        scale = s[r % len(s)]
        for i in range(w.shape[1]):
            out[r, i] = codes[r, i] * scale if w[r, i] == w[r, i] else w[r, i]


@compiled_sums
def projection_gradients(
    w: Floats, grad: Floats, s: Floats, codes: Codes, normals: Floats, grad_w: Floats, grad_s: Floats
) -> None:
    """Gradients of :func:`project_rows`: straight through, less the component along the normals over active weights.

    Args:
        w: # shape: (C, K)
        grad: Of ``out``.  # shape: (C, K)
        s: # shape: (C,) or (1,)
        codes: # shape: (C, K)
        normals: # shape: (C, 4)
        grad_w: Receives the gradient of the weights.  # shape: (C, K)
        grad_s: Receives that of every row's scale.  # shape: (C,)
    """
    for r in range(len(w)):
        at_plus = at_minus = 0.0
        if normals[r].any():
            total = balance = along = across = 0.0
            for i in range(w.shape[1]):
                sign = np.float64((codes[r, i] > 0) - (codes[r, i] < 0))
                total += sign * sign
                balance += sign
                along += sign * sign * grad[r, i]
                across += sign * grad[r, i]
            for n in (0, 2):
                plus, minus = normals[r, n], normals[r, n + 1]
                # S- grows as a negative weight falls, hence the sign of its coefficient.
                size = plus * plus * (total + balance) + minus * minus * (total - balance)
                share = (plus * (along + across) - minus * (along - across)) / max(size, 1e-30)
                at_plus += share * plus
                at_minus -= share * minus
        inverse, from_codes, from_weights = 1 / np.float64(divisor(s, r)), 0.0, 0.0
        for i in range(w.shape[1]):
            code, outer = codes[r, i], grad[r, i]
            inner = outer - (at_plus if code > 0 else at_minus if code < 0 else 0)
            grad_w[r, i] = inner
            from_codes += outer * code
            from_weights += np.float64(inner) * w[r, i]
        grad_s[r] = from_codes - from_weights * inverse
