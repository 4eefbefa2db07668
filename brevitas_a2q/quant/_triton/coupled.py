"""How many units of either sign are best where inputs of both signs couple them.

As in :mod:`brevitas_a2q.quant._kernels.projection`, with windows of a fixed width around the optimum over the reals, of
which the best pair of numbers is taken: each number of positive units is tried with the most negative ones that the
budget leaves room for, and each number of negative units with the most positive ones, so that a window as wide as the
other suffices however unequal the ends of the inputs are. A row whose optimum lies outside of both gets the best pair
inside.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from brevitas_a2q.quant._triton.rows import sizes, threshold, units_in, units_of

__all__ = ["best_pair"]


@triton.jit
def _spend(
    u: tl.tensor,
    length: tl.tensor,
    limit_plus: tl.tensor,
    limit_minus: tl.tensor,
    of_plus: tl.tensor,
    of_minus: tl.tensor,
    cap: tl.tensor,
    reach: tl.tensor,
    BLOCK: tl.constexpr,
) -> Any:
    """Units of either sign, and fractions of them, with which one constraint is used up at the least loss.

    ``of_plus`` and ``of_minus`` are what a unit takes of it, the larger one 1.
    """
    low, high = cap - cap, reach / tl.minimum(of_plus, of_minus)
    more_plus, more_minus = low, low
    few_plus, few_minus = low, low
    step, spread = 0, high + cap
    while (step < 60) & (spread > 1):
        middle = (low + high) / 2
        plus = units_in(u, length, 1.0, middle * of_plus, limit_plus, BLOCK)
        minus = units_in(u, length, -1.0, middle * of_minus, limit_minus, BLOCK)
        over = plus * of_plus + minus * of_minus > cap
        more_plus, more_minus = tl.where(over, plus, more_plus), tl.where(over, minus, more_minus)
        few_plus, few_minus = tl.where(over, few_plus, plus), tl.where(over, few_minus, minus)
        low, high = tl.where(over, middle, low), tl.where(over, high, middle)
        spread = tl.where(low > 0, (more_plus - few_plus) * of_plus + (more_minus - few_minus) * of_minus, spread)
        step += 1
    under = few_plus * of_plus + few_minus * of_minus
    share = tl.where(spread > 0, (cap - under) / tl.maximum(spread, 1e-9), 0.0)
    share = tl.where(low > 0, tl.minimum(tl.maximum(share, 0.0), 1.0), 0.0)
    return few_plus + share * (more_plus - few_plus), few_minus + share * (more_minus - few_minus)


@triton.jit
def _real_optimum(
    u: tl.tensor,
    length: tl.tensor,
    limit_plus: tl.tensor,
    limit_minus: tl.tensor,
    up: tl.tensor,
    down: tl.tensor,
    upper: tl.tensor,
    lower: tl.tensor,
    reach: tl.tensor,
    BLOCK: tl.constexpr,
) -> Any:
    """Units of either sign at the optimum over the reals, rounded down; normals of the constraints tight there."""
    a, b = up.to(tl.float64), down.to(tl.float64)
    above, below = upper.to(tl.float64), lower.to(tl.float64)
    big = tl.maximum(a, b)
    plus, minus = _spend(u, length, limit_plus, limit_minus, a / big, b / big, above / big, reach, BLOCK)
    zero, one = a - a, a / a
    n0, n1, n2, n3 = a / big, b / big, zero, zero
    if b * plus + a * minus > below:
        plus, minus = _spend(u, length, limit_plus, limit_minus, b / big, a / big, below / big, reach, BLOCK)
        n0, n1 = b / big, a / big
        if (a * plus + b * minus > above) & (a != b):
            apart = (a - b) * (a + b)
            plus, minus = (a * above - b * below) / apart, (a * below - b * above) / apart
            n0, n1, n2, n3 = one, zero, zero, one
    return tl.floor(tl.maximum(plus, 0.0)), tl.floor(tl.maximum(minus, 0.0)), n0, n1, n2, n3


@triton.jit
def _window(
    u: tl.tensor,
    length: tl.tensor,
    sign: tl.tensor,
    limit: tl.tensor,
    first: tl.tensor,
    reach: tl.tensor,
    spare: tl.tensor,
    gained: tl.tensor,
    BLOCK: tl.constexpr,
    UNITS: tl.constexpr,
) -> None:
    """What the next 0, 1, 2 ... units of one sign gain together, behind so many that gain more, into ``gained``."""
    low, high, above = threshold(u, length, sign, limit, first, reach, BLOCK)
    end, least, _ = threshold(u, length, sign, limit, first + UNITS, reach, BLOCK)
    # Units that gain what the last one before the window does come first, those between the ends behind them, and
    # what is left gains what the first one after the window does.
    tied = first > above
    top = tl.where(tied, low, high)
    upto = units_in(u, length, sign, top, limit, BLOCK)
    tied_units = tl.where(tied, upto - first, 0.0)
    filled = tl.full((), 0, tl.int32)
    for start in range(0, length, BLOCK):
        place = start + tl.arange(0, BLOCK)
        size = sizes(u, place, place < length, sign)
        number = units_of(size, top, limit)
        inside = tl.where(place < length, units_of(size, least, limit) - number, 0.0)
        most, k = tl.max(inside, 0), tl.full((), 0, tl.float64)
        while k < most:
            here = (inside > k).to(tl.int32)
            slot = filled + tl.cumsum(here, 0) - here
            tl.store(spare + slot, size + 0.5 - (number + 1 + k), (here > 0) & (slot < UNITS))
            filled += tl.sum(here, 0)
            k += 1
    tl.debug_barrier()
    slot = tl.arange(0, UNITS)
    behind = slot - tied_units.to(tl.int32)
    between = (behind >= 0) & (behind < filled)
    gains = tl.load(spare + behind, between, 0)
    gains = tl.where(between, gains, tl.where(behind < 0, low, end))
    gains = tl.sort(gains, descending=True)
    tl.store(gained + slot, tl.cumsum(gains, 0) - gains)


@triton.jit
def _partners(
    number: tl.tensor,
    there: tl.tensor,
    size: tl.tensor,
    a: tl.tensor,
    b: tl.tensor,
    upper: tl.tensor,
    lower: tl.tensor,
    first: tl.tensor,
    available: tl.tensor,
    gained: tl.tensor,
    gained_there: tl.tensor,
    UNITS: tl.constexpr,
) -> Any:
    """For numbers of units of one sign, the most of the other that fit beside, and what they gain together; -1 where
    none is in its window."""
    above, below = upper - a * number, lower - b * number
    zero = above - above
    most = tl.minimum(tl.maximum(above, zero) // b, tl.maximum(below, zero) // a) - there
    partner = tl.minimum(tl.minimum(most, available), UNITS - 1)
    possible = (above >= 0) & (below >= 0) & (most >= 0) & (number - first <= size)
    slot = tl.arange(0, UNITS)
    gain = tl.load(gained + slot) + tl.load(gained_there + partner, possible, 0)
    return there + partner, tl.where(possible, gain, -1.0)


@triton.jit
def best_pair(
    u: tl.tensor,
    length: tl.tensor,
    limit_plus: tl.tensor,
    limit_minus: tl.tensor,
    up: tl.tensor,
    down: tl.tensor,
    upper: tl.tensor,
    lower: tl.tensor,
    reach: tl.tensor,
    spare: tl.tensor,
    BLOCK: tl.constexpr,
    UNITS: tl.constexpr,
) -> Any:
    """Best numbers of positive and negative units of a row, and the normals of up to two constraints that bind.

    ``spare`` is memory for ``3 * UNITS`` float64.
    """
    plus, minus, n0, n1, n2, n3 = _real_optimum(
        u, length, limit_plus, limit_minus, up, down, upper, lower, reach, BLOCK
    )
    half: tl.constexpr = UNITS // 2
    zero = tl.full((), 0, tl.float64)
    all_plus = units_in(u, length, 1.0, zero, limit_plus, BLOCK)
    all_minus = units_in(u, length, -1.0, zero, limit_minus, BLOCK)
    plus = tl.minimum(tl.maximum(plus - half, 0.0), all_plus)
    minus = tl.minimum(tl.maximum(minus - half, 0.0), all_minus)
    for side in range(2):
        positive = side == 0
        sign, limit = 1.0 - 2.0 * side, tl.where(positive, limit_plus, limit_minus)
        gained = spare + (1 + side) * UNITS
        first = tl.where(positive, plus, minus)
        _window(u, length, sign, limit, first, reach, spare, gained, BLOCK, UNITS)
        tl.debug_barrier()
    first_plus, first_minus = plus.to(tl.int64), minus.to(tl.int64)
    size_plus = tl.minimum(all_plus - plus, UNITS).to(tl.int64)
    size_minus = tl.minimum(all_minus - minus, UNITS).to(tl.int64)
    slot = tl.arange(0, UNITS).to(tl.int64)
    from_plus, from_minus = spare + UNITS, spare + 2 * UNITS
    n, m = first_plus + slot, first_minus + slot
    m_of, gain_n = _partners(
        n, first_minus, size_plus, up, down, upper, lower, first_plus, size_minus, from_plus, from_minus, UNITS
    )
    n_of, gain_m = _partners(
        m, first_plus, size_minus, up, down, lower, upper, first_minus, size_plus, from_minus, from_plus, UNITS
    )
    best = tl.maximum(tl.max(gain_n, 0), tl.max(gain_m, 0))
    # Of pairs that gain the same, the one with the fewest positive units.
    far: tl.constexpr = 1 << 40
    fewest = tl.minimum(tl.min(tl.where(gain_n == best, n, far), 0), tl.min(tl.where(gain_m == best, n_of, far), 0))
    beside = tl.max(tl.where((gain_n == best) & (n == fewest), m_of, -1), 0)
    beside = tl.maximum(beside, tl.max(tl.where((gain_m == best) & (n_of == fewest), m, -1), 0))
    return fewest.to(tl.float64), beside.to(tl.float64), n0, n1, n2, n3
