"""Quantize a float model in place with Brevitas' layer-wise graph quantization.

Every layer gets a quantizer for its input, so the integers that reach it are known wherever they come from, whatever
the model's code does in between, and names of layers stay what they were.
"""

from __future__ import annotations

import warnings
from typing import Any

import brevitas.nn as qnn
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
from torch import nn

from brevitas_a2q.config import A2QConfig, LayerSettings
from brevitas_a2q.convert.signedness import unsigned_inputs
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant import quantizers

__all__ = ["FLOAT_LAYERS", "quantize_float_model_"]

FLOAT_LAYERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: qnn.QuantLinear,
    nn.Conv1d: qnn.QuantConv1d,
    nn.Conv2d: qnn.QuantConv2d,
    nn.Conv3d: qnn.QuantConv3d,
    nn.ConvTranspose1d: qnn.QuantConvTranspose1d,
    nn.ConvTranspose2d: qnn.QuantConvTranspose2d,
    nn.ConvTranspose3d: qnn.QuantConvTranspose3d,
}
_READY = {
    "projected": quantizers.Int8ProjectedA2QWeightPerChannelFloat,
    "a2q": quantizers.Int8A2QWeightPerChannelFloat,
    "a2q+": quantizers.Int8A2QPlusWeightPerChannelFloat,
}


def quantize_float_model_(model: nn.Module, config: A2QConfig, exempt: frozenset[str]) -> None:
    """Quantize every supported layer: within its accumulator's budget unless it is exempt or skipped by a rule.

    Args:
        model: Changed in place.
        config: What to do.
        exempt: Names of the first and last layer.
    """
    if type(model) in FLOAT_LAYERS or isinstance(model, nn.MultiheadAttention):
        raise ModelError(
            f"found a single {type(model).__name__}",
            where="constrain_",
            expected="a model that contains it",
            remedy="wrap it in nn.Sequential",
        )
    unsigned = unsigned_inputs(model)

    def settings(name: str) -> dict[str, Any]:
        layer = config.for_layer(name)
        first_or_last = name in exempt and layer.skip is not False
        act = Uint8ActPerTensorFloat if name in unsigned else Int8ActPerTensorFloat
        act_bits = config.exempt_bit_width if first_or_last else layer.input_bit_width or config.activation_bit_width
        return {"input": act.let(bit_width=act_bits), "weight": _weight_quantizer(layer, config, first_or_last)}

    # Brevitas calls functions named <lambda> with the layer and its name.
    layer_kwargs = {
        "input_quant": lambda module, name: settings(name)["input"],
        "weight_quant": lambda module, name: settings(name)["weight"],
        "bias_quant": None,
        "return_quant_tensor": False,
    }
    attention_kwargs = {
        "in_proj_input_quant": lambda module, name: settings(f"{name}.in_proj")["input"],
        "in_proj_weight_quant": lambda module, name: settings(f"{name}.in_proj")["weight"],
        "out_proj_input_quant": lambda module, name: settings(f"{name}.out_proj")["input"],
        "out_proj_weight_quant": lambda module, name: settings(f"{name}.out_proj")["weight"],
        "in_proj_bias_quant": None,
        "out_proj_bias_quant": None,
        "attn_output_weights_quant": Uint8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "q_scaled_quant": Int8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "k_transposed_quant": Int8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "v_quant": Int8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "return_quant_tensor": False,
    }
    layers: dict[Any, Any] = {kind: (quantized, layer_kwargs) for kind, quantized in FLOAT_LAYERS.items()}
    layers[nn.MultiheadAttention] = (qnn.QuantMultiheadAttention, attention_kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing it tells of an optional package and of Brevitas' own deprecations
        from brevitas.graph.quantize import layerwise_quantize
    layerwise_quantize(model, layers)


def _weight_quantizer(layer: LayerSettings, config: A2QConfig, first_or_last: bool) -> Any:
    if first_or_last:
        return Int8WeightPerChannelFloat.let(bit_width=config.exempt_bit_width)
    bits = layer.weight_bit_width or 8
    if layer.skip:
        return Int8WeightPerChannelFloat.let(bit_width=bits)
    return _READY[layer.method].let(
        bit_width=bits, accumulator_bit_width=layer.accumulator_bit_width, accumulator_tile=layer.tile
    )
