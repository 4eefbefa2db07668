"""FINN's folding JSON, read: the folding of every unit.

Files are written by hand or by FINN (``auto_folding_config.json``, ``final_hw_config.json``). The latter list FIFOs and
width converters as nodes of their own: FIFOs count where they stand between two neighbours of the network, converters
follow from the folding. ``Defaults`` holds a value for all nodes of some op types (or ``all``). Files may use the names
of the dataflow graph's units instead of FINN's. Which of FINN's names a unit has depends on which matrix units are in
HLS and which in RTL: a file that lists all of them in the network's order says so, another one is read as FINN decides
by itself.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw._design import check_foldings
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._finn.flow import FinnOptions, finn_estimate, specialized
from brevitas_a2q.hw._finn.folding_file import without_input_quantizer
from brevitas_a2q.hw._finn.network import FinnLayer
from brevitas_a2q.hw._finn.rules import Finding, findings_of
from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._ir import Folding, Graph, MatrixUnit, MaxPool, Thresholding
from brevitas_a2q.hw._streams import LEAST_FIFO_DEPTH, Edge, edges, held_elements

__all__ = ["check_folding", "finn_nodes", "has_input_quantizer", "interleaved", "load_folding", "read_foldings"]

_STYLES: Final = ("auto", "distributed", "block", "ultra")
_MULTIPLIERS: Final = ("auto", "lut", "dsp", "unrolled")
_DEPTHS: Final = ("inFIFODepths", "outFIFODepths")
# What FINN writes into these files (``hw_attrs`` of its build steps), and what people set there by hand.
_ATTRIBUTES: Final = (
    *("PE", "SIMD", "M", "parallel_window", "ram_style", "ram_style_thresholds", "depth", "impl_style", "resType"),
    *("mem_mode", "runtime_writeable_weights", "inFIFODepths", "outFIFODepths", "depth_trigger_uram"),
    *("depth_trigger_bram", "preferred_impl_style", "slr", "partition_id", "device_id", "mem_port", "pumpedMemory"),
    *("pumpedCompute", "dynamic_mode", "dataflow_mode", "uram_depth", "deep_pipeline", "use_stagger_logic"),
)
_FIFO, _CONVERTER = "StreamingFIFO", "StreamingDataWidthConverter"
_BETWEEN_UNITS: Final = (_FIFO, _CONVERTER, "IODMA", "TLastMarker")


def check_folding(path: Path, graph: Graph, part: Part, version: Version = "main") -> tuple[Finding, ...]:
    """What FINN refuses of a folding file; empty if nothing was found.

    Args:
        path: The file.
        graph: The network, lowered to the branch.
        part: FPGA part.
        version: FINN branch.

    Raises:
        FoldingError: It is no folding file.
        ConfigError: This branch of FINN does not have the network.
    """
    entries = load_folding(path)
    specialized(graph, part, version)  # says which unit FINN does not have
    layers = finn_nodes(entries, graph, part, version)
    entries = _of_units(entries, layers)
    defaults = [(name, *_default(path, name, setting)) for name, setting in _defaults(path, entries, layers).items()]
    known = {layer.name for layer in layers}
    found = [
        Finding("FOLD-11", name, "", "no such node", "use FINN's names after step_specialize_layers")
        for name in entries
        if name not in known and not name.startswith(_BETWEEN_UNITS)
    ]
    folded = []
    for layer in layers:
        given = {name: value for name, value, kinds in defaults if "all" in kinds or layer.op_type in kinds}
        own = entries.get(layer.name, {})
        _check_names(f"{path}, {layer.name}", own, layer.attributes)
        folded.append(replace(layer, attributes={**layer.attributes, **given, **own}))
    return (*found, *findings_of(folded, part, version))


def read_foldings(path: Path, graph: Graph, part: Part, version: Version = "main") -> dict[str, Folding]:
    """The folding of every unit from a folding file; what the file leaves out keeps the least parallelism.

    Raises:
        FoldingError: For a file that is not a folding file, a node that the network does not have, or a bad value.
    """
    entries = load_folding(path)
    layers = finn_nodes(entries, graph, part, version)
    entries = _of_units(entries, layers)
    unit_of = {layer.name: layer for layer in layers} | {
        u.name: FinnLayer("", "", {}, (), source=u.name) for u in graph.units
    }
    foldings = _starting(graph, part)
    for attribute, setting in _defaults(path, entries, layers).items():
        value, kinds = _default(path, attribute, setting)
        for layer in layers:
            if "all" in kinds or layer.op_type in kinds:
                foldings[layer.source] = _changed(path, layer, graph, foldings[layer.source], {attribute: value})
    depths: dict[str, Mapping[str, Any]] = {}
    for name, attributes in entries.items():
        if not isinstance(attributes, dict):
            raise FoldingError(f"found {attributes!r}", where=f"{path}, {name}", expected="a mapping of attributes")
        if name.startswith(_BETWEEN_UNITS):
            _check_names(f"{path}, {name}", attributes, ())
            continue
        if name not in unit_of:
            near = difflib.get_close_matches(name, (*unit_of, "Defaults"), n=3, cutoff=0.4) or list(unit_of)[:3]
            raise FoldingError(f"found node {name!r}", where=str(path), expected=f"one such as {', '.join(near)}")
        layer = replace(unit_of[name], name=name)
        _check_names(f"{path}, {name}", attributes, layer.attributes)
        foldings[layer.source] = _changed(path, layer, graph, foldings[layer.source], attributes)
        found = {what: _depths(f"{path}, {name}", what, attributes[what]) for what in _DEPTHS if what in attributes}
        depths[layer.source] = {**depths.get(layer.source, {}), **_outermost(layer, graph, found)}
    sources = {name: layer.source for name, layer in unit_of.items()}
    foldings = _with_depths(graph, foldings, depths, _listed_fifos(path, interleaved(entries), sources))
    check_foldings(graph, foldings)
    return foldings


def _check_names(where: str, attributes: Mapping[str, Any], known: Iterable[str]) -> None:
    """Every attribute is one that FINN knows for the node.

    Raises:
        FoldingError: A name is misspelt, which FINN's build would refuse too.
    """
    names = {*_ATTRIBUTES, *known}
    for name in attributes:
        if name not in names:
            folded = {other.lower(): other for other in names}
            near = difflib.get_close_matches(name.lower(), folded, n=1)
            remedy = f"did you mean {folded[near[0]]!r}?" if near else "attributes of the node in FINN"
            raise FoldingError(f"found attribute {name!r}", where=where, expected="one of FINN's", remedy=remedy)


def interleaved(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries with FIFOs where they stand, of a file that lists one for every stream of a chain behind all nodes.

    Example:
        >>> list(interleaved({"MVAU_rtl_0": {}, "StreamingFIFO_rtl_0": {}, "StreamingFIFO_rtl_1": {}}))
        ['StreamingFIFO_rtl_0', 'MVAU_rtl_0', 'StreamingFIFO_rtl_1']
    """
    fifos = [name for name in entries if name.startswith(_FIFO)]
    others = [name for name in entries if not name.startswith(_FIFO)]
    nodes = [name for name in others if name != "Defaults"]
    if list(entries) != others + fifos or len(fifos) != len(nodes) + 1:
        return dict(entries)
    order = [*others[: len(others) - len(nodes)]]
    order += [name for pair in zip(fifos[:-1], nodes, strict=True) for name in pair] + fifos[-1:]
    return {name: entries[name] for name in order}


def _listed_fifos(
    path: Path, entries: Mapping[str, Any], sources: Mapping[str, str]
) -> dict[tuple[str, str], tuple[int, int]]:
    """Depths of FIFOs that are nodes of their own, by the units before and behind them in the file.

    Two depths: of the FIFO in front of a width converter, or the only one, and of the one behind.
    """
    found: dict[tuple[str, str], tuple[int, int]] = {}
    before, depths = "", [0, 0]
    behind = 0
    for name, attributes in entries.items():
        if name.startswith(_FIFO):
            depth = _positive(f"{path}, {name}", "depth", attributes.get("depth", LEAST_FIFO_DEPTH))
            depths[behind] = max(depths[behind], depth)
        elif name.startswith(_CONVERTER):
            behind = 1
        elif not name.startswith(_BETWEEN_UNITS):
            if any(depths):
                found[before, sources[name]] = depths[0], depths[1]
            before, depths, behind = sources[name], [0, 0], 0
    return found


def _of_units(entries: dict[str, Any], layers: tuple[FinnLayer, ...]) -> dict[str, Any]:
    """The entries without that of the input's quantizer, which is no unit of ours."""
    one_more = _thresholdings(entries) == _thresholdings(layer.name for layer in layers) + 1
    return without_input_quantizer(entries) if one_more else entries


def has_input_quantizer(path: Path, graph: Graph, part: Part, version: Version = "main") -> bool:
    """Whether a folding file has an entry for the quantizer of the input, as dev's files have for a real one."""
    entries = load_folding(path)
    return _of_units(entries, finn_nodes(entries, graph, part, version)) is not entries


def _thresholdings(names: Iterable[str]) -> int:
    return sum(name.startswith("Thresholding_rtl_") for name in names)


def _starting(graph: Graph, part: Part) -> dict[str, Folding]:
    """What FINN's conversion leaves: all channels in a word of windows and padding, 1 elsewhere."""
    foldings = {unit.name: Folding() for unit in graph.units}
    try:
        return foldings | finn_estimate(graph, part).foldings
    except ConfigError:
        return foldings


def finn_nodes(
    entries: Mapping[str, Any], graph: Graph, part: Part, version: Version = "main"
) -> tuple[FinnLayer, ...]:
    """The nodes that a file speaks of, under FINN's names; none where FINN cannot express the network.

    Args:
        entries: Node names to attributes, in the file's order.
        graph: The network.
        part: FPGA part.
        version: FINN branch to try first.
    """
    other: Version = "dev" if version == "main" else "main"
    best: tuple[FinnLayer, ...] = ()
    least = (len(entries) + 1, False, 0)  # names in vain; whether some are left out; how many are known
    for branch, standalone in product((version, other), (False, True)):
        options = FinnOptions(standalone_thresholds=standalone)
        try:
            natural = specialized(graph, part, branch, options)
            layers = specialized(graph, part, branch, options, _listed_in_hls(entries, natural))
        except ConfigError:
            continue
        names = {layer.name for layer in layers}
        listed = set(_of_units(dict(entries), layers))
        found = len(listed - names), bool(names - listed), -len(names.intersection(entries))
        if found < least:
            best, least = layers, found
    return best


def _listed_in_hls(entries: Mapping[str, Any], layers: tuple[FinnLayer, ...]) -> frozenset[str]:
    """Matrix units that the file has in HLS, if it lists all of them."""
    listed = [name for name in entries if name.startswith(("MVAU_", "VVAU_"))]
    units = [layer.source for layer in layers if layer.weights is not None]
    if len(listed) != len(units):
        return frozenset()
    return frozenset(unit for name, unit in zip(listed, units, strict=True) if "_hls_" in name)


def load_folding(path: Path) -> dict[str, Any]:
    """The file as a mapping.

    Raises:
        FoldingError: If it is none.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FoldingError("found a file that is not JSON", where=str(path), expected="a FINN folding file") from error
    if not isinstance(entries, dict) or not isinstance(entries.get("Defaults", {}), dict):
        raise FoldingError("found no mapping", where=str(path), expected="node names with their attributes")
    return entries


def _defaults(path: Path, entries: dict[str, Any], layers: Iterable[FinnLayer]) -> dict[str, Any]:
    """The file's values for all nodes of some op types, taken out of it; each names an attribute that a node has."""
    defaults: dict[str, Any] = entries.pop("Defaults", {})
    _check_names(f"{path}, Defaults", defaults, {name for layer in layers for name in layer.attributes})
    return defaults


def _default(path: Path, attribute: str, setting: Any) -> tuple[Any, list[str]]:
    if not isinstance(setting, list) or len(setting) != 2 or not isinstance(setting[1], list):
        raise FoldingError(f"found {setting!r}", where=f"{path}, Defaults, {attribute}", expected="[value, [op types]]")
    return setting[0], setting[1]


def _changed(path: Path, layer: FinnLayer, graph: Graph, folding: Folding, attributes: Mapping[str, Any]) -> Folding:
    """The folding with the attributes that matter to it; FINN's other ones are none of ours."""
    where, unit = f"{path}, {layer.name}", graph[layer.source]
    of_thresholds = isinstance(unit, Thresholding) or layer.op_type.startswith("Thresholding")
    changes: dict[str, Any] = {}
    if isinstance(unit, MatrixUnit) and layer.op_type.endswith("rtl") and not of_thresholds:
        changes["compute"] = "dsp"
    for attribute, value in attributes.items():
        if attribute == "PE" and isinstance(unit, MaxPool) and value == unit.channels:
            continue  # all channels in a word, as ours always has them
        if attribute == "SIMD" and unit.whole_pixel:
            if value != layer.attributes[attribute]:
                raise FoldingError(
                    f"found SIMD = {value!r}",
                    where=where,
                    expected=f"{layer.attributes[attribute]}, the widest word, as these units are estimated",
                )
            continue
        if attribute in ("PE", "SIMD"):
            changes[attribute.lower()] = _positive(where, attribute, value)
        elif attribute in ("ram_style", "ram_style_thresholds"):
            _one_of(where, attribute, value, _STYLES)
            changes |= dict.fromkeys(_styles_of(unit, attribute, of_thresholds), value)
        elif attribute == "depth_trigger_bram":
            _natural(where, attribute, value)
        elif attribute == "resType":
            given = _one_of(where, attribute, value, _MULTIPLIERS)
            changes["compute"] = changes.get("compute", given) if given == "auto" else given
        elif attribute == "parallel_window":
            changes["parallel_window"] = bool(_one_of(where, attribute, value, (0, 1)))
        elif attribute == "runtime_writeable_weights":
            changes["writable_weights"] = bool(_one_of(where, attribute, value, (0, 1)))
    if of_thresholds and (trigger := attributes.get("depth_trigger_bram", 0)):
        style = _triggered(unit, changes.get("pe", folding.pe), trigger)
        changes |= dict.fromkeys(_styles_of(unit, "ram_style", of_thresholds), style)
    if of_thresholds and isinstance(unit, MatrixUnit):
        changes.pop("pe", None)  # the PE of a unit that FINN makes two nodes of is its matrix node's
    return replace(folding, **changes)


def _triggered(unit: Any, pe: int, trigger: int) -> str:
    """Where the memories of a Thresholding_rtl are that go into block RAM from ``trigger`` words on.

    One of each output bit, twice as deep as the one before it. Styles are of all of them: where some are above and some
    below, it is left to Vivado. Source: FINN ``thresholding.sv`` (RAM_STYLE).
    """
    first = max(1, unit.channels // pe)
    last = first << max(0, int(unit.thresholds.shape[1]).bit_length() - 1)
    return "distributed" if last < trigger else "block" if first >= trigger else "auto"


def _styles_of(unit: Any, attribute: str, of_thresholds: bool) -> tuple[str, ...]:
    if isinstance(unit, Thresholding):
        return "ram_style", "ram_style_thresholds"
    return ("ram_style_thresholds",) if of_thresholds else (attribute,)


def _outermost(layer: FinnLayer, graph: Graph, found: dict[str, list[int]]) -> dict[str, list[int]]:
    """Of the two nodes of a matrix unit whose thresholds are apart, the first reads its input, the second writes."""
    unit = graph[layer.source]
    if not layer.op_type or not isinstance(unit, MatrixUnit) or unit.thresholds is None:
        return found
    if layer.op_type.startswith("Thresholding"):
        return {what: value for what, value in found.items() if what == "outFIFODepths"}
    apart = layer.attributes.get("noActivation")
    return {what: value for what, value in found.items() if what == "inFIFODepths" or not apart}


def _with_depths(
    graph: Graph,
    foldings: Mapping[str, Folding],
    depths: Mapping[str, Mapping[str, list[int]]],
    listed: Mapping[tuple[str, str], tuple[int, int]],
) -> dict[str, Folding]:
    """Each stream's FIFO as deep as the file says at its deeper end; what no end says is left to the schedule."""
    done = dict(foldings)
    taken: dict[str, int] = {}
    chosen: dict[str, list[int | None]] = {}
    far: dict[str, list[int | None]] = {}
    for edge in edges(graph):
        into = depths.get(edge.consumer, {}).get("inFIFODepths", [])
        out = depths.get(edge.producer, {}).get("outFIFODepths", [])
        copy = taken.get(edge.producer, 0)
        taken[edge.producer] = copy + 1
        ends = [*into[edge.port : edge.port + 1], *out[copy : copy + 1]]
        near, other = _either_side(graph, foldings, edge, listed.get((edge.producer, edge.consumer), (0, 0)))
        chosen.setdefault(edge.consumer, []).append(near or max(ends, default=None))
        far.setdefault(edge.consumer, []).append(other)
    for name, values in chosen.items():
        if any(value is not None for value in values):
            done[name] = replace(done[name], fifo_depths=tuple(v or LEAST_FIFO_DEPTH for v in values))
        if any(value is not None for value in far[name]):
            done[name] = replace(done[name], far_fifo_depths=tuple(v or LEAST_FIFO_DEPTH for v in far[name]))
    return done


def _either_side(
    graph: Graph, foldings: Mapping[str, Folding], edge: Edge, listed: tuple[int, int]
) -> tuple[int | None, int | None]:
    """Depth of the FIFO that both targets have, in words of the narrower side, and of FINN's other one."""
    front, behind = listed
    if not edge.producer or not (front and behind):
        return max(listed) or None, None
    writer, reader = graph[edge.producer], graph[edge.consumer]
    written = writer.output_elements(foldings[edge.producer])
    read = reader.input_elements(foldings[edge.consumer], edge.port)
    narrow, wide = (front, behind) if written < read else (behind, front)
    least, most = sorted((written, read))
    if held_elements(writer, reader, written, read) == least:
        return narrow, wide
    return -(-wide * most // least), narrow


def _positive(where: str, attribute: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise FoldingError(f"found {attribute} = {value!r}", where=where, expected="an integer of at least 1")
    return value


def _natural(where: str, attribute: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FoldingError(f"found {attribute} = {value!r}", where=where, expected="an integer of at least 0")
    return value


def _depths(where: str, attribute: str, value: Any) -> list[int]:
    items = value if isinstance(value, list) else [value]
    # 0 is how FINN marks a side whose FIFO is a node of its own, or gone.
    return [0 if item == 0 and not isinstance(item, bool) else _positive(where, attribute, item) for item in items]


def _one_of(where: str, attribute: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise FoldingError(f"found {attribute} = {value!r}", where=where, expected=f"one of {allowed}")
    return value
