"""The folder of a FINN build."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnxruntime  # noqa: F401  (qonnx' executor needs it)
import pytest
import torch
import yaml
from brevitas.export import export_qonnx
from brevitas.quant import Int8WeightPerChannelFloat
from oracle_data import ORACLE
from torch import nn

from brevitas_a2q._cli.main import main
from brevitas_a2q.errors import ExportError, FoldingError
from brevitas_a2q.export._handoff import write_handoff
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._finn.folding_reader import check_folding, read_foldings
from brevitas_a2q.hw._finn.lowering import lowered
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


def _steps(folder: Path) -> list[str]:
    """FINN's steps, and our own ones between them, in the order of a build file."""
    own = importlib.util.spec_from_file_location("own_steps", folder / "own_steps.py")
    assert own is not None
    assert own.loader is not None
    module = importlib.util.module_from_spec(own)
    own.loader.exec_module(module)
    steps = ["step_qonnx_to_finn", "step_streamline", "step_convert_to_hw"]
    text = (folder / "build.py").read_text()
    compile(text, "build.py", "exec")
    inserted = [line for line in text.splitlines() if line.startswith("STEPS.insert")]
    exec("\n".join(inserted), {"STEPS": steps, "own_steps": module})
    return [step if isinstance(step, str) else step.__name__ for step in steps]


@pytest.mark.parametrize(
    ("name", "version", "more"),
    [("mobilenet_w4a4_a2q12", "main", True), ("mobilenet_w4a4_a2q12", "dev", False), ("tfc_w4a4", "main", False)],
)
def test_own_steps_surround_those_of_finn(name: str, version: str, more: bool, tmp_path: Path) -> None:
    """What FINN makes of the networks, node by node: benchmarks/results/finn_handoff.md."""
    file = ORACLE / f"models/{name}.onnx"
    write_handoff(file, tmp_path / "out", finn_version=version, part="ZCU104", target_fps=100)  # type: ignore[arg-type]
    depthwise = ["step_depthwise"] * more  # which main alone does not convert
    convert = [*depthwise, "step_convert_to_hw", "step_layers"]
    first = ["step_quantizers", "step_qonnx_to_finn"]
    assert _steps(tmp_path / "out") == [*first, "step_scales", "step_streamline", "step_layouts", *convert]


def test_own_steps_of_finn_plus_are_injected(tmp_path: Path) -> None:
    file = ORACLE / "models/resnet_w4a4.onnx"
    write_handoff(file, tmp_path / "out", finn_version="plus", part="ZCU104", target_fps=100)
    settings = yaml.safe_load((tmp_path / "out/build.yaml").read_text())
    before, after = settings["inject_steps_before"], settings["inject_steps_after"]
    assert before == {"step_qonnx_to_finn": ["own_steps.step_quantizers"], "step_streamline": ["own_steps.step_scales"]}
    assert after == {"step_streamline": ["own_steps.step_layouts"], "step_convert_to_hw": ["own_steps.step_layers"]}


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


class _Branches(nn.Module):
    def __init__(self, *branches: nn.Module, join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.branches, self.join = nn.ModuleList(branches), join

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = (branch(x) for branch in self.branches)
        return self.join(*(getattr(y, "value", y) for y in found))


def _conv(inputs: int, kernel: int = 3) -> nn.Module:
    return qnn.QuantConv2d(inputs, 4, kernel, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=4)


def _relu(**options: Any) -> nn.Module:
    return qnn.QuantReLU(bit_width=4, return_quant_tensor=True, **options)


def _identity(**options: Any) -> nn.Module:
    return qnn.QuantIdentity(bit_width=4, return_quant_tensor=True, **options)


def _deconv(**options: Any) -> nn.Module:
    return qnn.QuantConvTranspose2d(4, 4, 3, stride=2, bias=False, weight_bit_width=4, **options)


def _written(tmp_path: Path, middle: nn.Module, version: str = "main") -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(_identity(), _conv(3), _relu(), middle, _conv(4, 1), _relu(), _conv(4, 1))
    x = torch.randn(4, 3, 8, 8)
    model.train()(x)
    export_qonnx(model.eval(), x[:1], str(tmp_path / "net.onnx"), dynamo=False)
    write_handoff(tmp_path / "net.onnx", tmp_path / "out", finn_version=version, part="ZCU104", target_fps=100)  # type: ignore[arg-type]
    return tmp_path / "out"


@pytest.mark.parametrize("version", ["main", "dev"])
@pytest.mark.parametrize(
    ("middle", "message"),
    [
        (lambda: qnn.TruncAvgPool2d(2, bit_width=4), "Trunc .*: bits that are dropped.*FINN-26.*AvgPool2d"),
        (lambda: nn.Sequential(nn.Hardtanh(), _identity()), "Clip .*no hardware layer"),
        (lambda: nn.MaxPool2d(4, ceil_mode=True), "MaxPool .*reach over the image.*FINN-23"),
        (lambda: _deconv(padding=1, output_padding=1), "ConvTranspose .*output padding.*FINN-24"),
        (lambda: _identity(float_to_int_impl_type="floor"), "Quant .*rounding mode FLOOR"),
        (
            lambda: nn.Sequential(
                _Branches(nn.Sequential(_conv(4, 1), _relu()), nn.Identity(), join=torch.add), _identity()
            ),
            "Add .*FINN-18.*share",
        ),
    ],
    ids=["trunc", "clip", "ceil", "transposed", "floor", "scales"],
)
def test_what_finn_cannot_build_is_refused_by_name(
    middle: Callable[[], nn.Module], message: str, version: str, tmp_path: Path
) -> None:
    """Each of them stays a node between FINN's units, or computes other numbers there."""
    with pytest.raises(ExportError, match=message):
        _written(tmp_path, middle(), version)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "middle",
    [
        lambda: nn.Sequential(nn.AvgPool2d(2), _identity()),
        lambda: nn.MaxPool2d(3, 2, 1),
        lambda: _deconv(padding=1),
        lambda: nn.ZeroPad2d((1, 2, 0, 1)),
        lambda: nn.Upsample(scale_factor=2),
    ],
    ids=["average", "overlapping", "transposed", "padding", "upsampling"],
)
def test_what_own_steps_convert_is_handed_over(middle: Callable[[], nn.Module], tmp_path: Path) -> None:
    out = _written(tmp_path, middle(), "dev")
    assert ("step_deconvolutions" in _steps(out)) == ("FMPadding_Pixel_hls_0" in (out / "folding.json").read_text())


@pytest.mark.parametrize("kind", ["UpsampleNearestNeighbour_hls_0", "StreamingConcat_hls_0"])
def test_words_of_whole_pixels_are_what_is_costed(kind: str, tmp_path: Path) -> None:
    """FINN dev gives these units a SIMD: the file names the one of the estimate, and no other one is read."""
    two = nn.ModuleList([_conv(4, 1), _conv(4, 1)])
    joined = nn.Sequential(_Shared(two, _relu()), qnn.QuantConv2d(8, 4, 1, bias=False, weight_bit_width=4), _relu())
    middle = nn.Upsample(scale_factor=2) if kind.startswith("Upsample") else joined
    out = _written(tmp_path, middle, "dev")
    file = out / "folding.json"
    folding = json.loads(file.read_text())
    assert folding[kind]["SIMD"] == 4
    graph, part = lowered(read_graph(out / "model.onnx"), "dev"), find_part("ZCU104")
    foldings = read_foldings(file, graph, part, "dev")
    again = estimate_graph(graph, part, foldings=foldings, build=BuildOptions("dev", target="finn"))
    assert again.total.lut == json.loads((out / "estimate.json").read_text())["total"]["lut"]
    folding[kind]["SIMD"] = 1
    file.write_text(json.dumps(folding))
    with pytest.raises(FoldingError, match="found SIMD = 1; expected 4"):
        read_foldings(file, graph, part, "dev")


class _Shared(nn.Module):
    """Branches side by side, quantized by one quantizer."""

    def __init__(self, branches: nn.ModuleList, quantizer: nn.Module) -> None:
        super().__init__()
        self.branches, self.quantizer = branches, quantizer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.quantizer(branch(x)) for branch in self.branches], 1)
