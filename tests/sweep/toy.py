"""A run that takes no time to import: epochs that sleep, a checkpoint after each, a log of what really happened."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brevitas_a2q._files import write_atomically
from brevitas_a2q._settings import parse, plain
from brevitas_a2q.errors import ConfigError


@dataclass(frozen=True)
class Quant:
    method: str = "projected"
    weight_bit_width: int = 4
    activation_bit_width: int = 4
    accumulator_bit_width: int = 16


@dataclass(frozen=True)
class Recipe:
    learning_rate: float = 0.1
    epochs: int = 2
    base: str | None = None


@dataclass(frozen=True)
class Runtime:
    device: str = "cpu"


@dataclass(frozen=True)
class ToyConfig:
    model: str = "toy"
    data: str = "toys"
    data_root: str | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict)
    quant: Quant | None = field(default_factory=Quant)
    layer_rules: Mapping[str, int] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    runtime: Runtime = Runtime()
    seed: int = 0
    estimate: Mapping[str, Any] | None = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "run") -> ToyConfig:
        return parse(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = plain(self)
        return values


class FullDiskError(OSError):
    def __init__(self, text: str) -> None:
        super().__init__(errno.ENOSPC, text)


@dataclass(frozen=True)
class ToyJob:
    """``seconds`` is an epoch's length; runs whose seed is in ``failing`` raise."""

    seconds: float = 0.0
    failing: tuple[int, ...] = ()
    crash: type[Exception] = ConfigError

    @property
    def kind(self) -> type[Any]:
        return ToyConfig

    def run(self, values: Mapping[str, Any], folder: Path, on_epoch: Callable[[int, float], None]) -> Mapping[str, Any]:
        config = ToyConfig.from_dict(values)
        result = folder / "result.json"
        log(folder, "begin")
        if not result.exists():
            checkpoint = folder / "checkpoint"
            done = int(checkpoint.read_text()) if checkpoint.exists() else 0
            for epoch in range(done + 1, config.recipe.epochs + 1):
                time.sleep(self.seconds)
                if config.seed in self.failing:
                    raise self.crash("the loss is NaN")
                write_atomically(checkpoint, str(epoch))
                log(folder, f"epoch {epoch}")
                on_epoch(epoch, accuracy(config))
            write_atomically(result, json.dumps(outcome(config)))
            log(folder, "finished")
        found: dict[str, Any] = json.loads(result.read_text())
        return found


def log(folder: Path, line: str) -> None:
    handle = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def accuracy(config: ToyConfig) -> float:
    """Better with more bits, and by a little with the seed."""
    assert config.quant is not None
    return 1 - 2.0 ** -(config.quant.accumulator_bit_width - 7) - 0.001 * config.seed


def outcome(config: ToyConfig) -> dict[str, Any]:
    assert config.quant is not None
    p = config.quant.accumulator_bit_width
    widths = [config.layer_rules.get(name, p) for name in ("conv1", "layer.conv2")]
    layers = [{"name": f"c{i}", "accumulator_bit_width": width} for i, width in enumerate(widths)]
    return {
        "config": config.to_dict(),
        "metric": "accuracy",
        "last": accuracy(config),
        "best": accuracy(config) + 0.0001,
        "float_last": 0.99,
        "sparsity": 1 - p / 32,
        "compression": 32 / p,
        "certificate": {"holds": True, "widest_required_bit_width": p, "layers": layers},
        "estimate": {"trained": {"lut": 100 * p, "fps": 1000.0}},
        "estimate_reason": None,
        "seconds": 1.0,
        "device": "cpu",
        "seed": config.seed,
    }
