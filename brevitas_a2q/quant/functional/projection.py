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
from brevitas_a2q.quant.functional.coupled import LARGEST_RATIO, Coupling, project_coupled
from brevitas_a2q.quant.functional.histogram import histogram_codes
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
from brevitas_a2q.quant.functional.repair import enforce, exact_sign_sums
from brevitas_a2q.quant.functional.tiling import in_tiles

__all__ = ["project", "projected_codes", "projected_quantize"]

_LONG = 512  # weights in a row from which on a histogram pays


def project(u: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor | None]:
    """Nearest integers to each row within code limits and budget.

    Args:
        u: ``w / s``, shape ``(C, K)``; of a type that adds the codes of a row exactly.
        budget: Budget of the channels.
        q_min: Lowest code.
        q_max: Highest code.

    Returns:
        Integer-valued codes, dtype of ``u``; and for each row the normals of up to two constraints that bind, shape
        ``(2, 2, C, 1)``: coefficients of ``S+`` and ``S-``, zero where nothing binds, None where nothing binds at all.
    """
    codes = u.round().clamp_(q_min, q_max)
    positive, negative = exact_sign_sums(codes)
    if budget.surely_holds(positive, negative):
        return codes, None
    caps = budget.sign_caps()
    if caps is None:
        over = ~budget.holds(positive.to(torch.int64), negative.to(torch.int64))
    else:
        over = (positive > caps[0]) | (negative > caps[1])
    count = int(over.sum())
    if count == 0:
        return codes, None
    if count == len(u):
        inside, normals = _project_rows(u, budget, caps, q_min, q_max)
        return inside, normals
    rows = over.squeeze(1).nonzero().squeeze(1)
    chosen = Budget(*(limit[rows] if limit.dim() and len(limit) > 1 else limit for limit in budget))
    inside, faces = _project_rows(u[rows], chosen, None if caps is None else chosen.sign_caps(), q_min, q_max)
    normals = u.new_zeros(2, 2, len(u), 1).index_copy_(2, rows, faces)
    return codes.index_copy_(0, rows, inside), normals


SignCaps = tuple[Tensor | int, Tensor | int]


def _project_rows(u: Tensor, budget: Budget, caps: SignCaps | None, q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    """Projection of rows that plain rounding takes out of their budget."""
    if caps is not None:
        shape = (1, len(u), 1)
        cap = torch.cat([c.expand(shape) if isinstance(c, Tensor) else u.new_full(shape, c) for c in caps])
        return _project_signs(u, cap.to(u.dtype), q_min, q_max)
    limits = (limit.expand(len(u), 1).double() for limit in budget)
    return project_coupled(u, (q_max, -q_min), Coupling.of(*limits))


def _project_signs(u: Tensor, cap: Tensor, q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    """Inputs of one sign: each sign of the weights has a cap of its own."""
    found = histogram_codes(u, cap, q_min, q_max) if u.shape[1] >= _LONG else None
    if found is None:
        parts = torch.stack([u, -u]).clamp_(0, LARGEST_RATIO)
        if q_max == -q_min:
            codes = allocate(parts.flatten(0, 1), cap.flatten(0, 1), q_max).view_as(parts)
        else:
            codes = torch.stack([allocate(parts[0], cap[0], q_max), allocate(parts[1], cap[1], -q_min)])
        found = codes[0] - codes[1], codes.sum(2, keepdim=True) >= cap
    normals = u.new_zeros(2, 2, *cap.shape[1:])
    # A cap that is used up binds; that plain rounding just fills it is a matter of measure zero.
    normals.flatten(0, 1)[::3] = found[1]
    return found[0], normals


def _codes(weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor | None]:
    """Final codes of one block of rows, checked, and the normals of the constraints that bind."""
    largest = max(q_max, -q_min)
    dtype = compute_dtype(weight.dtype, weight.shape[1], largest)
    codes, normals = project((weight / safe_scale(scale)).to(dtype), budget, q_min, q_max)
    codes = representable(keep_finite(codes, scale, weight.dtype, largest), weight.dtype, largest)
    return enforce(codes, budget), normals


@torch.library.custom_op(
    "brevitas_a2q::projected_codes",
    mutates_args=(),
    schema="(Tensor weight, Tensor scale, Tensor[] budget, int q_min, int q_max) -> (Tensor, Tensor)",
)
def _codes_op(weight: Tensor, scale: Tensor, budget: list[Tensor], q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    # One opaque step for the compiler: how long the search takes depends on the weights.
    codes, normals = _codes(weight, scale, Budget(*budget), q_min, q_max)
    return codes, codes.new_zeros(2, 2, len(codes), 1) if normals is None else normals


@_codes_op.register_fake
def _(weight: Tensor, scale: Tensor, budget: list[Tensor], q_min: int, q_max: int) -> tuple[Tensor, Tensor]:
    dtype = compute_dtype(weight.dtype, weight.shape[1], max(q_max, -q_min))
    return torch.empty_like(weight, dtype=dtype), weight.new_empty(2, 2, weight.shape[0], 1, dtype=dtype)


def _along_face(grad: Tensor, codes: Tensor, normals: Tensor) -> Tensor:
    """Gradient without its component along the normals of the binding constraints, over active weights."""
    sign = codes.sign()
    signed = grad * sign
    difference, total, balance = (
        signed.sum(1, keepdim=True),
        (signed * sign).sum(1, keepdim=True),
        sign.sum(1, keepdim=True),
    )
    active = (sign * sign).sum(1, keepdim=True)
    plus, minus = normals.unbind(1)
    # S- grows as a negative weight falls, hence the sign of its coefficient.
    size = plus * plus * (active + balance) + minus * minus * (active - balance)
    along = (plus * (total + difference) - minus * (total - difference)) / size.clamp_min_(1e-30)
    up, down = (along * plus).sum(0), (along * minus).sum(0)
    shift = torch.mul(sign, (up - down) / 2, out=signed).add_((up + down) / 2).mul_(sign)
    return grad - shift


class _Projection(torch.autograd.Function):
    """Forward and backward in one node; see the module for what the gradient is."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> Tensor:
        largest, saved, out = max(q_max, -q_min), [], None
        for block in row_blocks(weight):
            part, step, limits = rows_of(weight, block), rows_of(scale, block), budget.rows(block)
            if torch.compiler.is_compiling():
                codes, normals = _codes_op(part, step, list(limits), q_min, q_max)
            else:
                codes, normals = _codes(part, step, limits, q_min, q_max)
            out = join(out, weight, block, dequantize(codes, step, weight.dtype, largest))
            saved += [packed(codes, largest), normals]
        ctx.save_for_backward(weight, scale, *saved)
        ctx.largest = largest
        return torch.empty_like(weight) if out is None else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale, *saved = ctx.saved_tensors
        grad_weight, steps = None, []
        dtype = compute_dtype(weight.dtype, weight.shape[1], ctx.largest)
        for block, codes, normals in zip(row_blocks(weight), saved[::2], saved[1::2], strict=True):
            codes, outer = codes.to(dtype), rows_of(grad, block).to(dtype)
            inner = outer if normals is None else _along_face(outer, codes, normals)
            ratio = rows_of(weight, block).to(dtype) / safe_scale(rows_of(scale, block))
            steps.append((outer * codes).sub_(inner * ratio).sum(1, keepdim=True))
            grad_weight = join(grad_weight, weight, block, inner.to(weight.dtype))
        return grad_weight, stacked(steps).sum_to_size(scale.shape).to(scale.dtype), None, None, None


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
