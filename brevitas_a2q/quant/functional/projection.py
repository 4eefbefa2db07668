"""Exact integer Euclidean projection onto the two-sided budget.

``q = argmin ||q - w/s||^2`` over integers ``q_min <= q <= q_max`` whose sums ``S+`` and ``S-`` fit the budget. The
objective is separable and convex, so each sign's part is Fox's greedy marginal allocation: a soft threshold, rounded,
with the units left over given to the largest residuals.

Backward, straight through where no budget binds. Where one does, the gradient's component along the normal of that face
is taken out of the active weights (the Jacobian of the projection onto the face); inactive weights get it unchanged, so
that they can come back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brevitas_a2q.quant.functional.budget import Budget
from brevitas_a2q.quant.functional.numeric import (
    code_limits,
    compute_dtype,
    dequantize,
    recover_codes,
    representable,
    scaled_weight,
)
from brevitas_a2q.quant.functional.repair import enforce, exact_sign_sums
from brevitas_a2q.quant.functional.threshold import Levels, search
from brevitas_a2q.quant.functional.tiling import in_tiles

__all__ = ["projected_codes", "projected_quantize"]


def _fill(u: Tensor, codes: Tensor, more: Tensor, spare: Tensor) -> Tensor:
    """Raise ``spare`` of the codes that ``more`` raises, those with the largest residual ``|u| - |q|`` first."""
    gain = torch.where(more != codes, (u - codes).abs(), -1.0)
    order = gain.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(u.shape[1], device=u.device).expand_as(order))
    return torch.where(rank < spare, more, codes)


def _separate(u: Tensor, caps: tuple[Tensor, Tensor], q_min: int, q_max: int) -> Tensor:
    """Projection of rows onto a cap of each sign's sum."""
    levels = Levels(u, q_min, q_max)
    zero = torch.zeros_like(u[:, :1])
    cap = torch.cat(caps, 1)

    def load(theta: Tensor) -> Tensor:
        return torch.cat(levels.sums(theta[:, :1], theta[:, 1:]), 1)

    top = u.abs().amax(1, keepdim=True).expand_as(cap)
    low, high = search(load, torch.cat(levels.sums(zero, zero), 1), cap, top)
    codes = levels.codes(high[:, :1], high[:, 1:], torch.empty_like(u))
    more = levels.codes(low[:, :1], low[:, 1:])
    spare = cap - torch.cat([codes.clamp_min(0).sum(1, keepdim=True), codes.clamp_max(0).sum(1, keepdim=True).neg()], 1)
    rest = ((spare > 0) & (low < high)).any(1).nonzero().squeeze(1)
    if rest.numel():
        uu, base, raised, left = u[rest], codes[rest], more[rest], spare[rest]
        upper = _fill(uu.clamp_min(0), base.clamp_min(0), raised.clamp_min(0), left[:, :1])
        lower = _fill(uu.clamp_max(0), base.clamp_max(0), raised.clamp_max(0), left[:, 1:])
        codes[rest] = upper + lower
    return codes


def project(u: Tensor, budget: Budget, q_min: int, q_max: int) -> Tensor:
    """Nearest integers to ``u`` ``(C, K)`` within code limits and budget; integer-valued, dtype of ``u``."""
    codes = u.round().clamp_(q_min, q_max)
    positive, negative = exact_sign_sums(codes)
    fits = budget.holds(positive, negative)
    if bool(fits.all()):
        return codes
    rows = (~fits).squeeze(1).nonzero().squeeze(1)
    x_lo, x_hi, upper, lower = (limit.expand(codes.shape[0], 1)[rows] for limit in budget)
    size = torch.maximum(x_hi, -x_lo).clamp_min(1)
    # FIRST VERSION: signed inputs use the symmetric part of the budget
    coupled = x_lo < 0
    half = torch.minimum(upper, lower).clamp_min(0) // (x_hi - x_lo).clamp_min(1)
    cap_p = torch.where(coupled, half, upper.clamp_min(0) // size).to(u.dtype)
    cap_n = torch.where(coupled, half, lower.clamp_min(0) // size).to(u.dtype)
    codes[rows] = _separate(u[rows], (cap_p, cap_n), q_min, q_max)
    return codes


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> Tensor:  # type: ignore[override]
        largest = max(q_max, -q_min)
        dtype = compute_dtype(weight.dtype, weight.shape[1], largest)
        u = scaled_weight(weight, scale, dtype)
        codes = project(u, budget, q_min, q_max)
        limits = code_limits(scale, weight.dtype, q_min, q_max)
        if limits is not None:
            codes = torch.minimum(torch.maximum(codes, limits[0].to(dtype)), limits[1].to(dtype))
        codes = enforce(representable(codes, weight.dtype, largest), budget)
        ctx.save_for_backward(weight, scale, codes, u)
        ctx.q_min, ctx.q_max = q_min, q_max
        return dequantize(codes, scale, weight.dtype, largest)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, scale, codes, u = ctx.saved_tensors
        grad = grad.to(codes.dtype)
        plain = u.round().clamp_(ctx.q_min, ctx.q_max)
        sign = codes.sign()
        out = grad.clone()
        for side in (1, -1):
            active = (sign == side).to(grad.dtype)
            binds = plain.mul(side).clamp_min(0).sum(1, keepdim=True) > codes.mul(side).clamp_min(0).sum(
                1, keepdim=True
            )
            mean = (grad * active).sum(1, keepdim=True) / active.sum(1, keepdim=True).clamp_min(1)
            out -= active * (mean * binds)
        grad_scale = (grad * codes - out * u).sum(1, keepdim=True)
        return out.to(weight.dtype), grad_scale.sum_to_size(scale.shape).to(scale.dtype), None, None, None


def projected_quantize(
    weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """Quantize weights by projection onto the budget and return them dequantized.

    Args:
        weight: Shape ``(C, K)``.
        scale: Positive ``s``, shape ``(C, 1)``, ``(1, 1)`` or ``()``.
        budget: Budget of one accumulation.
        q_min: Lowest code.
        q_max: Highest code.
        tile: Number of consecutive products that one accumulation holds; None for all of them.

    Returns:
        ``q * s`` in the dtype of ``weight``, shape ``(C, K)``; plain rounding to nearest where that fits the budget.
    """

    def quantize(part: Tensor, step: Tensor, limits: Budget) -> Tensor:
        out: Tensor = _Projection.apply(part, step, limits, int(q_min), int(q_max))
        return out

    return in_tiles(quantize, weight, scale, budget, tile)


@torch.no_grad()
def projected_codes(
    weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """The integers of :func:`projected_quantize`; int64, shape ``(C, K)``."""
    return recover_codes(projected_quantize(weight, scale, budget, q_min, q_max, tile), scale)
