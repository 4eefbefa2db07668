"""The methods as operators: for tensors wherever they are, with their gradients, and opaque to compilers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brevitas_a2q.quant._functional import device, host
from brevitas_a2q.quant._functional.accelerator import on_gpu
from brevitas_a2q.quant._functional.budget import Budget
from brevitas_a2q.quant._functional.numeric import compute_dtype, summed_like
from brevitas_a2q.quant._functional.registry import Operator

__all__ = ["normalize", "normalize_gradients", "project", "project_gradients"]


def _rows(weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    return weight.flatten(1), scale.reshape(-1, 1)


def _codes(weight: Tensor) -> Tensor:
    return torch.empty_like(weight, dtype=torch.int16)


def _row(weight: Tensor, *more: int) -> Tensor:
    return weight.new_empty(len(weight), *more, dtype=compute_dtype(weight.dtype))


# --- the projection ---------------------------------------------------------------------------------------------------


def _project(weight: Tensor, scale: Tensor, budget: Tensor, q_min: int, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    return host.project(weight, scale, Budget.of_table(budget), q_min, q_max)


def _project_anywhere(
    weight: Tensor, scale: Tensor, budget: Tensor, q_min: int, q_max: int
) -> tuple[Tensor, Tensor, Tensor]:
    out, codes, normals = device.project(*_rows(weight, scale), Budget.of_table(budget), q_min, q_max)
    return torch.empty_like(weight).copy_(out.view(weight.shape)), _like(codes, weight), normals


def _like(codes: Tensor, weight: Tensor) -> Tensor:
    return _codes(weight).copy_(codes.view(weight.shape))


def _project_gradients_anywhere(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    found = device.project_gradients(grad.flatten(1), *_rows(weight, scale), codes.flatten(1), normals)
    return torch.empty_like(weight).copy_(found[0].view(weight.shape)), found[1]


project_gradients = Operator(
    "project_gradients(Tensor grad, Tensor weight, Tensor scale, Tensor codes, Tensor normals) -> (Tensor, Tensor)",
    cpu=host.project_gradients,
    anywhere=_project_gradients_anywhere,
    cuda=on_gpu("gpu", "project_gradients", _project_gradients_anywhere),
    shapes=lambda grad, weight, *_: (torch.empty_like(weight), _row(weight)),
)


def _save_projection(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:2], *output[1:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _projection_gradient(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return None, None, None, None, None
    weight, scale, codes, normals = ctx.saved_tensors
    for_weight, for_scale = project_gradients(grad, weight, scale, codes, normals)
    return for_weight, summed_like(for_scale, scale), None, None, None


project = Operator(
    "project(Tensor weight, Tensor scale, Tensor budget, int q_min, int q_max) -> (Tensor, Tensor, Tensor)",
    cpu=_project,
    anywhere=_project_anywhere,
    cuda=on_gpu("gpu", "project", _project_anywhere),
    shapes=lambda weight, *_: (torch.empty_like(weight), _codes(weight), _row(weight, 4)),
    save=_save_projection,
    gradient=_projection_gradient,
)


# --- A2Q and A2Q+ -----------------------------------------------------------------------------------------------------


def _normalize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Tensor, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return host.normalize(weight, scale, norm, Budget.of_table(budget), q_min, q_max, centred)


def _normalize_anywhere(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Tensor, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    rows, step = _rows(weight, scale)
    out, codes, columns = device.normalize(rows, step, norm, Budget.of_table(budget), q_min, q_max, centred)
    return torch.empty_like(weight).copy_(out.view(weight.shape)), _like(codes, weight), columns


def _normalize_gradients_anywhere(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    rows, step = _rows(weight, scale)
    found = device.normalize_gradients(grad.flatten(1), rows, step, codes.flatten(1), columns, centred)
    return torch.empty_like(weight).copy_(found[0].view(weight.shape)), *found[1:]


normalize_gradients = Operator(
    "normalize_gradients(Tensor grad, Tensor weight, Tensor scale, Tensor codes, Tensor columns, bool centred)"
    " -> (Tensor, Tensor, Tensor)",
    cpu=host.normalize_gradients,
    anywhere=_normalize_gradients_anywhere,
    cuda=on_gpu("gpu", "normalize_gradients", _normalize_gradients_anywhere),
    shapes=lambda grad, weight, *_: (torch.empty_like(weight), _row(weight), _row(weight)),
)


def _save_normalization(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:3], *output[1:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.centred = inputs[6]


def _normalization_gradient(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return None, None, None, None, None, None, None
    weight, scale, norm, codes, columns = ctx.saved_tensors
    for_weight, for_scale, for_norm = normalize_gradients(grad, weight, scale, codes, columns, ctx.centred)
    return for_weight, summed_like(for_scale, scale), summed_like(for_norm, norm), None, None, None, None


normalize = Operator(
    "normalize(Tensor weight, Tensor scale, Tensor norm, Tensor budget, int q_min, int q_max, bool centred)"
    " -> (Tensor, Tensor, Tensor)",
    cpu=_normalize,
    anywhere=_normalize_anywhere,
    cuda=on_gpu("gpu", "normalize", _normalize_anywhere),
    shapes=lambda weight, *_: (torch.empty_like(weight), _codes(weight), _row(weight, 3)),
    save=_save_normalization,
    gradient=_normalization_gradient,
)
