"""The module that computes what Brevitas' ``RescalingIntQuant`` does with one kernel each way."""

from __future__ import annotations

import math
from typing import Any

from brevitas import is_dynamo_compiling
from torch import Tensor, nn

from brevitas_a2q.quant._activations.anatomy import ROUNDINGS, clamp_of
from brevitas_a2q.quant._activations.statistics import Clamp, collect_for, collecting_scale, is_percentile
from brevitas_a2q.quant._functional.activation import Codes, quantize_activation
from brevitas_a2q.quant._scripted import kind_of

__all__ = ["FusedIntQuant"]

_UNCLAMPED: Clamp = (-math.inf, math.inf)


class FusedIntQuant(nn.Module):
    """Quantize activations: the activation function, if it is a clamp, and all that follows it.

    It takes over the sub-modules of the quantizer it stands for under the same names, so that checkpoints of the two
    agree; scale, zero-point and bit width are computed by them.

    Args:
        quantizer: A ``RescalingIntQuant`` that :func:`~brevitas_a2q.quant._activations.anatomy.unfusable` says
            nothing against.
    """

    def __init__(self, quantizer: Any) -> None:
        super().__init__()
        self.int_quant = quantizer.int_quant
        self.scaling_impl = quantizer.scaling_impl
        self.int_scaling_impl = quantizer.int_scaling_impl
        self.zero_point_impl = quantizer.zero_point_impl
        self.msb_clamp_bit_width_impl = quantizer.msb_clamp_bit_width_impl
        self.observer_only = False
        self.codes = Codes(
            bool(self.int_quant.signed),
            bool(self.int_quant.narrow_range),
            ROUNDINGS[kind_of(self.int_quant.float_to_int_impl)],
        )
        scaling = self.scaling_impl
        self._collects = kind_of(scaling) == "ParameterFromRuntimeStatsScaling"
        self._selects = self._collects and is_percentile(scaling.stats.stats_impl)
        self._constant_zero_point = kind_of(self.zero_point_impl) == "ZeroZeroPoint"
        self._collecting = False
        self._key = collect_for(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._key = collect_for(self)  # of its own, for a copy

    def train(self, mode: bool = True) -> FusedIntQuant:
        """As every module; what Brevitas has counted meanwhile is looked at again."""
        super().train(mode)
        self.count()
        return self

    def count(self) -> None:
        if self._collects:
            self._collecting = self.scaling_impl.counter < self.scaling_impl.collect_stats_steps

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._collecting = False  # counted again by train(), which loading ends with

    def forward(self, x: Tensor, activation: nn.Module | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantize activations.

        Args:
            x: Floating-point.
            activation: What comes before; None for nothing.

        Returns:
            Dequantized values, scale, zero-point and bit width.
        """
        clamp = clamp_of(activation)
        if clamp is None or self.observer_only:
            x, clamp = x if activation is None else activation(x), _UNCLAMPED
        bit_width = self.msb_clamp_bit_width_impl()
        threshold = self.int_scaling_impl(bit_width)
        x, clamp, scale = self._scale(x, clamp, threshold, activation)
        zero_point = self.zero_point_impl(x, scale, bit_width)
        if self.observer_only:
            return x, scale, zero_point, bit_width
        y = quantize_activation(x, scale, zero_point, bit_width, self.codes, *clamp)
        return y, scale, zero_point, bit_width

    def _scale(
        self, x: Tensor, clamp: Clamp, threshold: Tensor, activation: nn.Module | None
    ) -> tuple[Tensor, Clamp, Tensor]:
        """What to quantize, what still to clamp it to, and the scale."""
        scaling = self.scaling_impl
        reads = self.training and self._is_collecting()
        if reads and self._selects and self._constant_zero_point:
            x, scale = collecting_scale(scaling, x, threshold, clamp, self._key)
            return x, clamp, scale
        if (reads or not (self._collects and self._constant_zero_point)) and clamp != _UNCLAMPED and activation:
            x, clamp = activation(x), _UNCLAMPED  # statistics and zero-points may read what is quantized
        return x, clamp, scaling(x, threshold)

    def _is_collecting(self) -> bool:
        if not self._collects:
            return False
        if not is_dynamo_compiling():
            self.count()  # others than this module may have changed it
        return self._collecting
