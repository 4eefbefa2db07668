"""What ``ptq.py`` compares with, on the same layers, data and P; each judged afterwards in integers."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.inject.enum import ScalingImplType
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat
from torch import nn

from brevitas_a2q import A2QConfig, constrain_, scale_init_
from brevitas_a2q._brevitas import QuantInputMixin
from brevitas_a2q.convert._brevitas_model import weight_layers
from brevitas_a2q.ptq._calibration import Calibration, call
from brevitas_a2q.ptq._network import float_twin, prepare
from brevitas_a2q.quant._layers import accumulator_layers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from brevitas.graph.calibrate import bias_correction_mode, calibration_mode

__all__ = ["BASELINES", "quantize"]


class _Frozen(Int8WeightPerChannelFloat):
    """Weights whose scale does not follow them, as AXE needs for its guarantee."""

    scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS


def _quantized(model: nn.Module, layers: dict[Any, Any]) -> nn.Module:
    from brevitas.graph.quantize import layerwise_quantize

    twin = copy.deepcopy(model).eval()
    plain = float_twin(prepare(twin))  # batch norms folded, biases added, value quantizers off
    network = plain.model
    for name, layer in weight_layers(network):
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, _float_layer(layer))
    return layerwise_quantize(network, layers).eval()


def _float_layer(layer: Any) -> nn.Module:
    for kind in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d):
        if isinstance(layer, kind):
            break
    made: Any
    if kind is nn.Linear:
        made = nn.Linear(layer.in_features, layer.out_features, bias=True)
    else:
        made = kind(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                    groups=layer.groups, dilation=layer.dilation)  # fmt: skip
    made.weight, made.bias = nn.Parameter(layer.weight.detach().clone()), nn.Parameter(layer.bias.detach().clone())
    return made


_KINDS = {
    nn.Linear: qnn.QuantLinear,
    nn.Conv1d: qnn.QuantConv1d,
    nn.Conv2d: qnn.QuantConv2d,
    nn.ConvTranspose1d: qnn.QuantConvTranspose1d,
    nn.ConvTranspose2d: qnn.QuantConvTranspose2d,
}


def _layerwise(model: nn.Module, data: Calibration, weight_bits: int = 8, input_bits: int = 8) -> nn.Module:
    """Brevitas' layer-wise quantization, activations calibrated; 8 bits in the first and the last layer."""
    arguments = {
        "input_quant": Int8ActPerTensorFloat,
        "weight_quant": _Frozen,
        "bias_quant": None,
        "return_quant_tensor": False,
    }
    network = _quantized(model, {kind: (quantized, dict(arguments)) for kind, quantized in _KINDS.items()})
    layers = weight_layers(network)
    for _, layer in layers[1:-1]:
        layer.weight_quant = _Frozen.let(bit_width=weight_bits).proxy_class(layer, _Frozen.let(bit_width=weight_bits))
        QuantInputMixin.__init__(layer, Int8ActPerTensorFloat.let(bit_width=input_bits))
    for _, layer in layers:
        layer.weight_quant(layer.weight)
    _calibrate(network.eval(), data)
    return network


@torch.no_grad()
def _calibrate(network: nn.Module, data: Calibration) -> None:
    with calibration_mode(network):
        for batch in data.known:
            call(batch)(network)


@torch.no_grad()
def _correct_bias(network: nn.Module, data: Calibration) -> None:
    with bias_correction_mode(network):
        for batch in data.known[:4]:
            call(batch)(network)


def rounding(model: nn.Module, data: Calibration, bits: int) -> nn.Module:
    """Every weight to the nearest 8-bit integer; its accumulators are as wide as they need to be."""
    network = _layerwise(model, data)
    _correct_bias(network, data)
    return network


def _projected(model: nn.Module, data: Calibration, bits: int, searched: bool) -> nn.Module:
    network = copy.deepcopy(model).eval()
    constrain_(network, A2QConfig(accumulator_bit_width=bits))
    for _, layer in accumulator_layers(network):
        layer.weight_quant.tensor_quant.budget_aware_scale = False
    _calibrate(network, data)
    if searched:
        scale_init_(network, tuple(tensor for tensor in (*data.known[0][0], *data.known[0][1].values())))
    _correct_bias(network, data)
    return network


def projection_fixed(model: nn.Module, data: Calibration, bits: int) -> nn.Module:
    """Our projection at the scale of the largest weight, 8-bit activations."""
    return _projected(model, data, bits, searched=False)


def projection_searched(model: nn.Module, data: Calibration, bits: int) -> nn.Module:
    """Our projection at the scale of least weight error, 8-bit activations."""
    return _projected(model, data, bits, searched=True)


def _axe(
    model: nn.Module, data: Calibration, bits: int, name: str, weight_bits: int = 8, input_bits: int = 8
) -> nn.Module:
    from brevitas_examples.common import axe

    network = _layerwise(model, data, weight_bits, input_bits)
    mode = getattr(axe, f"a2{name}_mode")
    layers = [layer for _, layer in weight_layers(network)]
    ends = {id(layers[0]), id(layers[-1])}  # wide accumulators, as for every other method
    options = {"use_quant_activations": True} if name == "gptq" else {}
    options["a2q_layer_filter_fnc"] = lambda layer: id(layer) not in ends
    with torch.no_grad(), mode(network, act_order=True, max_accumulator_bit_width=bits, max_accumulator_tile_size=None,
                               **options) as run:  # fmt: skip
        for _ in range(run.num_layers):
            for batch in data.known[:4]:
                call(batch)(run.model)
            run.update()
    _correct_bias(network, data)
    return network


def axe_gptq(model: nn.Module, data: Calibration, bits: int) -> nn.Module:
    """Brevitas' GPTQ with AXE, 8 bits, frozen scales, every layer but the first and the last at P."""
    return _axe(model, data, bits, "gptq")


def axe_gptq_w4(model: nn.Module, data: Calibration, bits: int) -> nn.Module:
    """The same with 4-bit weights, whose coarser scale leaves more of the budget."""
    return _axe(model, data, bits, "gptq", weight_bits=4)


def axe_gptq_w4a4(model: nn.Module, data: Calibration, bits: int) -> nn.Module:
    """The same with 4-bit weights and activations."""
    return _axe(model, data, bits, "gptq", weight_bits=4, input_bits=4)


def axe_gpfq(model: nn.Module, data: Calibration, bits: int) -> nn.Module:
    """Brevitas' GPFQ with AXE, 8 bits, frozen scales, every layer but the first and the last at P."""
    return _axe(model, data, bits, "gpfq")


BASELINES = {
    "rounding": rounding,
    "projection-fixed": projection_fixed,
    "projection-searched": projection_searched,
    "axe-gptq": axe_gptq,
    "axe-gptq-w4": axe_gptq_w4,
    "axe-gptq-w4a4": axe_gptq_w4a4,
    "axe-gpfq": axe_gpfq,
}


def quantize(method: str, model: nn.Module, calibration: Any, bits: int) -> nn.Module:
    """A quantized copy of a model by one of :data:`BASELINES`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BASELINES[method](model, Calibration.of(calibration, 0.01, 64), bits)
