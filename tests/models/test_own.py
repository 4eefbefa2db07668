"""A network and data of the user's own, from a configuration to a certified file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brevitas_a2q._cli.main import main
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._run import run

MODULE = """
import torch
from torch import nn

def build(channels=4):
    return nn.Sequential(
        nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Conv2d(channels, channels, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(channels * 4, 3),
    )

def wrong():
    return 7

def two(channels=4):
    class Two(nn.Module):
        def forward(self, x):
            return x, x
    return Two()

def load(count=60):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    images = torch.rand(count, 1, 6, 6, generator=generator) + labels[:, None, None, None] / 3
    return images, labels, images[:20], labels[:20]
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def config(mine: str, **changes: object) -> RunConfig:
    values = {
        "model": f"{mine}:build",
        "model_options": {"channels": 5},
        "data": f"{mine}:load",
        "data_options": {"count": 90},
        "quant": {"accumulator_bit_width": 12},
        "float_recipe": {"base": "one-cycle", "epochs": 1},
        "recipe": {"base": "one-cycle", "epochs": 1},
    }
    return RunConfig.from_dict({**values, **changes})


def test_from_configuration_to_certificate(mine: str, tmp_path: Path) -> None:
    result = run(config(mine), tmp_path / "run")
    assert result.holds
    assert result.qonnx == "network.onnx", result.qonnx_reason
    words = ["export", str(tmp_path / "run"), "--out", str(tmp_path / "again.onnx")]
    for shape in ([], ["--input-shape", "1", "6", "6"]):  # that of training, or another one
        assert main([*words, *shape]) == 0
        assert main(["certify", str(tmp_path / "again.onnx")]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_options": {"chanels": 3}}, "building it failed"),
        ({"model": "{}:wrong", "model_options": {}}, "returned a int"),
        ({"model": "{}:two"}, "found outputs tuple"),
        ({"model": "{}:biuld"}, "did you mean 'build'"),
        ({"data": "{}:lod"}, "did you mean 'load'"),
        ({"data": "digits", "data_options": {}}, "does not take the images of 'digits'"),
    ],
)
def test_what_does_not_fit_is_told_before_training(
    changes: dict[str, object], message: str, mine: str, tmp_path: Path
) -> None:
    named = {key: value.format(mine) if isinstance(value, str) else value for key, value in changes.items()}
    with pytest.raises(ConfigError, match=message):
        run(config(mine, **named), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_dry_run_tries_all_and_writes_nothing(mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(mine).to_yaml(tmp_path / "cfg.yaml")
    before = sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__")
    assert main(["train", "--config", "cfg.yaml", "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "90 training examples of shape (1, 6, 6)" in said
    assert "recipe: 1 epochs of 2 steps" in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before
    assert main(["train", "--config", "cfg.yaml", "--dry-run", "--set", "model_options.channels=x"]) == 2
    assert "building it failed" in capsys.readouterr().err


def test_the_configuration_and_its_schema(mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(mine).to_yaml(tmp_path / "cfg.yaml")
    assert main(["train", "--config", "cfg.yaml", "--print-config", "--seed", "5"]) == 0
    (tmp_path / "again.yaml").write_text(capsys.readouterr().out)
    assert RunConfig.from_yaml(tmp_path / "again.yaml") == RunConfig.from_yaml(tmp_path / "cfg.yaml", ["seed=5"])
    assert main(["train", "--print-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(config(mine).to_dict())
    assert schema["properties"]["recipe"]["anyOf"][0]["enum"][0] == "one-cycle"
    assert schema["properties"]["runtime"]["properties"]["amp"] == {"enum": ["none", "bf16"], "default": "none"}
