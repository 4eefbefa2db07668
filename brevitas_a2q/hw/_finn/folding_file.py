"""FINN's folding JSON: what a folded network is written as.

The file maps a FINN node name to attributes: ``{"Defaults": {}, "MVAU_hls_0": {"PE": 4, "SIMD": 2, "ram_style":
"block", "resType": "lut", "inFIFODepths": [2], "outFIFODepths": [34]}}``. Nodes are in the network's order, and every
style that was costed is written, so that the file is the design. Source: qonnx ``transformation/general.py``
(ApplyConfig), FINN ``build_dataflow_config.py`` (folding_config_file).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._finn.flow import FinnOptions, specialized
from brevitas_a2q.hw._finn.network import FinnLayer
from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._ir import Folding, Graph, MatrixUnit, SlidingWindow, Unit
from brevitas_a2q.hw._streams import LEAST_FIFO_DEPTH, edges

__all__ = ["ALWAYS", "NEVER", "finn_folding", "in_hls", "with_input_quantizer", "without_input_quantizer"]

# Depths from which a memory of Thresholding_rtl goes into block RAM: every one, or none that occurs (thresholding.sv).
ALWAYS: Final = 1
NEVER: Final = 1 << 30


def in_hls(graph: Graph, foldings: Mapping[str, Folding]) -> frozenset[str]:
    """Matrix units whose multipliers are in LUTs, which FINN has in HLS only (``preferred_impl_style``)."""
    return frozenset(
        unit.name for unit in graph.units if isinstance(unit, MatrixUnit) and foldings[unit.name].compute != "dsp"
    )


def finn_folding(
    graph: Graph,
    foldings: Mapping[str, Folding],
    part: Part,
    version: Version = "main",
    *,
    standalone_thresholds: bool = False,
) -> dict[str, dict[str, Any]]:
    """The folding file of these foldings, under the names that FINN gives its nodes.

    A unit of constant weights ("unrolled"), which FINN does not have, is written as that, for FINN to refuse.

    Args:
        graph: The network, as the branch of FINN has it (:func:`brevitas_a2q.hw._finn.lowering.lowered`).
        foldings: Folding of each unit, with the depths of its FIFOs.
        part: FPGA part.
        version: FINN branch.
        standalone_thresholds: Whether FINN's build keeps thresholds apart.

    Raises:
        ConfigError: A unit that this branch of FINN does not have.
    """
    options = FinnOptions(standalone_thresholds=standalone_thresholds)
    depths = _fifo_depths(graph, foldings)
    found: dict[str, dict[str, Any]] = {"Defaults": {}}
    for layer in specialized(graph, part, version, options, in_hls(graph, foldings)):
        unit = graph[layer.source]
        written = _attributes(layer, unit, foldings[unit.name])
        found[layer.name] = {**written, **_depths_of(layer, unit, depths)}
    return found


def _attributes(layer: FinnLayer, unit: Unit, folding: Folding) -> dict[str, Any]:
    op = layer.op_type
    written: dict[str, Any] = {"PE": folding.pe, "SIMD": folding.simd}
    if unit.whole_pixel and "SIMD" in layer.attributes:
        written["SIMD"] = layer.attributes["SIMD"]
    if op.startswith("Thresholding"):
        style = folding.ram_style_thresholds
        if op.endswith("rtl") and style != "auto":
            trigger = ALWAYS if style == "block" else NEVER
            return {"PE": folding.pe, "depth_trigger_bram": trigger, "depth_trigger_uram": NEVER}
        return {"PE": folding.pe, "ram_style": style}
    if isinstance(unit, MatrixUnit):
        written |= {"resType": "lut" if folding.compute == "auto" else folding.compute, "ram_style": folding.ram_style}
        written["ram_style_thresholds"] = folding.ram_style_thresholds
        written["runtime_writeable_weights"] = int(folding.writable_weights)
        if not layer.attributes.get("noActivation") and "ram_style_thresholds" not in layer.attributes:
            written.pop("ram_style_thresholds")  # a VVAU's are constants of its C++
        if layer.attributes.get("noActivation"):
            written.pop("ram_style_thresholds")
        return written
    if isinstance(unit, SlidingWindow):
        written |= {"ram_style": folding.ram_style, "parallel_window": int(folding.parallel_window)}
    return {name: value for name, value in written.items() if name in layer.attributes}


_Depths = tuple[dict[tuple[str, int], int], dict[str, list[int]]]  # by reader and port; by writer, in order of readers


def _fifo_depths(graph: Graph, foldings: Mapping[str, Folding]) -> _Depths:
    """Depths at both ends of each stream: FINN puts a FIFO on each side of a width converter, ours is on the narrow."""
    units = {"": graph.input, **{u.name: u for u in graph.units}}
    read: dict[tuple[str, int], int] = {}
    written: dict[str, list[int]] = {}
    for edge in edges(graph):
        given = foldings[edge.consumer].fifo_depths
        depth = given[edge.port] if given else LEAST_FIFO_DEPTH
        into = out = depth
        if edge.producer:
            wrote = units[edge.producer].output_elements(foldings[edge.producer])
            reads = units[edge.consumer].input_elements(foldings[edge.consumer], edge.port)
            into = depth if reads <= wrote else LEAST_FIFO_DEPTH
            out = depth if wrote <= reads else LEAST_FIFO_DEPTH
            written.setdefault(edge.producer, []).append(out)
        read[edge.consumer, edge.port] = into
    return read, written


def _depths_of(layer: FinnLayer, unit: Unit, depths: _Depths) -> dict[str, list[int]]:
    """Of a unit that FINN makes two nodes of, the first one reads its inputs and the second one writes."""
    read, written = depths
    is_first = not layer.op_type.startswith("Thresholding") or not isinstance(unit, MatrixUnit)
    is_last = not isinstance(unit, MatrixUnit) or unit.thresholds is None or not layer.attributes.get("noActivation")
    into = [read[unit.name, port] for port in range(len(unit.inputs))]
    out = written.get(unit.name, [LEAST_FIFO_DEPTH])
    return {
        "inFIFODepths": into if is_first else [LEAST_FIFO_DEPTH],
        "outFIFODepths": out if is_last else [LEAST_FIFO_DEPTH],
    }


def with_input_quantizer(entries: Mapping[str, Any], pe: int) -> dict[str, Any]:
    """The file for a branch that keeps the quantizer of the network's input as the first Thresholding node.

    Example:
        >>> list(with_input_quantizer({"Defaults": {}, "Thresholding_rtl_0": {"PE": 2}}, 1))
        ['Defaults', 'Thresholding_rtl_0', 'Thresholding_rtl_1']
    """
    first = {"Defaults": entries.get("Defaults", {}), "Thresholding_rtl_0": {"PE": pe}}
    return first | {_renumbered(name, 1): value for name, value in entries.items() if name != "Defaults"}


def without_input_quantizer(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of :func:`with_input_quantizer`."""
    return {_renumbered(name, -1): value for name, value in entries.items() if name != "Thresholding_rtl_0"}


def _renumbered(name: str, by: int) -> str:
    kind, _, number = name.rpartition("_")
    return f"{kind}_{int(number) + by}" if kind.startswith("Thresholding_rtl") and number.isdigit() else name
