"""Fox's greedy marginal allocation: the nearest integers with a capped sum, for all rows at once.

``q = argmin sum (q - m)^2`` over integers ``0 <= q <= limit`` with ``sum(q) <= cap``. The ``n``-th unit of an element
gains ``m - n + 1/2``, so the best ``cap`` units are those above a threshold: ``q = round(max(m - theta, 0))``, clipped.
A threshold whose sum falls a few units short is enough: the units left go to the largest residuals ``m - q``. That is
exact as long as no element would get two of them, which is checked. Rows are neither looped over nor, when long, sorted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant.functional.euclidean import soft_threshold

__all__ = ["allocate", "units"]

_SORT_BELOW = 1 << 15  # elements; sorting so few costs less than a search
_SAMPLE = 256  # columns that give the search its start
_WINDOW = 16  # units that may be left to the residuals
_MAX_STEPS = 60


def units(magnitude: Tensor, theta: Tensor, limit: float, out: Tensor | None = None) -> Tensor:
    """``round(max(m - theta, 0))`` clipped to ``limit``; shape ``(R, K)``."""
    return torch.sub(magnitude, theta, out=out).round_().clamp_(0, limit)


def allocate(magnitude: Tensor, cap: Tensor, limit: float) -> Tensor:
    """Nearest integers to ``magnitude`` within ``[0, limit]`` whose rows add up to at most ``cap``.

    Args:
        magnitude: Not negative, shape ``(R, K)``; of a type that adds the codes of a row exactly.
        cap: Integer-valued, not negative, shape ``(R, 1)``, type of ``magnitude``.
        limit: Largest code.

    Returns:
        Integer-valued, shape ``(R, K)``.

    Example:
        >>> allocate(torch.tensor([[2.6, 1.4, 0.7]]), torch.tensor([[3.0]]), 7)
        tensor([[2., 1., 0.]])
    """
    small = magnitude.numel() <= _SORT_BELOW
    theta = soft_threshold(magnitude, cap).add_(0.5) if small else _search(magnitude, cap, limit)
    codes = units(magnitude, theta, limit)
    left = _settle(magnitude, codes, cap, limit, rounds=3)
    if left.numel():
        # Weights far above the largest code, or of very different sizes: search to the last unit, in float64.
        hard, hard_cap = magnitude[left].double(), cap[left].double()
        again = units(hard, _search(hard, hard_cap, limit, window=0), limit)
        _settle(hard, again, hard_cap, limit, rounds=_MAX_STEPS)
        codes.index_copy_(0, left, again.to(codes.dtype))
    return codes


def _settle(magnitude: Tensor, codes: Tensor, cap: Tensor, limit: float, rounds: int) -> Tensor:
    """Give the units left under ``cap`` to the largest residuals, in place.

    A round gives one unit to each residual within 1 of the largest, as many as there are: none of them would get a
    second one before the others had their first.

    Returns:
        Indices of the rows that this number of rounds did not finish.
    """
    spare = cap - codes.sum(1, keepdim=True)
    most = int(spare.amax().clamp(0, codes.shape[1]))
    residual = magnitude - codes
    room = (limit - codes).clamp_(0, 1)
    residual.mul_(room).add_(room.sub_(1), alpha=2.0**60)  # exact, and faster than a mask
    best, where = residual.topk(most, dim=1)
    # A unit is worth having while its gain, residual - 1/2, is positive.
    worth = (best > 0.5) & (best >= best[:, :1] - 1) & (torch.arange(most, device=codes.device) < spare)
    taken = worth.to(codes.dtype)
    codes.scatter_add_(1, where, taken)
    given = taken.sum(1, keepdim=True)
    left = ((given > 0) & (given < spare)).squeeze(1).nonzero().squeeze(1)
    if left.numel() == 0 or rounds == 1:
        return left
    rest = codes[left]
    unfinished = _settle(magnitude[left], rest, cap[left], limit, rounds - 1)
    codes.index_copy_(0, left, rest)
    return left[unfinished]


def _start(magnitude: Tensor, cap: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method for ``sum(max(m - theta, 0)) = cap`` on a sample of columns.

    Returns:
        Threshold and the slope of the logarithm of the sum there; shape ``(R, 1)``.
    """
    stride = max(1, magnitude.shape[1] // _SAMPLE)
    sample = magnitude[:, ::stride].contiguous()
    cap = cap * (sample.shape[1] / magnitude.shape[1])
    theta = torch.zeros_like(cap)
    for _ in range(8):
        above = (sample - theta).clamp_min_(0)
        active = above.sign().sum(1, keepdim=True).clamp_min_(1)
        theta = (theta + (above.sum(1, keepdim=True) - cap) / active).clamp_min_(0)
    return theta, active / cap.clamp_min(1)


def _search(magnitude: Tensor, cap: Tensor, limit: float, window: float = _WINDOW) -> Tensor:
    """Thresholds whose sums fit their caps and leave at most ``window`` units, unless ties leave more.

    Secant steps on the logarithm of the sum, which falls nearly linearly, inside a bracket that bisection guards.
    """
    theta, slope = _start(magnitude, cap)
    result = torch.zeros_like(cap)
    low, high = torch.full_like(cap, -1.0), magnitude.amax(1, keepdim=True) + 1
    rows, buffer = torch.arange(len(cap), device=cap.device), torch.empty_like(magnitude)
    spare = (cap / 8).clamp_max_(window)  # allowed to be left
    enough, goal = cap - spare, (cap - spare / 2 + 1).log_()
    before = level = None
    for _ in range(_MAX_STEPS):
        total = units(magnitude, theta, limit, buffer).sum(1, keepdim=True)
        fits = total <= cap
        high, low = torch.where(fits, theta, high), torch.where(fits, low, theta)
        result.index_copy_(0, rows, high)
        middle = low + (high - low) / 2
        open_ = (~fits | (total < enough) & (theta > 0)) & (middle > low) & (middle < high)
        keep = open_.squeeze(1).nonzero().squeeze(1)
        if keep.numel() == 0:
            break
        previous, level = level, (total + 1).log_()
        if before is not None:
            slope = ((previous - level) / (theta - before)).clamp_min_(0)
        step = theta + (level - goal) / slope
        before, theta = theta, torch.where((step > low) & (step < high), step, middle).clamp_min_(0)
        if keep.numel() <= len(rows) // 2:
            magnitude, buffer, rows = magnitude[keep], buffer[: keep.numel()], rows[keep]
            cap, enough, goal, slope, level = (v[keep] for v in (cap, enough, goal, slope, level))
            theta, before, low, high = (v[keep] for v in (theta, before, low, high))
    return result
