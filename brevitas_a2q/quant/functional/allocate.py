"""Fox's greedy marginal allocation: the nearest integers with a capped sum, for all rows at once.

``q = argmin sum (q - m)^2`` over integers ``0 <= q <= limit`` with ``sum(q) <= cap``. The ``n``-th unit of an element
gains ``m - n + 1/2``, so the best ``cap`` units are those above a threshold: ``q = round(max(m - theta, 0))``, clipped.
A threshold whose sum falls a few units short is enough: the units left go to the largest residuals ``m - q``, round by
round. Rows are neither looped over nor, when long, sorted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant.functional.euclidean import soft_threshold
from brevitas_a2q.quant.functional.search import find_threshold, units

__all__ = ["allocate", "settle"]

_SORT_BELOW = 1 << 15  # elements; sorting so few costs less than a search


def allocate(magnitude: Tensor, cap: Tensor, limit: float) -> Tensor:
    """Nearest integers to ``magnitude`` within ``[0, limit]`` whose rows add up to at most ``cap``.

    Args:
        magnitude: Not negative, shape ``(R, K)``; of a type that adds the codes of a row exactly.
        cap: Integer-valued, not negative, shape ``(R, 1)``, type of ``magnitude``.
        limit: Largest code.

    Returns:
        Integer-valued, shape ``(R, K)``.

    Example:
        >>> allocate(torch.tensor([[2.6, 1.4, 0.7]]), torch.tensor([[3.0]]), 7).int()
        tensor([[2, 1, 0]], dtype=torch.int32)
    """
    small = magnitude.numel() <= _SORT_BELOW
    theta = soft_threshold(magnitude, cap).add_(0.5) if small else find_threshold(magnitude, cap, limit)
    codes = units(magnitude, theta, limit)
    left = settle(magnitude, codes, cap, limit)
    if left is not None:
        # Weights far above the largest code, or of very different sizes: search to the last unit, in float64.
        hard, hard_cap = magnitude[left].double(), cap[left].double()
        again = units(hard, find_threshold(hard, hard_cap, limit, window=0), limit)
        settle(hard, again, hard_cap, limit, rounds=50)
        codes.index_copy_(0, left, again.to(codes.dtype))
    return codes


def settle(magnitude: Tensor, codes: Tensor, cap: Tensor, limit: float, rounds: int = 3) -> Tensor | None:
    """Give the units left under ``cap`` to the largest residuals, in place.

    A round gives one unit to each residual within 1 of the largest, as many as there are: none of them would get a
    second one before the others had their first.

    Returns:
        Indices of the rows that this number of rounds did not finish, None if there are none.
    """
    spare = cap - codes.sum(1, keepdim=True)
    most = min(int(spare.amax()), codes.shape[1])
    if most <= 0:
        return None
    residual = magnitude - codes
    if float(codes.amax()) >= limit:
        room = (limit - codes).clamp_(0, 1)
        residual.mul_(room).add_(room.sub_(1), alpha=2.0**60)  # exact, and faster than a mask
    best, where = residual.topk(most, dim=1)
    # A unit is worth having while its gain, residual - 1/2, is positive.
    floor = (best[:, :1] - 1).clamp_min_(0.5)
    taken = ((best >= floor) & (torch.arange(most, device=codes.device) < spare)).to(codes.dtype)
    codes.scatter_add_(1, where, taken)
    given = taken.sum(1, keepdim=True)
    if torch.equal(given, spare):
        return None
    left = ((given > 0) & (given < spare)).squeeze(1).nonzero().squeeze(1)
    if left.numel() == 0 or rounds == 1:
        return left if left.numel() else None
    rest = codes[left]
    still = settle(magnitude[left], rest, cap[left], limit, rounds - 1)
    codes.index_copy_(0, left, rest)
    return None if still is None else left[still]
