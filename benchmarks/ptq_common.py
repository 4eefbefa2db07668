"""What every network of ``ptq.py`` comes with: data to calibrate by, data to judge by, and a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["SHARED", "Network", "accuracy", "file_of", "shuffled"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


@dataclass(frozen=True, eq=False)
class Network:
    """A network with its data.

    Attributes:
        model: Float, in evaluation mode.
        pool: Samples to draw calibration data from.
        calibration: How many of them are drawn.
        test: Inputs to judge by.
        score: Percent, of outputs for the test inputs; may look at the float network's.
        metric: What the score is.
    """

    model: nn.Module
    pool: dict[str, Tensor] | Tensor
    calibration: int
    test: dict[str, Tensor] | Tensor
    score: Callable[[Tensor, Tensor], float]
    metric: str

    def draw(self, seed: int) -> Any:
        """Calibration data of a seed."""
        size = len(next(iter(self.pool.values()))) if isinstance(self.pool, dict) else len(self.pool)
        chosen = torch.from_numpy(np.random.RandomState(100 + seed).permutation(size)[: self.calibration])
        if isinstance(self.pool, dict):
            return [{key: value[part] for key, value in self.pool.items()} for part in chosen.split(64)]
        return self.pool[chosen]

    @cached_property
    def float_outputs(self) -> Tensor:
        """Of the float network."""
        return self.outputs(self.model)

    @torch.no_grad()
    def outputs(self, model: nn.Module, batch_size: int = 64) -> Tensor:
        """Of all test inputs."""
        model.eval()
        if isinstance(self.test, dict):
            count = len(next(iter(self.test.values())))
            parts = [
                model(**{key: value[i : i + batch_size] for key, value in self.test.items()})
                for i in range(0, count, batch_size)
            ]
        else:
            parts = [model(part) for part in self.test.split(batch_size)]
        return torch.cat([getattr(part, "value", part) for part in parts])


def file_of(package: str, ending: str) -> Path:
    """A file of an installed package, by the end of its path."""
    for path in distribution(package).files or ():
        if str(path).endswith(ending):
            return Path(str(path.locate()))
    raise FileNotFoundError(f"{package}: {ending}")


def accuracy(labels: Tensor) -> Callable[[Tensor, Tensor], float]:
    """Percent of outputs whose largest class is the label."""
    return lambda found, expected: 100 * float((found.argmax(1) == labels).double().mean())


def shuffled(count: int) -> Tensor:
    """Numbers up to this in an order that is the same each time."""
    return torch.from_numpy(np.random.RandomState(0).permutation(count))
