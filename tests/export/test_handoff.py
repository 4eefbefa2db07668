"""The folder of a FINN build."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401  (qonnx' executor needs it)
import pytest
import yaml
from oracle_data import ORACLE

from brevitas_a2q._cli.main import main
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._handoff import write_handoff
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._finn.folding_reader import check_folding, read_foldings
from brevitas_a2q.hw._frontend import read_graph

TFC = ORACLE / "models/tfc_w4a4_a2q12.onnx"


@pytest.mark.parametrize("version", ["main", "dev", "plus"])
def test_the_folder_is_whole_and_of_one_design(version: str, tmp_path: Path) -> None:
    done = write_handoff(TFC, tmp_path / "out", finn_version=version, part="Pynq-Z2", target_fps=2000)  # type: ignore[arg-type]
    out = tmp_path / "out"
    build = "build.yaml" if version == "plus" else "build.py"
    assert {path.name for path in out.iterdir()} == set(done.files)
    assert build in done.files
    text = (out / build).read_text()
    assert "Pynq-Z2" in text
    assert "folding.json" in text
    if version != "plus":
        compile(text, build, "exec")
    preferred = json.loads((out / "specialize_layers.json").read_text())
    folding = json.loads((out / "folding.json").read_text())
    assert sorted(n for n in preferred if n != "Defaults") == ["MVAU_0", "MVAU_1", "MVAU_2", "MVAU_3"]
    styles = [entry["preferred_impl_style"] for name, entry in preferred.items() if name != "Defaults"]
    assert [name.split("_")[1] for name in folding if name.startswith("MVAU")] == styles
    graph = read_graph(out / "model.onnx")
    again = read_foldings(out / "folding.json", graph, find_part("Pynq-Z2"))
    assert list(again.values()) == list(done.estimate.foldings.values())  # qonnx renames the nodes
    assert json.loads((out / "estimate.json").read_text())["total"]["lut"] == done.estimate.total.lut


@pytest.mark.parametrize("version", ["main", "dev"])
def test_the_folder_passes_its_own_check(version: str, tmp_path: Path) -> None:
    """The quantizer of the input, which dev has as one Thresholding node more, is in the file and no fault of it."""
    build = BuildOptions(version, standalone_thresholds=True)  # type: ignore[arg-type]
    write_handoff(TFC, tmp_path / "out", finn_version=version, part="Pynq-Z2", target_fps=2000, build=build)  # type: ignore[arg-type]
    graph = read_graph(TFC, standalone_thresholds=True)
    folding = tmp_path / "out/folding.json"
    first = next(name for name in json.loads(folding.read_text()) if name != "Defaults")
    assert first.startswith("MVAU" if version == "main" else "Thresholding_rtl_0")
    assert check_folding(folding, graph, find_part("Pynq-Z2"), version) == ()  # type: ignore[arg-type]
    words = ["check-finn", str(TFC), "--folding", str(folding), "--finn-version", version, "--standalone-thresholds"]
    assert main([*words, "--part", "Pynq-Z2"]) == 0


@pytest.mark.parametrize(
    ("part", "setting"),
    [
        ("zcu104", "board='ZCU104'"),
        ("KV260", "board='KV260_SOM'"),
        ("ZCU106", "fpga_part='xczu7ev-ffvc1156-2-e'"),  # which no FINN knows
        ("xczu7ev", "fpga_part='xczu7ev'"),
    ],
)
def test_boards_have_finns_names(part: str, setting: str, tmp_path: Path) -> None:
    write_handoff(TFC, tmp_path / "out", part=part, target_fps=2000)
    text = (tmp_path / "out/build.py").read_text()
    assert setting in text
    assert (
        "shell_flow_type=cfg.ShellFlowType.VIVADO_ZYNQ,\n" in text
    )  # by which main looks up the board, even to estimate


@pytest.mark.parametrize(
    ("name", "version", "more"),
    [("mobilenet_w4a4_a2q12", "main", True), ("mobilenet_w4a4_a2q12", "dev", False), ("tfc_w4a4", "main", False)],
)
def test_depthwise_convolutions_are_a_step_more_on_main(name: str, version: str, more: bool, tmp_path: Path) -> None:
    file = ORACLE / f"models/{name}.onnx"
    write_handoff(file, tmp_path / "out", finn_version=version, part="ZCU104", target_fps=100)  # type: ignore[arg-type]
    text = (tmp_path / "out/build.py").read_text()
    compile(text, "build.py", "exec")
    assert ("STEPS.insert" in text) == ("InferVectorVectorActivation" in text) == more


@pytest.mark.parametrize(
    ("name", "version", "more"), [("3040", "main", True), ("3040", "dev", False), ("3046", "main", False)]
)
def test_images_without_windows_are_a_step_more(name: str, version: str, more: bool, tmp_path: Path) -> None:
    """A 1x1 convolution and a max pool, which dev makes a window of; and a network with a window of 3x3."""
    file = Path(__file__).parents[1] / f"data/finn/random/{name}.onnx"
    write_handoff(file, tmp_path / "out", finn_version=version, part="ZCU104", target_fps=100)  # type: ignore[arg-type]
    text = (tmp_path / "out/build.py").read_text()
    compile(text, "build.py", "exec")
    assert ("STEPS.insert" in text) == ("RemoveCNVtoFCFlatten" in text) == more


@pytest.mark.parametrize("version", ["main", "dev", "plus"])
def test_networks_with_branches_bring_their_steps(version: str, tmp_path: Path) -> None:
    """What FINN makes of them, node by node: benchmarks/results/finn_handoff.md."""
    file = ORACLE / "models/resnet_w4a4.onnx"
    write_handoff(file, tmp_path / "out", finn_version=version, part="ZCU104", target_fps=100)  # type: ignore[arg-type]
    if version == "plus":
        settings = yaml.safe_load((tmp_path / "out/build.yaml").read_text())
        assert settings["inject_steps_before"] == {"step_streamline": ["branches.step_forks"]}
        assert settings["inject_steps_after"] == {"step_streamline": ["branches.step_joins"]}
        names: dict[str, object] = {}
        exec((tmp_path / "out/branches.py").read_text(), names)
        assert callable(names["step_forks"])
        assert callable(names["step_joins"])
        return
    text = (tmp_path / "out/build.py").read_text()
    compile(text, "build.py", "exec")
    steps = ["qonnx_to_finn", "step_streamline", "step_convert_to_hw"]
    names = {"STEPS": steps, **{f"step_{name}": name for name in ("forks", "joins", "streams")}}
    exec("\n".join(line for line in text.splitlines() if line.startswith("STEPS.insert")), names)
    more = ["streams"] if version == "main" else []
    assert steps == ["qonnx_to_finn", "forks", "step_streamline", "joins", "step_convert_to_hw", *more]


def test_the_expected_output_is_the_networks(tmp_path: Path) -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    write_handoff(TFC, tmp_path / "out", part="Pynq-Z2", target_fps=2000)
    given, expected = (np.load(tmp_path / f"out/{name}.npy") for name in ("input", "expected_output"))
    model = ModelWrapper(str(TFC)).transform(InferShapes())
    found = execute_onnx(model, {model.graph.input[0].name: given})[model.graph.output[0].name]
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(expected) > 0


def test_command_and_bad_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["handoff", str(TFC), "--part", "Pynq-Z2", "--target-fps", "2000", "--json"]
    assert main([*words, "--out", str(tmp_path / "new/folder")]) == 0
    assert json.loads(capsys.readouterr().out)["fits"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be made"):
        write_handoff(TFC, tmp_path / "file/below", part="Pynq-Z2", target_fps=2000)
