"""Quantization of activations as tensor operations, for devices without a kernel of their own and scales of any shape.

Sixteen-bit types are computed as PyTorch computes them, one rounding after each operation.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from brevitas_a2q.quant._kernels.activation import CEIL, DPU, FLOOR, ROUND, TO_ZERO

__all__ = ["code_limits", "composed", "gradients", "quantize"]

_RESOLUTION = {torch.bfloat16: 8, torch.float16: 11}  # bits of the significand


def code_limits(bit_width: Tensor, signed: bool, narrow: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Lowest and highest code, towards zero where ``dtype`` does not hold them; float64.  # shape: ()"""
    bits = bit_width.double()
    top = torch.exp2(bits - 1 if signed else bits)
    q_min = -top + int(narrow) if signed else torch.zeros_like(top)
    q_max = top - 1 - int(narrow and not signed)
    kept = _RESOLUTION.get(dtype)
    if kept is not None:
        q_min, q_max = (_cut(limit, kept) for limit in (q_min, q_max))
    return q_min, q_max


def _cut(value: Tensor, kept: int) -> Tensor:
    step = torch.exp2((torch.floor(torch.log2(value.abs().clamp_min(1))) + 1 - kept).clamp_min(0))
    return torch.trunc(value / step) * step


def _rounded(u: Tensor, rounding: int) -> Tensor:
    if rounding == DPU:
        return torch.where((u < 0) & (u - torch.floor(u) == 0.5), torch.ceil(u), torch.round(u))
    by = {ROUND: torch.round, FLOOR: torch.floor, CEIL: torch.ceil, TO_ZERO: torch.trunc}[rounding]
    return by(u)


class _Straight(torch.autograd.Function):
    """Rounding whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, rounding: int) -> Tensor:
        return _rounded(u, rounding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def composed(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    bit_width: Tensor,
    signed: bool,
    narrow: bool,
    rounding: int,
    low: float,
    high: float,
) -> Tensor:
    """The same with gradients of its own, for compilers that make one kernel of operations they can see."""
    q_min, q_max = (limit.to(x.dtype) for limit in code_limits(bit_width, signed, narrow, x.dtype))
    codes: Tensor = _Straight.apply(x.clamp(low, high) / scale + zero_point, rounding)
    codes = torch.where(codes > q_max, q_max, codes)
    codes = torch.where(codes < q_min, q_min, codes)
    return ((codes - zero_point) * scale).to(x.dtype)


def quantize(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    bit_width: Tensor,
    signed: bool,
    narrow: bool,
    rounding: int,
    low: float,
    high: float,
) -> Tensor:
    """See :func:`brevitas_a2q.quant._functional.activation.quantize_activation`."""
    q_min, q_max = code_limits(bit_width, signed, narrow, x.dtype)
    u = x.clamp(low, high) / scale + zero_point
    codes = torch.minimum(torch.maximum(_rounded(u, rounding), q_min.to(u.dtype)), q_max.to(u.dtype))
    return torch.empty_like(x).copy_((codes - zero_point) * scale)


def gradients(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    bit_width: Tensor,
    signed: bool,
    narrow: bool,
    rounding: int,
    low: float,
    high: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x``, of the scale, of the zero-point and of the bit width."""
    q_min, q_max = (limit.to(x.dtype) for limit in code_limits(bit_width, signed, narrow, x.dtype))
    ratio = x.clamp(low, high) / scale
    codes = _rounded(ratio + zero_point, rounding)
    over, under = codes > q_max, codes < q_min
    within = ~(over | under)
    clipped = torch.minimum(torch.maximum(codes, q_min), q_max)
    wide = torch.promote_types(x.dtype, torch.float32)
    along = grad.to(wide) * ((clipped - zero_point).to(wide) - torch.where(within, ratio, 0).to(wide))
    for_x = torch.where(within & ~(x <= low) & ~(x >= high), grad, 0)
    stepped = grad.to(wide) * scale.to(wide)
    for_zero = torch.where(within, 0, -stepped)
    power = torch.exp2(bit_width.to(wide) - int(signed)) * math.log(2)
    for_bits = (torch.where(over, stepped, 0).sum() - int(signed) * torch.where(under, stepped, 0).sum()) * power
    return (
        torch.empty_like(x).copy_(for_x),
        _reduced(along, scale),
        _reduced(for_zero, zero_point),
        for_bits.to(bit_width.dtype).reshape(bit_width.shape),
    )


def _reduced(values: Tensor, like: Tensor) -> Tensor:
    return values.sum_to_size(like.shape).to(like.dtype)
