"""The projection for inputs of both signs on an accelerator, where the signs of the weights share their budget.

The method of :mod:`brevitas_a2q.quant._kernels.projection` without its proof: thresholds of the optimum over the reals
are bisected, the units that gain nearly as much are sorted, and all numbers of positive units among them are compared,
each with as many negative ones as the budget leaves room for. The kernel widens that window until no other units can
be better; here its width is fixed, so that nothing is read back, and a row whose optimum lies outside of it gets the
best point inside.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.budget import Budget

__all__ = ["couple"]

_STEPS = 40  # of the search for a threshold
_REACH = 128  # units to either side of the threshold; more where many gain the same


class _Sides(NamedTuple):
    """``a S+ + b S- <= upper`` and ``b S+ + a S- <= lower``; int64.  # shape: (C, 1)"""

    a: Tensor
    b: Tensor
    upper: Tensor
    lower: Tensor


class _Window(NamedTuple):
    """Units of one sign, those that gain most first.

    Attributes:
        order: Element of each unit; of no meaning beyond ``size``.  # shape: (C, n)
        size: How many there are.  # shape: (C, 1)
        gained: What the first 0, 1, ... n units gain together, float64.  # shape: (C, n + 1)
    """

    order: Tensor
    size: Tensor
    gained: Tensor


def couple(sizes: Tensor, limit: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """Codes of rows that exceed their budget; of other rows they mean nothing.

    Args:
        sizes: Of positive and of negative weights in units, 0 for those of the other sign.  # shape: (2, C, K)
        limit: Largest codes.  # shape: (2, 1, 1)
        budget: Of the channels; inputs of both signs.

    Returns:
        Codes, int64, of shape ``(C, K)``; and the normals of up to two constraints that bind, ``(C, 4)``.
    """
    sizes = sizes.double()
    sides = _sides(budget, sizes.shape[1])
    units, normals = _real_optimum(sizes, limit, sides)
    every = torch.ones_like(units)
    _, high = _thresholds(sizes, limit, every, (units - _REACH).clamp_min(0))
    low, _ = _thresholds(sizes, limit, every, units + (_REACH - 1))
    above = _units(sizes, high, limit)
    inside = _units(sizes, low, limit) - above
    windows = [_window(*of_sign) for of_sign in zip(sizes, above, inside, strict=True)]
    counts = _best_pair(sides, above.sum(-1, keepdim=True), windows)
    plus, minus = (
        (low + _taken(window, count, low)).to(torch.int64)
        for low, window, count in zip(above, windows, counts, strict=True)
    )
    return plus - minus, normals


def _sides(budget: Budget, rows: int) -> _Sides:
    limits = (budget.x_hi, -budget.x_lo, budget.upper.clamp_min(0), budget.lower.clamp_min(0))
    a, b, upper, lower = (limit.reshape(-1, 1).expand(rows, 1) for limit in limits)
    divisor = torch.gcd(a, b).clamp_min(1)  # all that units add up to are its multiples
    return _Sides(a // divisor, b // divisor, upper // divisor, lower // divisor)


def _units(sizes: Tensor, gain: Tensor, limit: Tensor) -> Tensor:
    """Of every element, the units that gain at least this; the n-th one of an element of size m gains m - n + 1/2."""
    return (sizes + (0.5 - gain)).clamp(torch.zeros_like(limit), limit).floor()


def _thresholds(sizes: Tensor, limit: Tensor, weight: Tensor, cap: Tensor) -> tuple[Tensor, Tensor]:
    """Gains in the proportion of the weights, close to each other: at the lower one what units weigh together exceeds
    the cap, if it ever does, and at the higher one it does not.  # shape: (2, C, 1), (2, C, 1)

    Args:
        sizes: # shape: (2, C, K)
        limit: # shape: (2, 1, 1)
        weight: Of a unit of either sign, the larger one 1.  # shape: (2, C, 1)
        cap: Of both signs together, or of each.  # shape: (1, C, 1) or (2, C, 1)
    """
    together = cap.shape[0] == 1
    low = torch.zeros_like(cap)
    high = low + (sizes.amax((0, -1), keepdim=True) + 1) / weight.amin(0, keepdim=True)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        load = _count(sizes, middle * weight, limit) * weight
        over = (load.sum(0, keepdim=True) if together else load) > cap
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return low * weight, high * weight


def _count(sizes: Tensor, gain: Tensor, limit: Tensor) -> Tensor:
    return _units(sizes, gain, limit).sum(-1, keepdim=True)


def _spend(sizes: Tensor, limit: Tensor, weight: Tensor, cap: Tensor) -> Tensor:
    """Units, and fractions of them, with which one constraint is used up at the least loss.  # shape: (2, C, 1)"""
    more, fewer = (_count(sizes, gain, limit) for gain in _thresholds(sizes, limit, weight, cap.unsqueeze(0)))
    over, under = (more * weight).sum(0), (fewer * weight).sum(0)
    share = ((cap - under) / (over - under).clamp_min(1e-9)).clamp(0, 1)
    return fewer + share * (more - fewer)


def _real_optimum(sizes: Tensor, limit: Tensor, sides: _Sides) -> tuple[Tensor, Tensor]:
    """Units of either sign at the optimum over the reals, ``(2, C, 1)``; normals of the constraints tight there."""
    a, b, upper, lower = (value.double() for value in sides)
    big = torch.maximum(a, b)
    first, second = torch.stack([a, b]) / big, torch.stack([b, a]) / big
    by_first, by_second = _spend(sizes, limit, first, upper / big), _spend(sizes, limit, second, lower / big)
    first_suffices = b * by_first[0] + a * by_first[1] <= lower
    second_suffices = (a * by_second[0] + b * by_second[1] <= upper) | (a == b)
    apart = torch.where(a == b, 1.0, (a - b) * (a + b))
    corner = torch.stack([a * upper - b * lower, a * lower - b * upper]) / apart
    units = torch.where(first_suffices, by_first, torch.where(second_suffices, by_second, corner)).clamp_min(0).floor()
    none, one = torch.zeros_like(a), torch.ones_like(a)
    of_first, of_second = (torch.cat([*weight, none, none], -1) for weight in (first, second))
    of_both = torch.cat([one, none, none, one], -1)
    return units, torch.where(first_suffices, of_first, torch.where(second_suffices, of_second, of_both))


def _window(sizes: Tensor, above: Tensor, inside: Tensor) -> _Window:
    """Units of one sign: of every element those behind the first ``above``, ``inside`` of them.  # shape: (C, K)"""
    ends = inside.cumsum(1)
    # Elements that gain the same lie at the ends of the window, one unit of each.
    slots = torch.arange(2 * (sizes.shape[1] + _REACH), device=sizes.device, dtype=ends.dtype)
    slots = slots.expand(len(sizes), -1).contiguous()
    element = torch.searchsorted(ends, slots, right=True).clamp_max(sizes.shape[1] - 1)
    number = above.gather(1, element) + 1 + slots - (ends - inside).gather(1, element)
    gains = torch.where(slots < ends[:, -1:], sizes.gather(1, element) + 0.5 - number, -1.0)
    # In the order of the row, which a stable sort keeps among those that gain the same.
    gains, order = gains.sort(dim=1, descending=True, stable=True)
    gained = torch.nn.functional.pad(gains.clamp_min(0).cumsum(1), (1, 0))
    return _Window(element.gather(1, order), ends[:, -1:].to(torch.int64), gained)


def _best_pair(sides: _Sides, above: Tensor, windows: list[_Window]) -> tuple[Tensor, Tensor]:
    """How many positive and negative units to take from the windows.  # shape: (C, 1), (C, 1)"""
    a, b, upper, lower = sides
    plus, minus = windows
    of_plus, of_minus = above.to(torch.int64)
    number = torch.arange(plus.gained.shape[1], device=a.device).expand(plus.gained.shape)
    spent = of_plus + number
    most = torch.minimum((upper - a * spent) // b.clamp_min(1), (lower - b * spent) // a.clamp_min(1)) - of_minus
    partner = most.clamp_min(0).minimum(minus.size)
    gain = plus.gained + minus.gained.gather(1, partner)
    possible = (most >= 0) & (number <= plus.size)
    best = torch.where(possible, gain, -1.0).argmax(1, keepdim=True)
    return best, partner.gather(1, best)


def _taken(window: _Window, count: Tensor, like: Tensor) -> Tensor:
    rank = torch.arange(window.order.shape[1], device=like.device)
    return torch.zeros_like(like).scatter_add_(1, window.order, (rank < count).to(like.dtype))
