"""What a Brevitas quantizer is made of, told by the names of its modules: scripted ones have lost their types."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from brevitas_a2q.quant._kernels.activation import CEIL, DPU, FLOOR, ROUND, TO_ZERO
from brevitas_a2q.quant._scripted import kind_of

__all__ = ["ROUNDINGS", "clamp_of", "unfusable"]

ROUNDINGS = {"RoundSte": ROUND, "FloorSte": FLOOR, "CeilSte": CEIL, "RoundToZeroSte": TO_ZERO, "DPURoundSte": DPU}


def clamp_of(activation: nn.Module | None) -> tuple[float, float] | None:
    """Lower and upper end of what an activation function clamps to, or None for other functions."""
    if activation is None or type(activation) is nn.Identity:
        return -math.inf, math.inf
    if type(activation) is nn.ReLU:
        return 0.0, math.inf
    if type(activation) in (nn.ReLU6, nn.Hardtanh):
        return float(activation.min_val), float(activation.max_val)  # type: ignore[arg-type]
    return None


def unfusable(tensor_quant: Any) -> str | None:
    """Why a quantizer cannot be computed by one kernel; None where it can."""
    if kind_of(tensor_quant) != "RescalingIntQuant":
        return f"{kind_of(tensor_quant)} is no integer quantizer with one scale"
    int_quant = tensor_quant.int_quant
    if kind_of(int_quant) != "IntQuant":
        return f"it computes integers by {kind_of(int_quant)}"
    if kind_of(int_quant.input_view_impl) != "Identity":
        return "it has a scale for every group of values"
    if kind_of(int_quant.float_to_int_impl) not in ROUNDINGS:
        return f"it rounds by {kind_of(int_quant.float_to_int_impl)}"
    if kind_of(int_quant.tensor_clamp_impl) != "TensorClamp":
        return f"it clips by {kind_of(int_quant.tensor_clamp_impl)}"
    if kind_of(int_quant.delay_wrapper.delay_impl) != "_NoDelay":
        return "it starts after a delay"
    return None
