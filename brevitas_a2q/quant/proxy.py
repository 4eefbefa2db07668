"""The weight proxy of accumulator-aware quantizers: knows the input, returns an ordinary ``IntQuantTensor``."""

from __future__ import annotations

import torch
from brevitas.proxy.parameter_quant import WeightQuantProxyFromInjector
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import ModelError

__all__ = ["AccumulatorAwareWeightQuantProxy"]


class AccumulatorAwareWeightQuantProxy(WeightQuantProxyFromInjector):
    """Quantizes the weights of a layer for the integers that reach it.

    The range of the input is taken from the quantized input of each call and remembered, so that the weights can be
    asked for without an input afterwards.
    """

    def __init__(self, quant_layer: nn.Module, quant_injector: object) -> None:
        super().__init__(quant_layer, quant_injector)
        self.register_buffer("input_lo", torch.tensor(0))
        self.register_buffer("input_hi", torch.tensor(0))

    @property
    def requires_quant_input(self) -> bool:
        return True

    @property
    def accumulator_bit_width(self) -> int:
        """P: width of the accumulator, in bits."""
        return int(self.tensor_quant.accumulator_bit_width)

    @property
    def accumulator_tile(self) -> int | None:
        """Weights per tile of a multi-stage accumulator, or None for a single stage."""
        tile: int | None = self.tensor_quant.accumulator_tile
        return tile

    @property
    def method(self) -> str:
        """``"a2q"``, ``"a2q+"`` or ``"projected"``."""
        return str(self.tensor_quant.method)

    def input_range(self) -> IntRange | None:
        """Integers that one input may take, zero-point subtracted; None before it is known."""
        lo, hi = int(self.input_lo), int(self.input_hi)
        return IntRange(lo, hi) if lo < hi else None

    def integer_weight(self) -> Tensor:
        """Integer weights for the known input range.

        Returns:
            One row per output channel, int64.  # shape: (C, K)
        """
        layer = self.tracked_module_list[0]
        with torch.no_grad():
            weight = self(layer.weight)
            codes = torch.round(weight.value.double() / weight.scale.double()).long()
        rows: Tensor = self.tensor_quant.layout.rows(codes)
        return rows

    def norm_excess(self) -> list[Tensor]:
        """``t - T`` per channel, in bits, of methods that learn a norm; empty otherwise.  # shape: (C,)"""
        if self.input_range() is None:
            return []
        return [self.tensor_quant.norm_excess(self.tracked_module_list[0].weight, self.input_lo, self.input_hi)]

    def forward(self, x: Tensor, quant_input: Tensor | IntQuantTensor | None = None) -> Tensor | IntQuantTensor:
        if not self.is_quant_enabled:
            return x
        if self.export_mode:
            out = self.export_handler(x)
            return out[0] if self.skip_create_quant_tensor else self.create_quant_tensor(out)
        if isinstance(quant_input, IntQuantTensor):
            bits = quant_input.bit_width.detach().ceil().long()
            one = torch.ones_like(bits)
            signed = quant_input.signed_t
            low = torch.where(signed, -(one << (bits - 1)), torch.zeros_like(one))
            high = torch.where(signed, one << (bits - 1), one << bits) - 1
            zero_point = quant_input.zero_point.detach()
            self.input_lo.copy_((low - zero_point.max().ceil().long()).clamp_max(0))
            self.input_hi.copy_((high - zero_point.min().floor().long()).clamp_min(0))
        elif self.input_range() is None:
            raise ModelError(
                "its input is not quantized, so nothing bounds the sums",
                where=f"layer {type(self.tracked_module_list[0]).__name__}",
                expected="a quantized input",
                remedy="set input_quant= on the layer, or return_quant_tensor=True on the activation before it",
            )
        out = self.tensor_quant(x, self.input_lo, self.input_hi)
        return out[0] if self.skip_create_quant_tensor else self.create_quant_tensor(out)
