"""Quantization of activations on a GPU: tensors handed to the Triton kernels as they lie in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from brevitas_a2q.quant._functional import activation_device
from brevitas_a2q.quant._functional.memory import channels_of, packed
from brevitas_a2q.quant._functional.numeric import compute_dtype
from brevitas_a2q.quant._triton.activation import backward, forward, reduce
from brevitas_a2q.quant._triton.launch import cdiv, launch, power_of_two

__all__ = ["gradients", "quantize"]

_TILE = 2048  # values that a program takes
_CHANNELS = 64  # of them next to each other, where memory is channels-last
_FAR = 1 << 31  # from where on places need 64 bits


class _Tiles(NamedTuple):
    """How kernels go through memory: their arguments, their constants, and how many tiles there are of a channel."""

    arguments: tuple[int, int, int]
    constants: dict[str, int]
    parts: int

    @property
    def programs(self) -> int:
        return self.parts * cdiv(self.arguments[1], self.constants["COLUMNS"])


def _tiles(values: Tensor, channels: int, inner: int) -> _Tiles:
    columns = min(power_of_two(channels), _CHANNELS) if inner == 1 else 1
    rows = _TILE // columns
    positions = values.numel() // channels
    wide = values.numel() + _TILE * channels >= _FAR
    constants = {"ROWS": rows, "COLUMNS": columns, "SINGLE": int(channels == 1), "WIDE": int(wide)}
    return _Tiles((positions, channels, inner), constants, cdiv(positions, rows))


def _there(value: Tensor, x: Tensor) -> Tensor:
    # Constants may stay on the host, where reading one makes nobody wait.
    if value.device == x.device:
        return value.detach().contiguous()
    return x.new_full((), value.item(), dtype=value.dtype) if value.numel() == 1 else value.detach().to(x.device)


def _how(signed: bool, narrow: bool, rounding: int, low: float, high: float) -> dict[str, Any]:
    return {"SIGNED": int(signed), "NARROW": int(narrow), "ROUNDING": rounding, "LOW": low, "HIGH": high}


def _step(per_channel: Tensor) -> int:
    return int(per_channel.numel() > 1)


def quantize(x: Tensor, scale: Tensor, zero_point: Tensor, bit_width: Tensor, *how: Any) -> Tensor:
    """See :func:`brevitas_a2q.quant._functional.activation_device.quantize`."""
    values, found = packed(x), channels_of(packed(x), scale, zero_point)
    if found is None:
        return activation_device.quantize(x, scale, zero_point, bit_width, *how)
    tiles, out = _tiles(values, *found), torch.empty_like(values)
    scale, zero_point, bit_width = (_there(value, x) for value in (scale, zero_point, bit_width))
    arguments = *tiles.arguments, _step(scale), _step(zero_point)
    tensors = values, out, scale, zero_point, bit_width
    launch(forward, tiles.programs, *tensors, *arguments, **tiles.constants, **_how(*how))
    return out


def gradients(
    grad: Tensor, x: Tensor, scale: Tensor, zero_point: Tensor, bit_width: Tensor, *how: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`brevitas_a2q.quant._functional.activation_device.gradients`; constants on the host get zeros."""
    values, found = packed(x), channels_of(packed(x), scale, zero_point)
    if found is None:
        return activation_device.gradients(grad, x, scale, zero_point, bit_width, *how)
    tiles, for_x = _tiles(values, *found), torch.empty_like(values)
    if grad.stride() != values.stride() or grad.dtype != values.dtype:
        grad = torch.empty_like(values).copy_(grad)
    channels, wide = found[0], compute_dtype(x.dtype)
    here = [_there(value, x) for value in (scale, zero_point, bit_width)]
    sums = x.new_empty(3, tiles.parts, channels, dtype=wide)
    steps, constants = (_step(scale), _step(zero_point)), _how(*how)
    tensors = values, grad, for_x, sums, *here
    launch(backward, tiles.programs, *tensors, *tiles.arguments, *steps, **tiles.constants, **constants)
    likes = scale, zero_point, bit_width
    kinds = [like.dtype if like.numel() == channels and like.dtype == wide else torch.float64 for like in likes]
    found_sums = [x.new_empty(channels, dtype=kind) for kind in kinds]
    columns = tiles.constants["COLUMNS"]
    options = {"SIGNED": constants["SIGNED"], "PARTS": max(1, 256 // columns), "COLUMNS": columns}
    tensors = sums, here[0], here[2], *found_sums
    launch(reduce, cdiv(channels, columns), *tensors, tiles.parts, channels, steps[0], **options)
    of_scale, of_zero, of_bits = (_like(*pair) for pair in zip(found_sums, likes, strict=True))
    return for_x, of_scale, of_zero, of_bits


def _like(of_channels: Tensor, like: Tensor) -> Tensor:
    if like.device != of_channels.device:
        return torch.zeros_like(like)
    summed = of_channels.sum() if like.numel() != len(of_channels) else of_channels
    return summed.to(like.dtype).view(like.shape)
