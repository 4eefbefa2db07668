"""Where training may start: the weights of a quantized model, solved for least output error within their budgets."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from brevitas_a2q._config import LayerRule
from brevitas_a2q.ptq._config import PostTrainingConfig
from brevitas_a2q.ptq._post_training import quantize_post_training_
from brevitas_a2q.ptq._quantizers import set_weights_
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.quant._layout import WeightLayout

__all__ = ["solve_weights_"]


def solve_weights_(model: nn.Module, calibration: Any, *, seed: int = 0) -> int:
    """Give the projected layers of a model the weights that quantization without training finds, in place.

    Each keeps its quantizer, its widths and its activations; its weights become the integers that were found, at their
    scales. Biases stay: correct them afterwards.

    Args:
        model: Of ``brevitas.nn`` layers, with activation scales and float weights as they were trained.
        calibration: As for :func:`quantize_post_training_`.
        seed: Of what is sampled.

    Returns:
        How many layers were solved; those of A2Q and A2Q+ are not.

    Raises:
        DataError: Data that cannot be used.
        ModelError: A model that cannot be quantized without training.
    """
    layers = {name: layer for name, layer in accumulator_layers(model) if layer.weight_quant.method == "projected"}
    if not layers:
        return 0
    twin = copy.deepcopy(model)
    rules = tuple(
        LayerRule(name, accumulator_bit_width=layer.weight_quant.accumulator_bit_width, skip=False)
        for name, layer in layers.items()
    )
    quantize_post_training_(twin, calibration, PostTrainingConfig(method="exchange", rules=rules, seed=seed))
    solved = dict(twin.named_modules())
    with torch.no_grad():
        for name, layer in layers.items():
            other: Any = solved[name]
            codes = other.weight_quant.integer_weight()
            scales = WeightLayout.per_channel(other.weight_quant.tensor_quant.scale(other.weight)).reshape(-1)
            set_weights_(layer, codes.to(layer.weight.device), scales.expand(len(codes)))
    return len(layers)
