"""The methods on a processor: tensors handed to the compiled kernels of ``quant.kernels``.

The same four functions as :mod:`~brevitas_a2q.quant.functional.device` has for accelerators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brevitas_a2q.quant.functional.budget import Budget
from brevitas_a2q.quant.functional.numeric import (
    compute_dtype,
    dequantize,
    keep_finite,
    largest_product,
    safe_scale,
)
from brevitas_a2q.quant.kernels.normalization import normalization_gradients, normalize_rows
from brevitas_a2q.quant.kernels.projection import project_rows, projection_gradients

__all__ = ["normalize", "normalize_gradients", "project", "project_gradients"]


def _array(tensor: Tensor, dtype: torch.dtype) -> Any:
    return tensor.detach().to(dtype).contiguous().numpy()


def _column(tensor: Tensor, dtype: torch.dtype) -> Any:
    return _array(tensor, dtype).reshape(-1)


def _limits(budget: Budget) -> tuple[Any, Any, Any, Any]:
    x_lo, x_hi, upper, lower = (_column(limit, torch.int64) for limit in budget)
    return x_lo, x_hi, upper, lower


def project(weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest integers within code limits and budget.

    Returns:
        ``q * s`` in the dtype of ``weight`` and ``q``, int16, both ``(C, K)``; and for each row the normals of up to
        two constraints that bind, ``(C, 4)``: coefficients of ``S+`` and ``S-``, zero where nothing binds.
    """
    dtype = compute_dtype(weight.dtype)
    direct = weight.dtype == scale.dtype == dtype
    # Types of 16 bits divide as they are, so that where nothing binds they round as in other quantizers.
    rows, step = (weight, scale) if direct else (weight / safe_scale(scale), torch.ones(1))
    codes, normals = torch.empty(weight.shape, dtype=torch.int16), torch.empty(len(weight), 4, dtype=dtype)
    out = torch.empty(weight.shape, dtype=dtype)
    project_rows(
        _array(rows, dtype),
        _column(step, dtype),
        *_limits(budget),
        q_min,
        q_max,
        largest_product(dtype),
        codes.numpy(),
        out.numpy(),
        normals.numpy(),
    )
    if not direct:
        codes = keep_finite(codes, scale, weight.dtype)
        out, codes = dequantize(codes, scale, weight.dtype, max(q_max, -q_min))
    return out, codes, normals


def project_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`project` with respect to weight and each row's scale, ``(C, K)`` and ``(C, 1)``."""
    dtype = compute_dtype(weight.dtype)
    for_weight, for_scale = torch.empty(weight.shape, dtype=dtype), torch.empty(len(weight), 1, dtype=torch.float64)
    projection_gradients(
        _array(grad, dtype),
        _array(weight, dtype),
        _column(safe_scale(scale), dtype),
        codes.numpy(),
        normals.numpy(),
        for_weight.numpy(),
        for_scale.view(-1).numpy(),
    )
    return for_weight.to(weight.dtype), for_scale


def normalize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A2Q, or A2Q+ where ``centred``.

    Returns:
        ``q * s`` in the dtype of ``weight`` and ``q``, int16, both ``(C, K)``; and ``1 / ||v||_1``, ``g / s``, and the
        same where ``g`` is learned, 0 where the cap holds, ``(C, 3)``.
    """
    dtype = compute_dtype(weight.dtype)
    codes, out = torch.empty(weight.shape, dtype=torch.int16), torch.empty(weight.shape, dtype=dtype)
    columns = torch.empty(len(weight), 3, dtype=dtype)
    normalize_rows(
        _array(weight, dtype),
        _column(safe_scale(scale), dtype),
        _column(norm, dtype),
        *_limits(budget),
        q_min,
        q_max,
        centred,
        torch.finfo(weight.dtype).eps,
        largest_product(weight.dtype),
        codes.numpy(),
        out.numpy(),
        columns.numpy(),
    )
    if weight.dtype != dtype:
        out, codes = dequantize(codes, scale, weight.dtype, max(q_max, -q_min))
    return out, codes, columns


def normalize_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`normalize` with respect to weight, each row's scale and its log-norm; the last two (C, 1)."""
    dtype = compute_dtype(weight.dtype)
    for_weight = torch.empty(weight.shape, dtype=dtype)
    for_scale, for_norm = (torch.empty(len(weight), 1, dtype=torch.float64) for _ in range(2))
    normalization_gradients(
        _array(grad, dtype),
        _array(weight, dtype),
        _column(safe_scale(scale), dtype),
        codes.numpy(),
        columns.numpy(),
        centred,
        for_weight.numpy(),
        for_scale.view(-1).numpy(),
        for_norm.view(-1).numpy(),
    )
    return for_weight.to(weight.dtype), for_scale, for_norm
