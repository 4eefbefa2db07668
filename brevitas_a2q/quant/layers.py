"""Find the accumulator-aware layers of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from brevitas_a2q.quant.proxy import AccumulatorAwareWeightQuantProxy

__all__ = ["accumulator_layers"]


def accumulator_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Layers of ``model`` whose weight quantizer is accumulator-aware and enabled.

    Yields:
        Qualified name and layer; ``layer.weight_quant`` offers ``accumulator_bit_width``, ``accumulator_tile``,
        ``method``, ``input_range()`` and ``integer_weight()``.
    """
    for name, module in model.named_modules():
        proxy = getattr(module, "weight_quant", None)
        if isinstance(proxy, AccumulatorAwareWeightQuantProxy) and proxy.is_quant_enabled:
            yield name, module
