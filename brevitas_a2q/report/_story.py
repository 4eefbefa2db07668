"""What a report tells: training runs, a certificate, and estimates under several accumulator policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Story", "TrainingRun"]


@dataclass(frozen=True)
class TrainingRun:
    """Test accuracy of one training run, as shares in [0, 1]."""

    name: str
    method: str
    accumulator_bit_width: int | None  # P of the hidden layers; None: unconstrained
    last: float
    best: float
    curve: tuple[float, ...]  # after each epoch
    zero_weights: float | None  # share of zeros among the hidden layers' integer weights; None for float


@dataclass(frozen=True)
class Story:
    """Everything one report shows; ``certificate`` and the values of ``estimates`` are their commands' JSON."""

    title: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    runs: tuple[TrainingRun, ...]
    chosen: str  # name of the run that was certified, exported and estimated
    certificate: Mapping[str, Any]
    checks: Mapping[str, Any]  # what the round trip of the export compared
    estimates: Mapping[str, Mapping[str, Any]]  # accumulator policy -> estimate
    files: Mapping[str, str]  # what -> file name beside the report
    seconds: Mapping[str, float]  # step -> time it took

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        return asdict(self)
