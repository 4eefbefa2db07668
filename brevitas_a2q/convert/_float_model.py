"""Quantize a float model in place.

Every value that layers, sums and averages read gets one quantizer where it is made, as FINN wants it; the model's
``forward`` is rewritten for that (see :mod:`brevitas_a2q.convert._values`). A model that cannot be traced keeps its
``forward``, and every layer quantizes its input itself: the integers that reach it are known all the same, but sums
between layers stay real numbers. Names of layers stay what they were either way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Uint8ActPerTensorFloat,
)
from torch import nn
from torch.fx import Node

from brevitas_a2q._config import A2QConfig, LayerSettings
from brevitas_a2q.convert._attention import QuantAttention
from brevitas_a2q.convert._by_hand import HandMultiplied, multiplied_by_hand, never_called
from brevitas_a2q.convert._hardware import overlaps
from brevitas_a2q.convert._order import first_and_last
from brevitas_a2q.convert._relus import clipped_relus, is_relu
from brevitas_a2q.convert._rewrite import insert_quantizers_, install_forward_
from brevitas_a2q.convert._tracing import trace
from brevitas_a2q.convert._values import Dataflow, Value, dataflow
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant import _quantizers as quantizers

__all__ = ["FLOAT_LAYERS", "InputType", "Quantized", "quantize_float_model_"]

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


@dataclass(frozen=True)
class InputType:
    """What reaches a layer: N, its sign, whether the layer quantizes it itself, and what is before it, up to layers."""

    bit_width: int
    signed: bool
    by_layer: bool
    origins: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Quantized:
    """What was found of layers, by name.

    Attributes:
        inputs: What reaches each.
        exempt: The first and the last, where they are to be left alone.
        never_called: Those that never run, since the model multiplies by their weights itself.
    """

    inputs: Mapping[str, InputType]
    exempt: frozenset[str]
    never_called: frozenset[str] = frozenset()


class _Inputs:
    """The type of every value and of every layer's input."""

    def __init__(
        self,
        config: A2QConfig,
        exempt: frozenset[str],
        flow: Dataflow | None,
        modules: Mapping[str, nn.Module],
        clipped: Collection[Node],
    ) -> None:
        self._config, self._exempt, self._flow = config, exempt, flow
        self._modules, self._clipped = modules, clipped
        values = flow.values if flow is not None else ()
        self._signed = {origin for value in values if not value.unsigned for origin in value.origins}
        self._read: dict[str, list[Value]] = {}
        for value in values:
            for name in value.layers:
                self._read.setdefault(name, []).append(value)

    def is_exempt(self, name: str) -> bool:
        """Whether it is a first or last layer that no rule constrains."""
        return name in self._exempt and self._config.for_layer(name).skip is not False

    def _asked(self, name: str) -> int:
        if self.is_exempt(name):
            return self._config.boundary_bit_width
        return self._config.for_layer(name).input_bit_width or self._config.activation_bit_width

    def width_of(self, value: Value) -> int:
        """The widest that a layer asks for; one that asks for less quantizes again."""
        return max((self._asked(name) for name in value.layers), default=self._config.activation_bit_width)

    def of(self, name: str) -> InputType:
        """Type of a layer's input."""
        read, asked = self._read.get(name, []), self._asked(name)
        signed = not read or any(not value.unsigned for value in read)
        by_layer = len(read) != 1 or self.width_of(read[0]) != asked
        return InputType(asked, signed, by_layer, self._between(name))

    def _between(self, name: str) -> tuple[str, ...]:
        """What a layer reads, back to the layers before: types of modules, names of functions and methods."""
        if self._flow is None:
            return ()
        kinds, seen = list[str](), set[Node]()
        waiting = [source for node in self._flow.layers if node.target == name for source in node.all_input_nodes]
        while waiting:
            node = waiting.pop()
            if node in seen or node not in self._flow.tensors:
                continue
            seen.add(node)
            if overlaps(node, self._modules):
                kinds.append(f"overlapping {_kind(node, self._modules)}")
            elif node in self._signed and is_relu(node, self._modules):  # which shares the scale of signed values
                kinds.append(f"signed {_kind(node, self._modules)}")
            elif node not in self._flow.moves and node not in self._clipped:
                kinds.append(_kind(node, self._modules))
            if node not in self._flow.layers:
                waiting += reversed(node.all_input_nodes)
        return tuple(dict.fromkeys(kinds))


def _kind(node: Node, modules: Mapping[str, nn.Module]) -> str:
    if node.op == "placeholder":
        return "input"
    if node.op == "call_module":
        return type(modules[str(node.target)]).__name__
    return str(getattr(node.target, "__name__", node.target))


def _act_quantizer(bits: int, signed: bool) -> Any:
    return (Int8ActPerTensorFloat if signed else Uint8ActPerTensorFloat).let(bit_width=bits)


def quantize_float_model_(
    model: nn.Module,
    config: A2QConfig,
    names: Sequence[str],
    by_hand: HandMultiplied = (),
    run: Callable[[], Any] | None = None,
) -> Quantized:
    """Quantize every supported layer: within its accumulator's budget unless it is exempt or skipped by a rule.

    Args:
        model: Changed in place.
        config: What to do.
        names: Of its layers with weights, as they are defined.
        by_hand: Layers by whose weights the model's code multiplies; found out where there are none.
        run: Runs the model on an example, where there is one.
    """
    if type(model) in FLOAT_LAYERS or isinstance(model, nn.MultiheadAttention):
        raise ModelError(
            f"found a single {type(model).__name__}",
            where="constrain_",
            expected="a model that contains it",
            remedy="wrap it in nn.Sequential",
        )
    kinds = tuple(FLOAT_LAYERS)
    graph, idle = trace(model, kinds if config.hand_multiplied else ()), frozenset[str]()
    if not config.hand_multiplied:
        idle = never_called(model, graph, run, kinds)
    else:
        by_hand = by_hand or multiplied_by_hand(model, graph, run, kinds)
    calls = [str(node.target) for node in (graph.nodes if graph else ()) if node.op == "call_module"]
    exempt = first_and_last(names, calls) if config.skip_first_and_last else frozenset[str]()
    modules = dict(model.named_modules())
    flow = None if graph is None else dataflow(graph, modules, kinds)
    clipped = {} if graph is None or flow is None else clipped_relus(graph, modules, flow)
    inputs = _Inputs(config, exempt, flow, modules, clipped)
    types = {name: inputs.of(name) for name, module in model.named_modules() if type(module) in FLOAT_LAYERS}
    _quantize_layers_(model, config, inputs)
    if graph is not None and flow is not None:
        acts = [_act_quantizer(inputs.width_of(value), not value.unsigned) for value in flow.values]
        again = {name for name, found in types.items() if found.by_layer and not found.signed}
        insert_quantizers_(model, graph, flow, acts, clipped, again)
    install_forward_(model, graph, by_hand)
    return Quantized(types, exempt, idle)


def _quantize_layers_(model: nn.Module, config: A2QConfig, inputs: _Inputs) -> None:
    """Replace every layer by its Brevitas counterpart of the same name."""

    def settings(module: nn.Module, name: str) -> dict[str, Any]:
        found = inputs.of(name)
        weight = _weight_quantizer(module, config.for_layer(name), config, inputs.is_exempt(name))
        if found.by_layer:
            return {"input": _act_quantizer(found.bit_width, found.signed), "weight": weight}
        return {"input": None, "weight": weight.let(input_bit_width=found.bit_width, input_signed=found.signed)}

    # Brevitas calls functions named <lambda> with the layer and its name.
    layer_kwargs = {
        "input_quant": lambda module, name: settings(module, name)["input"],
        "weight_quant": lambda module, name: settings(module, name)["weight"],
        "bias_quant": None,
        "return_quant_tensor": False,
    }
    attention_kwargs = {
        # Brevitas takes what the module has as attributes of these names; it has none for biases.
        "bias": lambda module, name: module.in_proj_bias is not None,
        "add_bias_kv": lambda module, name: module.bias_k is not None,
        "in_proj_input_quant": lambda module, name: settings(module, f"{name}.in_proj")["input"],
        "in_proj_weight_quant": lambda module, name: settings(module, f"{name}.in_proj")["weight"],
        "out_proj_input_quant": lambda module, name: settings(module, f"{name}.out_proj")["input"],
        "out_proj_weight_quant": lambda module, name: settings(module, f"{name}.out_proj")["weight"],
        "in_proj_bias_quant": None,
        "out_proj_bias_quant": None,
        "attn_output_weights_quant": Uint8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "q_scaled_quant": Int8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "k_transposed_quant": Int8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "v_quant": Int8ActPerTensorFloat.let(bit_width=config.activation_bit_width),
        "return_quant_tensor": False,
    }
    layers: dict[Any, Any] = {kind: (quantized, layer_kwargs) for kind, quantized in FLOAT_LAYERS.items()}
    layers[nn.MultiheadAttention] = (QuantAttention, attention_kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing it tells of an optional package and of Brevitas' own deprecations
        from brevitas_a2q._brevitas import layerwise_quantize
    layerwise_quantize(model, layers)


def _weight_quantizer(module: nn.Module, layer: LayerSettings, config: A2QConfig, first_or_last: bool) -> Any:
    transposed_in_groups = getattr(module, "transposed", False) and module.groups != 1
    # Its weight has no axis of output channels, and Brevitas' own scales per channel do not fit it.
    plain = Int8WeightPerTensorFloat if transposed_in_groups else Int8WeightPerChannelFloat
    if first_or_last:
        return plain.let(bit_width=config.boundary_bit_width)
    bits = layer.weight_bit_width or 8
    if layer.skip:
        return plain.let(bit_width=bits)
    return _READY[layer.method].let(
        bit_width=bits, accumulator_bit_width=layer.accumulator_bit_width, accumulator_tile=layer.tile
    )
