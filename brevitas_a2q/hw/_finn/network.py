"""A network of FINN nodes: naming, performance, and the width converters between them.

Source: FINN ``analysis/fpgadataflow/dataflow_performance.py``, ``transformation/fpgadataflow/insert_dwc.py`` and
qonnx ``GiveUniqueNodeNames``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.hw._finn.node import finn_unit
from brevitas_a2q.hw._finn.unit import FinnUnit, Version

__all__ = ["FinnLayer", "Performance", "by_level", "named", "performance", "with_width_converters"]


@dataclass(frozen=True, eq=False)
class FinnLayer:
    """One node of a FINN network; ``inputs`` names the nodes it reads, ``""`` being the network's input."""

    name: str
    op_type: str
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    weights: IntArray | None = None  # shape: (output channels, products per output)
    thresholds: IntArray | None = None  # shape: (channels or 1, steps)
    source: str = ""  # unit of the dataflow graph that the node is part of

    def unit(self, version: Version) -> FinnUnit:
        """The node's estimates."""
        return finn_unit(self.op_type, self.attributes, version)

    def with_attributes(self, **changes: Any) -> FinnLayer:
        """A copy in which these attributes have other values."""
        return replace(self, attributes={**self.attributes, **changes})


def named(layers: Sequence[FinnLayer]) -> tuple[FinnLayer, ...]:
    """The layers under FINN's names: the op type and its running number.

    Example:
        >>> a, b = FinnLayer("a", "MVAU_hls", {}, ("",)), FinnLayer("b", "MVAU_hls", {}, ("a",))
        >>> [(layer.name, layer.inputs) for layer in named((a, b))]
        [('MVAU_hls_0', ('',)), ('MVAU_hls_1', ('MVAU_hls_0',))]
    """
    seen: Counter[str] = Counter()
    names = []
    for layer in layers:
        names.append(f"{layer.op_type}_{seen[layer.op_type]}")
        seen[layer.op_type] += 1
    new = {layer.name: name for layer, name in zip(layers, names, strict=True)}
    return tuple(
        replace(layer, name=name, inputs=tuple(new.get(i, i) for i in layer.inputs))
        for layer, name in zip(layers, names, strict=True)
    )


@dataclass(frozen=True)
class Performance:
    """The slowest node and FINN's latency, the longest path of summed cycles, as if nothing overlapped."""

    max_cycles: int
    max_cycles_node_name: str
    critical_path_cycles: int


def performance(layers: Sequence[FinnLayer], version: Version) -> Performance:
    """FINN's ``dataflow_performance`` of layers in topological order."""
    slowest, at = 0, ""
    latency = {"": 0}
    for layer in layers:
        cycles = layer.unit(version).cycles
        if cycles > slowest:
            slowest, at = cycles, layer.name
        latency[layer.name] = cycles + max(latency[name] for name in layer.inputs)
    return Performance(slowest, at, max(latency.values()))


def by_level(layers: Sequence[FinnLayer]) -> tuple[FinnLayer, ...]:
    """The layers in FINN's order: by distance from the input (qonnx' ``SortGraph``), then by their producers' order.

    Args:
        layers: Layers in any topological order.
    """
    level = {"": 0}
    for layer in layers:
        level[layer.name] = 1 + max(level[name] for name in layer.inputs)
    place = {"": 0}
    for _, row in groupby(sorted(layers, key=lambda x: level[x.name]), key=lambda x: level[x.name]):
        for layer in sorted(row, key=lambda x: max(place[name] for name in x.inputs)):
            place[layer.name] = len(place)
    return tuple(sorted(layers, key=lambda x: place[x.name]))


def with_width_converters(layers: Sequence[FinnLayer], version: Version) -> tuple[FinnLayer, ...]:
    """The network with a converter wherever one node's output words are not the next one's input words.

    Args:
        layers: The network in topological order.
        version: FINN branch.

    Returns:
        All layers in FINN's order, the converters under FINN's names.
    """
    units = {layer.name: layer.unit(version) for layer in layers}
    joined: list[FinnLayer] = []
    for layer in layers:
        inputs = list(layer.inputs)
        for port, producer in enumerate(layer.inputs):
            found = producer and _converter(units[producer], layer.op_type, units[layer.name], port, version)
            if found:
                inputs[port] = f"{producer}:{layer.name}:{port}"
                joined.append(FinnLayer(inputs[port], *found, (producer,)))
        joined.append(replace(layer, inputs=tuple(inputs)))
    return named(by_level(joined))


def _converter(
    source: FinnUnit, reader: str, sink: FinnUnit, port: int, version: Version
) -> tuple[str, dict[str, Any]] | None:
    # main compares with the first input of every kind but the concatenation, whose width it takes from there too.
    compared = port if version == "dev" or reader.startswith("StreamingConcat") else 0
    if source.output_elements == sink.input_elements(compared):
        return None
    into, out = source.output_width, sink.input_width(port if version == "dev" else 0)
    style = "rtl" if into % out == 0 or out % into == 0 else "hls"
    return f"StreamingDataWidthConverter_{style}", {
        "shape": list(source.output_shape),
        "inWidth": into,
        "outWidth": out,
        "dataType": source.output_type.name,
    }
