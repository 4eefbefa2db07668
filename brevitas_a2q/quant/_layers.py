"""Find the accumulator-aware layers of a model, and let them see its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from brevitas_a2q._trace import Call, learn_ranges
from brevitas_a2q.quant._output_width import watch_output
from brevitas_a2q.quant._proxy import AccumulatorAwareWeightQuantProxy

__all__ = ["accumulator_layers", "fixed_input_ranges", "learn_input_ranges"]


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


@contextmanager
def fixed_input_ranges(model: nn.Module) -> Iterator[None]:
    """Use the input ranges that are known, without looking at inputs, inside of the context.

    Brevitas' GPFQ refuses quantizers that ask for an input; inside of this context it accepts them. What it arrives at
    is quantized as ever when the layer next runs, within the budget, of which it knows nothing. GPTQ is refused: it
    rounds one column of the weights at a time, and what it spreads over the others a projection of the whole row would
    undo; ``quantize_post_training_`` solves for the same error within the budget.

    Raises:
        ModelError: The range of a layer is not known, or GPTQ is at work.
    """
    layers = [layer for _, layer in accumulator_layers(model)]
    for layer in layers:
        layer.weight_quant.require_known_range()
    for layer in layers:
        layer.weight_quant.range_is_fixed = True
        watch_output(layer, False)  # Brevitas warns of any hook there
    try:
        yield
    finally:
        for layer in layers:
            layer.weight_quant.range_is_fixed = False
            watch_output(layer, True)


@torch.no_grad()
def learn_input_ranges(model: nn.Module, example_inputs: Any) -> frozenset[str] | None:
    """Run the model once, in evaluation mode and traced, so that its layers know the integers that reach them.

    Args:
        model: Its mode is restored afterwards.
        example_inputs: Input tensor, or tuple of inputs; None does nothing.

    Returns:
        Names of the quantized layers that ran; None without inputs.
    """
    for name, layer in accumulator_layers(model):
        layer.weight_quant.layer_name = name or None
    if example_inputs is None:
        return None
    inputs = tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    return frozenset(learn_ranges(Call(model, inputs, {})).layers)
