"""Turn any integer Brevitas weight quantizer into an accumulator-aware one."""

from __future__ import annotations

from typing import Any

from brevitas.inject import ExtendedInjector
from dependencies import value

from brevitas_a2q.quant.layout import WeightLayout
from brevitas_a2q.quant.proxy import AccumulatorAwareWeightQuantProxy
from brevitas_a2q.quant.tensor_quant import AccumulatorAwareTensorQuant

__all__ = ["accumulator_aware"]


class AccumulatorAware(ExtendedInjector):
    """What an accumulator-aware quantizer adds to the integer weight quantizer it extends."""

    proxy_class = AccumulatorAwareWeightQuantProxy
    tensor_quant = AccumulatorAwareTensorQuant
    accumulator_bit_width = 32
    accumulator_tile = None

    @value
    def weight_layout(module):  # type: ignore[no-untyped-def]  # noqa: N805
        return WeightLayout.of(module[0] if isinstance(module, tuple) else module)


def accumulator_aware(
    base: Any, method: str = "projected", accumulator_bit_width: int | None = None, tile: int | None = None
) -> Any:
    """Accumulator-aware version of an integer weight quantizer."""
    settings: dict[str, Any] = {"accumulator_method": method}
    if accumulator_bit_width is not None:
        settings["accumulator_bit_width"] = accumulator_bit_width
    if tile is not None:
        settings["accumulator_tile"] = tile
    return type(base)(f"AccumulatorAware{base.__name__}", (AccumulatorAware, base), settings)
