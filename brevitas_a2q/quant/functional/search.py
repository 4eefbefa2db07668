"""The threshold at which rounded soft thresholds of many rows fit their caps.

``units(theta) = round(max(m - theta, 0))``, clipped, falls as ``theta`` grows, and its sum falls nearly exponentially:
secant steps on the logarithm converge in a few passes over memory. Bisection guards them inside a bracket.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["find_threshold", "units"]

_SAMPLE = 256  # columns that give the search its start
_WINDOW = 16.0  # units that may be left
_MAX_STEPS = 80


def units(magnitude: Tensor, theta: Tensor, limit: float, out: Tensor | None = None) -> Tensor:
    """``round(max(m - theta, 0))`` clipped to ``limit``; shape of ``magnitude``."""
    return torch.sub(magnitude, theta, out=out).round_().clamp_(0, limit)


def _start(magnitude: Tensor, cap: Tensor, slant: Tensor | float) -> tuple[Tensor, Tensor]:
    """Newton's method for ``sum(weight * max(m - theta * slant, 0)) = cap`` on a sample of columns.

    Returns:
        Threshold and the slope of the logarithm of the sum there; shape ``(R, 1)``.
    """
    stride = max(1, magnitude.shape[-1] // _SAMPLE)
    sample = magnitude[..., ::stride].contiguous()
    cap = cap * (sample.shape[-1] / magnitude.shape[-1])
    theta = torch.zeros_like(cap)
    for _ in range(8):
        above = (sample - _spread(theta, slant)).clamp_min_(0)
        active = _load(above.sign(), slant, slant).clamp_min_(torch.finfo(cap.dtype).eps)
        theta = (theta + (_load(above, slant) - cap) / active).clamp_min_(0)
    return theta, active / cap.clamp_min(1)


def _spread(theta: Tensor, slant: Tensor | float) -> Tensor:
    return theta if isinstance(slant, float) else theta * slant


def _load(codes: Tensor, slant: Tensor | float, again: Tensor | float = 1.0) -> Tensor:
    total = codes.sum(-1, keepdim=True)
    return total if isinstance(slant, float) else (total * slant * again).sum(0)


def find_threshold(
    magnitude: Tensor, cap: Tensor, limit: float, window: float = _WINDOW, slant: Tensor | float = 1.0
) -> Tensor:
    """Thresholds whose sums fit their caps and leave at most ``window`` units, unless ties leave more.

    Args:
        magnitude: Not negative, shape ``(R, K)``; ``(2, R, K)`` for positive and negative parts that share a cap.
        cap: Not negative, shape ``(R, 1)``.
        limit: Largest code.
        window: Units that may be left under the cap; an eighth of the cap where that is less.
        slant: For shared caps, ``(2, R, 1)``: the threshold of part ``g`` is ``theta * slant[g]``, and the cap is on
            ``sum(slant[g] * units)``, as at the optimum of ``min ||q - u||`` under such a constraint.

    Returns:
        ``theta``, shape ``(R, 1)``.
    """
    theta, slope = _start(magnitude, cap, slant)
    result, before, previous = torch.zeros_like(cap), None, None
    low = torch.full_like(cap, -1.0)
    tops = magnitude.amax(-1, keepdim=True)
    high = (tops if isinstance(slant, float) else (tops / slant).amax(0)) + 1
    rows, buffer = torch.arange(len(cap), device=cap.device), torch.empty_like(magnitude)
    spare = (cap / 8).clamp_max_(window)  # allowed to be left
    enough, goal = cap - spare, (cap - spare / 2 + 1).log_()
    for _ in range(_MAX_STEPS):
        total = _load(units(magnitude, _spread(theta, slant), limit, buffer), slant)
        fits = total <= cap
        high, low = torch.where(fits, theta, high), torch.where(fits, low, theta)
        result.index_copy_(0, rows, high)
        middle = low + (high - low) / 2
        open_ = (~fits | (total < enough) & (theta > 0)) & (middle > low) & (middle < high)
        keep = open_.squeeze(1).nonzero().squeeze(1)
        if keep.numel() == 0:
            break
        level = (total + 1).log_()
        if before is not None and previous is not None:
            slope = (previous - level) / (theta - before)
        step = theta + (level - goal) / slope
        before, previous = theta, level
        theta = torch.where((step > low) & (step < high), step, middle).clamp_min_(0)
        if keep.numel() <= len(rows) // 2:
            cap, enough, goal, slope, previous = (v[keep] for v in (cap, enough, goal, slope, previous))
            theta, before, low, high, rows = (v[keep] for v in (theta, before, low, high, rows))
            magnitude = magnitude[..., keep, :]
            slant = slant if isinstance(slant, float) else slant[:, keep]
            buffer = torch.empty_like(magnitude)
    return result
