"""Exact integer arithmetic of one accumulation's budget: ``a S+ + b S- <= U`` and ``b S+ + a S- <= L``."""

from __future__ import annotations

import numpy as np

from brevitas_a2q.quant._kernels.compiler import Integers, Limits, compiled

__all__ = ["fits", "room", "tile_sums"]

_UNBOUNDED = 1 << 40  # far above any code


@compiled
def fits(plus: int, minus: int, budget: Limits) -> bool:
    """Whether a sum with these ``S+`` and ``S-`` cannot overflow; ``budget`` is ``(x_hi, |x_lo|, U, L)``."""
    up, down, upper, lower = budget
    return plus * up + minus * down <= upper and minus * up + plus * down <= lower


@compiled
def room(plus: int, minus: int, budget: Limits) -> tuple[int, int]:
    """Largest code, and largest negated code, that one more weight can have beside these ``S+`` and ``S-``."""
    up, down, upper, lower = budget
    above, below = upper - up * plus - down * minus, lower - up * minus - down * plus
    positive = negative = np.int64(_UNBOUNDED)
    if up > 0:
        positive, negative = min(positive, above // up), min(negative, below // up)
    if down > 0:
        positive, negative = min(positive, below // down), min(negative, above // down)
    return max(positive, 0), max(negative, 0)


@compiled
def tile_sums(q: Integers, tile: int) -> tuple[Integers, Integers]:
    """``S+`` and ``S-`` of each tile of a row."""
    count = (len(q) + tile - 1) // tile
    plus, minus = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for i in range(len(q)):
        if q[i] > 0:
            plus[i // tile] += q[i]
        else:
            minus[i // tile] -= q[i]
    return plus, minus
