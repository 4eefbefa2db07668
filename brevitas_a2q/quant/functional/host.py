"""The methods on a processor: tensors handed to the compiled kernels of ``quant.kernels``.

The same four functions as :mod:`~brevitas_a2q.quant.functional.device` has for accelerators.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
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

_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
_WORTH_A_THREAD = 1 << 17  # weights


def _array(tensor: Tensor, dtype: torch.dtype) -> Any:
    """The tensor's own memory where type and order allow.

    ``Tensor.numpy`` would do, but makes the storage one that cannot be resized, which is how sharded training (FSDP)
    frees it.
    """
    if tensor.dtype != dtype or not tensor.is_contiguous():
        return tensor.detach().to(dtype).contiguous().numpy()
    size = tensor.numel()
    if not size:
        return np.empty(tensor.shape, _NUMPY[dtype])
    memory: Any = (ctypes.c_byte * (size * tensor.element_size())).from_address(tensor.data_ptr())
    memory.owner = tensor  # lives as long as the array
    return np.frombuffer(memory, _NUMPY[dtype]).reshape(tensor.shape)


def _rows(tensor: Tensor, dtype: torch.dtype) -> Any:
    return _array(tensor, dtype).reshape(tensor.shape[0], math.prod(tensor.shape[1:]))


def _column(tensor: Tensor, dtype: torch.dtype) -> Any:
    return _array(tensor, dtype).reshape(-1)


def _run(kernel: Callable[..., None], w: Any, *others: Any) -> None:
    """Run a kernel over the rows of ``w``: many at a time, where there are many weights and torch may use threads."""
    threads = min(torch.get_num_threads(), w.size // _WORTH_A_THREAD)
    if threads < 2:
        kernel(w, *others)
        return

    def part(value: Any, block: slice) -> Any:
        return value[block] if isinstance(value, np.ndarray) and len(value) == len(w) else value

    blocks = [slice(*ends) for ends in pairwise(len(w) * n // threads for n in range(threads + 1))]
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(kernel, *(part(value, block) for value in (w, *others))) for block in blocks]
    for job in jobs:
        job.result()


def project(weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest integers within code limits and budget.

    Returns:
        ``q * s``, shape and dtype of ``weight``; ``q``, int16, ``(C, K)``; and for each row the normals of up to two
        constraints that bind, ``(C, 4)``: coefficients of ``S+`` and ``S-``, zero where nothing binds.
    """
    dtype = compute_dtype(weight.dtype)
    direct = weight.dtype == scale.dtype == dtype
    # Types of 16 bits divide as they are, so that where nothing binds they round as in other quantizers.
    rows = weight if direct else weight.flatten(1) / safe_scale(scale.reshape(-1, 1))
    w, s = _rows(rows, dtype), _column(scale if direct else torch.ones(1), dtype)
    codes, out, normals = np.empty(w.shape, np.int16), np.empty_like(w), np.empty((len(w), 4), w.dtype)
    limits = budget.arrays
    _run(project_rows, w, s, *limits, q_min, q_max, largest_product(dtype), codes, out, normals)
    result, integers = torch.from_numpy(out), torch.from_numpy(codes)
    if not direct:
        column = scale.reshape(-1, 1)
        integers = keep_finite(integers, column, weight.dtype)
        result, integers = dequantize(integers, column, weight.dtype, max(q_max, -q_min))
    return result.view(weight.shape), integers, torch.from_numpy(normals)


def project_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`project` with respect to weight and each row's scale; the latter ``(C,)``."""
    dtype = compute_dtype(weight.dtype)
    w = _rows(weight, dtype)
    for_weight, for_scale = np.empty_like(w), np.empty(len(w), w.dtype)
    _run(
        projection_gradients,
        w,
        _rows(grad, dtype),
        _column(scale, dtype),
        codes.numpy(),
        normals.numpy(),
        for_weight,
        for_scale,
    )
    return torch.from_numpy(for_weight).view(weight.shape).to(weight.dtype), torch.from_numpy(for_scale)


def normalize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A2Q, or A2Q+ where ``centred``.

    Returns:
        ``q * s``, shape and dtype of ``weight``; ``q``, int16, ``(C, K)``; and ``1 / ||v||_1``, ``g / s``, and the same
        where ``g`` is learned, 0 where the cap holds, ``(C, 3)``.
    """
    dtype = compute_dtype(weight.dtype)
    w = _rows(weight, dtype)
    codes, out, columns = np.empty(w.shape, np.int16), np.empty_like(w), np.empty((len(w), 3), w.dtype)
    _run(
        normalize_rows,
        w,
        _column(scale, dtype),
        _column(norm, dtype),
        *budget.arrays,
        q_min,
        q_max,
        centred,
        torch.finfo(weight.dtype).eps,
        largest_product(weight.dtype),
        codes,
        out,
        columns,
    )
    result, integers = torch.from_numpy(out), torch.from_numpy(codes)
    if weight.dtype != dtype:
        result, integers = dequantize(integers, scale.reshape(-1, 1), weight.dtype, max(q_max, -q_min))
    return result.view(weight.shape), integers, torch.from_numpy(columns)


def normalize_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`normalize` with respect to weight, each row's scale and its log-norm, both ``(C,)``."""
    dtype = compute_dtype(weight.dtype)
    w = _rows(weight, dtype)
    for_weight, for_scale, for_norm = np.empty_like(w), np.empty(len(w), w.dtype), np.empty(len(w), w.dtype)
    _run(
        normalization_gradients,
        w,
        _rows(grad, dtype),
        _column(scale, dtype),
        codes.numpy(),
        columns.numpy(),
        centred,
        for_weight,
        for_scale,
        for_norm,
    )
    weights = torch.from_numpy(for_weight).view(weight.shape).to(weight.dtype)
    return weights, torch.from_numpy(for_scale), torch.from_numpy(for_norm)
