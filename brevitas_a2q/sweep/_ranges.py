"""Ranges of a search: from YAML to Optuna's distributions, and back to the value that a trial holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from brevitas_a2q._settings import parse
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.sweep._keys import full_key

__all__ = ["Range", "parse_ranges"]


@dataclass(frozen=True)
class _Interval:
    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Range:
    """The values that one key may take in a search.

    Attributes:
        distribution: What Optuna samples; a choice that is no plain value is there as JSON text.
        choices: By what Optuna holds, the value that it stands for; empty for intervals.
    """

    distribution: BaseDistribution
    choices: Mapping[Any, Any]

    @property
    def example(self) -> Any:
        """One of the configuration's values."""
        return next(iter(self.choices.values())) if self.choices else self.to_json()["low"]

    def value(self, held: Any) -> Any:
        """The configuration's value for what a trial holds.

        Raises:
            ConfigError: It lies outside the range: anybody may have written it into the database.
        """
        if isinstance(self.distribution, CategoricalDistribution):
            if not any(held == choice and type(held) is type(choice) for choice in self.choices):
                raise ConfigError(f"found {held!r}", where="trial", expected=f"one of {list(self.choices)}")
            return self.choices[held]
        distribution = self.distribution
        assert isinstance(distribution, (IntDistribution, FloatDistribution))
        number = isinstance(held, (int, float)) and not isinstance(held, bool)
        if not number or not distribution.low <= held <= distribution.high:
            raise ConfigError(f"found {held!r}", where="trial", expected=f"{distribution.low} to {distribution.high}")
        return int(held) if isinstance(distribution, IntDistribution) else float(held)

    def to_json(self) -> Any:
        """Plain values."""
        if self.choices:
            return list(self.choices.values())
        assert isinstance(self.distribution, (IntDistribution, FloatDistribution))
        return {key: getattr(self.distribution, key) for key in ("low", "high", "log", "step")}


def parse_ranges(values: Any, where: str) -> dict[str, Range]:
    """Ranges by dotted key: a list of choices, or ``{low, high}`` with ``log`` and ``step`` where wanted.

    Raises:
        ConfigError: Neither of these, an empty range, or a key twice.

    Example:
        >>> parse_ranges({"P": {"low": 9, "high": 16}}, "search")["quant.accumulator_bit_width"].distribution
        IntDistribution(high=16, log=False, low=9, step=1)
    """
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(f"found {values!r}", where=where, expected="a mapping of keys to ranges")
    ranges = {full_key(str(key)): _range(value, f"{where}, {key}") for key, value in values.items()}
    if len(ranges) < len(values):
        raise ConfigError(f"found a key twice in {list(values)}", where=where, expected="each key once")
    return ranges


def _range(value: Any, where: str) -> Range:
    if isinstance(value, list) and value:
        held = [item if isinstance(item, (bool, int, float, str)) else json.dumps(item) for item in value]
        if len(set(held)) < len(held):
            raise ConfigError(f"found {value!r}", where=where, expected="each choice once")
        return Range(CategoricalDistribution(held), dict(zip(held, value, strict=True)))
    if not isinstance(value, Mapping):
        raise ConfigError(f"found {value!r}", where=where, expected="a list of choices, or {low, high}")
    interval = parse(_Interval, value, where)
    whole = all(isinstance(value.get(key, 0), int) for key in ("low", "high", "step"))
    try:
        if whole:
            step = int(interval.step or 1)
            return Range(IntDistribution(int(interval.low), int(interval.high), interval.log, step), {})
        return Range(FloatDistribution(interval.low, interval.high, interval.log, interval.step), {})
    except ValueError as error:
        raise ConfigError(f"found {dict(value)!r} ({error})", where=where, expected="low <= high") from error
