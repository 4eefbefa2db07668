"""What a training run is asked to do: one frozen dataclass, in and out of YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from brevitas_a2q._config import check_setting
from brevitas_a2q._files import write_atomically
from brevitas_a2q._settings import json_schema, parse, parse_yaml, plain, read_yaml
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._target import Target
from brevitas_a2q.models._spec import QuantSpec
from brevitas_a2q.train._recipes import RECIPES, Recipe, recipe_values

__all__ = ["RunConfig", "RuntimeConfig", "StartConfig", "with_overrides"]

_RECIPES = ("recipe", "float_recipe")


@dataclass(frozen=True)
class StartConfig:
    """From float weights to the start of quantization-aware training.

    Args:
        equalize: Even out the weights' ranges across layers before quantizing.
        scale: Where weight scales start: ``"search"`` chooses them with the budget in mind, ``"stats"`` takes the
            largest weight, as the papers do. ``"ptq"`` solves for scales and weights together, as quantization without
            training does, in layers that are projected: ahead where P is narrow and there is an epoch at most, no
            better than the search, or behind it, from three on.
        ep_init: Start A2Q and A2Q+ from the Euclidean projection of the weights; the projection needs none.
        calibrate_images: Training inputs that set the activation scales; 0 collects statistics while training.
        bias_correction_images: Training inputs that correct the shift of each layer's output; 0 leaves it.
    """

    equalize: bool = True
    scale: Literal["search", "stats", "ptq"] = "search"
    ep_init: bool = True
    calibrate_images: int = 1000
    bias_correction_images: int = 1000

    def __post_init__(self) -> None:
        for name in ("calibrate_images", "bias_correction_images"):
            if getattr(self, name) < 0:
                raise ConfigError(f"found {name} = {getattr(self, name)}", where="start", expected="at least 0")


@dataclass(frozen=True)
class RuntimeConfig:
    """How the arithmetic is done; none of it changes what is asked for.

    Args:
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        amp: ``"bf16"`` runs convolutions of the training step in bfloat16; evaluation stays in float32.
        compile: Whether ``torch.compile`` builds the network as it is trained; ``"auto"`` does on a GPU, and goes on
            without where it fails.
        channels_last: Memory layout of images and weights; ``"auto"`` where it is faster: on a GPU.
        deterministic: Operations that give the same bits in every run, where there are such; torch warns of others.
            Slower on a GPU.
        tracker: Where curves and the configuration are sent besides TensorBoard's files: ``"wandb"`` (Weights & Biases)
            or ``"mlflow"``, as their own environment variables say; the package must be installed.
    """

    device: str = "auto"
    amp: Literal["none", "bf16"] = "none"
    compile: bool | Literal["auto"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    deterministic: bool = False
    tracker: Literal["none", "wandb", "mlflow"] = "none"


@dataclass(frozen=True)
class RunConfig:
    """One training run, from data to a certified, exported and costed network.

    Args:
        model: Network by name: ``digits-cnn``, ``small-cnn``, ``mobilenet-v1``, ``resnet18``, ``espcn`` or ``unet``;
            ``torchvision:NAME``, ``timm:NAME``, or ``package.module:function`` for a float network of your own.
        model_options: Passed to the network, for example ``upscale_factor``.
        data: Data set by name, or ``package.module:function`` for your own.
        data_root: Folder that holds it, where it does not come with the package.
        data_options: Passed to the data set.
        quant: Bit widths and method; None trains the float network only, by ``recipe``.
        layer_rules: P of single layers: glob on their names -> width; the last one that matches wins.
        float_recipe: Float training before quantization; None for none.
        float_checkpoint: Float weights to start from: a ``.safetensors`` file, or the folder of an earlier run.
        recipe: Training of the network asked for.
        start: From float weights to quantized ones.
        runtime: How the arithmetic is done.
        seed: Of weights, batches and augmentation.
        estimate: The design to cost; None for no estimate.

    Example:
        >>> RunConfig.from_dict({"recipe": {"base": "a2q-plus-resnet18", "epochs": 3}}).recipe.optimizer
        'sgd'
    """

    model: str = "digits-cnn"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    data: str = "digits"
    data_root: str | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    quant: QuantSpec | None = field(default_factory=QuantSpec)
    layer_rules: Mapping[str, int] = field(default_factory=dict)
    float_recipe: Recipe | None = None
    float_checkpoint: str | None = None
    recipe: Recipe = field(default_factory=Recipe)
    start: StartConfig = StartConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    seed: int = 0
    estimate: Target | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"found seed = {self.seed}", where="run", expected="an integer from 0 to 2^63 - 1")
        if self.float_recipe is not None and self.float_checkpoint is not None:
            raise ConfigError(
                "found both float_recipe and float_checkpoint", where="run", expected="one way to float weights"
            )
        if self.quant is None and (self.float_recipe is not None or self.layer_rules):
            raise ConfigError(
                "found float_recipe or layer_rules without quant",
                where="run",
                remedy="give the recipe of a float network as `recipe`",
            )
        if self.quant is not None and self.recipe.first_image_size is not None:
            raise ConfigError(
                f"found first_image_size = {self.recipe.first_image_size}",
                where="recipe of a quantized network",
                expected="null, because the ranges of activations are those of images of their own size",
                remedy="give it in float_recipe",
            )
        for pattern, bits in self.layer_rules.items():
            check_setting("accumulator_bit_width", bits, f"layer_rules, {pattern!r}", required=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "run") -> RunConfig:
        """Configuration from plain values, as YAML or JSON give them; recipes may be named.

        Raises:
            ConfigError: An unknown key (the message names the nearest valid one), or a value that is refused.
        """
        if isinstance(values, Mapping):
            values = {
                key: recipe_values(value, f"{where}, {key}") if key in _RECIPES else value
                for key, value in values.items()
            }
        return parse(cls, values, where)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON schema of a configuration file; a recipe may be a name, too, and change some keys of one by ``base``."""
        schema = json_schema(cls)
        names = {"enum": list(RECIPES)}
        for key in _RECIPES:
            recipe = json_schema(Recipe)
            recipe["properties"] = {"base": names, **recipe["properties"]}
            forms = [names, recipe] + [{"type": "null"}] * (key == "float_recipe")
            schema["properties"][key] = {**schema["properties"][key], "anyOf": forms}
            for word in ("type", "properties", "additionalProperties"):
                schema["properties"][key].pop(word, None)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "brevitas-a2q train", **schema}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, every default spelled out."""
        values: dict[str, Any] = plain(self)
        return values

    @classmethod
    def from_yaml(cls, source: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
        """Read a YAML file.

        Args:
            source: Path of the file.
            overrides: What to change, as :func:`with_overrides` takes it.

        Raises:
            ConfigError: The file is missing or no YAML, or what :meth:`from_dict` raises.
        """
        return cls.from_dict(with_overrides(read_yaml(source), overrides), str(source))

    def to_yaml(self, path: str | Path | None = None) -> str:
        """YAML text; written to ``path`` if one is given."""
        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        if path is not None:
            write_atomically(path, text)
        return text


def with_overrides(values: Any, overrides: Sequence[str]) -> Any:
    """Plain values with single ones changed.

    Args:
        values: Mapping of a configuration.
        overrides: ``KEY=VALUE`` with dots into nested mappings and the value in YAML, for example ``recipe.epochs=3``.

    Raises:
        ConfigError: An override without ``=``, into something that is no mapping, or no YAML.

    Example:
        >>> with_overrides({"recipe": "one-cycle"}, ["recipe.epochs=3", "quant=null"])
        {'recipe': {'base': 'one-cycle', 'epochs': 3}, 'quant': None}
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        where = f"override {override!r}"
        if not equals or not all(key.split(".")):
            raise ConfigError("found no KEY=VALUE", where=where, expected="for example recipe.epochs=3")
        values = _set(values, key.split("."), parse_yaml(text, where), where)
    return values


def _set(values: Any, path: list[str], value: Any, where: str) -> Any:
    if isinstance(values, str):  # the name of a recipe
        values = {"base": values}
    if not isinstance(values, Mapping) and values is not None:
        raise ConfigError(f"found {values!r} where {path[0]!r} is to be set", where=where, expected="a mapping")
    inner = dict(values or {})
    inner[path[0]] = value if len(path) == 1 else _set(inner.get(path[0]), path[1:], value, where)
    return inner
