"""The exact check on one row of final codes, and the repair of a row that fails it."""

from __future__ import annotations

import numpy as np

from brevitas_a2q.quant._kernels.compiler import Codes, compiled
from brevitas_a2q.quant._kernels.units import in_memory

__all__ = ["enforce", "holds"]


@compiled
def holds(positive: int, negative: int, up: int, down: int, upper: int, lower: int) -> bool:
    """Whether sums ``S+`` and ``S-`` of weights on inputs in ``[-down, up]`` fit the two sides of a budget."""
    return positive * up + negative * down <= upper and negative * up + positive * down <= lower


@compiled
def _affordable(limit: int, size: int, wanted: int) -> int:
    # How many units of this size fit below the limit, at most those wanted.
    return min(wanted, max(limit, 0) // size) if size > 0 else wanted


@compiled
def enforce(codes: Codes, up: int, down: int, upper: int, lower: int, taps: int = 1) -> None:
    """Make codes hold the budget, in place: from the first that is too much on, they are trimmed.

    Args:
        codes: Of one row.  # shape: (K,)
        up: ``x_hi``.
        down: ``|x_lo|``.
        upper: What the accumulator holds above zero; negative, and all codes end at zero, where a bias overflows it.
        lower: The same below zero.
        taps: 1, or where the row has its taps outermost, their number.
    """
    positive = negative = 0
    for i in range(len(codes)):
        code = np.int64(codes[i])
        positive += max(code, 0)
        negative += max(-code, 0)
    if holds(positive, negative, up, down, upper, lower):
        return
    negative = _affordable(lower, up, _affordable(upper, down, negative))
    positive = _affordable(upper - negative * down, up, positive)
    positive = _affordable(lower - negative * up, down, positive)
    if upper < 0 or lower < 0:
        positive = negative = 0
    for place in range(len(codes)):
        i = in_memory(place, len(codes), taps)
        code = np.int64(codes[i])
        kept = min(code, positive) if code > 0 else -min(-code, negative)
        positive -= max(kept, 0)
        negative -= max(-kept, 0)
        codes[i] = kept
