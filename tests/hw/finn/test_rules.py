"""What FINN asks of folded nodes, and the folding files that break it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from networks import Builder, depthwise_net, small_cnn

from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._finn.folding_reader import check_folding, read_foldings
from brevitas_a2q.hw._ir import Graph


def wide() -> Graph:
    return Builder(512, (1, 1)).dense("first", 64).dense("fc", 10, last=True).graph("wide")


@pytest.mark.parametrize(
    ("graph", "node", "attributes", "part", "rule"),
    [
        (small_cnn(), "MVAU_rtl_0", {"resType": "lut"}, "ZCU104", "FOLD-01"),
        (small_cnn(), "MVAU_hls_1", {"resType": "unrolled"}, "ZCU104", "FOLD-01"),
        (small_cnn(), "MVAU_hls_1", {"ram_style": "ultra"}, "ZCU104", "FOLD-02"),
        (small_cnn(), "MVAU_hls_1", {"ram_style": "ultra"}, "xc7z020", "FOLD-02"),
        (wide(), "MVAU_hls_0", {"PE": 64, "SIMD": 512}, "ZCU104", "FOLD-03"),
        (Builder(4096, (1, 1)).dense("first", 4).graph(), "MVAU_hls_0", {"SIMD": 2}, "ZCU104", "FOLD-04"),
        (depthwise_net(), "VVAU_hls_0", {"SIMD": 3, "PE": 1}, "ZCU104", "FOLD-05"),
        (
            small_cnn(),
            "ConvolutionInputGenerator_rtl_1",
            {"parallel_window": 1, "SIMD": 4},
            "ZCU104",
            "FOLD-06",
        ),
        (depthwise_net(), "VVAU_hls_0", {"PE": 4}, "ZCU104", "FOLD-07"),
        (small_cnn(), "MVAU_hls_1", {"ram_style_thresholds": "ultra"}, "ZCU104", "FOLD-08"),
        (small_cnn(), "MVAU_hls_1", {"PE": 3}, "ZCU104", "FOLD-10"),
        (small_cnn(), "MVAU_hls_17", {"PE": 3}, "ZCU104", "FOLD-11"),
    ],
)
def test_each_rule(graph: Graph, node: str, attributes: dict[str, Any], part: str, rule: str, tmp_path: Path) -> None:
    file = tmp_path / "folding.json"
    file.write_text(json.dumps({"Defaults": {}, node: attributes}))
    found = check_folding(file, graph, find_part(part))
    assert (rule, node) in {(finding.rule, finding.node) for finding in found} or rule == "FOLD-07"
    assert any(finding.rule == rule for finding in found)


def test_what_is_legal_passes(tmp_path: Path) -> None:
    file = tmp_path / "folding.json"
    writable = {"ram_style": "ultra", "runtime_writeable_weights": 1, "PE": 4, "SIMD": 9}
    file.write_text(json.dumps({"Defaults": {"PE": [2, ["MVAU_hls"]]}, "MVAU_hls_1": writable}))
    assert check_folding(file, small_cnn(), find_part("ZCU104")) == ()
    assert read_foldings(file, small_cnn(), find_part("ZCU104"))["conv2"].writable_weights


def test_a_layer_of_zeros() -> None:
    from brevitas_a2q.hw._finn.rules import illegal
    from brevitas_a2q.hw._ir import Folding

    graph = small_cnn()
    graph = graph.with_units(conv2={"weights": 0 * graph["conv2"].weights})  # type: ignore[attr-defined]
    foldings = {unit.name: Folding() for unit in graph.units}
    assert "FOLD-09" in {finding.rule for finding in illegal(graph, foldings, find_part("ZCU104"))}
