"""What a quantized layer returns where no quantizer follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
from brevitas.quant_tensor import IntQuantTensor

from brevitas_a2q._ranges import Codes, Value
from brevitas_a2q._trace.quantizers import Scales

__all__ = ["sums_of_layer"]


def sums_of_layer(layer: Any, x: Value, weight: Any, bias: Any, shape: tuple[int, ...], scales: Scales) -> Value:
    """Sums of products with any weights of their type.

    Args:
        layer: Of Brevitas.
        x: What reaches it.
        weight: As it was quantized for this call.
        bias: Likewise; None without one.
        shape: Of the output.
        scales: Of quantizers, as the trace has them.

    Returns:
        Integers where input and weights have one scale each; else unknown.
    """
    unknown = Value.unknown(shape, "sums of a layer that are not quantized")
    if x.codes is None or x.codes.uniform_scale is None or not isinstance(weight, IntQuantTensor):
        return unknown
    if weight.scale.numel() > 1 or bias is not None:
        return unknown
    limit = 1 << (int(weight.bit_width.max()) - 1)
    transposed = bool(getattr(layer, "transposed", False))
    size = weight.value.numel() // (weight.value.shape[1] * layer.groups if transposed else weight.value.shape[0])
    low, high = (int(end) for end in (x.integer_ends()[0].min(), x.integer_ends()[1].max()))
    reach = size * limit * max(high, -low, 0)
    if reach >= 1 << 62:
        return unknown
    scale = np.asarray(x.codes.uniform_scale) * scales.of(layer, weight.scale.reshape(()))
    return Value.of_codes(shape, Codes.plain(scale, np.asarray(-reach), np.asarray(reach)), f"sums of {x.origin}")
