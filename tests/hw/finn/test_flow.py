"""Whole networks against FINN's own end-to-end reports."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._finn.flow import FinnEstimate, FinnOptions, finn_estimate
from brevitas_a2q.hw._finn.lowering import lowered
from brevitas_a2q.hw._frontend import read_graph

Row = dict[str, Any]
CLOCK_MHZ = 200.0
POLICIES = {"32": "32", "dtbound": "data-type", "fixed12": "fixed:12", "weight": "exact"}
# Attributes that FINN's reports list and its formulas never read here, or that FINN leaves at their defaults.
UNREAD = {"depth_trigger_bram", "depth_trigger_uram", "mem_mode"}


def resources(row: Row) -> Resources:
    return Resources(row["LUT"], row["BRAM_18K"], row["URAM"], row["DSP"])


def mismatches(found: FinnEstimate, report: Row) -> list[tuple[Any, ...]]:
    """Everything in which the estimate differs from FINN's report."""
    bad: list[tuple[Any, ...]] = []

    def same(where: str, what: str, ours: object, finns: object) -> None:
        if ours != finns:
            bad.append((where, what, ours, finns))

    def same_layers(layers: Any, nodes: Any, rows: list[Row]) -> None:
        same("network", "names", [layer.name for layer in layers], [row["name"] for row in rows])
        for layer, node, row in zip(layers, nodes, rows, strict=False):
            for name, value in row["attrs"].items():
                if name in layer.attributes and name not in UNREAD:
                    same(row["name"], name, layer.attributes[name], value)
            same(row["name"], "resources", node.resources, resources(row["res"]))
            efficiencies = (row["res"]["BRAM_efficiency"], row["res"]["URAM_efficiency"])
            same(row["name"], "efficiencies", (node.bram_efficiency, node.uram_efficiency), efficiencies)
            widths = (row["cycles"], row["in_width"], row["out_width"])
            same(row["name"], "cycles and widths", (node.cycles, node.input_width, node.output_width), widths)

    same_layers(found.layers, found.nodes, report["layers"])
    same_layers(found.converters, found.converter_nodes, report["with_dwc"]["dwc"])
    for layer, row in zip(found.converters, report["with_dwc"]["dwc"], strict=False):
        same(layer.name, "producer", list(layer.inputs), row["preds"])
    same("network", "total", found.total, resources(report["total"]))
    same("network", "with converters", found.total_with_converters, resources(report["with_dwc"]["total"]))
    for name in ("max_cycles", "max_cycles_node_name", "critical_path_cycles"):
        same("network", name, getattr(found.performance, name), report["performance"][name])
    return bad


def options_of(name: str) -> tuple[str, str, float, FinnOptions]:
    """Model, policy, frames per second and FINN options from a report's file name."""
    match = re.fullmatch(r"(\w+)\.main\.st([01])\.(\w+)\.fps(\d+?)(?:_(hls|dist|thrdist))?\.json", name)
    assert match is not None
    model, standalone, policy, fps, tag = match.groups()
    options = FinnOptions(
        standalone_thresholds=standalone == "1",
        prefer_hls=tag == "hls",
        ram_style="distributed" if tag == "dist" else "auto",
        ram_style_thresholds="distributed" if tag == "thrdist" else "auto",
    )
    return model, POLICIES[policy], float(fps), options


def test_every_report_of_the_reference(oracle: Path, reports: dict[str, Row]) -> None:
    """Six models, fused and standalone thresholds, four policies, from the QONNX file to the totals."""
    graph = cache(lambda model: read_graph(oracle / "models" / f"{model}.onnx"))
    bad = {}
    for name, report in reports.items():
        model, policy, fps, options = options_of(name)
        found = finn_estimate(graph(model), report["part"], fps, CLOCK_MHZ, "main", policy, options=options)
        wrong = mismatches(found, report)
        if wrong:
            bad[name] = wrong
    assert len(reports) >= 100
    assert bad == {}


def dense(name: str, source: str, size: tuple[int, int], inputs: str, output: str | None) -> ir.Mvau:
    """A dense layer of 4-bit weights, with 15 thresholds where it has an output type."""
    weights = np.full(size, 7, dtype=np.int64)
    weights[0, 0] = -7
    return ir.Mvau(
        name=name,
        inputs=(source,),
        input_type=IntType(inputs),
        output_type=IntType(output or "INT32"),
        pixels=1,
        channels=size[0],
        weight_type=IntType("INT4"),
        weights=weights,
        accumulator_type=IntType("INT32"),
        accumulator_range=(-1, 1),
        trained_accumulator_bit_width=None,
        thresholds=np.zeros((1, 15), dtype=np.int64) if output else None,
    )


def tfc() -> ir.Graph:
    """The reference's fully connected network; its policy of data-type bounds does not look at values."""
    return ir.Graph(
        "tfc",
        (
            dense("fc1", "", (64, 784), "INT8", "UINT4"),
            dense("fc2", "fc1", (64, 64), "UINT4", "UINT4"),
            dense("fc3", "fc2", (64, 64), "UINT4", "UINT4"),
            dense("fc4", "fc3", (10, 64), "UINT4", None),
        ),
    )


def golden_report() -> Row:
    """FINN main's report ``tfc_w4a4.main.st1.dtbound.fps20000``, as FINN wrote it."""
    report: Row = json.loads((Path(__file__).parent / "golden_report.json").read_text())
    return report


def test_golden_report() -> None:
    report = golden_report()
    options = FinnOptions(standalone_thresholds=True)
    found = finn_estimate(tfc(), report["part"], 20000, CLOCK_MHZ, "main", "data-type", options=options)
    assert mismatches(found, report) == []


def test_the_comparison_notices_a_difference() -> None:
    report = golden_report()
    report["layers"][0]["res"]["LUT"] += 1
    options = FinnOptions(standalone_thresholds=True)
    found = finn_estimate(tfc(), report["part"], 20000, CLOCK_MHZ, "main", "data-type", options=options)
    assert [m[1] for m in mismatches(found, report)] == ["resources"]


def test_costs_and_foldings_come_back_by_unit() -> None:
    options = FinnOptions(standalone_thresholds=True)
    found = finn_estimate(tfc(), "xczu7ev-ffvc1156-2-e", 20000, CLOCK_MHZ, options=options)
    assert list(found.costs) == list(found.foldings) == ["fc1", "fc2", "fc3", "fc4"]
    assert sum((cost.resources for cost in found.costs.values()), Resources()) == found.total
    assert [term.name for term in found.costs["fc1"].terms] == ["MVAU_rtl", "Thresholding_rtl"]
    again = finn_estimate(tfc(), "xczu7ev-ffvc1156-2-e", None, CLOCK_MHZ, foldings=found.foldings, options=options)
    assert [node.dsp for node in again.nodes] == [node.dsp for node in found.nodes]


RANDOM = Path(__file__).parents[2] / "data/finn/random"


def random_reports() -> list[Row]:
    """FINN's own reports of random networks (``benchmarks/finn_parity.py``)."""
    return [json.loads(line) for line in (RANDOM / "reports.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("report", random_reports(), ids=lambda r: f"{r['branch']}-{r['file']}-{r['standalone']}")
def test_reports_of_random_networks(report: Row) -> None:
    """Thresholds far out of reach, of channels whose sums meet none of them, too; dev's nodes at both ends."""
    version = report["branch"]
    graph = lowered(read_graph(RANDOM / report["file"]), version)
    options = FinnOptions(standalone_thresholds=bool(report["standalone"]))
    found = finn_estimate(graph, "xczu7ev-ffvc1156-2-e", report["fps"], CLOCK_MHZ, version, "exact", options=options)
    assert [layer.name for layer in found.layers] == [row["name"] for row in report["nodes"]]
    for layer, node, row in zip(found.layers, found.nodes, report["nodes"], strict=True):
        known = {name: value for name, value in row["attributes"].items() if name in layer.attributes}
        assert {name: layer.attributes[name] for name in known} == known, layer.name
        assert node.resources == resources(row["resources"]), layer.name
        assert node.cycles == row["cycles"], layer.name


def test_ends_of_dev_are_no_units_of_the_graph() -> None:
    graph = read_graph(RANDOM / "3030.onnx")
    assert graph.input.steps == 2**graph.input.output_type.bit_width - 1
    found = finn_estimate(graph, "xczu7ev-ffvc1156-2-e", 1000, CLOCK_MHZ, "dev")
    assert [layer.op_type for layer in (found.layers[0], found.layers[-1])] == [
        "Thresholding_rtl",
        "ElementwiseMul_hls",
    ]
    assert list(found.costs) == list(found.foldings) == [unit.name for unit in graph.units]
    again = finn_estimate(graph, "xczu7ev-ffvc1156-2-e", None, CLOCK_MHZ, "dev", foldings=found.foldings)
    assert [node.resources for node in again.nodes[1:]] == [node.resources for node in found.nodes[1:]]
    assert (
        finn_estimate(tfc(), "xczu7ev-ffvc1156-2-e", 1000, CLOCK_MHZ, "dev").layers[0].op_type == "MVAU_hls"
    )  # integers
