"""Quantization of activations on a processor: tensors handed to the compiled kernels as they lie in memory."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q.quant._functional import activation_device
from brevitas_a2q.quant._functional.memory import channels_of, line, packed
from brevitas_a2q.quant._functional.numeric import compute_dtype
from brevitas_a2q.quant._kernels.activation import activate, activation_gradients
from brevitas_a2q.quant._kernels.threads import in_parts, parts_of

__all__ = ["gradients", "quantize"]

_RESOLUTION = {torch.bfloat16: 8, torch.float16: 11}  # bits of the significand


class _Layout(NamedTuple):
    """Scales and zero-points of channels, and how many values of a channel lie next to each other."""

    scale: Any
    zero_point: Any
    inner: int


def _layout(x: Tensor, scale: Tensor, zero_point: Tensor) -> _Layout | None:
    """None where scale and zero-point vary along more than one dimension of ``x``."""
    kind = np.float64 if compute_dtype(x.dtype) == torch.float64 else np.float32
    if scale.numel() == zero_point.numel() == 1:
        return _Layout(np.array((scale.item(),), kind), np.array((zero_point.item(),), kind), 1)
    found = channels_of(x, scale, zero_point)
    if found is None:
        return None
    s, z = (value.detach().double().reshape(-1).numpy().astype(kind) for value in (scale, zero_point))
    return _Layout(np.resize(s, found[0]), np.resize(z, found[0]), found[1])


def _code_limits(bit_width: Tensor, signed: bool, narrow: bool, dtype: torch.dtype) -> tuple[float, float]:
    # As in activation_device, of a number.
    top = 2.0 ** (bit_width.item() - int(signed))
    limits = (int(narrow) - top if signed else 0.0), top - 1 - int(narrow and not signed)
    kept = _RESOLUTION.get(dtype)
    return limits if kept is None or top <= 1 << kept else (_cut(limits[0], kept), _cut(limits[1], kept))


def _cut(value: float, kept: int) -> float:
    step = 2.0 ** max(0, math.frexp(value)[1] - kept)
    return math.trunc(value / step) * step


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
    values = packed(x)
    layout = _layout(values, scale, zero_point)
    if layout is None:
        return activation_device.quantize(x, scale, zero_point, bit_width, signed, narrow, rounding, low, high)
    out = torch.empty_like(values)
    limits = low, high, *_code_limits(bit_width, signed, narrow, x.dtype)
    rest = line(values), line(out), layout.scale, layout.zero_point, *limits, rounding, layout.inner
    in_parts(activate, [(first, last, *rest) for first, last in _parts(values, layout)])
    return out


def _parts(values: Tensor, layout: _Layout) -> list[tuple[int, int]]:
    return parts_of(values.numel(), values.numel(), len(layout.scale) if layout.inner == 1 else 1)


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
    values = packed(x)
    layout = _layout(values, scale, zero_point)
    if layout is None:
        return activation_device.gradients(grad, x, scale, zero_point, bit_width, signed, narrow, rounding, low, high)
    for_x = torch.empty_like(values)
    if grad.stride() != values.stride() or grad.dtype != values.dtype:
        grad = torch.empty_like(values).copy_(grad)
    limits = low, high, *_code_limits(bit_width, signed, narrow, x.dtype)
    rest = line(values), line(grad), layout.scale, layout.zero_point, *limits, rounding, layout.inner, line(for_x)
    parts = _parts(values, layout)
    sums = np.zeros((len(parts), len(layout.scale), 3))
    in_parts(activation_gradients, [(*part, *rest, sums[n]) for n, part in enumerate(parts)])
    along, above, below = sums.sum(0).T
    step = layout.scale.astype(np.float64)
    push = math.log(2) * 2.0 ** (bit_width.item() - int(signed)) * float(step @ (above - int(signed) * below))
    return (
        for_x,
        _like(along, scale),
        _like(-step * (above + below), zero_point),
        torch.full_like(bit_width, push),
    )


def _like(of_channels: Any, like: Tensor) -> Tensor:
    if like.numel() == 1:
        return like.new_full(like.shape, float(of_channels.sum()))
    return torch.from_numpy(of_channels).to(like.dtype).view(like.shape)
