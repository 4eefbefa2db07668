"""Weights & Biases and MLflow are told of every epoch, and a run does not depend on them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.train._result import EpochResult
from brevitas_a2q.train._trackers import TRACKER, require_tracker, tracked

EPOCH = EpochResult("quantized", epoch=1, loss=0.5, penalty=0.0, metric=0.25, seconds=1.0)
POINTS = {
    "quantized/loss": 0.5, "quantized/penalty": 0.0, "quantized/metric": 0.25, "quantized/learning_rate": 0.1,
}  # fmt: skip
SETTINGS = {"seed": 0, "recipe": {"epochs": 2}}


class Wandb:
    """What is used of wandb."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.broken = False

    def init(self, **options: Any) -> Any:
        self.calls.append(options)
        return SimpleNamespace(id=options["id"] or "abc", log=self._log, finish=lambda: self.calls.append("finish"))

    def _log(self, points: dict[str, float], step: int) -> None:
        if self.broken:
            raise ConnectionError("no network")
        self.calls.append((points, step))


class Mlflow:
    """What is used of mlflow."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def set_experiment(self, name: str) -> None:
        self.calls.append(name)

    def start_run(self, run_id: str | None, run_name: str | None) -> Any:
        self.calls.append((run_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "r1"))

    def log_params(self, values: dict[str, Any]) -> None:
        self.calls.append(values)

    def log_metrics(self, points: dict[str, float], step: int) -> None:
        self.calls.append((points, step))

    def end_run(self) -> None:
        self.calls.append("end")


def test_wandb_goes_on_where_the_run_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", package)
    for done in (0, 1):
        with tracked("wandb", SETTINGS, tmp_path, done, pytest.fail) as record:
            record(EPOCH, 0.1)
    begins = [call for call in package.calls if isinstance(call, dict)]
    assert [begin["id"] for begin in begins] == [None, "abc"]
    assert begins[0]["config"] == SETTINGS
    assert [call for call in package.calls if isinstance(call, tuple)] == [(POINTS, 1), (POINTS, 2)]
    assert json.loads((tmp_path / TRACKER).read_text()) == {"wandb": "abc"}


def test_mlflow_gets_flat_parameters_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", package)
    folder = tmp_path / "run"
    folder.mkdir()
    for done in (0, 1):
        with tracked("mlflow", SETTINGS, folder, done, pytest.fail) as record:
            record(EPOCH, 0.1)
    assert package.calls == [
        "brevitas_a2q", (None, "run"), {"seed": 0, "recipe.epochs": 2}, (POINTS, 1), "end",
        ("r1", None), (POINTS, 2), "end",
    ]  # fmt: skip


def test_a_service_that_fails_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package, told = Wandb(), []
    package.broken = True
    monkeypatch.setitem(sys.modules, "wandb", package)
    with tracked("wandb", SETTINGS, tmp_path, 0, told.append) as record:
        record(EPOCH, 0.1)
        record(EPOCH, 0.1)
    assert told == ["nothing more is sent to wandb: ConnectionError: no network"]


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="pip install mlflow"):
        require_tracker("mlflow")


def send_two_epochs(name: str, folder: Path) -> str:
    """As a run does that is killed after its first epoch and goes on; the identity that it kept."""
    for done in (0, 1):
        with tracked(name, SETTINGS, folder, done, pytest.fail) as record:
            record(EPOCH, 0.1)
    return str(json.loads((folder / TRACKER).read_text())[name])


@pytest.mark.filterwarnings("ignore")
def test_mlflow_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    identity = send_two_epochs("mlflow", tmp_path)
    client = mlflow.MlflowClient()
    for key, value in POINTS.items():
        assert [(point.step, point.value) for point in client.get_metric_history(identity, key)] == [
            (1, value),
            (2, value),
        ]
    assert client.get_run(identity).data.params == {"seed": "0", "recipe.epochs": "2"}
    assert client.get_run(identity).info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")
def test_wandb_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    identity = send_two_epochs("wandb", tmp_path)
    assert len(list(tmp_path.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))) in (1, 2)
