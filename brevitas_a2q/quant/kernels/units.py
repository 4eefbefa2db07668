"""Units of weight in the order of what they gain, near a threshold.

The ``n``-th unit of an element of size ``m`` brings its integer nearer to it by ``m - n + 1/2``, its gain (half the
decrease of the squared distance). The best integers within a cap on their sum are those whose units gain most, so that
all of this package's projections ask for the order of units around the gain at which a budget is used up. A histogram
of a row tells where that is, and only the few units in a window around it are sorted.
"""

from __future__ import annotations

import numpy as np

from brevitas_a2q.quant.kernels.compiler import Codes, Floats, Integers, compiled

__all__ = ["LARGEST_RATIO", "bin_width", "count_units", "threshold_of", "units_at", "window"]

LARGEST_RATIO = 2.0**40  # of |w/s|; far above any code, and far below where gains lose their resolution
_BINS = 1024  # of either sign
_RUN = 8  # units
_FEW_BINS = 256  # in rows of up to as many weights


@compiled
def bin_width(u: Floats) -> float:
    """Width of a bin with which all of a row lies within the histogram; a power of two."""
    reach = 1.0
    for i in range(len(u)):
        reach = max(reach, abs(u[i]))
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
def _sort(gains: Floats, where: Integers, spare_gains: Floats, spare_where: Integers) -> None:
    """Sort units by falling gain, in place; a merge sort, so that units that gain the same stay in order."""
    n = len(gains)
    for i in range(n):  # short runs by insertion
        gain, element, k = gains[i], where[i], i
        while k % _RUN and gains[k - 1] < gain:
            gains[k], where[k] = gains[k - 1], where[k - 1]
            k -= 1
        gains[k], where[k] = gain, element
    size = _RUN
    while size < n:
        for start in range(0, n, 2 * size):
            left, middle, end = start, min(start + size, n), min(start + 2 * size, n)
            right = middle
            for k in range(start, end):
                if left < middle and (right >= end or gains[left] >= gains[right]):
                    spare_gains[k], spare_where[k] = gains[left], where[left]
                    left += 1
                else:
                    spare_gains[k], spare_where[k] = gains[right], where[right]
                    right += 1
        for k in range(n):
            gains[k], where[k] = spare_gains[k], spare_where[k]
        size *= 2


@compiled
def window(u: Floats, sign: int, limit: int, low: float, high: float, codes: Codes) -> tuple[int, Floats, Integers]:
    """Units of one sign that gain from ``low`` to below ``high``.

    Args:
        u: # shape: (K,)
        sign: 1 or -1; elements of the other sign have no units.
        limit: Largest code.
        low: At least 0.
        high: More than ``low``.
        codes: Of elements of this sign, set to their units that gain ``high`` or more.  # shape: (K,)

    Returns:
        How many units gain ``high`` or more; gains of those in the window, largest first; and their elements.
    """
    above, inside = 0, 0
    number = np.empty(len(u), np.int32)
    for i in range(len(u)):
        size = min(sign * np.float64(u[i]), LARGEST_RATIO)
        more = _units(size, high, limit)
        number[i] = _units(size, low, limit) - more
        codes[i] = sign * more if size > 0 else codes[i]
        above += more
        inside += number[i]
    room, places = np.empty(2 * inside), np.empty(2 * inside, np.int64)
    gains, where = room[:inside], places[:inside]
    filled = 0
    for i in range(len(u)):
        first = abs(np.int64(codes[i])) + 1
        for n in range(first, first + number[i]):
            gains[filled], where[filled] = min(sign * np.float64(u[i]), LARGEST_RATIO) + 0.5 - n, i
            filled += 1
    _sort(gains, where, room[inside:], places[inside:])
    return above, gains, where
