"""From what was found to an ordinary accumulator-aware Brevitas model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from brevitas.nn import QuantIdentity
from torch import nn

from brevitas_a2q._brevitas import QuantInputMixin
from brevitas_a2q._config import LayerSettings
from brevitas_a2q.convert._by_hand import HandMultiplied
from brevitas_a2q.convert._relus import quantize_relus_
from brevitas_a2q.errors import ModelError
from brevitas_a2q.ptq._activations import ActivationType
from brevitas_a2q.ptq._equalized import equalize_
from brevitas_a2q.ptq._layer import LayerSolution
from brevitas_a2q.ptq._network import Network
from brevitas_a2q.ptq._quantizers import activation_quantizer, set_bias_, set_weights_, weight_quantizer_
from brevitas_a2q.ptq._sequence import site_reads_value
from brevitas_a2q.quant._layers import accumulator_layers, learn_input_ranges

__all__ = ["LayerSpec", "ModelSpec", "check_integers", "install_", "set_solutions_", "spec_of"]


@dataclass(frozen=True)
class LayerSpec:
    """Widths and types of a layer's quantizers."""

    accumulator_bit_width: int
    tile: int | None
    weight_bit_width: int
    activation: ActivationType
    by_value: bool  # whether the quantizer of the value it reads serves it


@dataclass(frozen=True)
class ModelSpec:
    """All that a model's quantizers are built from; their parameters are in the model's state."""

    layers: Mapping[str, LayerSpec]
    values: Mapping[str, ActivationType]
    shared_scale: bool
    power_of_two: bool
    by_hand: HandMultiplied = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        layers = {
            name: {
                "accumulator_bit_width": layer.accumulator_bit_width,
                "tile": layer.tile,
                "weight_bit_width": layer.weight_bit_width,
                "activation": layer.activation.to_json(),
                "by_value": layer.by_value,
            }
            for name, layer in self.layers.items()
        }
        values = {name: kind.to_json() for name, kind in self.values.items()}
        return {
            "layers": layers,
            "values": values,
            "shared_scale": self.shared_scale,
            "power_of_two": self.power_of_two,
            "by_hand": [list(one) for one in self.by_hand],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelSpec:
        """Inverse of :meth:`to_json`."""
        layers = {
            name: LayerSpec(**{**layer, "activation": ActivationType.from_json(layer["activation"])})
            for name, layer in values["layers"].items()
        }
        kinds = {name: ActivationType.from_json(kind) for name, kind in values["values"].items()}
        by_hand = tuple((str(name), bool(biased)) for name, biased in values.get("by_hand", ()))
        return cls(layers, kinds, bool(values["shared_scale"]), bool(values["power_of_two"]), by_hand)


def spec_of(
    network: Network,
    solutions: Mapping[str, LayerSolution],
    values: dict[str, ActivationType],
    tiles: Mapping[str, int | None],
    *,
    shared_scale: bool,
    power_of_two: bool,
) -> ModelSpec:
    """What the quantizers of a solved network are.

    Args:
        network: That was solved.
        solutions: Of its layers.
        values: Types of the values that others than layers read.
        tiles: Of its layers.
        shared_scale: Whether a layer's weights have one scale.
        power_of_two: Whether scales are powers of two.
    """
    layers, kinds = {}, dict(values)
    for name, solution in solutions.items():
        site, kind = network.sites[name], solution.activation
        by_value = site_reads_value(site, kind, values)
        if by_value and not site.shared:
            kinds[str(site.value)] = kind
        layers[name] = LayerSpec(
            solution.accumulator_bit_width, tiles[name], solution.weight_bit_width, kind, by_value or network.native
        )
    return ModelSpec(layers, kinds, shared_scale, power_of_two, network.by_hand)


def install_(network: Network, spec: ModelSpec) -> nn.Module:
    """Give a network its quantizers, in place.

    Args:
        network: As prepared.
        spec: What they are.

    Returns:
        The network's model.
    """
    for name, kind in spec.values.items():
        injector = activation_quantizer(kind, spec.power_of_two)
        network.value_modules[name] = QuantIdentity(act_quant=injector, return_quant_tensor=True).eval()
    layers = network.layers
    for name, one in spec.layers.items():
        layer, kind = layers[name], one.activation
        if not network.native:
            injector = None if one.by_value else activation_quantizer(kind, spec.power_of_two)
            QuantInputMixin.__init__(layer, injector)
            if kind.exponents:
                equalize_(layer, kind.exponents)
        declared = one.by_value and kind.kind in ("unsigned", "signed")
        settings = LayerSettings(
            accumulator_bit_width=one.accumulator_bit_width,
            method="projected",
            weight_bit_width=one.weight_bit_width,
            tile=one.tile,
            input_bit_width=kind.bit_width if declared else None,
            input_signed=kind.lo < 0 if declared else None,
            skip=None,
        )
        weight_quantizer_(layer, name, settings, shared_scale=spec.shared_scale, power_of_two=spec.power_of_two)
        if hasattr(layer, "bias_quant"):
            layer.bias_quant.disable_quant = False
    quantize_relus_(network.model, lambda name, limit: name in spec.values and spec.values[name].clips_at(limit))
    network.model.eval()
    return network.model


def set_solutions_(network: Network, solutions: Mapping[str, LayerSolution], example: Any) -> None:
    """Give layers their integer weights, in place, once they know their inputs' ranges.

    Args:
        network: With its quantizers.
        solutions: Of its layers.
        example: Arguments to run it once.
    """
    layers = network.layers
    for name, solution in solutions.items():
        set_weights_(layers[name], torch.from_numpy(solution.codes), torch.from_numpy(solution.scales))
    for name, layer in accumulator_layers(network.model):
        layer.weight_quant.layer_name = name or None
    with torch.no_grad():
        example(network.model)
    learn_input_ranges(network.model, None)
    for name, solution in solutions.items():
        if solution.bias is not None:
            set_bias_(layers[name], torch.from_numpy(solution.bias))


def check_integers(network: Network, solutions: Mapping[str, LayerSolution]) -> None:
    """The model's integer weights and input ranges are those that were found.

    Raises:
        ModelError: Names the layer where they are not.
    """
    for name, solution in solutions.items():
        proxy = network.layers[name].weight_quant
        found, inputs = proxy.integer_weight().numpy(), proxy.input_range()
        expected = solution.activation.range
        if not np.array_equal(found, solution.codes) or not expected.contains(inputs):
            raise ModelError(
                f"the model has other integers than were found (inputs in {inputs})",
                where=f"layer {name}",
                expected=f"{solution.codes.shape[0]} channels as solved, inputs in {expected}",
            )
        bias = proxy.integer_bias()
        if solution.bias is not None and (bias is None or not np.array_equal(bias.numpy(), solution.bias)):
            raise ModelError("the model has another integer bias than was found", where=f"layer {name}")
