"""The export command: files, JSON, exit status, one-line errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest import mock

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Uint8ActPerTensorFloat
from brevitas.quant.scaled_int import Int8AccumulatorAwareZeroCenterWeightQuant
from torch import nn

from brevitas_a2q import certify
from brevitas_a2q._cli.main import main
from brevitas_a2q.train import _restore as restore
from brevitas_a2q.train._checkpoints import own_digest
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._run import run

SHORT = {
    "data_options": {"validation": 1200},
    "quant": {"method": "projected", "accumulator_bit_width": 12},
    "layer_rules": {"features.8": 11},
    "recipe": {"base": "one-cycle", "epochs": 1},
    "start": {"calibrate_images": 64, "bias_correction_images": 0},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run."""
    folder = tmp_path_factory.mktemp("run")
    run(RunConfig.from_dict(SHORT), folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed, as killed before it could write what comes of it."""
    copied = tmp_path / "run"
    shutil.copytree(finished, copied)
    for name in ("result.json", "outcome.json", "network.onnx", "certificate.json"):
        (copied / name).unlink()
    return copied


def test_a_network_gets_the_integers_that_were_trained(
    finished: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(folder), "--certificate", str(folder / "cert.json"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["holds"] is True
    assert (printed["path"], printed["epoch"]) == (str(folder / "network.onnx"), 1)
    assert printed["checks"]["layers driven by their witness"] == 5
    assert {layer["name"]: layer["accumulator_bit_width"] for layer in printed["layers"]} == {
        "features.1": None,
        "features.4": 12,
        "features.8": 11,
        "classifier.0": 12,
        "classifier.3": None,
    }
    there, here = certify(finished / "network.onnx"), certify(folder / "network.onnx")
    assert [layer.weights_sha256 for layer in here.layers] == [layer.weights_sha256 for layer in there.layers]
    claims = json.loads((folder / "cert.json").read_text())
    assert claims["layers"] == printed["layers"]
    assert main(["certify", str(folder / "network.onnx"), "--against", str(folder / "cert.json")]) == 0


def test_a_table_and_another_place(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "network.onnx").read_bytes()
    target = tmp_path / "model.onnx"
    assert main(["export", str(finished), "--out", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "features.8" in printed
    assert f"{target}\nquantizers compared: 10" in printed
    assert target.exists()
    assert (finished / "network.onnx").read_bytes() == before


def overflowing() -> nn.Module:
    """Brevitas' A2Q+ on a constant depthwise channel leaves its accumulator."""
    quant = qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True)
    weights = {"weight_quant": Int8AccumulatorAwareZeroCenterWeightQuant, "weight_accumulator_bit_width": 16}
    model = nn.Sequential(quant, qnn.QuantConv2d(2, 2, 3, groups=2, bias=False, **weights))
    nn.init.constant_(model[1].weight, 0.1)
    model(torch.rand(1, 2, 6, 6))
    return model.eval()


@pytest.mark.parametrize("allowed", [False, True])
def test_an_overflow_is_status_one(
    allowed: bool, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = restore.TrainedNetwork(overflowing(), RunConfig(), 1)
    words = ["export", str(finished), "--out", str(tmp_path / "model.onnx"), "--input-shape", "2", "6", "6", "--json"]
    with mock.patch.object(restore, "trained_network", return_value=network):
        assert main([*words, *(["--allow-overflow"] if allowed else [])]) == 1
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed["holds"] is False
    assert printed["path"] == (str(tmp_path / "model.onnx") if allowed else None)
    assert (tmp_path / "model.onnx").exists() is allowed
    assert "DOES NOT HOLD" in captured.err


def spoil(folder: Path, how: str) -> None:
    checkpoint = next((folder / "checkpoints").iterdir())
    if how == "foreign":
        shutil.rmtree(folder)
        folder.mkdir()
    elif how == "float":
        for path in (folder / "checkpoints").iterdir():
            path.rename(path.with_name("float-00001"))
        state = folder / "checkpoints" / "float-00001" / "state.json"
        changed = json.loads(state.read_text().replace('"phase": "quantized"', '"phase": "float"'))
        state.write_text(json.dumps({**changed, "state_sha256": own_digest(changed)}))
    elif how == "untrained":
        shutil.rmtree(folder / "checkpoints")
    elif how == "cut":
        tensors = checkpoint / "tensors.safetensors"
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif how == "no json":
        (folder / "config.json").write_text("{")
    elif how == "another network":
        config = json.loads((folder / "config.json").read_text())
        config["model"], config["layer_rules"] = "small-cnn", {}
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("foreign", "expected the folder of a run"),
        ("float", "found 1 epochs of float training only"),
        ("untrained", "found no epoch; expected a quantized network; train it by brevitas-a2q train"),
        ("cut", "tensors.safetensors is damaged"),
        ("no json", "config.json: cannot be read"),
        ("another network", "found the state of another network"),
    ],
)
def test_foreign_and_damaged_folders(how: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(folder, how)
    assert main(["export", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (folder / "network.onnx").exists()


def test_bad_words(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "nowhere")]) == 2
    assert main(["export", str(finished), "--out", str(tmp_path / "nowhere" / "model.onnx")]) == 2
    assert main(["export", str(finished), "--out", str(tmp_path / "m.onnx"), "--input-shape", "3", "8", "8"]) == 2
    assert main(["export", str(finished), "--out", str(tmp_path / "m.onnx"), "--input-shape", "1", "8", "-8"]) == 2
    assert capsys.readouterr().err.count("\n") == 4


_OWN = """
import torch

def build():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(4 * 3 * 5, 2),
    )

def load():
    data = torch.utils.data.TensorDataset(torch.rand(16, 3, 7, 9), torch.arange(16) % 2)
    return data, data
"""


def test_a_network_of_the_users_own_has_the_shape_of_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_for_export.py").write_text(_OWN)
    monkeypatch.syspath_prepend(tmp_path)
    config = {
        "model": "own_for_export:build",
        "data": "own_for_export:load",
        "recipe": {"base": "one-cycle", "epochs": 1, "batch_size": 8},
        "start": {"calibrate_images": 8, "bias_correction_images": 0},
    }
    run(RunConfig.from_dict(config), tmp_path / "run")
    (tmp_path / "run" / "network.onnx").unlink()
    assert main(["export", str(tmp_path / "run")]) == 0
    assert certify(tmp_path / "run" / "network.onnx").holds
