"""A starting scale chosen with the budget in mind: ``argmin_s ||s * q(w/s) - w||^2``.

The scale that covers the largest weight makes integers as large as their bit width allows, and at a narrow accumulator
most of them then round to zero. A larger step spends the same budget on more of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q._brevitas import PowerOfTwoRestrictValue
from brevitas_a2q.quant._euclidean import project_rows
from brevitas_a2q.quant._tensor_quant import LearnedNormTensorQuant

__all__ = ["WHEN_FOUND", "best_scale", "is_learned", "search_scale_"]

_TOGETHER = 1 << 16  # weights
_FINE_STEPS = (0.5, 0.25, 0.125)  # in octaves

# Called when a scale has been found; for bars.
WHEN_FOUND: ContextVar[Callable[[], None] | None] = ContextVar("when_found", default=None)


def best_scale(error: Callable[[Tensor], Tensor], start: Tensor, octaves: int, fixed_point: bool) -> Tensor:
    """Scale of least error, each entry for itself: whole octaves first, then ever smaller steps around the best.

    Args:
        error: Error of a scale.  # shape: that of ``start``
        start: Where to start from; kept where nothing is better.
        octaves: How far up to look.
        fixed_point: Whether the result must be ``start`` times a power of two.

    Example:
        >>> round(float(best_scale(lambda s: (s - 5.0) ** 2, torch.ones(1), 4, fixed_point=False)), 1)
        5.2
    """
    best, least = start, error(start)

    def attempt(scale: Tensor) -> None:
        nonlocal best, least
        found = error(scale)
        best, least = torch.where(found < least, scale, best), torch.minimum(found, least)

    for octave in (-1, *range(1, octaves + 1)):
        attempt(start * 2.0**octave)
    for step in () if fixed_point else _FINE_STEPS:
        around = best
        attempt(around * 2.0**step)
        attempt(around * 2.0**-step)
    return best


def is_learned(scaling_impl: nn.Module) -> bool:
    """Whether the scale is a parameter that can be set."""
    return isinstance(getattr(scaling_impl, "value", None), nn.Parameter)


def _restriction(scaling_impl: Any) -> Any:
    owner = getattr(scaling_impl, "stats_scaling_impl", scaling_impl)
    return owner.restrict_clamp_scaling.restrict_value_impl


def _squared_distance(one: Tensor, other: Tensor) -> Tensor:
    """Of rows; float64.  # shape: (C,)"""
    many = max(1, _TOGETHER // max(1, one.shape[1]))  # rows, whose intermediate results stay in the cache
    parts = zip(one.split(many), other.split(many), strict=True)
    return torch.cat([(a - b).double().square_().sum(1) for a, b in parts])


@torch.no_grad()
def search_scale_(proxy: Any, weight: Tensor) -> None:
    """Set the learned scale of one quantizer, in place, to the best for ``weight`` and the known budget."""
    quantizer = getattr(proxy.tensor_quant, "_orig_mod", proxy.tensor_quant)
    scaling = quantizer.scaling_impl
    initial, budget = proxy.scale_and_budget(weight)
    rows = proxy.layout.rows(weight)
    if isinstance(quantizer, LearnedNormTensorQuant):
        quantizer.set_norm(rows)

    def error(scale: Tensor) -> Tensor:
        column = proxy.layout.per_channel(scale)
        start = rows
        if isinstance(quantizer, LearnedNormTensorQuant):  # as EP-init will start from this scale
            tiles = quantizer.tile_sizes(rows)
            start = project_rows(rows, column, budget, quantizer.centred, tiles)[0].to(rows.dtype)
        per_channel = _squared_distance(quantizer.quantize(start, column, budget), rows)
        return per_channel.sum().reshape(scale.shape) if scale.numel() == 1 else per_channel.reshape(scale.shape)

    octaves = max(quantizer.code_range[1], 1).bit_length() + 1
    fixed_point = isinstance(_restriction(scaling), PowerOfTwoRestrictValue)
    best = best_scale(error, initial, octaves, fixed_point)
    threshold = quantizer.int_scaling_impl(quantizer.msb_clamp_bit_width_impl())
    stored = _restriction(scaling).restrict_init_tensor(best * threshold)
    scaling.value.copy_(stored.reshape(scaling.value.shape))
    if (tell := WHEN_FOUND.get()) is not None:
        tell()
