"""The methods on a processor: tensors handed to the compiled kernels of ``quant.kernels``.

The same four functions as :mod:`~brevitas_a2q.quant._functional.device` has for accelerators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q.quant._functional.budget import Budget
from brevitas_a2q.quant._functional.memory import line
from brevitas_a2q.quant._functional.numeric import (
    compute_dtype,
    dequantize,
    keep_finite,
    largest_product,
    safe_scale,
)
from brevitas_a2q.quant._kernels.normalization import normalization_gradients, normalize_rows
from brevitas_a2q.quant._kernels.projection import project_rows, projection_gradients
from brevitas_a2q.quant._kernels.threads import in_parts, parts_of

__all__ = ["normalize", "normalize_gradients", "project", "project_gradients"]


def _column(tensor: Tensor, dtype: torch.dtype) -> Any:
    return line(tensor.detach().to(dtype).contiguous())


def _taps(weight: Tensor) -> int | None:
    """How rows lie in memory: 1 for contiguous ones, the number of taps where these are outermost, None otherwise."""
    if weight.is_contiguous():
        return 1
    inputs, size = weight.shape[1], weight.shape.numel() // len(weight)
    dense = weight.stride()[:2] == (size, 1) and weight.movedim(1, -1).is_contiguous()
    return size // inputs if dense else None


def _lying(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, int]:
    """The tensor, copied unless it is of this type and its rows lie together; and their taps."""
    taps = _taps(weight)
    if weight.dtype == dtype and taps is not None:
        return weight, taps
    return weight.detach().to(dtype).contiguous(), 1


def _rows(tensor: Tensor) -> Any:
    """Rows of a tensor as they lie in memory; of its own type."""
    return line(tensor).reshape(tensor.shape[0], math.prod(tensor.shape[1:]))


def _rows_like(tensor: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Any:
    """Rows of a tensor in the order in which those of another lie, in its type or the one given."""
    dtype = like.dtype if dtype is None else dtype
    if tensor.dtype != dtype or tensor.stride() != like.stride():
        tensor = torch.empty_like(like, dtype=dtype).copy_(tensor.view(like.shape))
    return _rows(tensor)


def _run(kernel: Callable[..., None], w: Any, *others: Any) -> None:
    """Run a kernel over the rows of ``w``, many at a time."""

    def part(value: Any, first: int, last: int) -> Any:
        return value[first:last] if isinstance(value, np.ndarray) and len(value) == len(w) else value

    arguments = (w, *others)
    in_parts(kernel, [tuple(part(value, *ends) for value in arguments) for ends in parts_of(len(w), w.size)])


def project(weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest integers within code limits and budget.

    Returns:
        ``q * s``, shape, layout and dtype of ``weight``; ``q``, int16, of the same shape and layout; and for each row
        the normals of up to two constraints that bind, ``(C, 4)``: coefficients of ``S+`` and ``S-``, zero where
        nothing binds.
    """
    dtype = compute_dtype(weight.dtype)
    direct = weight.dtype == scale.dtype == dtype
    # Types of 16 bits divide as they are, so that where nothing binds they round as in other quantizers.
    values = weight if direct else (weight.flatten(1) / safe_scale(scale.reshape(-1, 1))).view(weight.shape)
    values, taps = _lying(values, dtype)
    s = _column(scale if direct else torch.ones(1), dtype)
    out, codes = torch.empty_like(values), torch.empty_like(values, dtype=torch.int16)
    normals = values.new_empty(len(values), 4)
    limits = *budget.arrays, q_min, q_max, largest_product(dtype), taps
    _run(project_rows, _rows(values), s, *limits, _rows(codes), _rows(out), _rows(normals))
    if direct:
        return out, codes, normals
    column = scale.reshape(-1, *[1] * (weight.dim() - 1))
    codes = keep_finite(codes, column, weight.dtype)
    out, codes = dequantize(codes, column, weight.dtype, max(q_max, -q_min))
    return out, codes, normals


def project_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`project` with respect to weight and each row's scale; the latter ``(C,)``."""
    dtype = compute_dtype(weight.dtype)
    values, _ = _lying(weight, dtype)
    for_weight, for_scale = torch.empty_like(values), values.new_empty(len(values))
    _run(
        projection_gradients,
        _rows(values),
        _rows_like(grad, values),
        _column(scale, dtype),
        _rows_like(codes, values, torch.int16),
        _rows(normals),
        _rows(for_weight),
        line(for_scale),
    )
    return for_weight.to(weight.dtype), for_scale


def normalize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A2Q, or A2Q+ where ``centred``.

    Returns:
        ``q * s``, shape, layout and dtype of ``weight``; ``q``, int16, of the same shape and layout; and
        ``1 / ||v||_1``, ``g / s``, and the same where ``g`` is learned, 0 where the cap holds, ``(C, 3)``.
    """
    dtype = compute_dtype(weight.dtype)
    values, taps = _lying(weight, dtype)
    out, codes = torch.empty_like(values), torch.empty_like(values, dtype=torch.int16)
    columns = values.new_empty(len(values), 3)
    _run(
        normalize_rows,
        _rows(values),
        _column(scale, dtype),
        _column(norm, dtype),
        *budget.arrays,
        q_min,
        q_max,
        centred,
        torch.finfo(weight.dtype).eps,
        largest_product(weight.dtype),
        taps,
        _rows(codes),
        _rows(out),
        _rows(columns),
    )
    if weight.dtype != dtype:
        column = scale.reshape(-1, *[1] * (weight.dim() - 1))
        out, codes = dequantize(codes, column, weight.dtype, max(q_max, -q_min))
    return out, codes, columns


def normalize_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`normalize` with respect to weight, each row's scale and its log-norm, both ``(C,)``."""
    dtype = compute_dtype(weight.dtype)
    values, _ = _lying(weight, dtype)
    for_weight, for_scale, for_norm = (
        torch.empty_like(values),
        values.new_empty(len(values)),
        values.new_empty(len(values)),
    )
    _run(
        normalization_gradients,
        _rows(values),
        _rows_like(grad, values),
        _column(scale, dtype),
        _rows_like(codes, values, torch.int16),
        _rows(columns),
        centred,
        _rows(for_weight),
        line(for_scale),
        line(for_norm),
    )
    return for_weight.to(weight.dtype), for_scale, for_norm
