"""One vocabulary of layers for the float and the quantized form of every network.

A network asks a :class:`LayerFactory` for its layers and never for Brevitas itself, so that both forms have the same
modules under the same names, and float weights load into the quantized form.
"""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8ActPerTensorFloatMinMaxInit,
    Int8WeightPerChannelFloat,
    Uint8ActPerTensorFloat,
)
from torch import nn

from brevitas_a2q.models._spec import QuantSpec
from brevitas_a2q.quant._activations import fused
from brevitas_a2q.quant._compilation import make_traceable_
from brevitas_a2q.quant._quantizers import (
    Int8A2QPlusWeightPerChannelFloat,
    Int8A2QWeightPerChannelFloat,
    Int8ProjectedA2QWeightPerChannelFloat,
)

__all__ = ["LayerFactory"]

_WEIGHT_QUANTIZERS: dict[str, Any] = {
    "none": Int8WeightPerChannelFloat,
    "a2q": Int8A2QWeightPerChannelFloat,
    "a2q+": Int8A2QPlusWeightPerChannelFloat,
    "projected": Int8ProjectedA2QWeightPerChannelFloat,
}


def _traceable(layer: nn.Module) -> nn.Module:
    make_traceable_(layer)
    return layer


class LayerFactory:
    """Layers of one network, float where ``spec`` is None.

    Args:
        spec: Bit widths and method, or None for the float form.
        fused_activations: Whether each activation is quantized by one kernel, instead of by Brevitas' operations.
    """

    def __init__(self, spec: QuantSpec | None, fused_activations: bool = True) -> None:
        self.spec = spec
        self.fused_activations = fused_activations

    def _act(self, quantizer: Any) -> Any:
        return fused(quantizer) if self.fused_activations else quantizer

    def unit_input(self) -> nn.Module:
        """Quantizer of the network's input, for images in [0, 1]: its scale fixed, and signed, as FINN wants it."""
        if self.spec is None:
            return nn.Identity()
        return qnn.QuantIdentity(
            act_quant=self._act(Int8ActPerTensorFloatMinMaxInit),
            bit_width=self.spec.boundary_bit_width,
            min_val=-1.0,
            max_val=1.0,
            scaling_impl_type="const",
            return_quant_tensor=True,
        )

    def conv(self, inputs: int, outputs: int, kernel: int, *, boundary: bool = False, **options: Any) -> nn.Module:
        """2-D convolution without bias; ``boundary`` marks the network's first or last layer."""
        if self.spec is None:
            return nn.Conv2d(inputs, outputs, kernel, bias=False, **options)
        return _traceable(qnn.QuantConv2d(inputs, outputs, kernel, bias=False, **options, **self._weights(boundary)))

    def linear(self, inputs: int, outputs: int, *, boundary: bool = False) -> nn.Module:
        """Dense layer without bias."""
        if self.spec is None:
            return nn.Linear(inputs, outputs, bias=False)
        return _traceable(qnn.QuantLinear(inputs, outputs, bias=False, **self._weights(boundary)))

    def relu(self) -> nn.Module:
        """ReLU with an unsigned per-tensor activation quantizer behind it."""
        if self.spec is None:
            return nn.ReLU()
        return qnn.QuantReLU(
            act_quant=self._act(Uint8ActPerTensorFloat),
            bit_width=self.spec.activation_bit_width,
            return_quant_tensor=True,
        )

    def unit_output(self) -> nn.Module:
        """ReLU for images in [0, 1], quantized to ``boundary_bit_width`` levels with a fixed scale."""
        if self.spec is None:
            return nn.ReLU()
        return qnn.QuantReLU(
            act_quant=self._act(Uint8ActPerTensorFloat),
            bit_width=self.spec.boundary_bit_width,
            scaling_impl_type="const",
            scaling_init=1.0,
        )

    def average_pool(self, size: int) -> nn.Module:
        """Average over the whole of ``size`` x ``size`` pixels, quantized again, and signed, as FINN wants it.

        The float form takes images of other sizes, too.
        """
        if self.spec is None:
            return nn.AdaptiveAvgPool2d(1)
        again = qnn.QuantIdentity(
            act_quant=self._act(Int8ActPerTensorFloat), bit_width=self.spec.boundary_bit_width, return_quant_tensor=True
        )
        return nn.Sequential(nn.AvgPool2d(size), again)

    def residual(self) -> nn.Module:
        """Signed quantizer that both operands of a residual sum pass through, so that their scales are equal."""
        if self.spec is None:
            return nn.Identity()
        return qnn.QuantIdentity(
            act_quant=self._act(Int8ActPerTensorFloat),
            bit_width=self.spec.activation_bit_width,
            return_quant_tensor=True,
        )

    def _weights(self, boundary: bool) -> dict[str, Any]:
        assert self.spec is not None
        if boundary:
            return {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": self.spec.boundary_bit_width}
        options: dict[str, Any] = {
            "weight_quant": _WEIGHT_QUANTIZERS[self.spec.method],
            "weight_bit_width": self.spec.weight_bit_width,
        }
        if self.spec.method != "none":
            options["weight_accumulator_bit_width"] = self.spec.accumulator_bit_width
        return options
