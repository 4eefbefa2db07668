"""What :func:`brevitas_a2q.constrain_` is asked to do: a frozen dataclass, in and out of YAML.

Keys and values are checked where they are written, so that a misspelt key is an error that names the right one instead
of a setting that silently does nothing.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Mapping
from dataclasses import InitVar, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

from brevitas_a2q._files import write_atomically
from brevitas_a2q._settings import known_keys, nearest, read_yaml
from brevitas_a2q.bounds import MAX_ACCUMULATOR_BITS, MAX_INPUT_BITS, MAX_WEIGHT_BITS, MIN_ACCUMULATOR_BITS
from brevitas_a2q.errors import ConfigError

__all__ = ["METHODS", "NONE", "A2QConfig", "LayerRule", "LayerSettings", "check_setting", "check_settings"]

METHODS: Final = ("projected", "a2q", "a2q+")
NONE: Final = "none"  # instead of a method: quantized, its sums not bounded

_RANGES: Final = {
    "accumulator_bit_width": (MIN_ACCUMULATOR_BITS, MAX_ACCUMULATOR_BITS),
    "weight_bit_width": (2, MAX_WEIGHT_BITS),
    "activation_bit_width": (2, MAX_INPUT_BITS),
    "boundary_bit_width": (2, MAX_WEIGHT_BITS),
    "input_bit_width": (1, MAX_INPUT_BITS),
    "tile": (1, None),
    "accumulator_tile": (1, None),
}
_REQUIRED: Final = ("accumulator_bit_width", "method", "activation_bit_width", "boundary_bit_width")
_BOOLEANS: Final = ("skip", "skip_first_and_last", "input_signed", "fused_activations", "hand_multiplied")


def check_setting(name: str, value: Any, where: str, required: bool = False) -> None:
    """Check one bit width or tile of this name, wherever it is given; None stands for nothing, if none is required.

    Raises:
        ConfigError: It is no integer, or out of the range that its name has.
    """
    low, high = _RANGES[name]
    if value is None and not required:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        span = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
        raise ConfigError(f"found {name} = {value!r}", where=where, expected=span)


def check_settings(owner: Any, where: str, required: Collection[str] = ()) -> None:
    """Check every width, switch and method of a dataclass; None means that nothing is set, where none is required.

    Raises:
        ConfigError: Names the first that is wrong.
    """
    for name in required:
        if getattr(owner, name) is None:
            raise ConfigError(f"found {name} = None", where=where, expected="a value")
    for name in _RANGES:
        check_setting(name, getattr(owner, name, None), where)
    for name in _BOOLEANS:
        value = getattr(owner, name, None)
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"found {name} = {value!r}", where=where, expected="true or false")
    method = getattr(owner, "method", None)
    if method is not None and method not in (known := (*METHODS, NONE)):
        remedy = nearest(method, known)
        raise ConfigError(f"found method = {method!r}", where=where, expected=f"one of {known}", remedy=remedy)


@dataclass(frozen=True)
class LayerSettings:
    """What holds for one layer once every rule has been applied; see :class:`A2QConfig` for the fields."""

    accumulator_bit_width: int
    method: str
    weight_bit_width: int | None
    tile: int | None
    input_bit_width: int | None
    input_signed: bool | None
    skip: bool | None


@dataclass(frozen=True)
class LayerRule:
    """Settings for the layers whose qualified name matches a glob; what is None is left as it is.

    Args:
        pattern: Glob on the layer's name as ``model.named_modules()`` gives it, for example ``"layer1.*.conv?"``.
        accumulator_bit_width: P, from 2 to 64.
        method: ``"projected"``, ``"a2q"`` or ``"a2q+"``; ``"none"`` is the same as ``skip``.
        weight_bit_width: M.
        tile: Weights per tile of a multi-stage accumulator.
        input_bit_width: N of an input that carries none (a layer fed a plain tensor of integers).
        input_signed: Sign of that input.
        skip: True leaves the layer unconstrained; False constrains it even where it is the first or last one.

    Example:
        >>> LayerRule("features.0", accumulator_bit_width=20).matches("features.0")
        True
    """

    pattern: str
    accumulator_bit_width: int | None = None
    method: str | None = None
    weight_bit_width: int | None = None
    tile: int | None = None
    input_bit_width: int | None = None
    input_signed: bool | None = None
    skip: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise ConfigError(f"found pattern = {self.pattern!r}", where="rule", expected="a glob on layer names")
        check_settings(self, f"rule {self.pattern!r}")

    def matches(self, name: str) -> bool:
        """Whether the rule speaks of the layer of this name."""
        return fnmatchcase(name, self.pattern)


@dataclass(frozen=True)
class A2QConfig:
    """How to constrain a model.

    Args:
        accumulator_bit_width: P of every layer that no rule gives another, from 2 to 64.
        method: ``"projected"`` (exact two-sided budget), ``"a2q"`` or ``"a2q+"``; ``"none"`` bounds no sums.
        weight_bit_width: M; None keeps what a Brevitas layer has, and means 8 for a float model.
        activation_bit_width: N given to the activations of a float model; a Brevitas model keeps its own.
        boundary_bit_width: Weight and input width of the first and last layer of a float model when they are exempt.
        tile: Weights per tile of a multi-stage accumulator; None for a single stage.
        skip_first_and_last: Leave the first and last layer unconstrained, as the papers do.
        fused_activations: Quantize each activation by one kernel instead of by Brevitas' operations; the values are the
            same.
        hand_multiplied: Let layers of a float model that never run, because its code multiplies by their weights itself
            (``F.linear(x, self.qkv.weight)``, as Swin does), compute these products; otherwise they are skipped.
        rules: Applied in order; the last one that matches and sets a value wins.
        exempt_bit_width: Deprecated name of ``boundary_bit_width``.

    Example:
        >>> config = A2QConfig(accumulator_bit_width=14, rules=(LayerRule("*.downsample.*", accumulator_bit_width=18),))
        >>> config.for_layer("layer2.0.downsample.0").accumulator_bit_width
        18
    """

    accumulator_bit_width: int = 16
    method: str = "projected"
    weight_bit_width: int | None = None
    activation_bit_width: int = 8
    boundary_bit_width: int = 8
    tile: int | None = None
    skip_first_and_last: bool = True
    fused_activations: bool = True
    hand_multiplied: bool = False
    rules: tuple[LayerRule, ...] = field(default=())
    exempt_bit_width: InitVar[int | None] = None

    def __post_init__(self, exempt_bit_width: int | None) -> None:
        if exempt_bit_width is not None:
            warnings.warn("exempt_bit_width is boundary_bit_width now", DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "boundary_bit_width", exempt_bit_width)
        check_settings(self, "configuration", required=_REQUIRED)
        if not all(isinstance(rule, LayerRule) for rule in self.rules):
            raise ConfigError(f"found rules = {self.rules!r}", where="configuration", expected="LayerRule objects")
        object.__setattr__(self, "rules", tuple(self.rules))

    def for_layer(self, name: str) -> LayerSettings:
        """Settings of one layer.

        Args:
            name: Its qualified name.

        Returns:
            The configuration's values, overridden by the rules that match.
        """
        names = [f.name for f in dataclasses.fields(LayerSettings)]
        settings: dict[str, Any] = {key: getattr(self, key, None) for key in names}
        for rule in self.rules:
            if rule.matches(name):
                settings.update({key: getattr(rule, key) for key in names if getattr(rule, key) is not None})
        if settings["method"] == NONE:
            settings["skip"] = True
        return LayerSettings(**settings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> A2QConfig:
        """Configuration from plain values, as YAML or JSON give them.

        Raises:
            ConfigError: An unknown key (the message names the nearest valid one), or a value out of its range.
        """
        old = {}
        if isinstance(values, Mapping):
            old = {key: value for key, value in values.items() if key == "exempt_bit_width"}
            values = {key: value for key, value in values.items() if key not in old}
        given = known_keys(cls, values, "configuration")
        rules = given.pop("rules", None) or []
        if not isinstance(rules, (list, tuple)):
            raise ConfigError(f"found rules = {rules!r}", where="configuration", expected="a list of rules")
        parsed = [known_keys(LayerRule, rule, f"rule {i + 1}") for i, rule in enumerate(rules)]
        for i, rule in enumerate(parsed):
            if "pattern" not in rule:
                raise ConfigError("found no pattern", where=f"rule {i + 1}", expected="a glob on layer names")
        return cls(**given, **old, rules=tuple(LayerRule(**rule) for rule in parsed))

    def to_dict(self) -> dict[str, Any]:
        """Plain values; rules show only what they set."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["rules"] = [
            {key: value for key, value in dataclasses.asdict(rule).items() if value is not None} for rule in self.rules
        ]
        return values

    @classmethod
    def from_yaml(cls, source: str | Path) -> A2QConfig:
        """Read a YAML file.

        Args:
            source: Path of the file.

        Raises:
            ConfigError: The file is missing or no YAML, or what :meth:`from_dict` raises.
        """
        return cls.from_dict(read_yaml(source))

    def to_yaml(self, path: str | Path | None = None) -> str:
        """YAML text; written to ``path`` if one is given."""
        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        if path is not None:
            write_atomically(path, text)
        return text
