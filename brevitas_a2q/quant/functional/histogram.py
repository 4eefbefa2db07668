"""Nearest integers within a cap for either sign, by one histogram: what long rows of weights are projected with.

``q = argmin sum (q - m)^2`` over integers ``0 <= q <= limit`` with ``sum(q) <= cap`` is ``round(max(m - theta, 0))``,
clipped, for a threshold ``theta`` whose sum falls a few units short, and the units left given to the largest residuals
``m - q``. A histogram of the weights gives the sums at all multiples of a bin's width at once, so ``theta`` is found
within one bin, and only weights that gain a unit inside of that bin are sorted. A bin's width is a power of two, thus
thresholds and ``m - theta`` are exact.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["histogram_codes", "support"]

_BINS = 1024  # of either sign
_LEAST_STEPS = 4  # bins in a unit; more than two, so that nothing gains two units inside of one


def histogram_codes(u: Tensor, caps: Tensor, q_min: int, q_max: int) -> tuple[Tensor, Tensor] | None:
    """Nearest integers to ``u`` whose positive and negative parts add up to at most their caps.

    Args:
        u: Shape ``(R, K)``; of a type that adds the codes of a row exactly.
        caps: Integer-valued, not negative, shape ``(2, R, 1)``, type of ``u``.
        q_min: Lowest code.
        q_max: Highest code.

    Returns:
        Codes, and whether the caps are used up, shape ``(2, R, 1)``; None where ``|u|`` is too large for the bins.
    """
    steps = _steps(u)
    if steps < _LEAST_STEPS:
        return None
    theta = _thresholds(u, caps, (q_max, -q_min), steps)
    codes = _units(u, theta, q_min, q_max)
    total, magnitude = codes.sum(1, keepdim=True), codes.abs().sum(1, keepdim=True)
    spare = caps - torch.stack([magnitude + total, magnitude - total]).div_(2)
    more = _units(u, _a_bin_less(theta, steps), q_min, q_max)
    given = _share_out(u, codes, more.sub_(codes), spare)
    return codes, given >= spare


def support(u: Tensor, caps: Tensor, q_min: int, q_max: int) -> Tensor | None:
    """Where codes that are nearest within these caps, or tighter ones, may be other than zero, and few weights more.

    Args:
        u: Shape ``(R, K)``.
        caps: As for :func:`histogram_codes`.
        q_min: Lowest code.
        q_max: Highest code.

    Returns:
        Indices into the flattened ``u``, in order; None where ``|u|`` is too large for the bins.
    """
    steps = _steps(u)
    if steps < _LEAST_STEPS:
        return None
    theta = _a_bin_less(_thresholds(u, caps, (q_max, -q_min), steps), steps)
    return _nonzero(_units(u, theta, q_min, q_max).sign_().to(torch.int8).flatten())


def _steps(u: Tensor) -> int:
    """Bins in a unit, a power of two with which all of ``u`` lies within the bins; 0 where there is none."""
    lowest, highest = torch.aminmax(u)
    reach = max(-float(lowest), float(highest), 1.0)
    return _BINS >> math.frexp(reach)[1] if reach < _BINS else 0


def _a_bin_less(theta: Tensor, steps: int) -> Tensor:
    # And a little more: a weight that ties with the end of a bin rounds either way.
    return (theta - 1.01 / steps).clamp_min_(0)


def _units(u: Tensor, theta: Tensor, q_min: int, q_max: int) -> Tensor:
    # sign(u) * max(|u| - theta, 0) with a threshold for each sign, rounded.
    shrunk = torch.minimum(u, theta[0])
    return torch.sub(u, torch.maximum(shrunk, -theta[1], out=shrunk), out=shrunk).round_().clamp_(q_min, q_max)


def _thresholds(u: Tensor, caps: Tensor, limits: tuple[int, int], steps: int) -> Tensor:
    """Lowest multiples of ``1 / steps`` at which either sign fits its cap; shape ``(2, R, 1)``."""
    rows, columns = u.shape
    first = torch.arange(rows, device=u.device, dtype=torch.int32).mul_(2 * _BINS).add_(_BINS).unsqueeze(1)
    at = (u * steps).to(torch.int32).add_(first)  # cut towards zero: bin 0 holds what is too small to be rounded up
    counts = torch.bincount(at.flatten(), minlength=2 * _BINS * rows).view(rows, 2 * _BINS)
    below = counts.cumsum(1, dtype=torch.int32)  # no sum exceeds 256 units of a row's weights
    # How many weights of either sign are at least (_BINS - j) / steps, for j = 0 .. _BINS - 1.
    beyond = torch.stack([columns - below[:, _BINS - 1 :].flip(1)[:, :_BINS], below[:, :_BINS]])
    # Each of them counts again for every unit further out.
    sums = beyond.view(2, rows, -1, steps).cumsum(2, dtype=torch.int32).view(2, rows, _BINS)
    for side, limit in enumerate(limits):
        if limit * steps < _BINS:
            sums[side, :, limit * steps :] -= sums[side, :, : _BINS - limit * steps].clone()
    fitting = torch.searchsorted(sums, caps.clamp(max=2.0**30).to(sums.dtype), right=True) - 1
    # sums[j] are the codes' at a threshold half a unit below (_BINS - j) / steps.
    return (_BINS - steps // 2 - fitting).clamp_min_(0).to(u.dtype).div_(steps)


def _share_out(u: Tensor, codes: Tensor, extra: Tensor, spare: Tensor) -> Tensor:
    """Give ``spare`` units to the largest residuals of the weights where ``extra`` is 1 or -1, in place of ``codes``.

    Returns:
        How many weights of either sign could take one, shape ``(2, R, 1)``.
    """
    rows, columns = u.shape
    at = _nonzero(extra.to(torch.int8).flatten())
    sign = extra.flatten()[at]
    group = at.div(columns, rounding_mode="floor").add_(rows * (sign < 0))
    size = torch.bincount(group, minlength=2 * rows)
    residual = (u.flatten()[at] - codes.flatten()[at]).mul_(sign)
    # Residuals of a sign lie within a unit of each other; float64 has room for the row beside them.
    span = residual.abs().amax().double() * 2 + 1 if len(at) else 1.0
    order = (group * span - residual).argsort()
    group = group[order]
    rank = torch.arange(len(at), device=u.device) - (size.cumsum(0) - size)[group]
    chosen = order[rank < spare.flatten()[group]]
    codes.view(-1).index_add_(0, at[chosen], sign[chosen])
    return size.view(2, rows, 1)


def _nonzero(flags: Tensor) -> Tensor:
    """Where bytes are not zero, of which there are few: words of eight are looked at first."""
    words = torch.nn.functional.pad(flags, (0, -len(flags) % 8)).view(torch.int64)
    full = words.nonzero().squeeze(1)
    inside = words[full].view(torch.int8).nonzero().squeeze(1)
    return full[inside >> 3] * 8 + (inside & 7)
