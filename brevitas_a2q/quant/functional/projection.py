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
from brevitas_a2q.quant.functional.coupled import Coupling, project_coupled
from brevitas_a2q.quant.functional.numeric import (
    code_limits,
    compute_dtype,
    dequantize,
    recover_codes,
    representable,
    row_blocks,
    rows_of,
)
from brevitas_a2q.quant.functional.repair import enforce, exact_sign_sums
from brevitas_a2q.quant.functional.tiling import in_tiles

__all__ = ["project", "projected_codes", "projected_quantize"]

_LARGEST_RATIO = 2.0**40  # of |w/s|; far above any code, and far below where thresholds lose their resolution


def project(u: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    """Nearest integers to each row within code limits and budget.

    Args:
        u: ``w / s``, shape ``(C, K)``; of a type that adds the codes of a row exactly.
        budget: Budget of the channels.
        q_min: Lowest code.
        q_max: Highest code.

    Returns:
        Integer-valued codes, dtype of ``u``; and for each row the normals of the constraints that bind, shape
        ``(2, 2, C, 1)``: coefficients of ``S+`` and ``S-``, zero where nothing binds.
    """
    codes = u.round().clamp_(q_min, q_max)
    normals = u.new_zeros(2, 2, len(u), 1)
    positive, negative = exact_sign_sums(codes)
    over = ~budget.holds(positive, negative)
    if not bool(over.any()):
        return codes, normals
    x_lo, x_hi, upper, lower = (limit.expand(over.shape) for limit in budget)
    upper, lower = upper.clamp_min(0), lower.clamp_min(0)
    coupled = (x_lo < 0) & (x_hi > 0)
    for chosen, solve in ((over & ~coupled, _project_signs), (over & coupled, _project_pair)):
        rows = chosen.squeeze(1).nonzero().squeeze(1)
        if rows.numel():
            limits = (-x_lo[rows], x_hi[rows], upper[rows], lower[rows])
            part = u if rows.numel() == len(u) else u[rows]
            inside, faces = solve(part.clamp(-_LARGEST_RATIO, _LARGEST_RATIO), limits, q_min, q_max)
            codes.index_copy_(0, rows, inside)
            normals.index_copy_(2, rows, faces)
    return codes, normals


Limits = tuple[Tensor, Tensor, Tensor, Tensor]


def _project_signs(u: Tensor, limits: Limits, q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    """Inputs of one sign: each sign of the weights has a cap of its own."""
    down, up, upper, lower = limits
    size = torch.maximum(up, down)
    upper, lower = torch.where(up > 0, upper, lower) // size, torch.where(up > 0, lower, upper) // size
    positive, negative = u.clamp_min(0), u.neg().clamp_min_(0)
    caps = torch.cat([upper, lower]).to(u.dtype)
    if q_max == -q_min:
        codes = allocate(torch.cat([positive, negative]), caps, q_max)
    else:
        codes = torch.cat([allocate(positive, caps[: len(u)], q_max), allocate(negative, caps[len(u) :], -q_min)])
    # A cap that is not used up does not bind; one that plain rounding would just fill is a matter of measure zero.
    binds = (codes.sum(1, keepdim=True) >= caps).to(u.dtype).unflatten(0, (2, -1))
    zero = torch.zeros_like(binds[0])
    faces = torch.stack([torch.stack([binds[0], zero]), torch.stack([zero, binds[1]])])
    return codes[: len(u)] - codes[len(u) :], faces


def _project_pair(u: Tensor, limits: Limits, q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    """Inputs of both signs: the signs of the weights share both limits."""
    down, up, upper, lower = (limit.double() for limit in limits)
    parts = torch.stack([u.clamp_min(0), u.neg().clamp_min_(0)])
    codes, faces = project_coupled(parts, (q_max, -q_min), Coupling(up, down, upper, lower))
    return codes[0] - codes[1], faces.to(u.dtype)


def _codes(weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    """Final codes of one block of rows, checked, and the normals of the constraints that bind."""
    largest = max(q_max, -q_min)
    dtype = compute_dtype(weight.dtype, weight.shape[1], largest)
    smallest = torch.finfo(scale.dtype).tiny * torch.finfo(scale.dtype).eps
    codes, normals = project((weight / scale.clamp_min(smallest)).to(dtype), budget, q_min, q_max)
    limits = code_limits(scale, weight.dtype, q_min, q_max)
    if limits is not None:
        codes = torch.minimum(torch.maximum(codes, limits[0].to(dtype)), limits[1].to(dtype))
    return enforce(representable(codes, weight.dtype, largest), budget), normals


def _along_face(grad: Tensor, codes: Tensor, normals: Tensor) -> Tensor:
    """Gradient without its component along the normals of the binding constraints, over active weights."""
    sign = codes.sign()
    both, difference = (grad * sign * sign).sum(1, keepdim=True), (grad * sign).sum(1, keepdim=True)
    count, balance = (sign * sign).sum(1, keepdim=True), sign.sum(1, keepdim=True)
    # Sums over positive and negative weights; S- grows as a negative weight falls, hence the sign of its normal.
    shift_positive = shift_negative = torch.zeros_like(both)
    for plus, minus in normals:
        size = plus * plus * (count + balance) / 2 + minus * minus * (count - balance) / 2
        along = (plus * (both + difference) - minus * (both - difference)) / 2 / torch.where(size > 0, size, 1.0)
        shift_positive, shift_negative = shift_positive + along * plus, shift_negative - along * minus
    shift = sign * ((shift_positive - shift_negative) / 2)
    shift.addcmul_(sign * sign, (shift_positive + shift_negative) / 2)
    return grad - shift


class _Projection(torch.autograd.Function):
    """Forward and backward in one node; see the module for what the gradient is."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> Tensor:  # type: ignore[override]
        out, saved = torch.empty_like(weight), []
        for block in row_blocks(weight):
            part, step = weight[block], rows_of(scale, block)
            codes, normals = _codes(part, step, Budget(*(rows_of(v, block) for v in budget)), q_min, q_max)
            out[block] = dequantize(codes, step, weight.dtype, max(q_max, -q_min))
            saved += [codes, normals]
        ctx.save_for_backward(weight, scale, *saved)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, scale, *saved = ctx.saved_tensors
        out, steps = torch.empty_like(weight), []
        for block, codes, normals in zip(row_blocks(weight), saved[::2], saved[1::2], strict=True):
            outer = grad[block].to(codes.dtype)
            inner = _along_face(outer, codes, normals)
            ratio = weight[block].to(codes.dtype) / rows_of(scale, block)
            steps.append((outer * codes - inner * ratio).sum(1, keepdim=True))
            out[block] = inner
        return out, torch.cat(steps).sum_to_size(scale.shape).to(scale.dtype), None, None, None


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
