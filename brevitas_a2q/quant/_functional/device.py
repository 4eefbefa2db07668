"""The methods on an accelerator, as tensor operations whose number does not depend on the weights.

Nothing here reads a value back, which would make the processor wait for the accelerator, so all repairs are computed
whether they are needed or not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.budget import Budget, sign_sums
from brevitas_a2q.quant._functional.coupled import couple
from brevitas_a2q.quant._functional.numeric import compute_dtype, dequantize, keep_finite, safe_scale

__all__ = ["normalize", "normalize_gradients", "project", "project_gradients"]

_LARGEST_RATIO = 2.0**20  # of |w/s|; above any code, and below where thresholds lose their resolution
_STEPS = 26  # of the search for a threshold: to the resolution of float32
_TINY, _LARGEST = 1e-30, 1e30


def _fill(sizes: Tensor, cap: Tensor, limit: Tensor) -> Tensor:
    """The best integers whose sums are within caps; of units that gain the same, the first.

    Args:
        sizes: # shape: (2, C, K)
        cap: float64.  # shape: (2, C, 1)
        limit: Largest codes.  # shape: (2, 1, 1)
    """
    # The n-th unit of an element of size m gains m - n + 1/2.
    shifted, none = sizes + 0.5, torch.zeros_like(limit)

    def units(gain: Tensor) -> Tensor:
        return (shifted - gain).clamp_(none, limit).floor_()

    low, high = torch.zeros_like(sizes[..., :1]), sizes.amax(-1, keepdim=True) + 1
    for _ in range(_STEPS):
        gain = torch.lerp(low, high, 0.5)
        fits = units(gain).sum(-1, keepdim=True, dtype=torch.float64) <= cap
        low, high = torch.where(fits, low, gain), torch.where(fits, gain, high)
    codes = units(high)
    more = units(low) - codes
    spare = cap - codes.sum(-1, keepdim=True, dtype=torch.float64)
    return codes + more * (more.cumsum(-1, dtype=torch.float64) <= spare)


def _trim(codes: Tensor, cap: Tensor) -> Tensor:
    # The first cap units of each row of int64 codes that are not negative.
    kept = codes.cumsum(1).minimum(cap)
    return torch.cat([kept[:, :1], kept.diff(dim=1)], 1)


def enforce(codes: Tensor, budget: Budget) -> Tensor:
    """Integer codes that hold the budget: those that do already, with the rows that do not trimmed.

    Args:
        codes: Integer values of any type.  # shape: (C, K)
        budget: Budget of the channels.

    Returns:
        int16; all zero where the bias alone overflows.
    """
    positive, negative = sign_sums(codes)
    fits = budget.holds(positive, negative)
    up, down, upper, lower = budget.x_hi, -budget.x_lo, budget.upper, budget.lower

    def affordable(limit: Tensor, size: Tensor, wanted: Tensor) -> Tensor:
        return torch.where(size > 0, torch.minimum(wanted, limit.clamp_min(0) // size.clamp_min(1)), wanted)

    negative = affordable(lower, up, affordable(upper, down, negative))
    positive = affordable(upper - negative * down, up, positive)
    positive = affordable(lower - negative * up, down, positive)
    positive, negative = (total * ((upper >= 0) & (lower >= 0)) for total in (positive, negative))
    exact = codes.to(torch.int64)
    trimmed = _trim(exact.clamp_min(0), positive) - _trim(exact.neg().clamp_min(0), negative)
    return torch.where(fits, exact, trimmed).to(torch.int16)


def project(weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant._functional.host.project`."""
    u = (weight / safe_scale(scale)).to(compute_dtype(weight.dtype))
    rounded = u.nan_to_num(0.0).round().clamp_(q_min, q_max)
    over = ~budget.holds(*sign_sums(rounded))
    sizes = torch.stack([u, -u]).nan_to_num(0.0).clamp_(0, _LARGEST_RATIO)
    limit = u.new_full((2, 1, 1), q_max)
    limit[1].fill_(-q_min)  # a tensor made of both would be copied there, and waited for
    caps = budget.sign_caps()
    if caps is None:
        best, normals = couple(sizes, limit, budget)
        normals = torch.where(over, normals, 0.0)
    else:
        cap = torch.stack([c.expand(len(u), 1).double() for c in caps])
        codes = _fill(sizes, cap, limit)
        full = (codes.sum(-1, keepdim=True, dtype=torch.float64) >= cap) & over
        none = torch.zeros_like(full[0])
        best, normals = codes[0] - codes[1], torch.cat([full[0], none, none, full[1]], 1)
    final = enforce(torch.where(over, best.to(rounded.dtype), rounded), budget)
    out, final = dequantize(keep_finite(final, scale, weight.dtype), scale, weight.dtype, max(q_max, -q_min))
    return torch.where(weight.isnan(), weight, out), final, normals.to(u.dtype)


def project_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant._functional.host.project_gradients`."""
    dtype = compute_dtype(weight.dtype)
    outer, sign = grad.to(dtype), codes.sign()
    inner = outer
    for n in (0, 2):
        plus, minus = normals[:, n : n + 1], normals[:, n + 1 : n + 2]
        # S- grows as a negative weight falls, hence the sign of its coefficient.
        normal = torch.where(sign > 0, plus, torch.where(sign < 0, -minus, 0))
        size = normal.square().sum(1, keepdim=True).clamp_min_(_TINY)
        inner = inner - normal * ((outer * normal).sum(1, keepdim=True) / size)
    ratio = weight.to(dtype) / safe_scale(scale)
    return inner.to(weight.dtype), (outer * codes - inner * ratio).sum(1)


def normalize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant._functional.host.normalize`."""
    dtype = compute_dtype(weight.dtype)
    largest = weight.detach().abs().amax(1, keepdim=True).to(dtype)
    v = weight.to(dtype) / torch.where(largest > 0, largest, 1)
    if centred:
        v = v - v.mean(1, keepdim=True)
    l1 = v.abs().sum(1, keepdim=True)
    # What is left of a constant row is rounding residue of its mean, not weights.
    empty = l1 <= (4 * torch.finfo(weight.dtype).eps * v.shape[1] if centred else 0.0)
    cap = budget.norm_cap(centred).to(dtype)
    learned = torch.exp2(norm.to(dtype)) / safe_scale(scale).to(dtype)
    ratio = torch.where(empty, 0, torch.minimum(learned, cap)).clamp_max(_LARGEST)
    inverse = torch.where(empty, 0, 1 / l1)
    codes = enforce(keep_finite((v * (ratio * inverse)).trunc_().clamp_(q_min, q_max), scale, weight.dtype), budget)
    out, codes = dequantize(codes, scale, weight.dtype, max(q_max, -q_min))
    inverse = torch.where(largest > 0, inverse / largest, 0).clamp_max(_LARGEST)
    return out, codes, torch.cat([inverse, ratio, ratio * (learned <= cap)], 1)


def normalize_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant._functional.host.normalize_gradients`."""
    inverse, ratio, free = columns.split(1, dim=1)
    dtype = columns.dtype
    grad, scale = grad.to(dtype), scale.to(dtype)
    direction = weight.to(dtype) * inverse
    if centred:
        direction = direction - direction.mean(1, keepdim=True)
    along = (grad * direction).sum(1, keepdim=True)
    gain = ((scale * inverse).clamp_max(_LARGEST) * ratio).clamp_max(_LARGEST)  # g / ||v||_1
    for_weight = grad - along * direction.sign()
    if centred:
        for_weight = for_weight - for_weight.mean(1, keepdim=True)
    shared = along * free
    for_scale = (grad * codes).sum(1, keepdim=True) - shared
    for_norm = shared * scale * math.log(2)
    return (for_weight * gain).to(weight.dtype), for_scale.squeeze(1), for_norm.squeeze(1)
