"""FINN's folding JSON, in and out.

The file maps a FINN node name to attributes: ``{"Defaults": {"PE": [1, ["MVAU_hls"]]}, "MVAU_hls_0": {"PE": 4,
"SIMD": 2, "ram_style": "block", "resType": "lut"}}``; ``Defaults`` holds a value for all nodes of some op types (or
``all``). Read files may use the names of the dataflow graph's units instead. Source: qonnx
``transformation/general.py`` (ApplyConfig), FINN ``build_dataflow_config.py`` (folding_config_file).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw.design import check_foldings
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.finn.flow import FinnOptions, finn_estimate
from brevitas_a2q.hw.finn.network import FinnLayer
from brevitas_a2q.hw.ir import Folding, Graph, Mvau, Thresholding, Unit, Vvau

__all__ = ["finn_folding", "read_foldings"]

_STYLES: Final = ("auto", "distributed", "block", "ultra")
_MULTIPLIERS: Final = ("auto", "lut", "dsp")


def finn_folding(graph: Graph, foldings: Mapping[str, Folding], part: Part) -> dict[str, dict[str, Any]]:
    """The folding file of these foldings, under the names that FINN main gives its nodes.

    A unit with constant weights ("unrolled") is written as one of LUT multipliers: FINN has no other.
    """
    found: dict[str, dict[str, Any]] = {"Defaults": {}}
    for layer in finn_estimate(graph, part, foldings=foldings).layers:
        unit, folding = graph[layer.source], foldings[layer.source]
        found[layer.name] = {
            name: value for name, value in _attributes(unit, folding).items() if name in layer.attributes
        }
    return found


def _attributes(unit: Unit, folding: Folding) -> dict[str, Any]:
    written: dict[str, Any] = {"PE": folding.pe, "SIMD": folding.simd, "ram_style": folding.ram_style}
    if isinstance(unit, Mvau | Vvau):
        written["resType"] = "dsp" if folding.compute == "dsp" else "lut"
        written["ram_style_thresholds"] = folding.ram_style_thresholds
    else:
        written["parallel_window"] = int(folding.parallel_window)
    return written


def read_foldings(path: Path, graph: Graph, part: Part) -> dict[str, Folding]:
    """The folding of every unit from a folding file; what the file leaves out keeps the least parallelism.

    Raises:
        FoldingError: For a file that is not a folding file, a node that the network does not have, or a bad value.
    """
    entries = _load(path)
    layers, unit_of = _finn_nodes(graph, part)
    unit_of |= {unit.name: unit.name for unit in graph.units}
    foldings = {unit.name: Folding() for unit in graph.units}
    foldings |= finn_estimate(graph, part).foldings if layers else {}
    for attribute, setting in entries.pop("Defaults", {}).items():
        value, kinds = _default(path, attribute, setting)
        for layer in layers:
            if "all" in kinds or layer.op_type in kinds:
                foldings[layer.source] = _changed(path, layer.name, foldings[layer.source], {attribute: value})
    for name, attributes in entries.items():
        if name not in unit_of:
            near = difflib.get_close_matches(name, unit_of, n=3, cutoff=0.4)
            raise FoldingError(f"found node {name!r}", where=str(path), expected=f"one such as {', '.join(near)}")
        if not isinstance(attributes, dict):
            raise FoldingError(f"found {attributes!r}", where=f"{path}, {name}", expected="a mapping of attributes")
        source = unit_of[name]
        foldings[source] = _changed(path, name, foldings[source], attributes, isinstance(graph[source], Thresholding))
    check_foldings(graph, foldings)
    return foldings


def _finn_nodes(graph: Graph, part: Part) -> tuple[tuple[FinnLayer, ...], dict[str, str]]:
    """FINN main's nodes, and the unit behind each name, thresholds fused or not; none where FINN cannot express it."""
    try:
        fused = finn_estimate(graph, part).layers
        apart = finn_estimate(graph, part, options=FinnOptions(standalone_thresholds=True)).layers
    except ConfigError:
        return (), {}
    return fused, {layer.name: layer.source for layer in (*apart, *fused)}


def _load(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FoldingError("found a file that is not JSON", where=str(path), expected="a FINN folding file") from error
    if not isinstance(entries, dict) or not isinstance(entries.get("Defaults", {}), dict):
        raise FoldingError("found no mapping", where=str(path), expected="node names with their attributes")
    return entries


def _default(path: Path, attribute: str, setting: Any) -> tuple[Any, list[str]]:
    if not isinstance(setting, list) or len(setting) != 2 or not isinstance(setting[1], list):
        raise FoldingError(f"found {setting!r}", where=f"{path}, Defaults, {attribute}", expected="[value, [op types]]")
    return setting[0], setting[1]


def _changed(
    path: Path, name: str, folding: Folding, attributes: Mapping[str, Any], of_thresholds: bool = False
) -> Folding:
    """The folding with the attributes that matter to it; FINN's other ones are none of ours."""
    where = f"{path}, {name}"
    changes: dict[str, Any] = {}
    for attribute, value in attributes.items():
        if attribute in ("PE", "SIMD"):
            changes[attribute.lower()] = _positive(where, attribute, value)
        elif attribute in ("ram_style", "ram_style_thresholds"):
            changes[attribute] = _one_of(where, attribute, value, _STYLES)
            if of_thresholds:
                changes["ram_style_thresholds"] = value
        elif attribute == "resType":
            changes["compute"] = _one_of(where, attribute, value, _MULTIPLIERS)
        elif attribute == "parallel_window":
            changes["parallel_window"] = bool(_one_of(where, attribute, value, (0, 1)))
    return replace(folding, **changes)


def _positive(where: str, attribute: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise FoldingError(f"found {attribute} = {value!r}", where=where, expected="an integer of at least 1")
    return value


def _one_of(where: str, attribute: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise FoldingError(f"found {attribute} = {value!r}", where=where, expected=f"one of {allowed}")
    return value
