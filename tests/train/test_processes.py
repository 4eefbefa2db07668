"""Two real processes: averaged gradients, one metric, one network, and one that writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from brevitas_a2q.errors import ConfigError, MissingExtraError
from brevitas_a2q.train._checkpoints import load_tensors
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._processes import SINGLE, start_processes


@pytest.fixture(scope="module")
def folder(short: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left what they found."""
    pytest.importorskip("accelerate")
    out = tmp_path_factory.mktemp("two")
    script = Path(__file__).with_name("two_processes.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    words = [*launch, str(script), str(out), json.dumps(short.to_dict())]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def found(folder: Path, rank: int) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / f"found{rank}.json").read_text())
    return values


def test_two_shards_train_as_one_batch(folder: Path) -> None:
    ours, whole = (load_tensors(folder / f"{name}0.safetensors") for name in ("shared", "whole"))
    for name in whole:
        torch.testing.assert_close(ours[name], whole[name], rtol=1e-5, atol=1e-7)
    loss, whole_loss = found(folder, 0)["loss"]
    assert loss == pytest.approx(whole_loss, rel=1e-6)


def test_the_metric_is_that_of_all_test_images(folder: Path) -> None:
    for rank in (0, 1):
        score, whole_score = found(folder, rank)["score"]
        assert score == whole_score


@pytest.mark.parametrize("what", ["shared", "trained"])
def test_both_have_the_same_network_bit_by_bit(folder: Path, what: str) -> None:
    first, second = (load_tensors(folder / f"{what}{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_quantizers_state_is_part_of_it(folder: Path) -> None:
    names = load_tensors(folder / "trained1.safetensors")
    for part in (
        "running_mean",
        "log_norm",
        "scaling_impl.value",
        "input_hi",
        "act_quant.fused_activation_quant_proxy",
    ):
        assert any(part in name for name in names), part


def test_disagreement_is_noticed(folder: Path) -> None:
    assert found(folder, 0)["refuses"]
    assert found(folder, 1)["refuses"]


def test_only_the_main_process_writes(folder: Path) -> None:
    assert found(folder, 0)["result"] == found(folder, 1)["result"]
    assert found(folder, 0)["result"]["certificate"]["holds"]
    assert len(list((folder / "run" / "tensorboard").iterdir())) == 1
    assert [path.name for path in (folder / "run" / "checkpoints").iterdir()] == ["quantized-00003"]


def test_alone_nothing_is_communicated() -> None:
    model = torch.nn.Linear(2, 2)
    batch = torch.ones(3, 2)
    model(batch).sum().backward()
    before = model.weight.grad.clone()
    SINGLE.average_gradients(model)
    SINGLE.broadcast(model)
    SINGLE.average_buffers(model)
    SINGLE.require_agreement(model)
    SINGLE.wait()
    assert torch.equal(model.weight.grad, before)
    assert torch.equal(SINGLE.shard(batch), batch)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta-physical"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ConfigError, match="found device"):
        start_processes(device)


def test_several_processes_need_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'brevitas_a2q\[train\]'"):
        start_processes("auto")
