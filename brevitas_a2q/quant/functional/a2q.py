"""A2Q: weight normalization that caps the l1 norm (Colbert et al., ICCV 2023, arXiv 2308.13504).

``w = g * v / ||v||_1`` and ``q = clip(round_to_zero(w / s))`` with ``g = 2^min(t, T)``. ``T = log2(s * cap)`` comes
from the exact budget (``brevitas_a2q.quant.functional.budget``), never below the published one.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brevitas_a2q.quant.functional.budget import Budget
from brevitas_a2q.quant.functional.numeric import (
    compute_dtype,
    dequantize,
    join,
    keep_finite,
    packed,
    recover_codes,
    representable,
    row_blocks,
    rows_of,
    safe_scale,
    stacked,
)
from brevitas_a2q.quant.functional.repair import enforce
from brevitas_a2q.quant.functional.tiling import in_tiles

__all__ = ["a2q_codes", "a2q_quantize", "log2_norm_cap", "norm_cap", "normalized_quantize"]

_TINY, _HUGE = 1e-18, 1e30  # norms between them are divided by without under- or overflow


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


def _quick_cap(budget: Budget, centred: bool) -> Tensor | int:
    limits = budget.integers()
    if limits is None or limits[0] == limits[1]:
        return norm_cap(budget, centred)
    x_lo, x_hi, upper, lower = limits
    room = max(0, min(upper, lower))
    return 2 * (room // (x_hi - x_lo)) if centred else room // max(x_hi, -x_lo)


def _normalized_codes(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Final codes of one block of rows, checked, and what the backward pass needs of the normalization.

    Returns:
        Codes ``(C, K)`` in the type computed in; ``1 / ||v||_1`` of the rows, centred if asked; ``g / s``; and the same
        where ``g`` is learned, 0 where the cap holds; all ``(C, 1)``.
    """
    largest = max(q_max, -q_min)
    dtype = compute_dtype(weight.dtype, weight.shape[1], largest)
    v = weight.to(dtype)
    if centred:
        v = v - v.mean(1, keepdim=True)
    magnitude = v.abs()
    l1 = magnitude.sum(1, keepdim=True)
    if centred:
        # What is left of a constant row is rounding residue of its mean, not weights.
        residue = weight.detach().abs().amax(1, keepdim=True).to(dtype) * (4 * torch.finfo(dtype).eps * v.shape[1])
        l1 = torch.where(l1 > residue, l1, 0.0)
    lowest, highest = torch.aminmax(l1)
    if not (float(lowest) > _TINY and float(highest) < _HUGE):
        return _rescaled_codes(weight, scale, norm, budget, q_min, q_max, centred)
    cap = _quick_cap(budget, centred)
    learned = torch.exp2(norm.to(dtype)) / safe_scale(scale).to(dtype)
    ratio = learned.clamp(max=cap) if isinstance(cap, int) else torch.minimum(learned, cap.to(dtype))
    inverse = l1.reciprocal_()
    codes = magnitude.mul_(ratio * inverse).floor_().clamp_(max=largest)  # rounds to zero
    held = codes.sum(1, keepdim=True)
    codes = codes.copysign_(v)
    if q_max != -q_min:
        codes.clamp_(q_min, q_max)
    codes = representable(keep_finite(codes, scale, weight.dtype, largest), weight.dtype, largest)
    if centred:
        held += codes.sum(1, keepdim=True).abs_()
    # Sums are exact in this type, and neither cutting nor clamping above makes one larger than what was added up.
    codes = codes if bool((held <= cap).all()) else enforce(codes, budget)
    return codes, inverse, ratio, ratio * (learned <= cap)


def _rescaled_codes(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """:func:`_normalized_codes` of rows whose norm is zero or under- or overflows, measured by their largest weight."""
    v = weight.double()
    largest = v.abs().amax(1, keepdim=True)
    v = v / torch.where(largest > 0, largest, 1.0)
    if centred:
        v = v - v.mean(1, keepdim=True)
        v = torch.where(v.abs().sum(1, keepdim=True) > 4 * torch.finfo(weight.dtype).eps * v.shape[1], v, 0.0)
    empty = (v == 0).all(1, keepdim=True)
    # Any weights do for an empty row: its norm is taken to be zero.
    v, norm = torch.where(empty, 1.0, v), torch.where(empty, -math.inf, norm.double())
    codes, inverse, *ratios = _normalized_codes(v, scale, norm, budget, q_min, q_max, False)
    codes = representable(keep_finite(codes, scale, weight.dtype, max(q_max, -q_min)), weight.dtype, max(q_max, -q_min))
    dtype = compute_dtype(weight.dtype, weight.shape[1], max(q_max, -q_min))
    inverse = torch.where(empty, 0.0, inverse / largest).clamp_max(_HUGE)
    return enforce(codes, budget).to(dtype), inverse.to(dtype), ratios[0].to(dtype), ratios[1].to(dtype)


class _A2Q(torch.autograd.Function):
    """Forward and backward of A2Q and A2Q+ in one node: rounding and clipping pass gradients straight through."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
    ) -> Tensor:
        largest, saved, out = max(q_max, -q_min), [], None
        for block in row_blocks(weight):
            arguments = rows_of(weight, block), rows_of(scale, block), rows_of(norm, block), budget.rows(block)
            if torch.compiler.is_compiling():
                rest = _codes_op(*arguments[:3], list(arguments[3]), q_min, q_max, centred)
            else:
                rest = _normalized_codes(*arguments, q_min, q_max, centred)
            out = join(out, weight, block, dequantize(rest[0], arguments[1], weight.dtype, largest))
            saved += [packed(rest[0], largest), *rest[1:]]
        ctx.save_for_backward(weight, scale, norm, *saved)
        ctx.centred = centred
        return torch.empty_like(weight) if out is None else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale, norm, *saved = ctx.saved_tensors
        grad_weight, for_scale, for_norm = None, [], []
        for index, block in enumerate(row_blocks(weight)):
            codes, *columns = saved[4 * index : 4 * index + 4]
            part, step, log2_norm = _gradients(
                rows_of(grad, block), rows_of(weight, block), rows_of(scale, block), codes, columns, ctx.centred
            )
            grad_weight = join(grad_weight, weight, block, part)
            for_scale.append(step)
            for_norm.append(log2_norm)
        grad_scale = stacked(for_scale).sum_to_size(scale.shape).to(scale.dtype)
        return grad_weight, grad_scale, stacked(for_norm).sum_to_size(norm.shape).to(norm.dtype), None, None, None, None


def _gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: list[Tensor], centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of one block of rows with respect to weight, scale and log-norm.

    With ``e = <grad, v> / ||v||_1``, the gradient of ``g``, that of ``v`` is ``g / ||v||_1 * (grad - e sign(v))``.
    Where the cap holds ``g = s * cap``, so the scale gets what the log-norm does not.
    """
    inverse, ratio, free = columns
    dtype = inverse.dtype
    grad, scale, codes = grad.to(dtype), scale.to(dtype), codes.to(dtype)
    direction = weight.to(dtype) * inverse
    if centred:
        direction -= direction.mean(1, keepdim=True)
    along = (grad * direction).sum(1, keepdim=True)
    shared = along * free
    grad_scale = (grad * codes).sum(1, keepdim=True).sub_(shared)
    gain = (scale * inverse).clamp_max_(_HUGE).mul_(ratio).clamp_max_(_HUGE)  # g / ||v||_1
    grad_weight = direction.sign_().mul_(along.neg_()).add_(grad).mul_(gain)
    if centred:
        grad_weight -= grad_weight.mean(1, keepdim=True)
    return grad_weight.to(weight.dtype), grad_scale, shared.mul_(scale).mul_(math.log(2))


@torch.library.custom_op(
    "brevitas_a2q::normalized_codes",
    mutates_args=(),
    schema="(Tensor weight, Tensor scale, Tensor norm, Tensor[] budget, int q_min, int q_max, bool centred)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
)
def _codes_op(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: list[Tensor], q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # One opaque step for the compiler: checks and repairs depend on the weights.
    return _normalized_codes(weight, scale, norm, Budget(*budget), q_min, q_max, centred)


@_codes_op.register_fake
def _(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: list[Tensor], q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dtype = compute_dtype(weight.dtype, weight.shape[1], max(q_max, -q_min))
    column = weight.new_empty(weight.shape[0], 1, dtype=dtype)
    return torch.empty_like(weight, dtype=dtype), column, torch.empty_like(column), torch.empty_like(column)


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
