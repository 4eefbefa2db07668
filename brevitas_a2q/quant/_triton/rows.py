"""Rows of weights: where their elements lie, the units they gain by, and the repair of codes that exceed their budget.

Units are those of :mod:`brevitas_a2q.quant._kernels.units`: the ``n``-th of an element of size ``m`` gains
``m - n + 1/2``. There, gains around a threshold are sorted; here, the threshold is bisected down to neighbouring
float64 numbers, which takes no memory and comes to the same units.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

__all__ = ["budget_of", "elements", "enforce", "holds", "reach_of", "sizes", "take", "threshold", "units_of"]

_GUESSES = tl.constexpr(12)  # steps of a search, after which bits alone are halved


@triton.jit
def elements(first: tl.tensor, length: tl.tensor, taps: tl.tensor, BLOCK: tl.constexpr) -> Any:
    """Where the next elements of a row lie in it, in the order of rows whose taps are innermost; and which exist."""
    place = first + tl.arange(0, BLOCK)
    return (place % taps) * (length // taps) + place // taps, place < length


@triton.jit
def budget_of(table: tl.tensor, row: tl.tensor, step: tl.tensor, size: tl.tensor) -> Any:
    """``x_hi``, ``|x_lo|``, and what the accumulator holds above and below zero, for weights of a row; int64."""
    at = table + row * step
    return tl.load(at + size), -tl.load(at), tl.load(at + 2 * size), tl.load(at + 3 * size)


@triton.jit
def holds(
    positive: tl.tensor, negative: tl.tensor, up: tl.tensor, down: tl.tensor, upper: tl.tensor, lower: tl.tensor
) -> Any:
    """Whether sums of codes of either sign fit both sides of a budget; int64."""
    return (positive * up + negative * down <= upper) & (negative * up + positive * down <= lower)


# --- units ------------------------------------------------------------------------------------------------------------


@triton.jit
def sizes(u: tl.tensor, at: tl.tensor, mask: tl.tensor, sign: tl.tensor) -> Any:
    """Elements of a row, as far as they are of this sign; float64, at most ``2^40``."""
    return tl.minimum(tl.load(u + at, mask, 0).to(tl.float64) * sign, 1099511627776.0)


@triton.jit
def units_of(size: tl.tensor, gain: tl.tensor, limit: tl.tensor) -> Any:
    """How many units of elements gain at least this, which is not negative."""
    shifted = size + 0.5
    number = tl.floor(shifted - gain)
    number -= tl.where(shifted - number < gain, 1.0, 0.0)  # where the difference was rounded up
    return tl.minimum(tl.maximum(number, 0.0), limit)


@triton.jit
def units_in(
    u: tl.tensor, length: tl.tensor, sign: tl.tensor, gain: tl.tensor, limit: tl.tensor, BLOCK: tl.constexpr
) -> Any:
    """The same of a whole row."""
    total = tl.zeros([BLOCK], tl.float64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)  # in whatever order
        found = units_of(sizes(u, place, place < length, sign), gain, limit)
        total += tl.where(place < length, found, 0.0)
    return tl.sum(total, 0)


@triton.jit
def reach_of(u: tl.tensor, length: tl.tensor, BLOCK: tl.constexpr) -> Any:
    """More than any unit of the row gains; float64."""
    largest = tl.zeros([BLOCK], tl.float64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        largest = tl.maximum(largest, tl.abs(tl.load(u + place, place < length, 0).to(tl.float64)))
    return tl.minimum(tl.max(largest, 0), 1099511627776.0) + 1.0


@triton.jit
def threshold(
    u: tl.tensor,
    length: tl.tensor,
    sign: tl.tensor,
    limit: tl.tensor,
    cap: tl.tensor,
    reach: tl.tensor,
    BLOCK: tl.constexpr,
) -> Any:
    """Between which gains the best ``cap`` units of one sign end.

    Returns:
        A lower and a higher gain, and how many units gain at least the latter: ``cap``, or fewer where the two are
        neighbours, so that all other units that count gain exactly the former. It is zero where there are no others.
    """
    low, high = tl.full((), 0, tl.float64), reach
    more, above, step = units_in(u, length, sign, low, limit, BLOCK), low, 0
    # Floats that are not negative are in the order of their bits.
    apart = high.to(tl.int64, bitcast=True)
    while (apart > 1) & (above < cap):
        half = (low.to(tl.int64, bitcast=True) + apart // 2).to(tl.float64, bitcast=True)
        share = tl.minimum(tl.maximum((more - cap) / tl.maximum(more - above, 1.0), 0.05), 0.95)
        guess = low + (high - low) * share  # as if gains were spread evenly, which few steps in three rely on
        guessed = (step < _GUESSES) & (step % 3 != 2) & (guess > low) & (guess < high)
        middle = tl.where(guessed, guess, half)
        found = units_in(u, length, sign, middle, limit, BLOCK)
        over = found > cap
        low, high = tl.where(over, middle, low), tl.where(over, high, middle)
        more, above = tl.where(over, found, more), tl.where(over, above, found)
        apart = high.to(tl.int64, bitcast=True) - low.to(tl.int64, bitcast=True)
        step += 1
    return low, high, above


@triton.jit
def take(
    u: tl.tensor,
    codes: tl.tensor,
    length: tl.tensor,
    taps: tl.tensor,
    sign: tl.tensor,
    limit: tl.tensor,
    cap: tl.tensor,
    reach: tl.tensor,
    idle: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Make the codes of one sign the best ``cap`` units: of those that gain the same, the first of the row.

    Units that gain nothing count if ``idle``.
    """
    low, high, above = threshold(u, length, sign, limit, cap, reach, BLOCK)
    spare = tl.where((low > 0) | idle, cap - above, 0.0)
    seen = tl.full((), 0, tl.float64)
    for first in range(0, length, BLOCK):
        at, mask = elements(first, length, taps, BLOCK)
        size = sizes(u, at, mask, sign)
        number = units_of(size, high, limit)
        more = units_of(size, low, limit) - number
        more = tl.where(mask, more, 0.0)
        number += tl.where(seen + tl.cumsum(more, 0) <= spare, more, 0.0)
        seen += tl.sum(more, 0)
        tl.store(codes + at, (number * sign).to(tl.int16), mask & (size > 0))


# --- repair -----------------------------------------------------------------------------------------------------------


@triton.jit
def _affordable(limit: tl.tensor, size: tl.tensor, wanted: tl.tensor) -> Any:
    # How many units of this size fit below the limit, at most those wanted.
    zero = limit - limit
    room = tl.maximum(limit, zero) // tl.maximum(size, zero + 1)
    return tl.where(size > 0, tl.minimum(wanted, room), wanted)


@triton.jit
def _kept(code: tl.tensor, seen: tl.tensor, cap: tl.tensor) -> Any:
    # Of codes that are not negative, what is within the first units up to the cap.
    before = seen + tl.cumsum(code, 0) - code
    room = tl.maximum(cap - before, before - before)
    return tl.minimum(code, room)


@triton.jit
def enforce(
    codes: tl.tensor,
    length: tl.tensor,
    taps: tl.tensor,
    up: tl.tensor,
    down: tl.tensor,
    upper: tl.tensor,
    lower: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Make the codes of a row hold the budget: from the first that is too much on, they are trimmed."""
    plus, minus = tl.zeros([BLOCK], tl.int64), tl.zeros([BLOCK], tl.int64)
    for first in range(0, length, BLOCK):
        place = first + tl.arange(0, BLOCK)
        code = tl.load(codes + place, place < length, 0).to(tl.int64)
        plus, minus = plus + tl.maximum(code, 0), minus + tl.maximum(-code, 0)
    positive, negative = tl.sum(plus, 0), tl.sum(minus, 0)
    if holds(positive, negative, up, down, upper, lower) == 0:
        negative = _affordable(lower, up, _affordable(upper, down, negative))
        positive = _affordable(upper - negative * down, up, positive)
        positive = _affordable(lower - negative * up, down, positive)
        room = ((upper >= 0) & (lower >= 0)).to(tl.int64)
        positive, negative = positive * room, negative * room
        seen_plus, seen_minus = positive - positive, positive - positive
        for first in range(0, length, BLOCK):
            at, mask = elements(first, length, taps, BLOCK)
            code = tl.load(codes + at, mask, 0).to(tl.int64)
            of_plus, of_minus = tl.maximum(code, 0), tl.maximum(-code, 0)
            kept = _kept(of_plus, seen_plus, positive) - _kept(of_minus, seen_minus, negative)
            seen_plus, seen_minus = seen_plus + tl.sum(of_plus, 0), seen_minus + tl.sum(of_minus, 0)
            tl.store(codes + at, kept.to(tl.int16), mask)
