"""Soft thresholds with integer sums: the search behind the projection, for all rows at once.

``q(theta) = round(max(|u| - theta, 0))``, clipped, is the best integer point whose marginal gains all reach ``theta``
(Fox's greedy allocation). Its sums fall as ``theta`` grows, so the smallest ``theta`` that fits a cap is a root, found
by interpolating the logarithm of the sum inside a bracket; bisection guards every third step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Levels", "search"]

_MAX_STEPS = 64


@dataclass
class Levels:
    """Rounded soft thresholds of rows ``u`` ``(R, K)``, computed in a buffer that is reused."""

    u: Tensor
    q_min: int
    q_max: int

    def __post_init__(self) -> None:
        self._buffer = torch.empty_like(self.u)

    def codes(self, theta_positive: Tensor, theta_negative: Tensor, out: Tensor | None = None) -> Tensor:
        """Codes at thresholds ``(R, 1)`` of either sign; without ``out``, in the shared buffer."""
        q = self._buffer if out is None else out
        torch.minimum(self.u, theta_positive, out=q)
        torch.maximum(q, -theta_negative, out=q)
        torch.sub(self.u, q, out=q)
        return q.round_().clamp_(self.q_min, self.q_max)

    def sums(self, theta_positive: Tensor, theta_negative: Tensor) -> tuple[Tensor, Tensor]:
        """``S+`` and ``S-`` at these thresholds, exact in the type of ``u``; shape ``(R, 1)``."""
        q = self.codes(theta_positive, theta_negative)
        total = q.sum(1, keepdim=True)
        positive = (q.abs_().sum(1, keepdim=True) + total) / 2
        return positive, positive - total


def search(load: Callable[[Tensor], Tensor], at_zero: Tensor, cap: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """Bracket the smallest threshold at which each load fits its cap.

    Args:
        load: Loads at thresholds, non-increasing in each.
        at_zero: Loads at threshold 0.
        cap: Largest load allowed.
        top: Thresholds at which loads are 0.

    Returns:
        ``low`` and ``high``: the load at ``high`` fits; at ``low`` it does not, and ``high - low`` is below 1/4 or one
        step of the floating-point grid; or both are equal and nothing is left to fill.
    """
    low, high = torch.zeros_like(top), top.clone()
    over, under = at_zero.clone(), torch.zeros_like(at_zero)
    high = torch.where(over <= cap, low, high)
    for step in range(_MAX_STEPS):
        middle = low + (high - low) / 2
        open_ = (high > low) & (middle > low) & (middle < high)
        if not bool((open_ & ((high - low > 1e-3) | (step < 12))).any()):
            break
        if step % 3 != 2:
            share = torch.log((over + 0.5) / (cap + 0.5)) / torch.log((over + 0.5) / (under + 0.5))
            middle = torch.where(open_, low + (high - low) * share.clamp(0.02, 0.98), middle)
        found = load(middle)
        fits, exact = found <= cap, found == cap
        high, under = torch.where(open_ & fits, middle, high), torch.where(open_ & fits, found, under)
        low = torch.where(open_ & (~fits | exact), middle, low)
        over = torch.where(open_ & ~fits, found, over)
    return low, high
