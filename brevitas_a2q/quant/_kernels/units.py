"""Units of weight in the order of what they gain, near a threshold.

The ``n``-th unit of an element of size ``m`` brings its integer nearer to it by ``m - n + 1/2``, its gain (half the
decrease of the squared distance). The best integers within a cap on their sum are those whose units gain most, so that
all of this package's projections ask for the order of units around the gain at which a budget is used up. A histogram
of a row tells where that is, and only the few units in a window around it are sorted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brevitas_a2q.quant._kernels.compiler import Codes, Floats, Integers, compiled

__all__ = [
    "LARGEST_RATIO",
    "bin_width",
    "bracket",
    "count_units",
    "in_memory",
    "in_row",
    "threshold_of",
    "units_at",
    "window",
]

LARGEST_RATIO = 2.0**40  # of |w/s|; far above any code, and far below where gains lose their resolution
_BINS = 1024  # of either sign
_RUN = 8  # units
_FEW_BINS = 256  # in rows of up to as many weights
_SUMMED = 4096  # weights whose units fit into 32 bits
_ENOUGH = 48  # units within a bracket; sorting as many takes as long as a pass over a few hundred weights
_STEPS = 24


@compiled
def _reach(u: Floats) -> float:
    """At least the largest magnitude, and at least 1; NaN is not among the values."""
    found = np.int32(0x3F800000)  # floats that are not negative are in the order of their bits,
    for i in range(len(u)):
        bits = np.float32(abs(u[i])).view(np.int32)  # and the largest integer is found several at a time
        found = bits if bits > found else found
    largest: float = np.float64(np.int32(found).view(np.float32)) * (1 + 1e-6)
    return largest


@compiled
def in_memory(place: int, length: int, taps: int) -> int:
    """Where the element at a place in the row lies, for rows with their taps outermost (channels-last)."""
    return (place % taps) * (length // taps) + place // taps


@compiled
def in_row(place: int, length: int, taps: int) -> int:
    """The inverse of :func:`in_memory`."""
    inputs = length // taps
    return (place % inputs) * taps + place // inputs


@compiled
def _units_of(u: Floats, sign: Any, least: Any, most: Any) -> int:
    total, none = np.int32(0), least - least
    for i in range(len(u)):
        size = sign * u[i] + least
        size = none if size < none else size
        size = most if size > most else size
        total = np.int32(total + np.int32(size))
    units: int = np.int64(total)
    return units


@compiled
def _units_above(u: Floats, sign: int, gain: float, limit: int) -> int:
    """Units of one sign that gain at least this, as far as the type of ``u`` tells."""
    kind, total = u.dtype.type, 0
    for start in range(0, len(u), _SUMMED):
        total += _units_of(u[start : start + _SUMMED], kind(sign), kind(0.5 - gain), kind(limit))
    return total


@compiled
def bracket(u: Floats, sign: int, limit: int, cap: int) -> tuple[float, float]:
    """Gains between which the best ``cap`` units of one sign end, with few units between them.

    Args:
        u: # shape: (K,)
        sign: 1 or -1.
        limit: Largest code.
        cap: Fewer than there are units that gain anything.
    """
    low, high, more, fewer = 0.0, min(_reach(u), LARGEST_RATIO) + 1, _units_above(u, sign, 0.0, limit), 0
    for step in range(_STEPS):
        if more - fewer <= _ENOUGH:
            break
        share = 0.5 if step % 3 == 2 else min(max((more - cap) / max(more - fewer, 1), 0.05), 0.95)
        middle = low + (high - low) * share
        found = _units_above(u, sign, middle, limit)
        if found > cap:
            low, more = middle, found
        else:
            high, fewer = middle, found
    return low, high


@compiled
def bin_width(u: Floats) -> float:
    """Width of a bin with which all of a row lies within the histogram; a power of two."""
    reach = _reach(u)
    bins = _BINS if len(u) > _FEW_BINS else _FEW_BINS
    width: float = 2.0 ** (np.ceil(np.log2(min(reach, LARGEST_RATIO) + 1)) - np.log2(bins))
    return width


@compiled
def count_units(u: Floats, width: float, limits: tuple[int, int]) -> tuple[Floats, Floats]:
    """How many units of positive and of negative elements gain at least ``j * width - 1/2``, for every bin ``j``.

    Exact where a bin is no wider than a unit; elements spread their units evenly over wider ones.
    """
    bins = _BINS if len(u) > _FEW_BINS else _FEW_BINS
    above, counts = np.zeros((2, 2 * bins + 1), np.int32), np.zeros((2, 2 * bins + 1))  # nothing beyond the bins
    inverse, largest = 1 / width, LARGEST_RATIO - width
    for i in range(len(u)):
        size = min(abs(np.float64(u[i])), largest)
        above[np.int64(u[i] < 0), np.int64(size * inverse)] += 1
    stride, each = max(1, int(inverse)), max(1.0, width)
    for side in range(2):
        beyond = max(1, int(min(limits[side] * inverse, np.float64(bins))))
        total = 0
        for j in range(bins - 1, -1, -1):
            total += above[side, j]
            above[side, j] = total
            counts[side, j] = counts[side, j + stride] + each * (total - above[side, j + beyond])
    return counts[0, : bins + 1], counts[1, : bins + 1]


@compiled
def units_at(counts: Floats, width: float, gain: float) -> float:
    """Units that gain at least this, interpolated between bins."""
    place = (gain + 0.5) / width
    j = int(place)
    if j >= len(counts) - 1:
        return 0.0
    units: float = counts[j] + (counts[j + 1] - counts[j]) * (place - j)
    return units


@compiled
def threshold_of(counts: Floats, width: float, wanted: float) -> tuple[float, float]:
    """Gain that about this many units exceed, at least 0, and how far one must go from there to meet another."""
    low, high = 0, len(counts) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if counts[middle] > wanted:
            low = middle
        else:
            high = middle
    slope = max(counts[low] - counts[high], 1e-3)
    gain = (low + min(max((counts[low] - wanted) / slope, 0.0), 1.0)) * width - 0.5
    return max(gain, 0.0), width / slope


@compiled
def _units(size: float, gain: float, limit: int) -> int:
    # Of an element, those that gain at least this.
    number: int = np.int32(min(max(size + 0.5 - gain, 0.0), limit))
    return number


@compiled
def _goes_before(gain: float, key: int, other: float, other_key: int) -> bool:
    return gain > other or (gain == other and key <= other_key)


@compiled
def _sort(gains: Floats, keys: Integers, spare_gains: Floats, spare_keys: Integers) -> None:
    """Sort units by falling gain, in place, those that gain the same by rising key; a merge sort."""
    n = len(gains)
    for i in range(n):  # short runs by insertion
        gain, key, k = gains[i], keys[i], i
        while k % _RUN and not _goes_before(gains[k - 1], keys[k - 1], gain, key):
            gains[k], keys[k] = gains[k - 1], keys[k - 1]
            k -= 1
        gains[k], keys[k] = gain, key
    size = _RUN
    while size < n:
        for start in range(0, n, 2 * size):
            left, middle, end = start, min(start + size, n), min(start + 2 * size, n)
            right = middle
            for k in range(start, end):
                if left < middle and (right >= end or _goes_before(gains[left], keys[left], gains[right], keys[right])):
                    spare_gains[k], spare_keys[k] = gains[left], keys[left]
                    left += 1
                else:
                    spare_gains[k], spare_keys[k] = gains[right], keys[right]
                    right += 1
        for k in range(n):
            gains[k], keys[k] = spare_gains[k], spare_keys[k]
        size *= 2


@compiled
def _candidates(u: Floats, sign: int, low: float, codes: Codes, found: Any) -> int:
    """Elements of one sign that may have a unit that gains ``low``; the codes of all of that sign become zero."""
    kind = u.dtype.type
    least, flip, none, count = kind(low + 0.5), kind(sign), kind(0), 0
    least -= abs(least) * kind(1e-6)  # rather one too many than to few
    for i in range(len(u)):
        codes[i] = 0 if flip * u[i] > none else codes[i]
    for i in range(len(u)):
        found[count] = i
        count += flip * u[i] >= least
    return count


@compiled
def window(
    u: Floats, sign: int, limit: int, low: float, high: float, taps: int, codes: Codes
) -> tuple[int, Floats, Integers]:
    """Units of one sign that gain from ``low`` to below ``high``.

    Args:
        u: # shape: (K,)
        sign: 1 or -1; elements of the other sign have no units.
        limit: Largest code.
        low: At least 0.
        high: More than ``low``.
        taps: 1, or where ``u`` has its taps outermost, their number.
        codes: Of elements of this sign, set to their units that gain ``high`` or more.  # shape: (K,)

    Returns:
        How many units gain ``high`` or more; gains of those in the window, largest first and else in the order of the
        row; and the places of their elements in ``u``.
    """
    above, inside, length = 0, 0, len(u)
    elements = np.empty(length + 1, np.int32)
    elements = elements[: _candidates(u, sign, low, codes, elements)]
    number = np.empty(len(elements), np.int32)
    for j in range(len(elements)):
        size = min(sign * np.float64(u[elements[j]]), LARGEST_RATIO)
        more = _units(size, high, limit)
        number[j] = _units(size, low, limit) - more
        codes[elements[j]] = sign * more
        above += more
        inside += number[j]
    room, places = np.empty(2 * inside), np.empty(2 * inside, np.int64)
    gains, where = room[:inside], places[:inside]
    filled = 0
    for j in range(len(elements)):
        i = elements[j]
        first = abs(np.int64(codes[i])) + 1
        for n in range(first, first + number[j]):
            gains[filled] = min(sign * np.float64(u[i]), LARGEST_RATIO) + 0.5 - n
            where[filled] = in_row(i, length, taps)
            filled += 1
    _sort(gains, where, room[inside:], places[inside:])
    for n in range(inside):
        where[n] = in_memory(where[n], length, taps)
    return above, gains, where
