"""Checkpoints hold everything, one at a time, and damage is told from a good one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.errors import DataError, ExportError
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.train._checkpoints import Checkpoint, latest_checkpoint, load_tensors, save_checkpoint
from brevitas_a2q.train._model_state import model_tensors
from brevitas_a2q.train._optim import make_optimizer, make_schedule
from brevitas_a2q.train._recipes import Recipe
from brevitas_a2q.train._result import EpochResult

RECIPE = Recipe("sgd", 0.1, momentum=0.9, epochs=4)
EPOCHS = [EpochResult("float", 1, 1.0, 0.0, 0.5, 2.0), EpochResult("quantized", 1, 0.1 + 0.2, 0.0, 0.7, 3.0)]


def trainer(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = make_optimizer(model, RECIPE)
    return model, optimizer, make_schedule(optimizer, RECIPE, 5)


def steps(count: int, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: object) -> None:
    for index in range(count):
        model.zero_grad()
        model(torch.linspace(-1, 1, 32).reshape(8, 4) + index).square().sum().backward()
        optimizer.step()
        schedule.step()  # type: ignore[attr-defined]


def read(folder: Path) -> Checkpoint:
    found = latest_checkpoint(folder)
    assert found is not None
    return found


def test_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    ours = trainer()
    steps(3, *ours)
    save_checkpoint(tmp_path, EPOCHS, *ours)
    steps(3, *ours)
    theirs = trainer(seed=1)
    read(tmp_path).restore(*theirs)
    steps(3, *theirs)
    for name, tensor in model_tensors(ours[0]).items():
        assert torch.equal(tensor, model_tensors(theirs[0])[name]), name
    assert ours[2].get_last_lr() == theirs[2].get_last_lr()
    assert read(tmp_path).curve == tuple(EPOCHS)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_optimizer_goes_on_in_the_layout_of_its_parameters(name: Any, tmp_path: Path) -> None:
    """Fused steps pair the numbers of a parameter and of its moments as they lie in memory."""

    def build(fused: bool) -> tuple[nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        torch.manual_seed(0)
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = make_optimizer(model, Recipe(name, 0.1, momentum=0.9 if name == "sgd" else 0.0))
        optimizer.param_groups[0]["fused"] = fused or None
        return model, optimizer, make_schedule(optimizer, RECIPE, 5)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        model.zero_grad()
        model(torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)).square().sum().backward()
        optimizer.step()

    ours, theirs, plain = build(fused=True), build(fused=True), build(fused=False)
    step(*ours[:2])
    save_checkpoint(tmp_path, EPOCHS, *ours)
    for other in (theirs, plain):
        read(tmp_path).restore(*other)
        for parameter, values in other[1].state.items():
            assert {v.stride() for v in values.values() if v.shape == parameter.shape} == {parameter.stride()}
    assert plain[1].param_groups[0]["fused"] is None
    for trained in (ours, theirs, plain):
        step(*trained[:2])
    for mine, same, near in zip(*(trained[0].parameters() for trained in (ours, theirs, plain)), strict=True):
        assert torch.equal(mine, same)
        torch.testing.assert_close(mine, near)


def test_a_quantizer_that_still_collects_statistics_goes_on_collecting(tmp_path: Path) -> None:
    images = load_digits().x_train[:64]

    def build() -> nn.Module:
        torch.manual_seed(0)
        return build_model("digits-cnn", QuantSpec("a2q")).train()

    ours = build()
    ours(images[:32])
    optimizer = make_optimizer(ours, RECIPE)
    save_checkpoint(tmp_path, EPOCHS[:1], ours, optimizer, make_schedule(optimizer, RECIPE, 1))
    theirs = build()
    read(tmp_path).restore(theirs)
    for model in (ours, theirs):
        model(images[32:])
    assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_one_checkpoint_is_kept_and_quantized_ones_are_newer(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for index in (1, 2):
        save_checkpoint(tmp_path, EPOCHS[:index], *trainer())
        assert [path.name for path in tmp_path.iterdir()] == [f"{EPOCHS[index - 1].phase}-00001"]


def test_what_a_killed_process_left_is_no_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS[:1], *trainer())
    half = tmp_path / ".quantized-00001"
    half.mkdir()
    (half / "state.json").write_text("{")
    assert read(tmp_path).phase == "float"
    save_checkpoint(tmp_path, EPOCHS, *trainer())
    assert read(tmp_path).phase == "quantized"


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "removed"])
def test_damage_is_told(name: str, damage: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS, *trainer())
    path = tmp_path / "quantized-00001" / name
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "flipped":
        content[len(content) // 3] ^= 0x80
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(DataError, match=r"quantized-00001.*delete .* to start the run again"):
        latest_checkpoint(tmp_path)


def test_tensors_of_another_epoch_are_not_taken(tmp_path: Path) -> None:
    """A state.json beside the tensors of another epoch is damage too: each names the other by its hash."""
    ours = trainer()
    save_checkpoint(tmp_path, EPOCHS, *ours)
    path = tmp_path / "quantized-00001"
    old = (path / "state.json").read_text()
    steps(1, *ours)
    save_checkpoint(tmp_path / "next", EPOCHS, *ours)
    (tmp_path / "next" / "quantized-00001" / "state.json").write_text(old)
    with pytest.raises(DataError, match="is damaged"):
        latest_checkpoint(tmp_path / "next")


@pytest.mark.parametrize(("old", "new"), [('"lr": 0.', '"lr": 1.'), ('"step": 0', '"step": 1'), ("0.7", "0.8")])
def test_a_changed_digit_is_told(old: str, new: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS, *trainer())
    path = tmp_path / "quantized-00001" / "state.json"
    text = path.read_text()
    changed = text.replace(old, new, 1) if old in text else text.replace("0.1", "0.2", 1)
    assert changed != text
    path.write_text(changed)
    with pytest.raises(DataError, match=r"state\.json was changed.*delete .* to start the run again"):
        latest_checkpoint(tmp_path)


def test_other_white_space_is_no_damage(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS, *trainer())
    path = tmp_path / "quantized-00001" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read(tmp_path).curve == tuple(EPOCHS)


def test_what_cannot_be_written_is_one_error_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, EPOCHS[:1], *trainer())

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("brevitas_a2q.train._checkpoints.save_file", full)
    with pytest.raises(ExportError, match=r"quantized-00001: cannot be written \(.*No space left.*make room"):
        save_checkpoint(tmp_path, EPOCHS, *trainer())
    assert [path.name for path in tmp_path.iterdir()] == ["float-00001"]
    assert read(tmp_path).phase == "float"


@pytest.mark.parametrize("changes", [{"attributes": None}, {"curve": []}, {"epoch": None}, {"schedule": None}])
def test_a_state_with_less_in_it_is_told(changes: dict[str, object], tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS, *trainer())
    path = tmp_path / "quantized-00001" / "state.json"
    state = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in state.items() if value is not None}))
    with pytest.raises(DataError, match=r"quantized-00001.*delete .* to start the run again"):
        latest_checkpoint(tmp_path)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS, *trainer())
    path = tmp_path / "quantized-00001" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(DataError, match="found format 99; expected 2"):
        latest_checkpoint(tmp_path)


def test_another_network_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS, *trainer())
    for other in (nn.Sequential(nn.Linear(4, 5)), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))):
        with pytest.raises(DataError, match=r"quantized-00001: found the state of another network \((0|1|2)"):
            read(tmp_path).restore(other)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff" * 8 + b"{}"])
def test_files_that_are_no_tensors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.safetensors"):
        load_tensors(tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=r"missing\.safetensors"):
        load_tensors(tmp_path / "missing.safetensors")


def test_a_checkpoint_says_what_the_model_was_trained_on(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, EPOCHS, *trainer(), input_shape=(3, 8, 10))
    assert read(tmp_path).input_shape == (3, 8, 10)
    save_checkpoint(tmp_path / "other", EPOCHS, *trainer())
    assert read(tmp_path / "other").input_shape is None
