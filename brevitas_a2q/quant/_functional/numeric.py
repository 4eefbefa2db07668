"""Floating-point care shared by the methods: which type to compute in, and codes that survive the output's type.

A layer hands out ``q * s`` in the dtype of its weight; whoever needs the integers divides by ``s`` and rounds. The
codes this package promises are those somebody recovers this way. With a significand of ``p`` bits the product is off by
at most a share ``2^-p``, so integers up to ``1/eps = 2^(p-1)`` come back exactly. Larger ones (16-bit weights in
bfloat16, for example) are first cut to ``p`` bits and the product is rounded towards zero: then recovered codes are
never larger than the checked ones, and a budget that held keeps holding.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

__all__ = [
    "compute_dtype",
    "dequantize",
    "keep_finite",
    "largest_product",
    "recover_codes",
    "safe_scale",
    "summed_like",
]


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64 weights, float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def safe_scale(scale: Tensor) -> Tensor:
    """``scale``, kept above zero so that dividing by it gives no NaN."""
    info = torch.finfo(scale.dtype)
    return scale.clamp_min(info.tiny * info.eps)


@lru_cache
def largest_product(dtype: torch.dtype) -> float:
    """What ``q * s`` may not exceed so as to be finite in ``dtype``."""
    info = torch.finfo(dtype)
    return info.max * (1 - info.eps)


def keep_finite(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Codes whose ``q * s`` is finite in ``dtype``, none of them larger than before."""
    reach = (largest_product(dtype) / scale.double()).clamp_max(32767.0).floor().to(codes.dtype)
    return torch.minimum(torch.maximum(codes, -reach), reach)


def _towards_zero(value: Tensor, dtype: torch.dtype) -> Tensor:
    # In sign-magnitude floats the next number towards zero has the next smaller bit pattern, whatever the sign.
    cast = value.to(dtype)
    overshoot = cast.to(value.dtype).abs() > value.abs()
    return (cast.view(torch.int16) - overshoot.to(torch.int16)).view(dtype)


def dequantize(codes: Tensor, scale: Tensor, dtype: torch.dtype, largest_code: int) -> tuple[Tensor, Tensor]:
    """``q * s`` in ``dtype``, from which :func:`recover_codes` returns codes no larger than ``q``.

    Args:
        codes: Integers, int16.
        scale: Of any type.
        dtype: Type of the result.
        largest_code: Largest magnitude that a code may have.

    Returns:
        The product; and the codes, cut towards zero to integers that ``dtype`` holds.
    """
    if largest_code * torch.finfo(dtype).eps <= 1:
        return (codes * scale.to(compute_dtype(dtype))).to(dtype), codes
    codes = _towards_zero(codes.float(), dtype).to(torch.int16)
    return _towards_zero(codes * scale.double(), dtype), codes


def recover_codes(weight: Tensor, scale: Tensor) -> Tensor:
    """Integer codes of a dequantized weight, as a certificate recovers them: ``round(w / s)`` in float64; int64."""
    return (weight.double() / scale.double()).nan_to_num(nan=0.0).round().to(torch.int64)


def summed_like(rows: Tensor, like: Tensor) -> Tensor:
    """Gradients of every row as the gradient of ``like``, which holds a value for each row or one for all."""
    return (rows.sum() if like.numel() == 1 else rows).reshape(like.shape).to(like.dtype)
