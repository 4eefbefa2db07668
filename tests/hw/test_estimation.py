"""Estimates of files and graphs: totals, fit, FINN's models, folding files."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from networks import small_cnn
from oracle_data import ORACLE

from brevitas_a2q.errors import A2QError, FoldingError
from brevitas_a2q.hw import estimate
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._compare import difference, read_estimate
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._finn.flow import FinnOptions
from brevitas_a2q.hw._finn.folding_file import finn_folding
from brevitas_a2q.hw._finn.folding_reader import finn_nodes, interleaved, read_foldings
from brevitas_a2q.hw._folding_result import fold_graph
from brevitas_a2q.hw._ir import Folding

PART = find_part("ZCU104")


def test_rows_add_up_and_carry_what_their_kind_has() -> None:
    found = estimate_graph(small_cnn(), PART, 10_000)
    data = found.to_json()
    for name in ("lut", "bram18", "uram", "dsp"):
        assert data["total"][name] == sum(row[name] for row in data["layers"])
    assert data["max_cycles"] == max(row["cycles"] or 0 for row in data["layers"])
    assert data["fps"] == pytest.approx(200e6 / data["max_cycles"])
    assert data["fps"] >= 10_000
    rows = {row["name"]: row for row in data["layers"]}
    assert set(rows["conv1"]) == {
        "name", "op", "pe", "simd", "multipliers", "accumulator_bit_width", "lut", "bram18", "uram", "dsp", "ff",
        "cycles", "depth", "lut_terms",
    }  # fmt: skip
    for row in data["layers"]:
        assert sum(term["lut"] for term in row["lut_terms"]) == pytest.approx(row["lut"], abs=0.5)
        assert {term["basis"] for term in row["lut_terms"]} <= {"exact", "fitted"}
    assert rows["conv1"]["op"] == "MVAU"
    assert rows["conv1_window"]["pe"] is rows["conv1_window"]["accumulator_bit_width"] is None
    assert rows["conv2_window/fifo"]["op"] == "Fifo"
    assert rows["conv2_window/fifo"]["cycles"] is None
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_estimates_are_frozen() -> None:
    found = estimate_graph(small_cnn(), PART, 1000)
    with pytest.raises(FrozenInstanceError):
        found.max_cycles = 1  # type: ignore[misc]


def test_constant_weights_are_noted_with_what_shared_sums_would_save() -> None:
    graph, unit = small_cnn(), small_cnn()["conv1"]
    folded = estimate_graph(graph, PART, 10_000)
    assert not any("adder graphs" in note for note in folded.to_json()["notes"])
    unrolled = {**folded.foldings, "conv1": Folding(unit.pe_limit, unit.simd_limit, "unrolled")}
    (note,) = estimate_graph(graph, PART, None, foldings=unrolled).to_json()["notes"]
    assert note.startswith("conv1: every channel has adders of its own")
    assert "adder graphs" in note


def test_fit_and_tightest_resource() -> None:
    found = estimate_graph(small_cnn(), PART, 10_000)
    assert found.fits
    assert found.tightest == "lut"
    small = Part("small", "7-series", 100, 200, 10, 0, 0, "DSP48E1")
    crowded = estimate_graph(small_cnn(), small, 10_000)
    assert not crowded.fits
    assert crowded.utilization[crowded.tightest] > 1


def test_narrower_accumulators_cost_less() -> None:
    luts = [estimate_graph(small_cnn(), PART, 10_000, accumulator=p).total.lut for p in ("32", "data-type", "exact")]
    assert luts == sorted(luts, reverse=True)
    assert luts[0] > 1.05 * luts[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_fps": 0.0}, "found target_fps = 0.0"),
        ({"target_fps": float("nan")}, "found target_fps = nan"),
        ({"clock_mhz": -1.0}, "found clock_mhz = -1.0"),
        ({"target_fps": 1e9}, "at most one frame per clock cycle"),
        ({"model": "vivado"}, "found model 'vivado'"),
        ({"accumulator": "narrow"}, "found accumulator policy 'narrow'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(A2QError, match=message):
        estimate_graph(small_cnn(), PART, **options)  # type: ignore[arg-type]


def test_folding_file_round_trip(tmp_path: Path) -> None:
    graph = small_cnn()
    result = fold_graph(graph, PART, 20_000)
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(result.folding))
    again = read_foldings(file, graph, PART)
    for name, folding in result.estimate.foldings.items():
        assert (again[name].pe, again[name].simd) == (folding.pe, folding.simd), name
    assert finn_folding(graph, again, PART) == result.folding
    repeated = estimate_graph(graph, PART, foldings=again)
    assert repeated.max_cycles == result.estimate.max_cycles
    assert repeated.total == result.estimate.total


def test_folding_file_defaults_and_unit_names(tmp_path: Path) -> None:
    file = tmp_path / "folding.json"
    file.write_text('{"Defaults": {"PE": [2, ["MVAU_hls", "MVAU_rtl"]]}, "conv2": {"SIMD": 9, "mem_mode": "external"}}')
    foldings = read_foldings(file, small_cnn(), PART)
    assert (foldings["conv2"].pe, foldings["conv2"].simd, foldings["conv1"].pe) == (2, 9, 2)


def test_final_hw_config(tmp_path: Path) -> None:
    """FINN lists converters and FIFOs as nodes between the units: a FIFO's depth is the stream's."""
    graph = small_cnn()
    reader = graph.units[1]
    (before,) = reader.inputs
    layers = {layer.source: layer.name for layer in finn_nodes({}, graph, PART)}
    listed = {
        "Defaults": {},
        layers[before]: {"PE": 1, "inFIFODepths": [0], "outFIFODepths": [0], "preferred_impl_style": ""},
        "StreamingFIFO_rtl_0": {"depth": 77, "impl_style": "rtl", "ram_style": "auto", "inFIFODepths": [0]},
        "StreamingDataWidthConverter_rtl_0": {"inFIFODepths": [0], "outFIFODepths": [0]},
        layers[reader.name]: {"inFIFODepths": [0], "outFIFODepths": [0]},
    }
    file = tmp_path / "final_hw_config.json"
    file.write_text(json.dumps(listed))
    foldings = read_foldings(file, graph, PART)
    assert foldings[reader.name].fifo_depths == (77,)


def test_fifos_on_both_sides_of_a_converter(tmp_path: Path) -> None:
    """Listed between the units, or one for each stream of a chain behind all nodes: their depths are the streams'."""
    graph = small_cnn()
    names = [layer.name for layer in finn_nodes({}, graph, PART)]
    conv = [name.startswith("MVAU") for name in names].index(
        True, 3
    )  # the second one; the window before it has 8 channels
    nodes = [*names[:conv], "StreamingDataWidthConverter_0", *names[conv:]]
    file = tmp_path / "folding.json"
    entries: dict[str, object] = {name: {} for name in nodes}
    entries |= {f"StreamingFIFO_rtl_{i}": {"depth": 10 + i} for i in range(len(nodes) + 1)}
    entries[names[conv - 1]] = {"SIMD": 8}  # which the matrix unit reads one by one
    file.write_text(json.dumps({"Defaults": {}, **entries}))
    together = read_foldings(file, graph, PART)
    file.write_text(json.dumps({"Defaults": {}, **interleaved(entries)}))
    assert read_foldings(file, graph, PART) == together
    reader = {layer.name: layer.source for layer in finn_nodes({}, graph, PART)}[names[conv]]
    front, behind = 10 + conv, 11 + conv
    assert together[reader].fifo_depths == (
        8 * front,
    )  # which stands before the converter, where windows come in bursts
    assert together[reader].far_fifo_depths == (behind,)
    rows = estimate_graph(graph, PART, foldings=together, build=BuildOptions(target="finn")).rows
    depths = {row.name: row.depth for row in rows}
    assert (depths[f"{reader}/fifo"], depths[f"{reader}/far fifo"]) == (8 * front, behind)


@pytest.mark.parametrize(
    ("trigger", "style"),
    [(0, "auto"), (1, "block"), (9, "auto"), (64, "auto"), (65, "distributed"), (1 << 30, "distributed")],
)
def test_depth_trigger_says_where_thresholds_are(trigger: int, style: str, tmp_path: Path) -> None:
    """Memories of 8, 16, 32 and 64 words (8 channels, 15 thresholds): in block RAM from ``trigger`` words on."""
    graph = small_cnn()
    file = tmp_path / "folding.json"
    node = "Thresholding_rtl_0"
    names = [layer.name for layer in finn_nodes({node: {}}, graph, PART)]
    assert node in names
    file.write_text(json.dumps({node: {"depth_trigger_bram": trigger}}))
    (first, *_) = [u for u in graph.units if getattr(u, "thresholds", None) is not None]
    assert first.channels == 8
    assert read_foldings(file, graph, PART)[first.name].ram_style_thresholds == style
    file.write_text(json.dumps({node: {"depth_trigger_bram": "all"}}))
    with pytest.raises(FoldingError, match="found depth_trigger_bram = 'all'"):
        read_foldings(file, graph, PART)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no mapping"),
        ('{"MVAU_hls_9": {"PE": 1}}', "found node 'MVAU_hls_9'; expected one such as MVAU_hls_"),
        ('{"conv2": {"PE": 3}}', "MVAU conv2: found PE = 3; expected a divisor of 16; the nearest is [24]"),
        ('{"conv2": {"PE": 2.0}}', "found PE = 2.0"),
        ('{"conv2": {"ram_style": "disk"}}', "found ram_style = 'disk'"),
        ('{"conv2": 3}', "a mapping of attributes"),
        ('{"Defaults": {"PE": 3}}', "found 3; expected .value, .op types.."),
        ('{"Defaults": {"PEE": [1, ["all"]]}}', "Defaults: found attribute 'PEE'.*did you mean 'PE'"),
        ('{"defaults": {}}', "found node 'defaults'; expected one such as Defaults"),
        ('{"conv2": {"Simd": 9}}', "found attribute 'Simd'; expected one of FINN's; did you mean 'SIMD'"),
        ('{"conv2": {"inFifoDepth": [9]}}', "did you mean 'inFIFODepths'"),
    ],
)
def test_bad_folding_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "folding.json"
    file.write_text(text)
    with pytest.raises(FoldingError, match=message):
        read_foldings(file, small_cnn(), PART)


def test_difference_of_two_estimates(tmp_path: Path) -> None:
    before = estimate_graph(small_cnn(), PART, 10_000, accumulator="32").to_json()
    after = estimate_graph(small_cnn(), PART, 10_000, accumulator="exact").to_json()
    found = difference(before, after)
    changed = {change.name for change in found.layers if change.changed}
    assert "conv1" in changed
    assert found.ratios["lut"] == pytest.approx(after["total"]["lut"] / before["total"]["lut"])
    assert found.ratios["uram"] is None
    assert not [c for c in difference(before, before).layers if c.changed]
    file = tmp_path / "estimate.json"
    file.write_text(json.dumps(before))
    assert read_estimate(file) == before
    file.write_text('{"layers": []}')
    with pytest.raises(A2QError, match="found no total, fps"):
        read_estimate(file)


@pytest.mark.parametrize("name", ["tfc_w4a4_a2q12", "cnv_w4a4", "mobilenet_w4a4_a2q12", "resnet_w4a4"])
@pytest.mark.parametrize("target_fps", [1000, 4000])
def test_optimum_is_never_worse_than_setfolding(name: str, target_fps: int) -> None:
    from brevitas_a2q.hw._frontend import read_graph

    result = fold_graph(read_graph(ORACLE / f"models/{name}.onnx"), PART, target_fps)
    assert result.estimate.fps >= target_fps
    assert result.setfolding is not None
    assert result.setfolding_lut_equivalent is not None
    assert result.lut_equivalent <= result.setfolding_lut_equivalent
    assert result.least_lut_equivalent is not None
    assert result.least_lut_equivalent <= result.lut_equivalent
    ours, greedy = ((e.max_cycles, e.total) for e in (result.estimate, result.setfolding))
    assert (ours == greedy) == name.startswith("tfc"), "only dense layers leave SetFolding nothing to choose"


@pytest.mark.parametrize("name", ["tfc_w4a4_a2q12", "cnv_w4a4", "resnet_w4a4"])
def test_a_higher_target_never_costs_less(name: str) -> None:
    from brevitas_a2q.hw._frontend import read_graph

    graph = read_graph(ORACLE / f"models/{name}.onnx")
    costs = [fold_graph(graph, PART, fps).lut_equivalent for fps in (100, 1000, 3000)]
    assert costs == sorted(costs)


@pytest.mark.parametrize("version", ["main"])
def test_finn_model_is_finns_report(version: str) -> None:
    file = ORACLE / "reports/cnv_w4a4_a2q12.main.st0.32.fps1000.json"
    report = json.loads(file.read_text())
    found = estimate(
        ORACLE / "models/cnv_w4a4_a2q12.onnx", "xczu7ev-ffvc1156-2-e", 1000, model=f"finn-{version}", accumulator="32"
    )
    ours = {row.name: (row.resources, row.cycles, row.pe) for row in found.rows}
    for layer in report["layers"]:
        res = layer["res"]
        expected = Resources(int(res["LUT"]), int(res["BRAM_18K"]), int(res["URAM"]), int(res["DSP"]))
        assert ours[layer["name"]] == (expected, layer["cycles"], layer["attrs"].get("PE")), layer["name"]
    assert len(ours) == len(report["layers"])


def test_finn_folds_thresholds_that_stand_apart_by_their_own_entry(tmp_path: Path) -> None:
    """In FINN's own models too; the quantizer of the input, dev's, writes the words that its reader takes."""
    from brevitas_a2q.hw._frontend import read_graph

    graph = read_graph(ORACLE / "models/tfc_w4a4.onnx", standalone_thresholds=True)
    file = tmp_path / "folding.json"
    file.write_text(json.dumps({"MVAU_rtl_0": {"PE": 8, "SIMD": 4}, "Thresholding_rtl_0": {"PE": 2}}))
    foldings = read_foldings(file, graph, PART)
    options = FinnOptions(standalone_thresholds=True)
    for model, first in (("finn-main", []), ("finn-dev", [("Thresholding_rtl_0", 4)])):
        rows = estimate_graph(graph, PART, model=model, foldings=foldings, finn_options=options).rows  # type: ignore[arg-type]
        shown = [(row.name, row.pe) for row in rows]
        assert shown[: len(first)] == first
        assert shown[len(first) : len(first) + 2] == [("MVAU_rtl_0", 8), (f"Thresholding_rtl_{len(first)}", 2)]
    by_path = estimate(ORACLE / "models/tfc_w4a4.onnx", PART, model="finn-dev", foldings=foldings, finn_options=options)
    assert [(row.name, row.pe) for row in by_path.rows] == shown
