"""The methods by kernels over rows of weights, on a processor or a GPU: tensors as such kernels want them.

The same four functions as :mod:`~brevitas_a2q.quant._functional.device` has as tensor operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.numeric import compute_dtype, dequantize, keep_finite, largest_product, safe_scale

__all__ = ["Rowwise"]

Limits = TypeVar("Limits")  # a budget, as kernels take it


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
        return weight.detach(), taps
    return weight.detach().to(dtype).contiguous(), 1


def _lying_like(tensor: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor with its rows in the order in which those of another lie, in its type or the one given."""
    dtype = like.dtype if dtype is None else dtype
    if tensor.dtype != dtype or tensor.stride() != like.stride():
        return torch.empty_like(like, dtype=dtype).copy_(tensor.view(like.shape))
    return tensor.detach()


def _column(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to(dtype).contiguous().view(-1)


@dataclass(frozen=True)
class Rowwise(Generic[Limits]):
    """The methods, with kernels that fill their last arguments; their own documentation is in ``quant._kernels``."""

    project_rows: Callable[..., None]
    projection_gradients: Callable[..., None]
    normalize_rows: Callable[..., None]
    normalization_gradients: Callable[..., None]

    def project(
        self, weight: Tensor, scale: Tensor, budget: Limits, q_min: int, q_max: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Nearest integers within code limits and budget.

        Returns:
            ``q * s``, shape, layout and dtype of ``weight``; ``q``, int16, of the same shape and layout; and for each
            row the normals of up to two constraints that bind, ``(C, 4)``: coefficients of ``S+`` and ``S-``, zero
            where nothing binds.
        """
        dtype = compute_dtype(weight.dtype)
        direct = weight.dtype == scale.dtype == dtype
        # Types of 16 bits divide as they are, so that where nothing binds they round as in other quantizers.
        values = weight if direct else (weight.flatten(1) / safe_scale(scale.reshape(-1, 1))).view(weight.shape)
        values, taps = _lying(values, dtype)
        s = _column(scale if direct else scale.new_ones(1), dtype)
        out, codes = torch.empty_like(values), torch.empty_like(values, dtype=torch.int16)
        normals = values.new_empty(len(values), 4)
        self.project_rows(values, s, budget, q_min, q_max, largest_product(dtype), taps, codes, out, normals)
        if direct:
            return out, codes, normals
        column = scale.reshape(-1, *[1] * (weight.dim() - 1))
        codes = keep_finite(codes, column, weight.dtype)
        out, codes = dequantize(codes, column, weight.dtype, max(q_max, -q_min))
        return out, codes, normals

    def project_gradients(
        self, grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of :meth:`project` with respect to weight and each row's scale; the latter ``(C,)``."""
        dtype = compute_dtype(weight.dtype)
        values, _ = _lying(weight, dtype)
        grad, codes = _lying_like(grad, values), _lying_like(codes, values, torch.int16)
        for_weight, for_scale = torch.empty_like(values), values.new_empty(len(values))
        self.projection_gradients(values, grad, _column(scale, dtype), codes, normals, for_weight, for_scale)
        return for_weight.to(weight.dtype), for_scale

    def normalize(
        self, weight: Tensor, scale: Tensor, norm: Tensor, budget: Limits, q_min: int, q_max: int, centred: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A2Q, or A2Q+ where ``centred``.

        Returns:
            ``q * s``, shape, layout and dtype of ``weight``; ``q``, int16, of the same shape and layout; and
            ``1 / ||v||_1``, ``g / s``, and the same where ``g`` is learned, 0 where the cap holds, ``(C, 3)``.
        """
        dtype = compute_dtype(weight.dtype)
        values, taps = _lying(weight, dtype)
        out, codes = torch.empty_like(values), torch.empty_like(values, dtype=torch.int16)
        columns, eps = values.new_empty(len(values), 3), torch.finfo(weight.dtype).eps
        how = q_min, q_max, centred, eps, largest_product(weight.dtype), taps
        per_row = _column(scale, dtype), _column(norm, dtype)
        self.normalize_rows(values, *per_row, budget, *how, codes, out, columns)
        if weight.dtype != dtype:
            column = scale.reshape(-1, *[1] * (weight.dim() - 1))
            out, codes = dequantize(codes, column, weight.dtype, max(q_max, -q_min))
        return out, codes, columns

    def normalize_gradients(
        self, grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of :meth:`normalize` with respect to weight, each row's scale and its log-norm, both ``(C,)``."""
        dtype = compute_dtype(weight.dtype)
        values, _ = _lying(weight, dtype)
        grad, codes = _lying_like(grad, values), _lying_like(codes, values, torch.int16)
        for_weight, for_scale = torch.empty_like(values), values.new_empty(len(values))
        for_norm, s = torch.empty_like(for_scale), _column(scale, dtype)
        self.normalization_gradients(values, grad, s, codes, columns, centred, for_weight, for_scale, for_norm)
        return for_weight.to(weight.dtype), for_scale, for_norm
