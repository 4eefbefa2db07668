"""Swap the weight quantizers of a Brevitas model for accumulator-aware ones, keeping what they have learnt."""

from __future__ import annotations

from typing import Any

from torch import nn

from brevitas_a2q._brevitas import WeightQuantProxyFromInjectorBase
from brevitas_a2q._config import LayerSettings
from brevitas_a2q.convert._upstream import take_over_
from brevitas_a2q.quant._accumulator_aware import accumulator_aware, is_upstream_a2q
from brevitas_a2q.quant._proxy import AccumulatorAwareWeightQuantProxy

__all__ = ["extend_quantizer_", "weight_layers"]


def weight_layers(model: nn.Module) -> list[tuple[str, Any]]:
    """Brevitas layers with a weight quantizer, enabled or not, in the order in which they are defined."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight_quant", None), WeightQuantProxyFromInjectorBase)
    ]


def _injector(proxy: Any, settings: LayerSettings) -> Any:
    injector = proxy.quant_injector
    if isinstance(proxy, AccumulatorAwareWeightQuantProxy):
        extended = injector.let(
            requested_accumulator_method=settings.method,
            accumulator_bit_width=settings.accumulator_bit_width,
            accumulator_tile=settings.tile,
        )
    else:
        extended = accumulator_aware(injector, settings.method, settings.accumulator_bit_width, settings.tile)
    if settings.weight_bit_width is not None:
        extended = extended.let(bit_width=settings.weight_bit_width)
    if settings.input_bit_width is not None:
        extended = extended.let(input_bit_width=settings.input_bit_width, input_signed=settings.input_signed)
    return extended


def extend_quantizer_(layer: Any, name: str, settings: LayerSettings) -> None:
    """Give one layer an accumulator-aware quantizer with the bit width, granularity and scale it has.

    Args:
        layer: A Brevitas layer; the weights stay what they are, and so does a learned scale.
        name: Its qualified name, for messages.
        settings: P, method and the rest.

    Raises:
        ModelError: Its quantizer cannot be extended; nothing has changed then.
    """
    old = layer.weight_quant
    extended = _injector(old, settings)
    proxy = extended.proxy_class(layer, extended)
    proxy.layer_name = name or None
    for other in old.tracked_module_list[1:]:
        proxy.add_tracked_module(other)
    if is_upstream_a2q(old.quant_injector):
        take_over_(layer, old, proxy)
    else:
        proxy.tensor_quant.load_state_dict(old.tensor_quant.state_dict(), strict=False)
    if isinstance(old, AccumulatorAwareWeightQuantProxy):
        proxy.adopt_input_range(old)
    proxy.train(old.training)
    for user in old.tracked_module_list:
        user.weight_quant = proxy
