"""Whole runs: what they leave, where their weights come from, how they end when something is wrong."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from brevitas_a2q.data import ImageData
from brevitas_a2q.errors import A2QError, ConfigError, DataError, ModelError
from brevitas_a2q.hw._target import Target
from brevitas_a2q.train._checkpoints import latest_checkpoint, load_tensors, save_tensors
from brevitas_a2q.train._config import RunConfig, RuntimeConfig
from brevitas_a2q.train._folder import claim
from brevitas_a2q.train._recipes import Recipe
from brevitas_a2q.train._result import EpochResult, RunResult
from brevitas_a2q.train._run import run


def brief(config: RunConfig, **changes: object) -> RunConfig:
    """One quantized epoch, and changes."""
    return dataclasses.replace(config, **{"float_recipe": None, "recipe": Recipe(epochs=1), **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def float_run(short: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of the float network alone."""
    out = tmp_path_factory.mktemp("float")
    run(brief(short, quant=None, recipe=Recipe(epochs=2)), out)
    return out


def test_a_run_leaves_everything(short: RunConfig, tmp_path: Path) -> None:
    seen: list[EpochResult] = []
    said: list[str] = []
    config = dataclasses.replace(short, estimate=Target("ZCU104", 1000.0))
    result = run(config, tmp_path, seen.append, said.append)
    assert tuple(seen) == result.curve
    assert [(epoch.phase, epoch.epoch) for epoch in seen] == [
        ("float", 1),
        ("float", 2),
        ("quantized", 1),
        ("quantized", 2),
        ("quantized", 3),
    ]
    assert result.holds
    assert result.metric == "accuracy"
    assert (result.last, result.best) == (seen[-1].metric, max(epoch.metric for epoch in seen[2:]))
    assert result.float_last == seen[1].metric
    assert result.seconds == sum(epoch.seconds for epoch in seen)
    assert 0 < (result.sparsity or 0) < 1 < (result.compression or 0)
    assert result.estimate is not None
    assert 0 < result.estimate["trained"]["lut"] < result.estimate["32"]["lut"]
    assert result.versions["torch"] == torch.__version__.split("+")[0]
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result.to_json()))
    assert RunResult.load(tmp_path / "result.json") == result
    assert result.qonnx is not None
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "result.json", "float.safetensors", "certificate.json", result.qonnx} <= names
    assert any("activation scales" in line for line in said)


def test_a_float_run_has_nothing_to_certify(float_run: Path) -> None:
    result = RunResult.load(float_run / "result.json")
    assert (result.certificate, result.qonnx, result.estimate, result.sparsity) == (None, None, None, None)
    assert result.holds
    assert [epoch.phase for epoch in result.curve] == ["float", "float"]
    assert result.float_last == result.last


@pytest.mark.parametrize("name", ["", "float.safetensors"])
def test_float_weights_of_an_earlier_run(name: str, float_run: Path, short: RunConfig, tmp_path: Path) -> None:
    result = run(brief(short, float_checkpoint=str(float_run / name)), tmp_path)
    assert result.float_last == RunResult.load(float_run / "result.json").last
    assert [epoch.phase for epoch in result.curve] == ["quantized"]


def test_float_weights_of_another_network(float_run: Path, short: RunConfig, tmp_path: Path) -> None:
    config = brief(short, model_options={"classes": 11}, float_checkpoint=str(float_run))
    with pytest.raises(ConfigError, match=r"float\.safetensors: found the weights of another network"):
        run(config, tmp_path)


def test_float_weights_that_are_not_finite(float_run: Path, short: RunConfig, tmp_path: Path) -> None:
    tensors = load_tensors(float_run / "float.safetensors")
    tensors["classifier.0.weight"][0, 0] = torch.nan
    save_tensors(tmp_path / "nan.safetensors", tensors)
    with pytest.raises(DataError, match=r"nan\.safetensors: found weights that are NaN"):
        run(brief(short, float_checkpoint=str(tmp_path / "nan.safetensors")), tmp_path)


def test_a_network_that_enlarges_by_another_factor(short: RunConfig, tmp_path: Path) -> None:
    images = np.zeros((3, 48, 48, 3), np.uint8)
    np.savez(tmp_path / "bsd300.npz", x_train=images, x_test=images)
    options = {"model": "espcn", "model_options": {"upscale_factor": 3, "width": 4}, "data": "bsd300"}
    data = {"data_root": str(tmp_path), "data_options": {"factor": 2, "crop": 24}}
    with pytest.raises(ConfigError, match=r"enlarges its images 3 times, but .* 2 times; give model_options"):
        run(brief(short, **options, **data), tmp_path)


def test_a_metric_that_is_not_finite_ends_the_run(
    short: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brevitas_a2q.train._phase.mean_score", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="found a test metric of nan after epoch 1 of quantized training"):
        run(brief(short), tmp_path)
    assert latest_checkpoint(tmp_path / "checkpoints") is None


def test_both_phases_start_from_the_seed(short: RunConfig, tmp_path: Path) -> None:
    config = brief(short, quant=None)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(dataclasses.replace(config, seed=seed), tmp_path / name)
    a, b, c = (load_tensors(tmp_path / name / "float.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_epoch_before(
    short: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, passes = ImageData.train_batches, 0

    def broken(self: ImageData, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal passes
        passes += 1
        for index, (images, labels) in enumerate(batches(self, size, generator)):
            yield (images * torch.nan if (passes, index) == (2, 2) else images), labels

    monkeypatch.setattr(ImageData, "train_batches", broken)
    config = brief(short, recipe=Recipe(epochs=3))
    expected = (
        r"found a loss of nan in epoch 2 of quantized training, step 3; expected a finite loss; lower "
        r"recipe.learning_rate and start in a new folder; the checkpoint of epoch 1 is kept"
    )
    with pytest.raises(ModelError, match=expected):
        run(config, tmp_path)
    kept = latest_checkpoint(tmp_path / "checkpoints")
    assert kept is not None
    assert kept.epoch == 1
    assert all(tensor.isfinite().all() for tensor in kept.tensors.values() if tensor.is_floating_point())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet19"}, "did you mean"),
        ({"data": "digit"}, "did you mean 'digits'"),
        ({"data": "cifar10", "data_options": {}}, "cifar10"),
        ({"data_options": {"validation": 10**6}}, "validation"),
        ({"recipe": Recipe(loss="mse")}, "found loss 'mse'"),
        ({"layer_rules": {"no.such.layer": 9}}, "matches no constrained layer"),
        ({"estimate": Target("xc7z02")}, "xc7z02"),
        ({"runtime": RuntimeConfig("cuda:99")}, "cuda:99"),
        ({"runtime": RuntimeConfig("meta")}, "found device 'meta'"),
        ({"float_checkpoint": "missing.safetensors"}, "missing.safetensors"),
        ({"model": "espcn"}, "model espcn: found data set 'digits', which is for classification"),
        ({"model": "small-cnn"}, r"model small-cnn: does not take the images of 'digits', of shape \(1, 8, 8\)"),
        ({"model_options": {"classes": 9}}, "found 9 classes; expected at least the 10 of 'digits'"),
        ({"data_options": {"validation": 1346}}, "found 1 training examples in batches of 64; expected two"),
    ],
)
def test_what_can_be_wrong_is_found_before_the_training(
    changes: dict[str, object], message: str, short: RunConfig, tmp_path: Path
) -> None:
    seen: list[EpochResult] = []
    with pytest.raises(A2QError, match=message):
        run(brief(short, **changes), tmp_path / "run", seen.append)
    assert seen == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "runtime",
    [RuntimeConfig(amp="bf16"), RuntimeConfig(channels_last=True), RuntimeConfig(deterministic=True)],
    ids=["bf16", "channels last", "deterministic"],
)
def test_other_arithmetic_keeps_the_promise(runtime: RuntimeConfig, short: RunConfig, tmp_path: Path) -> None:
    result = run(brief(short, runtime=runtime), tmp_path)
    assert result.holds
    assert result.qonnx is not None
    assert not torch.are_deterministic_algorithms_enabled()


def test_curves_for_tensorboard_have_each_epoch_once(short: RunConfig, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def stop(epoch: EpochResult) -> None:
        if (epoch.phase, epoch.epoch) == ("quantized", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(short, tmp_path, stop)
    result = run(short, tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for phase, first in (("float", 1), ("quantized", 3)):
        points = events.Scalars(f"{phase}/metric")
        assert [point.step for point in points] == [first + index for index in range(len(points))]
        metrics = [epoch.metric for epoch in result.curve if epoch.phase == phase]
        assert [point.value for point in points] == pytest.approx(metrics)


def test_without_tensorboard_there_is_a_note(short: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    said: list[str] = []
    run(brief(short, quant=None), tmp_path, report=said.append)
    assert any("pip install brevitas_a2q[train]" in line for line in said)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": {}}'])
def test_a_damaged_result_is_told(content: str, short: RunConfig, float_run: Path, tmp_path: Path) -> None:
    claim(tmp_path, brief(short))
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(A2QError, match=r"result\.json"):
        run(brief(short), tmp_path)


@pytest.mark.parametrize(("epochs", "counted"), [(None, 3), (1, 1), (0, 0)])
def test_batch_norm_settles_after_the_epochs_it_is_given(
    epochs: int | None, counted: int, short: RunConfig, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=3, batch_size=64, batch_norm_epochs=epochs)
    run(brief(short, quant=None, recipe=recipe), tmp_path)
    steps = load_tensors(tmp_path / "float.safetensors")["features.2.num_batches_tracked"]
    assert int(steps) == counted * 4  # 197 images
