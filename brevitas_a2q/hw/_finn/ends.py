"""Nodes that FINN dev has at the ends of a network: the quantizer of a real input, and the factor of real outputs.

main leaves both to the processor. An image's transposition (``Shuffle``), which dev keeps too, has no resources in its
report and is left out. Source: FINN ``transformation/fpgadataflow/convert_to_hw_layers.py``
(``InferThresholdingLayer``, ``InferElementwiseBinaryOperation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from brevitas_a2q.hw._finn.data_types import REAL
from brevitas_a2q.hw._finn.network import FinnLayer
from brevitas_a2q.hw._ir import Graph

__all__ = ["INPUT", "OUTPUT", "with_ends"]

INPUT: Final = ":input"  # what these layers stand for, instead of a unit of the graph
OUTPUT: Final = ":output"


def with_ends(layers: Sequence[FinnLayer], graph: Graph, input_quantizer: bool = True) -> tuple[FinnLayer, ...]:
    """The layers with those that dev has in front of and behind them.

    Args:
        layers: The network in topological order, with general op types.
        graph: Where it comes from: it knows whether its input is real. Sums that leave it are taken for real ones.
        input_quantizer: Whether the quantizer of a real input is one of them.
    """
    done: list[FinnLayer] = []
    image = graph.input
    if input_quantizer and image is not None and image.steps:
        done.append(FinnLayer(INPUT, "Thresholding", _quantizer(graph), ("",), source=INPUT))
        layers = [replace(x, inputs=tuple(name or INPUT for name in x.inputs)) for x in layers]
    read = {name for layer in layers for name in layer.inputs}
    for layer in layers:
        done.append(layer)
        if layer.name not in read and layer.weights is not None and layer.attributes["noActivation"]:
            name = f"{layer.name}{OUTPUT}"
            done.append(FinnLayer(name, "ElementwiseMul", _factor(layer), (layer.name,), source=OUTPUT))
    return tuple(done)


def _quantizer(graph: Graph) -> dict[str, Any]:
    image = graph.input
    types = {"inputDataType": REAL.name, "weightDataType": REAL.name, "outputDataType": image.output_type.name}
    vectors = [1, image.pixels] if image.pixels > 1 else [1]
    return {"PE": 1, "NumChannels": image.channels, "numSteps": image.steps, "numInputVectors": vectors, **types}


def _factor(layer: FinnLayer) -> dict[str, Any]:
    outputs = layer.attributes.get("MH", layer.attributes.get("Channels"))
    vectors = layer.attributes.get("numInputVectors", [1, *layer.attributes.get("Dim", ())])
    shape = [*vectors, outputs]
    types = {"lhs_dtype": layer.attributes["accDataType"], "rhs_dtype": REAL.name, "out_dtype": REAL.name}
    return {"PE": 1, "lhs_shape": shape, "rhs_shape": [1], "out_shape": shape, **types}
