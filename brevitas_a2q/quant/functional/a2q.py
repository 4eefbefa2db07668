"""A2Q: weight normalization that caps the l1 norm (Colbert et al., ICCV 2023, arXiv 2308.13504, section 4).

``w = g * v / ||v||_1`` and ``q = clip(round_to_zero(w / s))`` with ``g = 2^min(t, T)``. ``T = log2(s * cap)`` comes from
the exact budget (``brevitas_a2q.quant.functional.budget``), never below equation 15's.
"""

from __future__ import annotations

import math
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
)
from brevitas_a2q.quant.functional.repair import enforce
from brevitas_a2q.quant.functional.tiling import in_tiles

__all__ = ["a2q_codes", "a2q_quantize", "log2_norm_cap"]


def log2_norm_cap(scale: Tensor, budget: Budget, centred: bool = False) -> Tensor:
    """``T``: the cap of the learned log-norm ``t`` at this scale.

    Args:
        scale: Scale of the weights, shape ``(C, 1)``, ``(1, 1)`` or ``()``.
        budget: Budget of the channels.
        centred: Whether weights are zero-centred (A2Q+).

    Returns:
        Shape of ``scale`` and ``budget`` broadcast; ``-inf`` where no weight fits.
    """
    return torch.log2(scale) + torch.log2(norm_cap(budget, centred).to(scale.dtype))


def norm_cap(budget: Budget, centred: bool) -> Tensor:
    """Largest l1 norm of the integer weights, int64."""
    return 2 * budget.centred_cap.clamp_max((1 << 62) - 1) if centred else budget.l1_cap


def normalized_codes(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, and what the backward pass needs of the normalization.

    Returns:
        Codes ``(C, K)`` in the type computed in; ``||v||_1`` and ``g`` of shape ``(C, 1)``, after centring.
    """
    dtype = compute_dtype(weight.dtype, weight.shape[1], max(q_max, -q_min))
    v, step = weight.to(dtype), scale.to(dtype)
    l1, v, unit = _l1_norm(v, centred)
    cap = norm_cap(budget, centred).to(dtype)
    ratio = torch.minimum(torch.exp2(norm.to(dtype)) / step, cap)  # g / s
    codes = (v * (ratio / unit)).trunc_().clamp_(q_min, q_max)
    limits = code_limits(scale, weight.dtype, q_min, q_max)
    if limits is not None:
        codes = torch.minimum(torch.maximum(codes, limits[0].to(dtype)), limits[1].to(dtype))
    codes = representable(codes, weight.dtype, max(q_max, -q_min))
    return enforce(codes, budget), l1, ratio * step


def _l1_norm(v: Tensor, centred: bool) -> tuple[Tensor, Tensor, Tensor]:
    """l1 norm of each row; the rows, centred if asked; and the norm to divide those rows by, inf for an empty row."""
    mean = v.mean(1, keepdim=True) if centred else None
    rows = v - mean if mean is not None else v
    l1 = rows.abs().sum(1, keepdim=True)
    if mean is not None:
        # What is left of a constant row is rounding residue of its mean, not weights.
        residue = 4 * torch.finfo(v.dtype).eps * v.shape[1] * mean.abs()
        l1 = torch.where(l1 <= residue, 0.0, l1)
    if bool(((l1 > 1e-18) & (l1 < 1e30) | (l1 == 0)).all()):
        return l1, rows, torch.where(l1 == 0, math.inf, l1)
    # Sums over- or underflow: measure such rows in units of their largest weight.
    largest = v.abs().amax(1, keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)
    scaled_l1, rows, divisor = _l1_norm(v / unit, centred)
    return scaled_l1 * unit, rows, divisor


class _A2Q(torch.autograd.Function):
    """Forward and backward of A2Q and A2Q+ in one node: rounding and clipping pass gradients straight through."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
    ) -> Tensor:
        codes, l1, g = normalized_codes(weight, scale, norm, budget, q_min, q_max, centred)
        ctx.save_for_backward(weight, scale, norm, codes, l1, g)
        ctx.centred = centred
        return dequantize(codes, scale, weight.dtype, max(q_max, -q_min))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, scale, norm, codes, l1, g = ctx.saved_tensors
        dtype = codes.dtype
        grad, v, step = grad.to(dtype), weight.to(dtype), scale.to(dtype)
        if ctx.centred:
            v = v - v.mean(1, keepdim=True)
        inverse = torch.where(l1 > 0, 1 / l1, 0.0).clamp_max(1e30)
        along = (grad * v).sum(1, keepdim=True) * inverse  # dL/dg
        grad_scale = (grad * codes).sum(1, keepdim=True)
        learned = torch.exp2(norm.to(dtype))
        free = learned <= g * (1 + 1e-6)
        grad_scale = grad_scale - along * (g / step) * free
        grad_norm = along * g * math.log(2) * free
        grad_v = torch.addcmul(grad, v.sign(), -along).mul_(g * inverse)
        if ctx.centred:
            grad_v -= grad_v.mean(1, keepdim=True)
        return (
            grad_v.to(weight.dtype),
            grad_scale.sum_to_size(scale.shape).to(scale.dtype),
            grad_norm.sum_to_size(norm.shape).to(norm.dtype),
            None,
            None,
            None,
            None,
        )


def normalized_quantize(
    weight: Tensor,
    scale: Tensor,
    norm: Tensor,
    budget: Budget,
    q_min: int,
    q_max: int,
    tile: int | None,
    centred: bool,
) -> Tensor:
    """A2Q, or A2Q+ where ``centred``; see :func:`a2q_quantize`."""

    def quantize(part: Tensor, step: Tensor, limits: Budget, log2_norm: Tensor) -> Tensor:
        out: Tensor = _A2Q.apply(part, step, log2_norm, limits, int(q_min), int(q_max), centred and part.shape[1] > 1)
        return out

    return in_tiles(quantize, weight, scale, budget, tile, norm)


def a2q_quantize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """Quantize weights by A2Q and return them dequantized.

    Args:
        weight: Direction ``v`` of the weights, shape ``(C, K)``.
        scale: Positive ``s``, shape ``(C, 1)``, ``(1, 1)`` or ``()``.
        norm: ``t``, log2 of the norm ``g``; shape ``(C, 1)``, or ``(C, tiles)`` to give each tile its own.
        budget: Budget of one accumulation.
        q_min: Lowest code.
        q_max: Highest code.
        tile: Number of consecutive products that one accumulation holds; None for all of them.

    Returns:
        ``q * s`` in the dtype of ``weight``, shape ``(C, K)``.
    """
    return normalized_quantize(weight, scale, norm, budget, q_min, q_max, tile, centred=False)


@torch.no_grad()
def a2q_codes(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """The integers of :func:`a2q_quantize`; int64, shape ``(C, K)``."""
    return recover_codes(a2q_quantize(weight, scale, norm, budget, q_min, q_max, tile), scale)
