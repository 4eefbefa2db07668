"""Settings of quantization without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from brevitas_a2q._config import LayerRule, check_setting
from brevitas_a2q._settings import known_keys, parse
from brevitas_a2q.bounds import MAX_INPUT_BITS
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.quant._keywords import check_accumulator

__all__ = ["AUTO", "PostTrainingConfig"]

AUTO: Final = "auto"
_WHERE: Final = "post-training quantization"
_METHODS: Final = (AUTO, "projection", "exchange")
_SCALES: Final = ("channel", "tensor")
_LARGEST: Final = (1 << 32) - 1  # seed that every generator takes


def _is_integer(value: Any, low: int, high: int = _LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class PostTrainingConfig:
    """How to quantize a network without training it.

    Args:
        accumulator_bit_width: P of every layer that no rule gives another; ``"auto"`` for the least that keeps the
            network's output within ``tolerance``.
        per_layer: Give layers fewer than P bits where the output stays within ``tolerance`` of that at P.
        tolerance: Points of agreement with the float network that ``"auto"`` (or ``per_layer``) may lose on held-out
            data.
        method: ``"projection"``, ``"exchange"``, or ``"auto"`` for the better of both on held-out data.
        weight_bit_width: M at most; layers that need fewer bits get fewer. None for 8, or what a Brevitas layer has.
        activation_bit_widths: N that a layer may have; the best is chosen for each. A Brevitas model keeps its own.
        shared_bit_width: N of values that sums and averages read.
        zero_point: Whether activations may have a zero-point, where few of them are negative.
        equalize: Whether features of a linear layer's input that reach far beyond the others may be divided by powers
            of two before they are quantized, where no ReLU makes them; a multiplication by constants before the layer.
        tile: Weights per tile of a multi-stage accumulator; None for a single stage.
        skip_first_and_last: Quantize what runs first and last to ``boundary_bit_width``, with a wide accumulator.
        boundary_bit_width: M and N of these two.
        scale: Of weights, per ``"channel"`` or per ``"tensor"``.
        power_of_two: Whether all scales are powers of two.
        shrinkages: Of which one is chosen for each layer, by held-out data: the share of the covariance between inputs
            that is not trusted.
        rows: Largest number of input rows that a layer's moments are computed from.
        batch_size: Samples that run through the network at a time.
        held_out: Share of the calibration data that is kept to judge by.
        seed: Of what is sampled.
        rules: Widths of single layers, as in :class:`brevitas_a2q.A2QConfig`: ``accumulator_bit_width``,
            ``weight_bit_width``, ``input_bit_width``, ``tile`` and ``skip``.

    Example:
        >>> PostTrainingConfig(accumulator_bit_width=12, activation_bit_widths=(4, 8)).activation_bit_widths
        (4, 8)
    """

    accumulator_bit_width: int | str = 16
    per_layer: bool = False
    tolerance: float = 1.0
    method: str = AUTO
    weight_bit_width: int | None = None
    activation_bit_widths: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    shared_bit_width: int = 8
    zero_point: bool = True
    equalize: bool = True
    tile: int | None = None
    skip_first_and_last: bool = True
    boundary_bit_width: int = 8
    scale: str = "channel"
    power_of_two: bool = False
    shrinkages: tuple[float, ...] = (0.05, 0.2, 0.5)
    rows: int = 12_000
    batch_size: int = 64
    held_out: float = 0.2
    seed: int = 0
    rules: tuple[LayerRule, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.accumulator_bit_width != AUTO:
            check_accumulator(self.accumulator_bit_width, self.tile)  # type: ignore[arg-type]
        for name in ("activation_bit_widths", "shrinkages", "rules"):
            self._require(isinstance(getattr(self, name), (list, tuple)), name, "a list")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("per_layer", "zero_point", "equalize", "skip_first_and_last", "power_of_two"):
            self._require(isinstance(getattr(self, name), bool), name, "True or False")
        self._require(self.method in _METHODS, "method", f"one of {_METHODS}")
        self._require(self.scale in _SCALES, "scale", f"one of {_SCALES}")
        self._require(bool(self.activation_bit_widths), "activation_bit_widths", "at least one width")
        for bits in self.activation_bit_widths:
            valid = _is_integer(bits, 1, MAX_INPUT_BITS)
            self._require(valid, "activation_bit_widths", f"integers from 1 to {MAX_INPUT_BITS}", bits)
        least = {"shared_bit_width": 1, "boundary_bit_width": 2}  # the latter is of weights, too
        for name, low in least.items():
            valid = _is_integer(getattr(self, name), low, MAX_INPUT_BITS)
            self._require(valid, name, f"an integer from {low} to {MAX_INPUT_BITS}")
        check_setting("weight_bit_width", self.weight_bit_width, _WHERE)
        self._require(bool(self.shrinkages), "shrinkages", "at least one number")
        self._require(
            all(_is_number(s) and 0 <= s < 1 for s in self.shrinkages), "shrinkages", "numbers from 0 to below 1"
        )
        self._require(_is_number(self.held_out) and 0 < self.held_out < 1, "held_out", "a share between 0 and 1")
        self._require(_is_integer(self.rows, 16), "rows", "an integer of at least 16")
        self._require(_is_integer(self.batch_size, 1), "batch_size", "an integer of at least 1")
        self._require(_is_integer(self.seed, 0), "seed", f"an integer from 0 to {_LARGEST}")
        self._require(_is_number(self.tolerance) and 0 < self.tolerance <= 100, "tolerance", "points between 0 and 100")
        self._require(all(isinstance(rule, LayerRule) for rule in self.rules), "rules", "LayerRule objects")
        obeyed = all(rule.method is None and rule.input_signed is None for rule in self.rules)
        self._require(obeyed, "rules", "widths, tile and skip alone: the method and the signs are chosen here")

    def _require(self, condition: bool, name: str, expected: str, found: Any = None) -> None:
        if not condition:
            found = getattr(self, name) if found is None else found
            raise ConfigError(f"found {name} = {found!r}", where=_WHERE, expected=expected)

    def of_layer(self, name: str) -> Mapping[str, Any]:
        """What rules say of a layer, the last one that sets a value."""
        settings: dict[str, Any] = {}
        for rule in self.rules:
            if rule.matches(name):
                values = dataclasses.asdict(rule)
                settings.update({key: value for key, value in values.items() if value is not None})
        return settings

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PostTrainingConfig:
        """Configuration from plain values.

        Raises:
            ConfigError: An unknown key (the message names the nearest valid one), or a value out of its range.
        """
        given = known_keys(cls, values, _WHERE)
        rules = given.get("rules")
        if isinstance(rules, (list, tuple)):
            parsed = (
                parse(LayerRule, rule, f"rule {i + 1}") if isinstance(rule, Mapping) else rule
                for i, rule in enumerate(rules)
            )
            given["rules"] = tuple(parsed)
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)
