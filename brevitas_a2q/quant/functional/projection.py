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

from brevitas_a2q.quant.functional.allocate import allocate
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
from brevitas_a2q.quant.functional.tiling import in_tiles

__all__ = ["projected_codes", "projected_quantize"]

_BLOCK = 1 << 18  # elements that are projected at a time


def _separate(u: Tensor, caps: tuple[Tensor, Tensor], q_min: int, q_max: int) -> Tensor:
    """Projection of rows onto a cap of each sign's sum, in blocks of rows that stay in the cache."""
    positive, negative = u.clamp_min(0), u.neg().clamp_min_(0)
    if q_max != -q_min:
        return allocate(positive, caps[0], q_max) - allocate(negative, caps[1], -q_min)
    codes = allocate(torch.cat([positive, negative]), torch.cat(caps), q_max)
    return codes[: len(u)] - codes[len(u) :]


def project(u: Tensor, budget: Budget, q_min: int, q_max: int) -> Tensor:
    """Nearest integers to ``u`` ``(C, K)`` within code limits and budget; integer-valued, dtype of ``u``."""
    codes = u.round().clamp_(q_min, q_max)
    positive, negative = exact_sign_sums(codes)
    fits = budget.holds(positive, negative)
    if bool(fits.all()):
        return codes
    x_lo, x_hi, upper, lower = (limit.expand(fits.shape) for limit in budget)
    size = torch.maximum(x_hi, -x_lo).clamp_min(1)
    # FIRST VERSION: signed inputs use the symmetric part of the budget
    coupled = x_lo < 0
    half = torch.minimum(upper, lower).clamp_min(0) // (x_hi - x_lo).clamp_min(1)
    cap_p = torch.where(coupled, half, upper.clamp_min(0) // size).to(u.dtype)
    cap_n = torch.where(coupled, half, lower.clamp_min(0) // size).to(u.dtype)
    for rows in (~fits).squeeze(1).nonzero().squeeze(1).split(max(1, _BLOCK // u.shape[1])):
        codes.index_copy_(0, rows, _separate(u[rows], (cap_p[rows], cap_n[rows]), q_min, q_max))
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
