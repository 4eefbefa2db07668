"""Coordinate descent and exchanges of units within a budget, for least error of a row's output.

For a row of codes ``q`` at scale ``s`` the error is ``s^2 q'Hq - 2 s q'c`` and a constant. With ``r = c/s - Hq`` a
change ``d`` of ``q_i`` alters it (in units of ``s^2``) by ``d^2 H_ii - 2 d r_i``, and a second one of ``q_j`` by its
own and ``2 d_i d_j H_ij``. First each code moves to where its own optimum lies, as far as the others leave room; then
units are moved singly and in pairs, the steepest first, which is how a full budget is shifted from one weight to
another. Ties go to the lowest index, and a move must lower the error by more than 1e-9 of ``H_ii``, so that the descent
ends.
"""

from __future__ import annotations

import numpy as np

from brevitas_a2q.ptq._kernels.budget import fits, room, tile_sums
from brevitas_a2q.quant._kernels.compiler import Floats, Integers, Limits, compiled, compiled_sums

__all__ = ["descend_row", "quadratic", "residual"]

_STRICT = 1e-9
_SWEEPS = 20
_ROUNDS = 4  # of exchanges and sweeps in turns
_CANDIDATES = 8  # of each kind of move
_KINDS = 4  # S+ up, S+ down, S- up, S- down
_SIGN = np.array([1.0, -1.0, -1.0, 1.0])  # change of the code
_PLUS = np.array([1, -1, 0, 0])  # change of S+
_MINUS = np.array([0, 0, 1, -1])


@compiled_sums
def _subtract(r: Floats, h: Floats, factor: float) -> None:
    for j in range(len(r)):
        r[j] -= factor * h[j]


@compiled_sums
def _dot(a: Integers, b: Floats) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def residual(q: Integers, target: Floats, moments: Floats) -> Floats:
    """``target - H q``.  # shape: (K,)"""
    r: Floats = target.copy()
    for i in range(len(q)):
        if q[i] != 0:
            _subtract(r, moments[i], float(q[i]))
    return r


@compiled
def quadratic(q: Integers, moments: Floats) -> float:
    """``q'Hq``, at the cost of the codes that are not zero."""
    used = np.flatnonzero(q)
    square = 0.0
    for i in used:
        row, total = moments[i], 0.0
        for j in used:
            total += row[j] * q[j]
        square += q[i] * total
    return square


@compiled
def _sweep(q: Integers, r: Floats, moments: Floats, largest: int, tile: int, budget: Limits, sums: Integers) -> int:
    """Move every code to its own optimum within what the others leave; returns how many moved."""
    moved = 0
    for i in range(len(q)):
        h = moments[i, i]
        if h <= 0:
            continue
        k = i // tile
        plus, minus = sums[0, k] - max(q[i], 0), sums[1, k] - max(-q[i], 0)
        positive, negative = room(plus, minus, budget)
        code = np.int64(np.floor(q[i] + r[i] / h + 0.5))
        code = max(min(code, min(positive, largest)), -min(negative, largest))
        d = float(code - q[i])
        if d != 0 and d * d * h - 2 * d * r[i] < -_STRICT * h:
            q[i] = code
            sums[0, k], sums[1, k] = plus + max(code, 0), minus + max(-code, 0)
            _subtract(r, moments[i], d)
            moved += 1
    return moved


@compiled
def _keep(costs: Floats, where: Integers, kind: int, cost: float, i: int) -> float:
    """Insert a move in the place of the dearest of its kind, sorted; returns what the next must be cheaper than."""
    k = costs.shape[1] - 1
    while k > 0 and costs[kind, k - 1] > cost:
        costs[kind, k], where[kind, k] = costs[kind, k - 1], where[kind, k - 1]
        k -= 1
    costs[kind, k], where[kind, k] = cost, i
    limit: float = costs[kind, costs.shape[1] - 1]
    return limit


@compiled
def _candidates(
    q: Integers, r: Floats, diagonal: Floats, largest: int, span: tuple[int, int], costs: Floats, where: Integers
) -> None:
    """The cheapest moves of each kind in a tile; infinitely dear where there are fewer."""
    costs[:] = np.inf
    grow_plus = shrink_plus = grow_minus = shrink_minus = np.inf
    for i in range(span[0], span[1]):
        h, code = diagonal[i], q[i]
        up, down = h - 2 * r[i], h + 2 * r[i]
        if h <= 0:
            continue
        if code >= 0 and up < grow_plus and code < largest:
            grow_plus = _keep(costs, where, 0, up, i)
        if code > 0 and down < shrink_plus:
            shrink_plus = _keep(costs, where, 1, down, i)
        if code <= 0 and down < grow_minus and code > -largest:
            grow_minus = _keep(costs, where, 2, down, i)
        if code < 0 and up < shrink_minus:
            shrink_minus = _keep(costs, where, 3, up, i)


@compiled
def _exchange(
    q: Integers, r: Floats, moments: Floats, diagonal: Floats, largest: int, tile: int, budget: Limits, sums: Integers
) -> int:
    """The steepest single move or pair of moves within a tile, again and again; returns how many were made."""
    size = min(_CANDIDATES, len(q))
    costs, where = np.empty((_KINDS, size)), np.empty((_KINDS, size), np.int64)
    moves = 0
    for k in range(sums.shape[1]):
        span = (k * tile, min((k + 1) * tile, len(q)))
        for _ in range(20 * (span[1] - span[0]) + 100):
            _candidates(q, r, diagonal, largest, span, costs, where)
            plus, minus = sums[0, k], sums[1, k]
            best, bi, bj, ba, bb = 0.0, -1, -1, 0, 0
            for a in range(_KINDS):
                if costs[a, 0] == np.inf or not fits(plus + _PLUS[a], minus + _MINUS[a], budget):
                    continue
                if costs[a, 0] < best - _STRICT * diagonal[where[a, 0]]:
                    best, bi, bj, ba = costs[a, 0], where[a, 0], -1, a
            for a in range(_KINDS):
                for b in range(a, _KINDS):
                    if not fits(plus + _PLUS[a] + _PLUS[b], minus + _MINUS[a] + _MINUS[b], budget):
                        continue
                    sign = 2 * _SIGN[a] * _SIGN[b]
                    for x in range(size):
                        if costs[a, x] == np.inf:
                            break
                        i = where[a, x]
                        for y in range(size):
                            if costs[b, y] == np.inf:
                                break
                            j = where[b, y]
                            cost = costs[a, x] + costs[b, y] + sign * moments[i, j]
                            if i != j and cost < best - _STRICT * diagonal[i]:
                                best, bi, bj, ba, bb = cost, i, j, a, b
            if bi < 0:
                break
            _apply(q, r, moments, sums, k, bi, ba)
            if bj >= 0:
                _apply(q, r, moments, sums, k, bj, bb)
            moves += 1
    return moves


@compiled
def _apply(q: Integers, r: Floats, moments: Floats, sums: Integers, k: int, i: int, kind: int) -> None:
    q[i] += np.int64(_SIGN[kind])
    sums[0, k] += _PLUS[kind]
    sums[1, k] += _MINUS[kind]
    _subtract(r, moments[i], _SIGN[kind])


@compiled
def descend_row(
    q: Integers,
    c: Floats,
    moments: Floats,
    diagonal: Floats,
    scale: float,
    refits: int,
    exchange: bool,
    largest: int,
    tile: int,
    budget: Limits,
) -> tuple[float, float]:
    """Lower a row's error from where it stands, in place.

    Args:
        q: Codes within the budget.  # shape: (K,)
        c: ``E[x^ y]``: what input and target have in common.  # shape: (K,)
        moments: ``H = E[x^ x^']``.  # shape: (K, K)
        diagonal: Of ``H``.
        scale: ``s``, positive.
        refits: How often the scale may be set to its optimum ``q'c / q'Hq``; 0 keeps it.
        exchange: Whether units are exchanged; without, codes move one by one only.
        largest: Largest magnitude of a code.
        tile: Weights per accumulation.
        budget: Of each.

    Returns:
        Scale, and ``s^2 q'Hq - 2 s q'c`` there.
    """
    plus, minus = tile_sums(q, tile)
    sums = np.stack((plus, minus))
    target = c / scale
    r = residual(q, target, moments)
    for turn in range(refits + 1):
        for _ in range(_SWEEPS):
            if _sweep(q, r, moments, largest, tile, budget, sums) == 0:
                break
        for _ in range(_ROUNDS if exchange else 0):
            _exchange(q, r, moments, diagonal, largest, tile, budget, sums)
            if _sweep(q, r, moments, largest, tile, budget, sums) == 0:
                break
        linear = _dot(q, c)
        square = _dot(q, target) - _dot(q, r)
        if turn == refits or linear <= 0 or square <= 0:
            break
        fitted = linear / square
        if abs(fitted / scale - 1) < 1e-3:
            break
        scale = fitted
        for i in range(len(q)):
            r[i] += c[i] / scale - target[i]
            target[i] = c[i] / scale
    linear, square = _dot(q, c), quadratic(q, moments)
    if refits > 0 and linear > 0 and square > 0:
        scale = linear / square
    return scale, scale * scale * square - 2 * scale * linear
