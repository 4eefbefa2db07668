"""Run configurations: YAML, recipes by name, overrides, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._target import Target
from brevitas_a2q.models import QuantSpec
from brevitas_a2q.train._config import RunConfig, RuntimeConfig, StartConfig, with_overrides
from brevitas_a2q.train._recipes import RECIPES, Recipe

FULL = RunConfig(
    model="resnet18",
    model_options={"width": 8},
    data="cifar10",
    data_root="/data",
    quant=QuantSpec("a2q+", 3, 3, 12),
    layer_rules={"features.4.*": 14},
    float_recipe=RECIPES["one-cycle-cifar10"],
    recipe=RECIPES["a2q-plus-resnet18"],
    start=StartConfig(equalize=False, scale="stats", calibrate_images=0),
    runtime=RuntimeConfig("cuda:1", "bf16", True, False, True),
    seed=7,
    estimate=Target(target_fps=1000.0),
)


@pytest.mark.parametrize("config", [RunConfig(), FULL, RunConfig(quant=None, recipe=Recipe(epochs=1))])
def test_yaml_round_trip(config: RunConfig, tmp_path: Path) -> None:
    config.to_yaml(tmp_path / "run.yaml")
    assert RunConfig.from_yaml(tmp_path / "run.yaml") == config


def test_an_empty_file_is_the_default_run(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").touch()
    assert RunConfig.from_yaml(tmp_path / "run.yaml") == RunConfig()


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_by_name(name: str) -> None:
    config = RunConfig.from_dict({"recipe": name, "float_recipe": {"base": name, "epochs": 2}})
    assert config.recipe == RECIPES[name]
    assert config.float_recipe is not None
    assert (config.float_recipe.epochs, config.float_recipe.schedule) == (2, config.recipe.schedule)


def test_published_recipes() -> None:
    """A2Q+, arXiv 2401.10432, appendix B.1."""
    resnet, mobilenet, pictures = (
        RECIPES[f"a2q-plus-{name}"] for name in ("resnet18", "mobilenet-v1", "super-resolution")
    )
    assert [recipe.weight_decay for recipe in (resnet, mobilenet, pictures)] == [1e-5] * 3
    assert [recipe.learning_rate for recipe in (resnet, mobilenet, pictures)] == [1e-3] * 3
    assert [recipe.penalty for recipe in (resnet, mobilenet, pictures)] == [1e-3] * 3
    assert [recipe.decay for recipe in (resnet, mobilenet, pictures)] == ["all"] * 3
    assert (resnet.optimizer, resnet.batch_size, resnet.epochs) == ("sgd", 256, 100)
    assert (resnet.schedule, resnet.factor, resnet.step_epochs, resnet.momentum) == ("step", 0.1, 30, 0.0)
    assert (mobilenet.optimizer, mobilenet.batch_size, mobilenet.epochs) == ("sgd", 64, 100)
    assert (mobilenet.schedule, mobilenet.factor) == ("exponential", 0.9)
    assert (pictures.optimizer, pictures.batch_size, pictures.epochs) == ("adam", 8, 300)
    assert (pictures.schedule, pictures.factor) == ("exponential", 0.999)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("recipe.epochs=3", "recipe", Recipe(epochs=3)),
        ("recipe=a2q-plus-resnet18", "recipe", RECIPES["a2q-plus-resnet18"]),
        ("recipe.learning_rate=1e-4", "recipe", Recipe(learning_rate=1e-4)),
        ("quant=null", "quant", None),
        ("quant.accumulator_bit_width=12", "quant", QuantSpec(accumulator_bit_width=12)),
        ("estimate.part=ZCU104", "estimate", Target("ZCU104")),
        ("runtime.compile=true", "runtime", RuntimeConfig(compile=True)),
        ("layer_rules={'features.*': 9}", "layer_rules", {"features.*": 9}),
        ("data_root=a=b", "data_root", "a=b"),
    ],
)
def test_overrides(override: str, key: str, value: Any) -> None:
    assert getattr(RunConfig.from_dict(with_overrides({}, [override])), key) == value


def test_later_overrides_win_and_the_values_given_stay_as_they_are() -> None:
    values = {"recipe": {"epochs": 1}}
    assert with_overrides(values, ["recipe.epochs=2", "recipe.epochs=3"]) == {"recipe": {"epochs": 3}}
    assert values == {"recipe": {"epochs": 1}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": "resnet18"}, "run: found the unknown key 'modle'; .*; did you mean 'model'?"),
        ({"recipe": {"epoch": 3}}, "run, recipe: found the unknown key 'epoch'; .*; did you mean 'epochs'?"),
        ({"recipe": "onecycle"}, "found the recipe 'onecycle'; .*; did you mean 'one-cycle'?"),
        ({"recipe": {"base": 3}}, "found the recipe 3"),
        ({"recipe": {"optimizer": "sdg"}}, "did you mean 'sgd'?"),
        ({"recipe": {"schedule": "cosine"}}, "expected one of constant, step, exponential, one-cycle"),
        ({"recipe": {"epochs": 0}}, "recipe: found epochs = 0; expected at least 1"),
        ({"recipe": {"batch_size": 1}}, "found batch_size = 1; expected at least 2"),
        ({"recipe": {"learning_rate": 0}}, "found learning_rate = 0.0; expected more than 0"),
        ({"recipe": {"learning_rate": "inf"}}, "found learning_rate = inf; expected a finite number"),
        ({"recipe": {"momentum": 1.0}}, "expected at least 0 and below 1"),
        ({"recipe": {"nesterov": True}}, "expected false where momentum is 0"),
        ({"recipe": {"warmup_share": 1}}, "expected between 0 and 1"),
        ({"recipe": None}, "found recipe = None"),
        ({"quant": {"method": "a2q++"}}, "did you mean 'a2q+'?"),
        ({"quant": {"accumulator_bit_width": 1}}, "expected an integer from 2 to 64"),
        ({"layer_rules": {"a": 65}}, "layer_rules, 'a': found accumulator_bit_width = 65"),
        ({"start": {"scale": "max"}}, "expected one of search, stats"),
        ({"start": {"calibrate_images": -1}}, "expected at least 0"),
        ({"runtime": {"amp": "fp16"}}, "expected one of none, bf16"),
        ({"estimate": {"clock_mhz": 0}}, "expected a positive number"),
        ({"seed": -1}, "expected an integer from 0"),
        ({"float_recipe": {}, "float_checkpoint": "x"}, "expected one way to float weights"),
        ({"quant": None, "float_recipe": {}}, "found float_recipe or layer_rules without quant"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?").replace("++", r"\+\+").replace("q+'", r"q\+'")):
        RunConfig.from_dict(values)


@pytest.mark.parametrize("override", ["recipe.epochs", "=3", "recipe..epochs=3", "seed.x=3", "seed=[1"])
def test_overrides_that_are_none(override: str) -> None:
    with pytest.raises(ConfigError, match=f"override {re.escape(repr(override))}"):
        with_overrides({"seed": 1}, [override])
