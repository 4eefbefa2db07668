"""The methods on a GPU: rows handed to the Triton kernels of ``quant._triton``, a program for each."""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.rowwise import Rowwise
from brevitas_a2q.quant._triton.launch import launch, row_blocks
from brevitas_a2q.quant._triton.normalization import normalization_gradient, normalize_row
from brevitas_a2q.quant._triton.projection import project_row, projection_gradient

__all__ = ["normalize", "normalize_gradients", "project", "project_gradients"]

_UNITS = 128  # that are compared around a threshold, where the signs of weights share a budget


def _length(w: Tensor) -> int:
    return w.shape.numel() // max(1, len(w))


def _step(values: Tensor) -> int:
    # From one row's value to the next; 0 where all share one.
    return int(values.shape[-1] > 1)


def _project_rows(
    w: Tensor,
    s: Tensor,
    budget: Tensor,
    q_min: int,
    q_max: int,
    largest: float,
    taps: int,
    codes: Tensor,
    out: Tensor,
    normals: Tensor,
) -> None:
    length, budget = _length(w), budget.contiguous()
    spare = w.new_empty(len(w), 3, _UNITS, dtype=torch.float64)
    sizes = length, taps, _step(s), _step(budget), budget.shape[1]
    options = {"LARGEST": largest, "UNITS": _UNITS, **row_blocks(length)}
    launch(project_row, len(w), w, s, budget, codes, out, normals, spare, *sizes, q_min, q_max, **options)


def _projection_gradients(w: Tensor, grad: Tensor, s: Tensor, codes: Tensor, normals: Tensor, *results: Tensor) -> None:
    length, tensors = _length(w), (w, grad, s, codes, normals, *results)
    launch(projection_gradient, len(w), *tensors, length, _step(s), **row_blocks(length))


def _normalize_rows(
    w: Tensor,
    s: Tensor,
    t: Tensor,
    budget: Tensor,
    q_min: int,
    q_max: int,
    centred: bool,
    eps: float,
    largest: float,
    taps: int,
    codes: Tensor,
    out: Tensor,
    columns: Tensor,
) -> None:
    length, budget = _length(w), budget.contiguous()
    tensors = w, s, t, budget, codes, out, columns
    sizes = length, taps, _step(s), _step(t), _step(budget), budget.shape[1]
    options = {"CENTRED": int(centred), "EPS": eps, "LARGEST": largest, **row_blocks(length)}
    launch(normalize_row, len(w), *tensors, *sizes, q_min, q_max, **options)


def _normalization_gradients(
    w: Tensor, grad: Tensor, s: Tensor, codes: Tensor, columns: Tensor, centred: bool, *results: Tensor
) -> None:
    length, tensors = _length(w), (w, grad, s, codes, columns, *results)
    options = {"CENTRED": int(centred), **row_blocks(length)}
    launch(normalization_gradient, len(w), *tensors, length, _step(s), **options)


_METHODS: Rowwise[Tensor] = Rowwise(_project_rows, _projection_gradients, _normalize_rows, _normalization_gradients)
project, project_gradients = _METHODS.project, _METHODS.project_gradients
normalize, normalize_gradients = _METHODS.normalize, _METHODS.normalize_gradients
