"""An integer bias is one more term of the sum: what it takes from the budget, and the scale at which it fits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["bias_is_budgeted", "fit_scale", "integer_bias"]


def bias_is_budgeted(layer: nn.Module) -> bool:
    """Whether the layer adds an integer bias at the scale ``s_w * s_x`` of its sums, as ``Int32Bias`` does."""
    proxy = getattr(layer, "bias_quant", None)
    if getattr(layer, "bias", None) is None or proxy is None or not proxy.is_quant_enabled:
        return False
    return bool(proxy.requires_input_scale)


def integer_bias(layer: Any, scale: Tensor, input_scale: Tensor) -> Tensor:
    """Codes of the layer's bias, as Brevitas will compute them.

    Args:
        layer: A layer whose bias is budgeted.
        scale: ``s_w``, C values or one.
        input_scale: ``s_x``.  # shape: ()

    Returns:
        int64; a bias that is not finite counts as the largest code.  # shape: (C,)
    """
    bias_scale = (scale.detach() * input_scale).reshape(-1)
    value, at, _, _ = layer.bias_quant.tensor_quant(layer.bias.detach(), bias_scale)
    codes: Tensor = (value.double() / at.double()).nan_to_num(nan=0.0, posinf=2.0**62, neginf=-(2.0**62)).round()
    return codes.clamp(-(2.0**62), 2.0**62).to(torch.int64)


def fit_scale(layer: Any, scale: Tensor, input_scale: Tensor, accumulator_bit_width: int) -> Tensor:
    """A scale at which the bias takes at most half of the accumulator.

    A small weight scale makes a bias large in units of ``s_w * s_x``, up to one that overflows with no weights at all.
    The scale of such a channel is raised by a power of two (so a fixed-point scale remains one), which leaves its
    weights coarser but the promise intact.

    Args:
        layer: A layer whose bias is budgeted.
        scale: Weight scale as the quantizer computed it, C values or one.
        input_scale: ``s_x``.  # shape: ()
        accumulator_bit_width: P.

    Returns:
        Scale of the same shape; the same tensor's gradient flows through.
    """
    limit = max(1, ((1 << (accumulator_bit_width - 1)) - 1) // 2)
    codes = integer_bias(layer, scale, input_scale)
    needed = layer.bias.detach().double().abs() / (scale.detach().double() * input_scale.double()).reshape(-1)
    excess = (needed / limit).clamp(1.0, 2.0**100).nan_to_num(nan=1.0)
    steps = torch.where(codes.abs() > limit, excess.log2().ceil(), 0.0)
    if scale.numel() == 1:
        steps = steps.amax()
    return scale * torch.exp2(steps).reshape(scale.shape).to(scale.dtype)
