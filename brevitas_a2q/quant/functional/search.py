"""The threshold at which rounded soft thresholds of many rows fit their caps.

``units(theta) = round(max(m - theta, 0))``, clipped, falls as ``theta`` grows, and its sum falls nearly exponentially:
interpolating its logarithm inside a bracket converges in a few passes over memory.
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
    for _ in range(6):
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
    result = torch.zeros_like(cap)
    tops = magnitude.amax(-1, keepdim=True)
    high = (tops if isinstance(slant, float) else (tops / slant).amax(0)) + 1
    low = torch.full_like(cap, -1.0)
    over, under = torch.full_like(cap, torch.inf), torch.full_like(cap, -torch.inf)  # levels at low and at high
    rows, buffer = torch.arange(len(cap), device=cap.device), torch.empty_like(magnitude)
    spare = (cap / 8).clamp_max_(window)  # allowed to be left
    enough, goal = cap - spare, (cap - spare / 2 + 1).log_()
    for _ in range(_MAX_STEPS):
        total = _load(units(magnitude, _spread(theta, slant), limit, buffer), slant)
        level, fits = (total + 1).log_(), total <= cap
        high, under = torch.where(fits, theta, high), torch.where(fits, level, under)
        low, over = torch.where(fits, low, theta), torch.where(fits, over, level)
        result.index_copy_(0, rows, high)
        middle = low + (high - low) / 2
        open_ = (~fits | (total < enough) & (theta > 0)) & (middle > low) & (middle < high)
        keep = open_.squeeze(1).nonzero().squeeze(1)
        if keep.numel() == 0:
            break
        # Inside a bracket whose ends are both known, interpolate; before that, longer and longer Newton steps.
        slope = slope / 2
        share = (over - goal) / (over - under)
        inside = low + (high - low) * share.clamp(0.05, 0.95)
        step = torch.where(torch.isfinite(over - under), inside, theta + (level - goal) / (2 * slope))
        step = torch.where((step > low) & (step < high), step, middle).clamp_min_(0)
        theta = torch.where(open_, step, theta)
        if keep.numel() <= len(rows) // 2:
            cap, enough, goal, slope, over, under = (v[keep] for v in (cap, enough, goal, slope, over, under))
            theta, low, high, rows = (v[keep] for v in (theta, low, high, rows))
            magnitude = magnitude[..., keep, :]
            slant = slant if isinstance(slant, float) else slant[:, keep]
            buffer = torch.empty_like(magnitude)
    return result
