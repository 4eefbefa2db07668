"""A layer's quantized output is no wider than its accumulator; Brevitas' width of it ignores P."""

from __future__ import annotations

from typing import Any

import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from brevitas_a2q._brevitas import forget_hook

__all__ = ["watch_output"]


def watch_output(layer: nn.Module, enabled: bool) -> None:
    """Whether the bit width of the layer's quantized output is held against its accumulator's.

    Args:
        layer: One whose ``weight_quant`` is accumulator-aware.
        enabled: False takes the hook away.
    """
    forget_hook(layer, _narrow_output)
    if enabled:
        layer.register_forward_hook(_narrow_output)


def _narrow_output(layer: Any, args: Any, output: Any) -> Any:
    proxy = layer.weight_quant
    if not isinstance(output, IntQuantTensor) or not hasattr(proxy, "bounds_whole_sum"):
        return output
    if not proxy.is_quant_enabled or layer.output_quant.is_quant_enabled or not proxy.bounds_whole_sum:
        return output
    width = torch.full_like(output.bit_width, proxy.accumulator_bit_width)
    # Brevitas' width of a transposed convolution is too small (it adds kernel sides instead of multiplying them).
    return output.set(bit_width=width if proxy.layout.transposed else torch.minimum(width, output.bit_width))
