"""The training loop: learns, is deterministic, counts the penalty, and stops at NaN."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from brevitas_a2q.data import ImageData
from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.errors import ModelError
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.quant._penalty import a2q_penalty
from brevitas_a2q.train import Recipe, calibrate, fit
from brevitas_a2q.train._loop import EpochRecord, accuracy
from brevitas_a2q.train._seeds import seed_everything


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_digits()


def test_float_training_learns_and_reports_every_epoch(data: ImageData) -> None:
    seed_everything(0)
    seen: list[EpochRecord] = []
    history = fit(build_model("digits-cnn"), data, Recipe(epochs=3), on_epoch=seen.append)
    assert tuple(seen) == history.epochs
    assert history.last > 0.9
    assert history.best >= history.last


def test_the_same_seed_gives_the_same_run(data: ImageData) -> None:
    def run() -> list[float]:
        seed_everything(3)
        model = build_model("digits-cnn", QuantSpec("a2q", accumulator_bit_width=14))
        calibrate(model, data.x_train[:128])
        return [record.loss for record in fit(model, data, Recipe(epochs=1), seed=3).epochs]

    assert run() == run()


def test_the_penalty_is_part_of_the_loss(data: ImageData) -> None:
    seed_everything(0)
    model = build_model("digits-cnn", QuantSpec("a2q", accumulator_bit_width=8))
    model(data.x_train[:64])
    before = a2q_penalty(model, 1.0).item()
    assert before > 0
    fit(model, data, Recipe(epochs=1, penalty=10.0))
    assert a2q_penalty(model, 1.0).item() < before


def test_a_loss_that_is_not_finite_stops_the_run(data: ImageData) -> None:
    broken = dataclasses.replace(data, x_train=torch.full_like(data.x_train, torch.nan))
    with pytest.raises(ModelError, match="found a loss of nan in epoch 1"):
        fit(build_model("digits-cnn"), broken, Recipe(epochs=2))


def test_images_of_bytes_train_as_floats_do(data: ImageData) -> None:
    few = {name: getattr(data, name)[:128] for name in ("x_train", "y_train", "x_test", "y_test")}
    as_bytes = {name: (few[name] * 255).round().to(torch.uint8) for name in ("x_train", "x_test")}
    floats = {name: images / 255 for name, images in as_bytes.items()}
    found = []
    for images in (as_bytes, floats):
        seed_everything(0)
        model = build_model("digits-cnn")
        given = dataclasses.replace(data, **{**few, **images})
        history = fit(model, given, Recipe(epochs=1))
        assert accuracy(model, given.x_test, given.y_test) == history.last
        found.append([parameter.detach().clone() for parameter in model.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
