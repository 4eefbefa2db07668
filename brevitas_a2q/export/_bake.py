"""Write the trained integers into the exported file.

Brevitas' QONNX exporters write a layer's float weight in front of a ``Quant`` node that rounds to nearest (UPSTREAM
row 13: since v0.12.1 quantizers that do more than round, as A2Q does, lose what they trained). Here the parameter in
front of every ``Quant`` becomes ``(code - zero_point) * scale``, from the integers that the quantizer really gave, so
that rounding gives those same integers back whatever the quantizer computes and whatever type the model is of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._cleaning import get_property
from brevitas_a2q.export._recording import QuantizerCall
from brevitas_a2q.export._tracing import QUANTIZER

__all__ = ["bake"]


def bake(model: Any, calls: Mapping[str, Sequence[QuantizerCall]]) -> None:
    """Replace weights and biases in front of named ``Quant`` nodes by the recorded ones, in place.

    Args:
        model: ``onnx.ModelProto`` as :func:`~brevitas_a2q.export._tracing.trace_qonnx` returns it.
        calls: What each quantizer gave, by its name.

    Raises:
        ExportError: A scale is not a positive number in float32.
    """
    for node in model.graph.node:
        name = get_property(node, QUANTIZER) or ""
        if name not in calls or not calls[name][0].is_parameter:
            continue
        call = calls[name][0]
        scale = call.scale.astype(np.float32)
        if not (np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)).all():
            raise ExportError(
                f"found scales from {scale.min()} to {scale.max()}",
                where=f"quantizer {name}",
                expected="positive, normal numbers of float32",
                remedy="check the training: a scale has collapsed",
            )
        parts = {0: ("values", call.value), 1: ("scale", scale)}
        if call.value.ndim == 1:
            # A bias. Its zero-point has no dimension in Brevitas' file, and qonnx's ExtractBiasFromConv, the first
            # step of FINN's conversion, fails on anything but (1,) or one value per channel.
            parts[2] = ("zero_point", np.broadcast_to(call.zero_point, (1,)))
        for index, (part, values) in parts.items():
            tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), f"{name}.{part}")
            if all(known.name != tensor.name for known in model.graph.initializer):
                model.graph.initializer.append(tensor)
            node.input[index] = tensor.name
