"""An integer bias is one more term of the sum: what it takes from the budget, and the scale at which it fits."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from brevitas import is_dynamo_compiling
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["bias_is_budgeted", "clip_bias_", "fit_scale", "integer_bias", "room_for_bias"]

_MANY = 2.0**62  # counts as a code that no accumulator has room for
_FAR = 4096.0  # more steps than any type has exponents
_RAISES = 4  # after the first, what rounding in narrow types leaves to be mended


def bias_is_budgeted(layer: nn.Module) -> bool:
    """Whether the layer adds an integer bias at the scale ``s_w * s_x`` of its sums, as ``Int32Bias`` does."""
    proxy = getattr(layer, "bias_quant", None)
    if getattr(layer, "bias", None) is None or proxy is None or not proxy.is_quant_enabled:
        return False
    return bool(proxy.requires_input_scale)


def room_for_bias(accumulator_bit_width: int) -> int:
    """Largest magnitude that the codes of a bias may have: half of what the accumulator holds, or 1 where that is 0."""
    return max(1, ((1 << (accumulator_bit_width - 1)) - 1) // 2)


def _clipped(value: Tensor, scale: Tensor, limit: int) -> Tensor:
    bound = (scale.double() * limit).to(value.dtype)
    return torch.where(scale > 0, value.nan_to_num().minimum(bound).maximum(-bound), torch.zeros_like(value))


def _clip_codes(limit: int, proxy: Any, args: Any, output: Any) -> Any:
    """Forward hook of a bias quantizer."""
    return (
        output.set(value=_clipped(output.value, output.scale, limit)) if isinstance(output, IntQuantTensor) else output
    )


def clip_bias_(layer: Any, limit: int) -> None:
    """From now on the layer's bias has codes no larger than ``limit``: for one that no scale makes small enough."""
    layer.bias_quant.clipped_at = limit
    layer.bias_quant.register_forward_hook(partial(_clip_codes, limit), prepend=True)  # other hooks see what is added


class _Finite(torch.autograd.Function):
    """The same numbers, whose gradient is zero where it is no number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.where(grad.isfinite(), grad, torch.zeros_like(grad))


def _with_finite_gradients(proxy: Any, args: Any) -> Any:
    """Forward pre-hook of a bias quantizer."""
    return tuple(
        arg.set(scale=_Finite.apply(arg.scale)) if isinstance(arg, IntQuantTensor) and arg.scale.requires_grad else arg
        for arg in args
    )


def _keep_gradients_finite(layer: Any) -> None:
    """Have the bias leave no gradient in the scales of input and weights that is no number.

    It is at most half a code, and is computed as the difference of two numbers, of which the larger is the bias over
    the square of its scale: more than half precision holds, where the scale is small.
    """
    if not getattr(layer.bias_quant, "gradients_stay_finite", False):
        layer.bias_quant.gradients_stay_finite = True
        layer.bias_quant.register_forward_pre_hook(_with_finite_gradients)


def integer_bias(layer: Any, scale: Tensor, input_scale: Tensor) -> Tensor:
    """Codes of the layer's bias, as Brevitas will compute them.

    Args:
        layer: A layer whose bias is budgeted.
        scale: ``s_w``, C values or one.
        input_scale: ``s_x``.  # shape: ()

    Returns:
        int64; a bias that is not finite, or whose scale vanishes, counts as more than fits.  # shape: (C,)
    """
    # Of one axis, as Brevitas has it: the wider type of the two is that of the product.
    bias_scale = scale.detach().reshape(-1) * input_scale.reshape(1)
    value, at, _, _ = layer.bias_quant.tensor_quant(layer.bias.detach(), bias_scale)
    limit = getattr(layer.bias_quant, "clipped_at", None)
    if limit is not None:
        clipped: Tensor = (_clipped(value, at, limit).double() / at.double()).nan_to_num(0.0).round().to(torch.int64)
        return clipped
    codes: Tensor = (value.double() / at.double()).nan_to_num(0.0, _MANY, -_MANY).round()
    vanishes = (bias_scale == 0) & (layer.bias != 0)
    return codes.masked_fill(vanishes, _MANY).clamp(-_MANY, _MANY).to(torch.int64)


def _times_power_of_two(value: Tensor, steps: Tensor) -> Tensor:
    # In two parts, since 2^steps itself need not be finite.
    half = torch.div(steps, 2, rounding_mode="floor")
    return value.double() * torch.exp2(half) * torch.exp2(steps - half)


class _Raised(torch.autograd.Function):
    """A scale times powers of two, whose gradient stays finite."""

    @staticmethod
    def forward(ctx: Any, scale: Tensor, steps: Tensor) -> Tensor:
        ctx.save_for_backward(steps)
        return _times_power_of_two(scale, steps).to(scale.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        most = torch.finfo(grad.dtype).max
        return _times_power_of_two(grad, *ctx.saved_tensors).nan_to_num().clamp(-most, most).to(grad.dtype), None


def fit_scale(layer: Any, scale: Tensor, input_scale: Tensor, accumulator_bit_width: int) -> Tensor:
    """A scale at which the bias takes at most half of the accumulator, as far as its type holds one.

    A small weight scale makes a bias large in units of ``s_w * s_x``, up to one that overflows with no weights at all.
    The scale of such a channel is raised by a power of two (so a fixed-point scale remains one), which leaves its
    weights coarser but the promise intact. Codes are computed again after each raise, as Brevitas will compute them.

    Args:
        layer: A layer whose bias is budgeted.
        scale: Weight scale as the quantizer computed it, C values or one.
        input_scale: ``s_x``.  # shape: ()
        accumulator_bit_width: P.

    Returns:
        Scale of the same shape; the same tensor's gradient flows through.
    """
    if not is_dynamo_compiling():
        _keep_gradients_finite(layer)
    if getattr(layer.bias_quant, "clipped_at", None) is not None:
        return scale
    types = torch.finfo(scale.dtype), torch.finfo(layer.bias.dtype)
    limit = min(room_for_bias(accumulator_bit_width), int(types[1].max) // 4)
    size, start = layer.bias.detach().double().abs().nan_to_num(), scale.detach().double()
    smallest = start.new_tensor(types[0].tiny * types[0].eps)  # that is not zero
    # Steps that it can take; of the quotient there might be no double.
    most = (math.log2(types[0].max) - 1 - start.log2()).floor().clamp_min(0.0)
    steps, raised = torch.zeros_like(start), scale
    for _ in range(_RAISES):
        over = integer_bias(layer, raised, input_scale).abs() > limit
        if not (is_dynamo_compiling() or bool(over.any())):
            break
        step = raised.detach().double().reshape(-1) * input_scale.double()
        excess = torch.maximum(size / limit, smallest) / step
        more = torch.where(over, excess.log2().ceil().clamp(1.0, _FAR), 0.0)
        steps = (steps + (more.amax() if scale.numel() == 1 else more).reshape(steps.shape)).minimum(most)
        raised = _Raised.apply(scale, steps)
    return raised
