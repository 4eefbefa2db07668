"""The methods for tensors wherever they are: on a processor, on an accelerator, or in a graph being compiled.

Compilers see one opaque step each, since what happens inside depends on the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant.functional import device, host
from brevitas_a2q.quant.functional.budget import Budget
from brevitas_a2q.quant.functional.numeric import compute_dtype

__all__ = ["normalize", "normalize_gradients", "project", "project_gradients"]


def _empty_codes(weight: Tensor) -> Tensor:
    rows = weight.shape[0]
    return weight.new_empty(rows, weight.shape.numel() // rows, dtype=torch.int16)


def project(weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant.functional.host.project`."""
    if torch.compiler.is_compiling():
        compiled: tuple[Tensor, Tensor, Tensor] = _project(weight, scale, list(budget), q_min, q_max)
        return compiled
    if weight.is_cpu:
        return host.project(weight, scale, budget, q_min, q_max)
    out, codes, normals = device.project(weight.flatten(1), scale.reshape(-1, 1), budget, q_min, q_max)
    return out.view(weight.shape), codes, normals


@torch.library.custom_op(
    "brevitas_a2q::project",
    mutates_args=(),
    schema="(Tensor weight, Tensor scale, Tensor[] budget, int q_min, int q_max) -> (Tensor, Tensor, Tensor)",
)
def _project(
    weight: Tensor, scale: Tensor, budget: list[Tensor], q_min: int, q_max: int
) -> tuple[Tensor, Tensor, Tensor]:
    return project(weight, scale, Budget(*budget), q_min, q_max)


@_project.register_fake
def _(weight: Tensor, scale: Tensor, budget: list[Tensor], q_min: int, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    normals = weight.new_empty(len(weight), 4, dtype=compute_dtype(weight.dtype))
    return weight.new_empty(weight.shape), _empty_codes(weight), normals


def project_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant.functional.host.project_gradients`."""
    if torch.compiler.is_compiling():
        compiled: tuple[Tensor, Tensor] = _project_gradients(grad, weight, scale, codes, normals)
        return compiled
    if weight.is_cpu:
        return host.project_gradients(grad, weight, scale, codes, normals)
    found = device.project_gradients(grad.flatten(1), weight.flatten(1), scale.reshape(-1, 1), codes, normals)
    return found[0].view(weight.shape), found[1]


@torch.library.custom_op(
    "brevitas_a2q::project_gradients",
    mutates_args=(),
    schema="(Tensor grad, Tensor weight, Tensor scale, Tensor codes, Tensor normals) -> (Tensor, Tensor)",
)
def _project_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    return project_gradients(grad, weight, scale, codes, normals)


@_project_gradients.register_fake
def _(grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    return weight.new_empty(weight.shape), weight.new_empty(len(weight), dtype=compute_dtype(weight.dtype))


def normalize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant.functional.host.normalize`."""
    if torch.compiler.is_compiling():
        compiled: tuple[Tensor, Tensor, Tensor] = _normalize(weight, scale, norm, list(budget), q_min, q_max, centred)
        return compiled
    if weight.is_cpu:
        return host.normalize(weight, scale, norm, budget, q_min, q_max, centred)
    rows, step = weight.flatten(1), scale.reshape(-1, 1)
    out, codes, columns = device.normalize(rows, step, norm, budget, q_min, q_max, centred)
    return out.view(weight.shape), codes, columns


@torch.library.custom_op(
    "brevitas_a2q::normalize",
    mutates_args=(),
    schema="(Tensor weight, Tensor scale, Tensor norm, Tensor[] budget, int q_min, int q_max, bool centred)"
    " -> (Tensor, Tensor, Tensor)",
)
def _normalize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: list[Tensor], q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return normalize(weight, scale, norm, Budget(*budget), q_min, q_max, centred)


@_normalize.register_fake
def _(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: list[Tensor], q_min: int, q_max: int, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    columns = weight.new_empty(len(weight), 3, dtype=compute_dtype(weight.dtype))
    return weight.new_empty(weight.shape), _empty_codes(weight), columns


def normalize_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant.functional.host.normalize_gradients`."""
    if torch.compiler.is_compiling():
        compiled: tuple[Tensor, Tensor, Tensor] = _normalize_gradients(grad, weight, scale, codes, columns, centred)
        return compiled
    if weight.is_cpu:
        return host.normalize_gradients(grad, weight, scale, codes, columns, centred)
    rows, step = weight.flatten(1), scale.reshape(-1, 1)
    found = device.normalize_gradients(grad.flatten(1), rows, step, codes, columns, centred)
    return found[0].view(weight.shape), *found[1:]


@torch.library.custom_op(
    "brevitas_a2q::normalize_gradients",
    mutates_args=(),
    schema="(Tensor grad, Tensor weight, Tensor scale, Tensor codes, Tensor columns, bool centred)"
    " -> (Tensor, Tensor, Tensor)",
)
def _normalize_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return normalize_gradients(grad, weight, scale, codes, columns, centred)


@_normalize_gradients.register_fake
def _(
    grad: Tensor, weight: Tensor, scale: Tensor, codes: Tensor, columns: Tensor, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    row = weight.new_empty(len(weight), dtype=compute_dtype(weight.dtype))
    return weight.new_empty(weight.shape), row, torch.empty_like(row)
