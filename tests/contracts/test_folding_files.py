"""The design that is costed is the one that its folding file means, and one that FINN takes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from networks import depthwise_net, residual_net, small_cnn
from oracle_data import ORACLE

from brevitas_a2q.errors import A2QError
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._finn.folding_reader import read_foldings
from brevitas_a2q.hw._finn.lowering import lowered
from brevitas_a2q.hw._finn.rules import illegal
from brevitas_a2q.hw._folding_result import fold_graph
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import Graph, MatrixUnit
from brevitas_a2q.hw._policies import apply_policy

HAND_MADE = {"small_cnn": small_cnn, "depthwise": depthwise_net, "residual": residual_net}
MODELS = ["tfc_w4a4_a2q12", "cnv_w4a4", "mobilenet_w4a4_a2q12", "resnet_w4a4"]
OPTIONS = [
    BuildOptions(),
    BuildOptions(standalone_thresholds=True),
    BuildOptions("dev", target="finn"),
    BuildOptions("dev", standalone_thresholds=True, target="finn"),
]


@cache
def network(name: str, standalone: bool) -> Graph:
    if name in HAND_MADE:
        return HAND_MADE[name]()
    return read_graph(ORACLE / f"models/{name}.onnx", standalone_thresholds=standalone)


CASES = [(name, build) for name in HAND_MADE for build in (OPTIONS[0], OPTIONS[2])]
CASES += [(name, build) for name in MODELS for build in (OPTIONS[0], OPTIONS[3])]


def _label(value: object) -> str:
    if isinstance(value, BuildOptions):
        return f"{value.target}-{value.finn_version}-{value.standalone_thresholds:d}"
    return str(value)


@pytest.mark.parametrize(("name", "build"), CASES, ids=_label)
def test_a_file_costs_what_its_design_costs(name: str, build: BuildOptions, tmp_path: Path) -> None:
    part = find_part("Pynq-Z2" if build.target == "finn" and name in HAND_MADE else "ZCU104")
    graph = network(name, build.standalone_thresholds)
    for target_fps in (None, 300) if name in HAND_MADE else (300,):
        found = fold_graph(graph, part, target_fps, target_fps is None, build=build)
        file = tmp_path / "folding.json"
        file.write_text(json.dumps(found.folding))
        branch = lowered(graph, build.finn_version)
        again = estimate_graph(
            branch, part, foldings=read_foldings(file, branch, part, build.finn_version), build=build
        )
        assert again.total == found.estimate.total
        assert (again.fps, again.latency_cycles) == (found.estimate.fps, found.estimate.latency_cycles)
        assert again.foldings == found.estimate.foldings
        assert illegal(apply_policy(branch, "trained").graph, found.estimate.foldings, part, build) == ()
        for unit in branch.units:
            if isinstance(unit, MatrixUnit):
                folding = found.estimate.foldings[unit.name]
                assert folding.compute in ("lut", "dsp")
                assert folding.ram_style in ("distributed", "block")


def test_units_of_constants_only_on_request(tmp_path: Path) -> None:
    part, graph = find_part("xcvu9p"), network("tfc_w4a4_a2q12", standalone=False)
    with pytest.raises(A2QError, match=r"needs .* cycles per image at its widest folding"):
        fold_graph(graph, part, 1e8)
    build = BuildOptions(units="all")
    found = fold_graph(graph, part, 1e8, build=build)
    rows = {row["name"]: row["multipliers"] for row in found.estimate.to_json()["layers"]}
    assert "unrolled" in rows.values()
    assert any("constant weights" in warning for warning in found.estimate.warnings)
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(found.folding))
    again = estimate_graph(graph, part, foldings=read_foldings(file, graph, part), build=build)
    assert again.total == found.estimate.total
