"""Brevitas quantizers with the types and scales that were found."""

from __future__ import annotations

from typing import Any, Final

import torch
from brevitas.nn import QuantIdentity
from torch import Tensor, nn

from brevitas_a2q._brevitas import (
    ActQuantSolver,
    BitWidthImplType,
    ExtendedInjector,
    FloatToIntImplType,
    IntQuant,
    NarrowIntQuant,
    ParameterZeroPoint,
    PerTensorFloatScaling8bit,
    PerTensorPoTScaling8bit,
    QuantType,
    ScalingImplType,
    UintQuant,
    this,
)
from brevitas_a2q._config import LayerSettings
from brevitas_a2q.errors import ModelError
from brevitas_a2q.ptq._activations import ActivationType
from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._layout import WeightLayout

__all__ = ["activation_quantizer", "set_bias_", "set_weights_", "weight_quantizer_"]

_WEIGHTS: Final[dict[tuple[bool, bool], Any]] = {
    (False, False): quantizers.Int8ProjectedA2QWeightPerChannelFloat,
    (False, True): quantizers.Int8ProjectedA2QWeightPerChannelFixedPoint,
    (True, False): quantizers.Int8ProjectedA2QWeightPerTensorFloat,
    (True, True): quantizers.Int8ProjectedA2QWeightPerTensorFixedPoint,
}


class _Learned(ExtendedInjector):
    """A scale that starts at a given number and can be learned."""

    scaling_impl_type = ScalingImplType.PARAMETER
    scaling_min_val = 1e-30


class _Shifted(ExtendedInjector):
    """Unsigned with a zero-point that starts at a given number and can be learned."""

    quant_type = QuantType.INT
    bit_width_impl_type = BitWidthImplType.CONST
    float_to_int_impl_type = FloatToIntImplType.ROUND
    narrow_range = False
    signed = False
    quantize_zero_point = True
    zero_point_impl = ParameterZeroPoint
    zero_point_shape = this.scaling_shape


def _quantizer(base: Any, scaling: Any) -> Any:
    metaclass: Any = type(_Learned)
    return metaclass("PostTrainingActivation", (base, _Learned, scaling, ActQuantSolver), {})


def _base(kind: ActivationType) -> Any:
    if kind.kind == "signed":
        return NarrowIntQuant if kind.lo == -kind.hi else IntQuant
    return UintQuant if kind.kind == "unsigned" else _Shifted


def activation_quantizer(kind: ActivationType, power_of_two: bool) -> Any:
    """Injector of an activation quantizer of this type, for ``input_quant=`` or ``act_quant=``.

    Raises:
        ModelError: Brevitas would compute other codes.
    """
    injector = _quantizer(_base(kind), PerTensorPoTScaling8bit if power_of_two else PerTensorFloatScaling8bit)
    injector = injector.let(bit_width=kind.bit_width)
    if kind.kind == "shifted":
        injector = injector.let(zero_point_init=-kind.lo * kind.scale)
    unit: Any = QuantIdentity(act_quant=injector.let(scaling_init=1.0), return_quant_tensor=True).eval()
    threshold = round(1.0 / float(unit.act_quant.scale().detach()))
    injector = injector.let(scaling_init=kind.scale * threshold)
    made: Any = QuantIdentity(act_quant=injector, return_quant_tensor=True).eval()
    lowest, highest = made(torch.tensor([-1e6, 1e6]) * kind.scale).value.detach()
    if (float(lowest), float(highest)) != (kind.lo * kind.scale, kind.hi * kind.scale):
        raise ModelError(
            f"found [{float(lowest)}, {float(highest)}] from a quantizer",
            where=f"activation of {kind.bit_width} bits",
            expected=f"[{kind.lo * kind.scale}, {kind.hi * kind.scale}]",
        )
    return injector


def weight_quantizer_(
    layer: Any, name: str, settings: LayerSettings, *, shared_scale: bool, power_of_two: bool
) -> None:
    """Give a layer the projection of these widths, in place.

    Args:
        layer: Of ``brevitas.nn``.
        name: For messages.
        settings: P, M, tile, and the type of an input that the layer does not quantize itself.
        shared_scale: Whether its outputs have one scale.
        power_of_two: Whether scales are powers of two.
    """
    injector = _WEIGHTS[shared_scale, power_of_two].let(
        bit_width=settings.weight_bit_width,
        accumulator_bit_width=settings.accumulator_bit_width,
        accumulator_tile=settings.tile,
    )
    if settings.input_bit_width is not None:
        injector = injector.let(input_bit_width=settings.input_bit_width, input_signed=settings.input_signed)
    proxy = injector.proxy_class(layer, injector)
    proxy.layer_name = name or None
    proxy.train(layer.training)
    layer.weight_quant = proxy


@torch.no_grad()
def set_weights_(layer: nn.Module, codes: Tensor, scales: Tensor) -> None:
    """Let a layer's weights be these integers at these scales, in place.

    Args:
        layer: With a quantizer of :func:`weight_quantizer_`.
        codes: # shape: (C, K)
        scales: One for each output; all the same where it has one.  # shape: (C,)
    """
    weight: Any = layer.weight
    proxy: Any = layer.weight_quant
    quantizer = proxy.tensor_quant
    quantizer.scale(weight)  # so that the scale counts as initialized
    value = quantizer.scaling_impl.value
    threshold = quantizer.int_scaling_impl(quantizer.msb_clamp_bit_width_impl())
    given = scales[:1] if value.numel() == 1 else scales
    value.copy_((given.double() * float(threshold)).log2().reshape(value.shape))
    stored = WeightLayout.per_channel(quantizer.scale(weight))
    rows = codes.to(weight.dtype) * stored
    weight.copy_(proxy.layout.weight(rows, tuple(weight.shape)))


@torch.no_grad()
def set_bias_(layer: Any, codes: Tensor) -> None:
    """Let a layer's integer bias be these codes, at the scale of its sums, in place.

    Args:
        layer: That has its weights and knows the scale of its input.
        codes: # shape: (C,)
    """
    proxy: Any = layer.weight_quant
    scale = WeightLayout.per_channel(proxy.tensor_quant.scale(layer.weight)).reshape(-1).double()
    layer.bias.copy_((codes.double() * scale * proxy.input_scale.double()).to(layer.bias.dtype))
