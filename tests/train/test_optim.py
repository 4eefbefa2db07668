"""Schedules step by step, and what weight decay is put on."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.train._optim import make_optimizer, make_schedule
from brevitas_a2q.train._recipes import RECIPES, Recipe


def rates(recipe: Recipe, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step."""
    optimizer = make_optimizer(torch.nn.Linear(2, 2), recipe)
    schedule = make_schedule(optimizer, recipe, steps_per_epoch)
    found = []
    for _ in range(recipe.epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_step_schedule() -> None:
    recipe = dataclasses.replace(RECIPES["a2q-plus-resnet18"], epochs=65)
    assert rates(recipe, 2) == pytest.approx([1e-3] * 60 + [1e-4] * 60 + [1e-5] * 10)


def test_exponential_schedule() -> None:
    recipe = dataclasses.replace(RECIPES["a2q-plus-mobilenet-v1"], epochs=4)
    assert rates(recipe, 3) == pytest.approx([1e-3 * 0.9**epoch for epoch in range(4) for _ in range(3)])


def test_constant_schedule() -> None:
    assert rates(Recipe(schedule="constant", learning_rate=0.5, epochs=3), 2) == [0.5] * 6


def test_one_cycle_rises_to_the_rate_and_falls_to_nearly_nothing() -> None:
    found = rates(Recipe(learning_rate=0.1, warmup_share=0.25, epochs=4), 10)
    assert max(found) == pytest.approx(0.1)
    assert found.index(max(found)) == math.floor(0.25 * 40) - 1
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[-1] < 1e-5


@pytest.mark.parametrize(("steps", "share"), [(1, 0.3), (2, 0.5), (4, 0.25), (10, 0.1)])
def test_one_cycle_whose_peak_is_the_first_step(steps: int, share: float) -> None:
    found = rates(Recipe(learning_rate=0.1, warmup_share=share, epochs=1), steps)
    assert len(found) == steps
    assert found[0] == pytest.approx(max(found))
    assert found[0] == pytest.approx(0.1) or steps == 1


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers(name: str, kind: str) -> None:
    recipe = Recipe(name, 0.1, weight_decay=0.25)  # type: ignore[arg-type]
    optimizer = make_optimizer(torch.nn.Linear(2, 2), recipe)
    assert type(optimizer).__name__ == kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


def test_momentum_reaches_the_optimizer() -> None:
    options = make_optimizer(torch.nn.Linear(2, 2), Recipe("sgd", momentum=0.9, nesterov=True)).param_groups[0]
    assert (options["momentum"], options["nesterov"]) == (0.9, True)


def test_decay_of_weights_only() -> None:
    model = build_model("digits-cnn", QuantSpec("a2q"))
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    decaying, others = make_optimizer(model, Recipe(decay="weights", weight_decay=0.5)).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.5, 0.0)
    assert sorted(named[id(p)] for p in decaying["params"]) == [
        "classifier.0.weight",
        "classifier.3.weight",
        "features.1.weight",
        "features.4.weight",
        "features.8.weight",
    ]
    assert len(decaying["params"]) + len(others["params"]) == len(named)
    (everything,) = make_optimizer(model, Recipe(weight_decay=0.5)).param_groups
    assert len(everything["params"]) == len(named)
