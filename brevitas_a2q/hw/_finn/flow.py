"""FINN's estimate flow from a dataflow graph to its reports.

The order is the builder's: nodes, HLS or RTL, folding, then weights, accumulators and thresholds narrowed, then
resources; width converters come after the report. Hence folding sees unminimised weights.

Source: FINN ``builder/build_dataflow_steps.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Final

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._cost.result import CostTerm, Resources, UnitCost
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._finn.data_types import data_type
from brevitas_a2q.hw._finn.ends import INPUT, OUTPUT, with_ends
from brevitas_a2q.hw._finn.mapping import finn_layers
from brevitas_a2q.hw._finn.matrix import finn_data_type_bound
from brevitas_a2q.hw._finn.minimize import (
    MinimizedAccumulator,
    minimize_accumulator,
    minimize_thresholds,
    minimize_weights,
    with_accumulator,
)
from brevitas_a2q.hw._finn.network import FinnLayer, Performance, named, performance, with_width_converters
from brevitas_a2q.hw._finn.retype import retyped
from brevitas_a2q.hw._finn.set_folding import set_folding
from brevitas_a2q.hw._finn.specialize import specialize
from brevitas_a2q.hw._finn.unit import FinnNode, Version
from brevitas_a2q.hw._ir import Folding, Graph, MemoryStyle, Mvau, Thresholding, Unit, Vvau
from brevitas_a2q.hw._policies import accumulator_bit_width, parse_policy
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ

__all__ = ["FinnEstimate", "FinnOptions", "finn_estimate", "specialized"]

_WHOLE_PIXEL: Final = ("UpsampleNearestNeighbour", "StreamingConcat")  # whose SIMD is no choice of ours
_UNLIMITED_CYCLES: Final = 1 << 62  # without a target every node keeps the least parallelism


@dataclass(frozen=True)
class FinnOptions:
    """Choices of FINN's user that the estimate depends on; the defaults are FINN's."""

    standalone_thresholds: bool = False
    prefer_hls: bool = False
    ram_style: MemoryStyle = "auto"  # of MVAU and VVAU weights
    ram_style_thresholds: MemoryStyle = "auto"  # inside an MVAU
    input_quantizer: bool = True  # whether dev's quantizer of a real input is in the design


@dataclass(frozen=True, eq=False)
class FinnEstimate:
    """FINN's report of one network."""

    layers: tuple[FinnLayer, ...]
    nodes: tuple[FinnNode, ...]  # one per layer
    performance: Performance
    converters: tuple[FinnLayer, ...]
    converter_nodes: tuple[FinnNode, ...]

    @property
    def total(self) -> Resources:
        """Sum over the layers, as FINN's report has it: without converters and FIFOs."""
        return sum((node.resources for node in self.nodes), Resources())

    @property
    def total_with_converters(self) -> Resources:
        """Sum over layers and width converters."""
        return sum((node.resources for node in self.converter_nodes), self.total)

    @property
    def costs(self) -> dict[str, UnitCost]:
        """Cost of each unit of the graph, by name; a unit of two nodes takes the cycles of the slower.

        What dev has at the ends of the network is no unit of the graph.
        """
        found: dict[str, UnitCost] = {}
        for layer, node in zip(self.layers, self.nodes, strict=True):
            if layer.source in (INPUT, OUTPUT):
                continue
            before = found.get(layer.source, UnitCost(Resources(), 0))
            term = CostTerm(node.op_type, node.lut, "FINN parity")
            found[layer.source] = UnitCost(
                before.resources + node.resources, max(before.cycles, node.cycles), (*before.terms, term)
            )
        return found

    @property
    def foldings(self) -> dict[str, Folding]:
        """Folding of each unit of the graph, by name; of a unit of two nodes, its first node's."""
        found: dict[str, Folding] = {}
        for layer in self.layers:
            if layer.source not in (INPUT, OUTPUT):
                found.setdefault(layer.source, _folding(layer))
        return found


def _folding(layer: FinnLayer) -> Folding:
    get = layer.attributes.get
    return Folding(
        pe=get("PE", 1),
        simd=1 if layer.op_type.startswith(_WHOLE_PIXEL) else get("SIMD", 1),
        compute=get("resType", "auto"),
        ram_style=get("ram_style", "auto"),
        ram_style_thresholds=get("ram_style_thresholds", "auto"),
        parallel_window=bool(get("parallel_window", 0)),
    )


def _folded(layers: Sequence[FinnLayer], graph: Graph, foldings: Mapping[str, Folding]) -> tuple[FinnLayer, ...]:
    """The layers with the parallelism and memory styles that the user gives."""
    for unit in graph.units:
        if unit.name not in foldings:
            raise FoldingError("found no folding", where=f"{unit.kind} {unit.name}", expected="one for every unit")
        unit.check(foldings[unit.name])
    done = []
    for layer in layers:
        if layer.source in (INPUT, OUTPUT):
            done.append(_as_wide_as_its_reader(layer, graph, foldings))
            continue
        folding = foldings[layer.source]
        given: dict[str, int | str] = {"PE": folding.pe, "parallel_window": int(folding.parallel_window)}
        if not graph[layer.source].whole_pixel:
            given["SIMD"] = folding.simd
        if layer.op_type.startswith(("MVAU", "VVAU", "ConvolutionInputGenerator")):
            given |= {"ram_style": folding.ram_style, "ram_style_thresholds": folding.ram_style_thresholds}
            given |= {"resType": folding.compute if folding.compute != "unrolled" else "auto"}
        done.append(layer.with_attributes(**{k: v for k, v in given.items() if k in layer.attributes}))
    return tuple(done)


def _as_wide_as_its_reader(layer: FinnLayer, graph: Graph, foldings: Mapping[str, Folding]) -> FinnLayer:
    """The quantizer of the input writes the words that the network reads, as in the file of a hand-over."""
    reader = next((unit for unit in graph.units if "" in unit.inputs), None)
    if layer.source != INPUT or reader is None:
        return layer
    elements = reader.input_elements(foldings[reader.name], reader.inputs.index(""))
    return layer.with_attributes(PE=gcd(elements, layer.attributes["NumChannels"]))


def _styled(layers: Sequence[FinnLayer], options: FinnOptions) -> tuple[FinnLayer, ...]:
    styles = {"ram_style": options.ram_style, "ram_style_thresholds": options.ram_style_thresholds}
    return tuple(
        layer.with_attributes(**{k: v for k, v in styles.items() if k in layer.attributes})
        if layer.weights is not None
        else layer
        for layer in layers
    )


def _narrowed(layers: Sequence[FinnLayer], graph: Graph, policy: str, version: Version) -> tuple[FinnLayer, ...]:
    """Weights, accumulators and thresholds at the widths of the policy, streams retyped on the way."""
    read = {name for layer in layers for name in layer.inputs}
    done: dict[str, FinnLayer] = {}
    for layer in layers:
        producers = [done[name].unit(version).output_type for name in layer.inputs if name]
        layer = retyped(layer, producers) if producers else layer
        if layer.weights is not None:
            unit = graph[layer.source]
            assert isinstance(unit, Mvau | Vvau)
            layer = _narrowed_matrix(layer, unit, policy, layer.name not in read, version)
        elif layer.thresholds is not None:
            found = _unclipped(layer.thresholds, graph[layer.source])
            if version == "dev":  # which clips them to the type that its sums have by now
                kind = layer.unit(version).input_type()
                found = np.clip(found, kind.lo, kind.hi + 1)
            layer = replace(layer, attributes=minimize_thresholds(layer.op_type, layer.attributes, found, version))
        done[layer.name] = layer
    return tuple(done.values())


def _unclipped(thresholds: IntArray, unit: Unit) -> IntArray:
    """The ends of thresholds that FINN types: where they are apart, it does not clip them to what sums reach."""
    reach = unit.threshold_reach if isinstance(unit, Mvau | Vvau | Thresholding) else None
    return thresholds if reach is None else np.array(reach)


def _narrowed_matrix(layer: FinnLayer, unit: Mvau | Vvau, policy: str, is_last: bool, version: Version) -> FinnLayer:
    assert layer.weights is not None
    attributes = minimize_weights(layer.op_type, layer.attributes, layer.weights, layer.thresholds, version)
    bits = _policy_bits(unit, policy)
    if bits is None:
        done = minimize_accumulator(
            layer.op_type, attributes, layer.weights, layer.thresholds, is_last=is_last, version=version
        )
    else:
        accumulator = data_type(f"INT{bits}")
        done = MinimizedAccumulator(with_accumulator(layer.op_type, attributes, accumulator, is_last), layer.thresholds)
    return replace(layer, attributes=done.attributes, thresholds=done.thresholds)


def _policy_bits(unit: Mvau | Vvau, policy: str) -> int | None:
    """Accumulator width of the policy; None for FINN's own minimisation."""
    if policy == "data-type":
        inputs = unit.input_type
        return finn_data_type_bound(
            int(unit.weights.shape[1]), unit.weight_type.bit_width, inputs.bit_width, inputs.signed
        )
    if parse_policy(policy) is not None or policy == "range":
        return accumulator_bit_width(unit, policy)
    return unit.trained_accumulator_bit_width if policy == "trained" else None


def specialized(
    graph: Graph,
    part: str | Part,
    version: Version = "main",
    options: FinnOptions | None = None,
    hls_units: Collection[str] = (),
) -> tuple[FinnLayer, ...]:
    """FINN's nodes under FINN's names, nothing folded.

    Args:
        graph: Units in topological order.
        part: FPGA part.
        version: FINN branch.
        options: FINN build options.
        hls_units: Units of the graph that its user prefers in HLS.

    Raises:
        ConfigError: A unit that this branch of FINN does not have.
    """
    options = options or FinnOptions()
    layers = finn_layers(graph, version, standalone_thresholds=options.standalone_thresholds)
    return named(specialize(layers, part, version, prefer_hls=options.prefer_hls, hls_units=hls_units))


def finn_estimate(
    graph: Graph,
    part: str | Part,
    target_fps: float | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    version: Version = "main",
    accumulator: str = "exact",
    foldings: Mapping[str, Folding] | None = None,
    options: FinnOptions | None = None,
) -> FinnEstimate:
    """Estimate a network as FINN's builder does.

    Args:
        graph: Units in topological order.
        part: FPGA part.
        target_fps: Frames per second for ``SetFolding``; None for the least parallelism.
        clock_mhz: Clock in MHz.
        version: FINN branch.
        accumulator: Policy: ``exact`` is FINN's own minimisation, ``32``, ``data-type``, ``range`` and ``fixed:P`` set
            signed widths, ``trained`` the width the file names and FINN's minimisation where it names none.
        foldings: Folding of each unit by name, instead of ``SetFolding``.
        options: FINN build options.

    Returns:
        Layers under FINN's names with their resources, converters apart.

    Raises:
        ConfigError: A unit or width that this branch of FINN cannot express.
        FoldingError: A depthwise unit without a window, or an illegal or missing folding.
    """
    options = options or FinnOptions()
    layers = finn_layers(graph, version, standalone_thresholds=options.standalone_thresholds)
    layers = with_ends(layers, graph, options.input_quantizer) if version == "dev" else layers
    in_luts = {
        name for name, folding in (foldings or {}).items() if folding.compute == "lut"
    }  # RTL has DSP blocks only
    layers = specialize(layers, part, version, prefer_hls=options.prefer_hls, hls_units=in_luts)
    layers = _styled(layers, options)
    if foldings is None:
        # FINN takes the integer part of binary64 nanoseconds over frames per second.
        target = int(1e9 / (1e3 / clock_mhz) / target_fps) if target_fps else _UNLIMITED_CYCLES
        layers = set_folding(layers, target, version)
    else:
        layers = _folded(layers, graph, foldings)
    layers = _narrowed(layers, graph, accumulator, version)
    named_layers = named(layers)
    joined = with_width_converters(named_layers, version)
    converters = tuple(layer for layer in joined if not layer.source)
    return FinnEstimate(
        layers=named_layers,
        nodes=tuple(layer.unit(version).estimate(part) for layer in named_layers),
        performance=performance(named_layers, version),
        converters=converters,
        converter_nodes=tuple(layer.unit(version).estimate(part) for layer in converters),
    )
