"""A run's folder belongs to one run, and to one process at a time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from brevitas_a2q._files import atomic_target
from brevitas_a2q.errors import ConfigError, DataError
from brevitas_a2q.train._config import RunConfig, RuntimeConfig
from brevitas_a2q.train._folder import claim, locked, read_config
from brevitas_a2q.train._recipes import Recipe

CONFIG = RunConfig(seed=3)


def test_the_same_configuration_may_go_on(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    (tmp_path / "checkpoints" / "float-00001").mkdir(parents=True)
    claim(tmp_path, CONFIG)
    assert read_config(tmp_path) == CONFIG


def test_where_it_is_computed_may_change(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    (tmp_path / "checkpoints" / "float-00001").mkdir(parents=True)
    claim(tmp_path, dataclasses.replace(CONFIG, runtime=RuntimeConfig("cuda"), data_root="/elsewhere"))


def test_another_configuration_is_refused_by_its_keys(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    (tmp_path / "checkpoints" / "float-00001").mkdir(parents=True)
    other = dataclasses.replace(CONFIG, seed=4, recipe=Recipe(epochs=99), quant=None)
    with pytest.raises(ConfigError, match=r"different in quant, recipe\.epochs, seed; choose another folder"):
        claim(tmp_path, other)
    assert read_config(tmp_path) == CONFIG


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"sede": 1}'])
def test_a_folder_that_is_no_runs(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "float-00001").mkdir(parents=True)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises((ConfigError, DataError), match=r"config\.json"):
        claim(tmp_path, CONFIG)


def test_a_folder_in_which_no_epoch_has_ended_is_free(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    (tmp_path / "checkpoints" / ".float-00001").mkdir(parents=True)
    claim(tmp_path, dataclasses.replace(CONFIG, seed=4))
    assert read_config(tmp_path).seed == 4


@pytest.mark.parametrize("name", ["network.onnx", "certificate.json", "float.safetensors"])
def test_other_peoples_folders_stay_as_they_are(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=f"found {name} of something else"):
        claim(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_files_are_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "cfg.yaml").write_text("seed: 3")
    claim(tmp_path, CONFIG)
    assert (tmp_path / "cfg.yaml").read_text() == "seed: 3"


def test_other_peoples_configurations_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"mine": 1}')
    with pytest.raises(ConfigError, match="mine"):
        claim(tmp_path, CONFIG)
    assert (tmp_path / "config.json").read_text() == '{"mine": 1}'


def test_a_result_belongs_to_its_configuration_without_checkpoints_too(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    (tmp_path / "result.json").write_text("{}")
    claim(tmp_path, CONFIG)
    with pytest.raises(ConfigError, match="different in seed"):
        claim(tmp_path, dataclasses.replace(CONFIG, seed=4))


def test_what_is_written_is_plain_json(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 3


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ConfigError, match="another process is training here"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_half_files_of_a_killed_process_go(tmp_path: Path) -> None:
    with atomic_target(tmp_path / "network.onnx") as half:
        (tmp_path / half.name).rename(left := tmp_path / f".network.onnx.{'0' * 32}")
        half.touch()
    (tmp_path / ".other").touch()
    with locked(tmp_path):
        assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"network.onnx", ".other", ".lock"}
