"""From units of the dataflow graph to FINN nodes, before FINN chooses HLS or RTL and folds.

Source: FINN ``transformation/fpgadataflow/convert_to_hw_layers.py``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._finn.network import FinnLayer, by_level
from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._units.finn_node import Node

__all__ = ["finn_layers"]


class _Mapper:
    """Maps one graph; remembers the stream shapes on the way."""

    def __init__(self, graph: ir.Graph, version: Version, standalone_thresholds: bool) -> None:
        self.units = {unit.name: unit for unit in graph.units}
        self.version = version
        self.standalone = standalone_thresholds
        self.vectors: dict[str, list[int]] = {}  # unit -> FINN's numInputVectors of what it emits
        self.last: dict[str, str] = {"": ""}  # unit -> the layer that emits its output
        self.layers: list[FinnLayer] = []

    def add(self, unit: ir.Unit) -> None:
        """Append the node or nodes of one unit."""
        self.vectors[unit.name] = self._vectors(unit)
        inputs = tuple(self.last[name] for name in unit.inputs)
        for index, (op_type, attributes) in enumerate(self._nodes(unit)):
            name = f"{unit.name}:{index}"
            weights = unit.weights if isinstance(unit, ir.Mvau | ir.Vvau) and index == 0 else None
            thresholds = None
            if isinstance(unit, ir.Mvau | ir.Vvau | ir.Thresholding) and not attributes.get("noActivation"):
                thresholds = _clipped(unit)
            layer = FinnLayer(name, op_type, attributes, inputs, weights, thresholds, unit.name)
            self.layers.append(_counting(layer, unit) if isinstance(unit, ir.Mvau) and _is_binary(unit) else layer)
            inputs = (name,)
        self.last[unit.name] = inputs[0]

    def _vectors(self, unit: ir.Unit) -> list[int]:
        """``[1, height, width]`` of an image, ``[1]`` of a vector."""
        if isinstance(unit, ir.SlidingWindow | ir.Pool | ir.Vvau):
            return [1, *unit.output_dim]
        if isinstance(unit, ir.Padding):
            return [1, *unit.padded_dim]
        producer = self.units.get(unit.inputs[0])
        if isinstance(producer, ir.SlidingWindow):
            return [1, *producer.output_dim]
        if isinstance(unit, ir.Mvau) and unit.pixels == 1:
            return [1]
        side = _output_side(unit)
        if side is not None:
            return [1, *side]
        if producer is not None and producer.pixels == unit.pixels:
            return self.vectors[producer.name]
        return [1, 1, unit.pixels] if unit.pixels > 1 else [1]

    def _nodes(self, unit: ir.Unit) -> list[Node]:
        vectors = self.vectors[unit.name]
        if isinstance(unit, ir.Mvau | ir.Vvau):
            return unit.finn_nodes(vectors, self.standalone)
        nodes = unit.finn(vectors, self.version)
        producer = self.units.get(unit.inputs[0])
        if isinstance(unit, ir.SlidingWindow) and isinstance(producer, ir.Padding):
            nodes[0][1]["is1D"] = int(1 in producer.input_dim)  # FINN looks at the image before padding
        return nodes


def _is_binary(unit: ir.Mvau) -> bool:
    """Whether inputs and weights are -1 or 1, for which FINN's streamlining counts equal signs instead."""
    return unit.input_type.name == "BIPOLAR" and bool((np.abs(unit.weights) == 1).all())


def _counting(layer: FinnLayer, unit: ir.Mvau) -> FinnLayer:
    """An XNOR unit: weights of 0 and 1, and thresholds of the count n of K, where the sum is 2 n - K.

    Source: FINN ``convert_bipolar_to_xnor.py``.
    """
    products = unit.matrix_width
    thresholds = None if layer.thresholds is None else np.clip(-(-(layer.thresholds + products) // 2), 0, products + 1)
    if layer.weights is None:  # its thresholds, standing alone
        return replace(layer, thresholds=thresholds)
    binary = {"inputDataType": "BINARY", "weightDataType": "BINARY", "binaryXnorMode": 1}
    counted = layer.with_attributes(**binary)
    return replace(counted, weights=(layer.weights + 1) // 2, thresholds=thresholds)


def _output_side(unit: ir.Unit) -> tuple[int, int] | None:
    """Height and width of the output of kinds that change the image's size."""
    match unit:
        case ir.PixelPadding():
            return unit.padded_dim
        case ir.DownSampler():
            return unit.sampled_dim
        case ir.Upsample():
            return unit.output_dim
        case ir.MaxPool():
            return unit.pooled_dim
        case ir.GlobalAccPool():
            return 1, 1
    return None


def _clipped(unit: ir.Mvau | ir.Vvau | ir.Thresholding) -> IntArray | None:
    """Thresholds without what an unsigned input never meets: ``streamline/round_thresholds.py``."""
    if isinstance(unit, ir.Thresholding) and not unit.input_type.signed:
        return np.clip(unit.thresholds, 0, unit.input_type.range.hi + 1)
    return unit.thresholds


def finn_layers(
    graph: ir.Graph, version: Version = "main", *, standalone_thresholds: bool = False
) -> tuple[FinnLayer, ...]:
    """The FINN nodes of a dataflow graph, with general op types and nothing folded.

    Args:
        graph: Units in topological order.
        version: FINN branch.
        standalone_thresholds: FINN's build option: thresholds behind a matrix unit instead of inside it.

    Returns:
        Layers in FINN's order; ``source`` names the unit each comes from.

    Raises:
        ConfigError: Naming a unit that this branch of FINN has no node for.
    """
    mapper = _Mapper(graph, version, standalone_thresholds)
    for unit in graph.units:
        mapper.add(unit)
    return by_level(mapper.layers)
