"""The ptq command: what it writes, JSON, going on, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from brevitas_a2q import certify
from brevitas_a2q._cli.main import main
from brevitas_a2q.ptq import restore_post_training_

MODEL = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4),
    )

def data():
    torch.manual_seed(1)
    return torch.randn(40, 3, 8, 8)

def nothing():
    return 3
"""
QUICK = ["--method", "projection", "--activation-bits", "3,4"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with a model of the user's, an .npz file and a folder of images."""
    monkeypatch.chdir(tmp_path)
    name = f"network_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODEL)
    (tmp_path / "name").write_text(name)
    data = np.random.default_rng(0).normal(size=(40, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=data)
    (tmp_path / "images").mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 255, (12, 10, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    return tmp_path


def _name(folder: Path) -> str:
    return (folder / "name").read_text()


def test_the_search_for_least_widths_has_a_page_and_a_plot(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ptq", "--model", f"{_name(folder)}:build", "--calibration", "x.npz", "-P", "auto", "--tolerance", "30"]
    assert main([*words, "--out", "run", "--html", "page.html", "--plot", "plot.svg", *QUICK]) == 0
    page = (folder / "page.html").read_text()
    assert "Networks that were tried" in page
    assert "LUT</th>" not in page  # nobody asked for a part
    assert "<svg" in (folder / "plot.svg").read_text()
    assert "Networks that were tried" in capsys.readouterr().out


def test_everything_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ptq", "--model", f"{_name(folder)}:build", "--calibration", "x.npz", "-P", "10", "--out", "run", "--json"]
    words += ["--part", "xc7z020clg400-1", *QUICK]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["certificate"]["holds"]
    assert [row["accumulator_bit_width"] for row in found["layers"]] == [32, 10, 10, 32]
    assert all(
        {"name", "weight_bit_width", "activation_bit_width", "output_error"} <= set(row) for row in found["layers"]
    )
    assert found["estimate"]["total"]["lut"] > 0
    assert certify(found["file"]).holds
    import importlib

    model = importlib.import_module(_name(folder)).build()
    restore_post_training_(model, folder / "run")
    assert certify(model, torch.randn(1, 3, 8, 8)).holds
    # The same command finds every layer solved.
    times = {path: path.stat().st_mtime_ns for path in (folder / "run" / "layers").rglob("*.npz")}
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["output_error"] == found["output_error"]
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_table_for_images_and_functions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = _name(folder)
    words = [
        "ptq",
        "--model",
        f"{name}:build",
        "--calibration",
        "images",
        "--image-size",
        "8",
        "8",
        "--out",
        "a",
        *QUICK,
    ]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "holds: 4 accumulators" in shown.out
    assert "4/4" in shown.err
    words = ["ptq", "--model", f"{name}:build", "--calibration", f"{name}:data", "--out", "b", "--power-of-two", *QUICK]
    assert main(words) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter of TorchScript
def test_a_float_onnx_file(folder: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.onnx.export(
        model, (torch.zeros(1, 6),), "float.onnx", dynamo=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"]
    )
    onnx.load("float.onnx")
    np.savez("y.npz", y=np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32))
    assert main(["ptq", "--model", "float.onnx", "--calibration", "y.npz", "-P", "9", "--out", "c", *QUICK]) == 0
    assert certify("c/network.onnx").holds


BAD = {
    "no such module": (["--model", "nowhere:build"], "found no module"),
    "no function": (["--model", "resnet"], "module:function"),
    "not a model": (["--model", "{name}:nothing"], "returns a model"),
    "no such network": (["--model", "torchvision:nothing"], "torchvision"),
    "no such file": (["--model", "nothing.onnx"], "cannot be read"),
    "no such data": (["--calibration", "nothing.npz"], "nothing.npz"),
    "images without a size": (["--calibration", "images"], "--image-size"),
    "one sample": (["--calibration", "one.npz"], "one sample"),
    "width": (["-P", "many"], "auto"),
    "narrow": (["-P", "2"], "hold no weight at all"),
    "activation bits": (["--activation-bits", "a"], "--activation-bits"),
    "part": (["--part", "nothing"], "nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("one.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    words, message = BAD[case]
    words = [word.replace("{name}", _name(folder)) for word in words]
    usual = {"--model": f"{_name(folder)}:build", "--calibration": "x.npz", "--out": "run", "--method": "projection"}
    usual.update(dict(zip(words[::2], words[1::2], strict=True)))
    assert main(["ptq", *(word for pair in usual.items() for word in pair)]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert len([line for line in shown.err.splitlines() if "error:" in line]) == 1
    assert not (folder / "run" / "ptq.json").exists()
