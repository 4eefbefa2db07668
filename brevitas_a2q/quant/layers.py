"""Find the accumulator-aware layers of a model, and let them see its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from brevitas_a2q.quant.proxy import AccumulatorAwareWeightQuantProxy

__all__ = ["accumulator_layers", "learn_input_ranges"]


def accumulator_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Layers of ``model`` whose weight quantizer is accumulator-aware and enabled.

    Yields:
        Qualified name and layer; ``layer.weight_quant`` offers ``accumulator_bit_width``, ``accumulator_tile``,
        ``method``, ``bias_covered``, ``input_range()``, ``integer_weight()`` and ``integer_bias()``.
    """
    for name, module in model.named_modules():
        proxy = getattr(module, "weight_quant", None)
        if isinstance(proxy, AccumulatorAwareWeightQuantProxy) and proxy.is_quant_enabled:
            yield name, module


@torch.no_grad()
def learn_input_ranges(model: nn.Module, example_inputs: Any) -> None:
    """Run the model once, in evaluation mode, so that its layers know the integers that reach them.

    Args:
        model: Its mode is restored afterwards.
        example_inputs: Input tensor, or tuple of inputs; None does nothing.
    """
    for name, layer in accumulator_layers(model):
        layer.weight_quant.layer_name = name or None
    if example_inputs is None:
        return
    inputs = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        model(*inputs)
    finally:
        for module, training in modes:
            module.training = training
