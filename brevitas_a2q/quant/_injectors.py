"""What makes an integer weight quantizer of Brevitas accumulator-aware."""

from __future__ import annotations

from typing import Any

from torch import nn

from brevitas_a2q._brevitas import (
    ExtendedInjector,
    FloatToIntImplType,
    QuantType,
    value,
)
from brevitas_a2q._config import METHODS
from brevitas_a2q.bounds import MIN_ACCUMULATOR_BITS
from brevitas_a2q.errors import ConfigError, ModelError
from brevitas_a2q.quant._keywords import check_accumulator, check_keywords
from brevitas_a2q.quant._layout import WeightLayout
from brevitas_a2q.quant._proxy import AccumulatorAwareWeightQuantProxy
from brevitas_a2q.quant._tensor_quant import AccumulatorAwareTensorQuant, LearnedNormTensorQuant
from brevitas_a2q.quant._zero_points import check_datapath

__all__ = ["AccumulatorAware", "extended"]


def _first(module: Any) -> nn.Module:
    layer: nn.Module = module[0] if isinstance(module, tuple) else module
    return layer


def _has_room_for_centring(layer: nn.Module) -> bool:
    """Depthwise layers and single products have none (A2Q+)."""
    layout, shape = WeightLayout.of(layer), tuple(layer.weight.shape)  # type: ignore[arg-type]
    depthwise = getattr(layer, "groups", 1) > 1 and layer.groups == layer.in_channels
    return layout.dot_product_size(shape) > 1 and not depthwise


class AccumulatorAware(ExtendedInjector):
    """What an accumulator-aware quantizer adds to the integer weight quantizer it extends.

    Keyword arguments of a layer, each with the prefix ``weight_``: ``accumulator_bit_width``, ``accumulator_tile``,
    ``accumulator_zero_point`` (:mod:`brevitas_a2q.quant._zero_points`), and for a layer whose input carries no range
    ``input_bit_width``, ``input_signed``, ``input_narrow_range`` and ``input_zero_point``. ``budget_aware_scale=True``
    lets a learned scale start where it loses least within the budget.
    """

    proxy_class = AccumulatorAwareWeightQuantProxy
    requested_accumulator_method = "projected"
    accumulator_bit_width = None
    accumulator_tile = None
    accumulator_zero_point = None
    budget_aware_scale = False
    input_bit_width = None
    input_signed = None
    input_narrow_range = False
    input_zero_point = 0
    quant_delay_steps = None

    @value
    def tensor_quant(accumulator_method, quant_type, quant_delay_steps):  # type: ignore[no-untyped-def]  # noqa: N805
        check_keywords(quant_type, quant_delay_steps)
        return AccumulatorAwareTensorQuant if accumulator_method == "projected" else LearnedNormTensorQuant

    @value
    def accumulator_method(requested_accumulator_method, module):  # type: ignore[no-untyped-def]  # noqa: N805
        if requested_accumulator_method == "a2q+" and not _has_room_for_centring(_first(module)):
            return "a2q"
        return requested_accumulator_method

    @value
    def weight_layout(module):  # type: ignore[no-untyped-def]  # noqa: N805
        return WeightLayout.of(_first(module))


def _check_base(base: Any) -> None:
    """Refuse quantizers whose weights are not integers times one scale per channel or tensor."""
    name = getattr(base, "__name__", repr(base))
    if not isinstance(base, type(ExtendedInjector)):
        raise ModelError(f"found {name}", where="accumulator_aware", expected="a Brevitas weight quantizer")
    known = base.__dependencies__
    if "quant_type" not in known or base.quant_type != QuantType.INT or "int_quant" not in known:
        raise ModelError(
            f"{name} is not an integer quantizer with one scale",
            where="accumulator_aware",
            expected="a quantizer such as Int8WeightPerChannelFloat",
        )
    if "zero_point_stats_impl" in known or not base.signed:
        raise ModelError(
            f"{name} is asymmetric: its zero-point enters the sum with every input",
            where="accumulator_aware",
            expected="a symmetric signed quantizer",
        )
    if "group_size" in known:
        raise ModelError(
            f"{name} has a scale per group, so products of one sum are at different scales",
            where="accumulator_aware",
            expected="a scale per channel or per tensor",
        )


def extended(
    base: Any,
    method: str = "projected",
    accumulator_bit_width: int | None = None,
    tile: int | None = None,
    zero_point: str | None = None,
) -> Any:
    """The accumulator-aware version of a quantizer of Brevitas that has no such bound yet."""
    _check_base(base)
    if method not in METHODS:
        raise ConfigError(f"found method = {method!r}", where="accumulator_aware", expected=f"one of {METHODS}")
    settings: dict[str, Any] = {"requested_accumulator_method": method}
    if method == "projected" and getattr(base, "float_to_int_impl_type", None) == FloatToIntImplType.ROUND_TO_ZERO:
        settings["float_to_int_impl_type"] = FloatToIntImplType.ROUND  # A2Q's rounding; another method has its own
    if accumulator_bit_width is not None:
        check_accumulator(accumulator_bit_width, tile)
        settings["accumulator_bit_width"] = accumulator_bit_width
    if tile is not None:
        check_accumulator(MIN_ACCUMULATOR_BITS, tile)
        settings["accumulator_tile"] = tile
    if zero_point is not None:
        settings["accumulator_zero_point"] = check_datapath(zero_point, "accumulator_aware")
    # One that is accumulator-aware already gets other settings; it cannot inherit the same parts twice.
    bases = (base,) if AccumulatorAware in base.__mro__ else (AccumulatorAware, base)
    return type(base)(f"AccumulatorAware{base.__name__}", bases, settings)
