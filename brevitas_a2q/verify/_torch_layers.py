"""One call of a Brevitas layer as integers: codes of input, weights and bias, and the scale that their sums share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError

__all__ = ["IntegerLayer", "UncoveredError", "arguments", "integers", "spatial_padding"]

_TOGETHER: Final = 1 << 17  # values whose intermediate results stay in the cache


class UncoveredError(ModelError):
    """A layer that a certificate cannot speak of; ``found`` says why."""

    def __init__(self, found: str, **details: str | None) -> None:
        super().__init__(found, **details)
        self.found = found


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer's integers as its kernel holds them (PyTorch's shapes)."""

    name: str
    layer: Any
    weights: Tensor  # int64, shape of layer.weight
    bias: Tensor | None  # int64 at the scale of the sums, shape: (out_channels,)
    float_bias: Tensor | None  # added after the accumulator, shape: (out_channels,)
    weight_scale: Tensor  # shape: (out_channels,) or (1,)
    weight_bit_width: int

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return bool(getattr(self.layer, "transposed", False))

    @property
    def accumulator_bit_width(self) -> int | None:
        """P of its weight quantizer, ours or an A2Q one of Brevitas; None if it has none."""
        proxy = self.layer.weight_quant
        width = getattr(proxy, "accumulator_bit_width", None)
        if width is not None:
            return int(width)
        for module in proxy.modules():
            impl = getattr(module, "accumulator_bit_width", None)
            if isinstance(impl, nn.Module):
                return round(float(impl()))
        return None

    @property
    def tile(self) -> int | None:
        """Products per tile where P is the width of each tile's sum."""
        tile: int | None = getattr(self.layer.weight_quant, "accumulator_tile", None)
        return tile

    @classmethod
    def of(cls, name: str, layer: Any, x_scale: Tensor, weight: Any, bias: Any) -> IntegerLayer:
        """The integers of one call.

        Raises:
            UncoveredError: Weights are not integers at one scale per output channel.
        """
        where = f"layer {name}"
        if not isinstance(weight, IntQuantTensor):
            raise UncoveredError(
                "its weights are not integers",
                where=where,
                expected="an integer weight quantizer",
                remedy="give the layer a weight_quant, such as Int8WeightPerChannelFloat",
            )
        channel_dim = 1 if getattr(layer, "transposed", False) else 0
        scale = weight.scale.detach()
        if scale.numel() > 1 and any(n > 1 for d, n in enumerate(_aligned(scale, weight.value)) if d != channel_dim):
            raise UncoveredError(
                f"found weight scales of shape {tuple(scale.shape)}",
                where=where,
                expected="one scale per layer or per output channel, so that an output's products share it",
            )
        codes = integers(weight.value, scale, f"{where}, weight")
        channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        per_output = scale.flatten().repeat(channels // scale.numel()) if scale.numel() > 1 else scale.flatten()
        integer_bias, float_bias = _bias(
            bias, _input_scales(layer, x_scale, channels).to(per_output.dtype) * per_output, where
        )
        return cls(name, layer, codes, integer_bias, float_bias, per_output, int(weight.bit_width.max()))


def _input_scales(layer: Any, x_scale: Tensor, channels: int) -> Tensor:
    """The input's scale for each output, where every channel is summed by itself; else one.  # shape: (1,) or (C,)"""
    scales = x_scale.flatten()
    if scales.numel() > 1 and scales.numel() == getattr(layer, "groups", 1):
        return scales.repeat_interleave(channels // scales.numel())
    return scales[:1]


def integers(value: Tensor, scale: Tensor, where: str) -> Tensor:
    """``value / scale`` as int64, certain to be what was meant: off from integers by rounding of its type alone.

    Raises:
        UncoveredError: The values are not integers at this scale.
    """
    both = torch.broadcast_tensors(value.detach(), scale.detach().double())
    values, scales = (torch.atleast_1d(each) for each in both)
    codes = torch.empty(values.shape, dtype=torch.int64, device=values.device)
    rows = max(1, _TOGETHER // max(1, values[:1].numel()))
    for part, its_scale, out in zip(values.split(rows), scales.split(rows), codes.split(rows), strict=True):
        out.copy_(_codes(part, its_scale, where))
    return codes.reshape(torch.broadcast_shapes(value.shape, scale.shape))


def _codes(value: Tensor, scale: Tensor, where: str) -> Tensor:
    ratio = value.double() / scale
    if not bool(torch.isfinite(ratio.sum())) and not bool(torch.isfinite(ratio).all()):
        raise UncoveredError(
            "found values that are infinite or no numbers",
            where=where,
            expected="finite weights, activations and scales",
            remedy="look at the quantizer: Brevitas' A2Q quantizers make NaN of channels that are all zero",
        )
    codes = ratio.round()
    # code * scale was rounded once (and a scale of lower precision once more): a relative error of a few epsilon.
    allowed = codes.abs().mul_(4 * torch.finfo(value.dtype).eps).add_(1e-6).clamp_(max=0.49)
    if bool((ratio.sub_(codes).abs_() > allowed).any()):
        raise UncoveredError(
            "found values that are not integers at the quantizer's scale",
            where=where,
            expected="integer multiples of the scale",
            remedy="look for an operation between quantizer and layer that changes values",
        )
    return codes


def spatial_padding(layer: Any, size: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Zeros before and after the image, along each spatial axis."""
    if not layer.is_same_padded_strided and not isinstance(layer.padding, str):
        return tuple((pad, pad) for pad in layer.padding)
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.kernel_size)
    totals = [
        max((-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1 - n, 0)
        for n, stride, kernel, dilation in zip(size, layer.stride, layer.kernel_size, layer.dilation, strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)


def arguments(model: nn.Module, inputs: Any) -> tuple[Any, ...]:
    """What to call a model with, for one tensor or array, or for a tuple of positional arguments."""
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    weight = next(model.parameters(), torch.empty(0))
    return tuple(_argument(argument, weight) for argument in given)


def _argument(argument: Any, like: Tensor) -> Any:
    """Arrays become tensors of the model's own precision; tensors keep theirs; both go to its device."""
    if isinstance(argument, np.ndarray):
        tensor = torch.from_numpy(argument.copy())
        return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)
    return argument.to(like.device) if type(argument) is Tensor else argument


def _bias(bias: Any, out_scale: Tensor, where: str) -> tuple[Tensor | None, Tensor | None]:
    """The bias as integers of the accumulator, or as real numbers that are added after it."""
    if bias is None:
        return None, None
    if not isinstance(bias, IntQuantTensor):
        return None, bias.detach()
    if not torch.allclose(bias.scale.flatten(), out_scale, rtol=1e-4, atol=0.0):
        return None, bias.value.detach()
    return integers(bias.value, bias.scale, f"{where}, bias"), None


def _aligned(scale: Tensor, value: Tensor) -> tuple[int, ...]:
    return (*[1] * (value.dim() - scale.dim()), *scale.shape)
