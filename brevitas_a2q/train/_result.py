"""What a training run came to."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from brevitas_a2q import __version__
from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import DataError
from brevitas_a2q.train._config import RunConfig

__all__ = ["EpochResult", "RunResult", "versions"]


@dataclass(frozen=True)
class EpochResult:
    """One epoch of a phase (``"float"`` or ``"quantized"``).

    ``loss`` and ``penalty`` are means over its steps, ``metric`` is the test metric after it (a share in [0, 1], or
    dB), ``seconds`` is the time of training and test together.
    """

    phase: str
    epoch: int
    loss: float
    penalty: float
    metric: float
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """The outcome of a run; the test set chooses nothing: ``last`` is the result, ``best`` is only reported.

    Attributes:
        config: What was asked for.
        metric: ``"accuracy"``, a share in [0, 1], or ``"psnr_db"``.
        curve: One entry per epoch, float epochs first.
        last: Metric after the last epoch.
        best: Highest metric of any epoch of the last phase.
        float_last: Metric after float pre-training, where there was any.
        sparsity: Share of zeros among the integer weights of the constrained layers; None for a float run.
        compression: ``M / H``, H the entropy of these weights in bits.
        certificate: See :func:`brevitas_a2q.train._finish.summary`; None for a float run.
        qonnx: The QONNX file, relative to the run's folder.
        qonnx_reason: Why there is none.
        estimate: By accumulator policy, resources, frames per second and cycles of the whole design; or None.
        estimate_reason: Why there is no estimate.
        seconds: Of all training, interrupted parts that were lost not counted.
        device: What it ran on.
        versions: Of the packages that matter.
        seed: Of the run.
    """

    config: RunConfig
    metric: str
    curve: tuple[EpochResult, ...]
    last: float
    best: float
    float_last: float | None
    sparsity: float | None
    compression: float | None
    certificate: Mapping[str, Any] | None
    qonnx: str | None
    qonnx_reason: str | None
    estimate: Mapping[str, Any] | None
    estimate_reason: str | None
    seconds: float
    device: str
    versions: Mapping[str, str]
    seed: int

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong with the certificate, if the run has one."""
        return self.certificate is None or bool(self.certificate["holds"])

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``result.json`` holds them."""
        return {**asdict(self), "config": self.config.to_dict(), "curve": [asdict(epoch) for epoch in self.curve]}

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all."""
        write_atomically(path, json.dumps(self.to_json(), indent=2))

    @classmethod
    def load(cls, path: Path) -> RunResult:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: The file is damaged, or not a run's result.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["config"] = RunConfig.from_dict(values["config"], str(path))
            values["curve"] = tuple(EpochResult(**epoch) for epoch in values["curve"])
            return cls(**{f.name: values[f.name] for f in fields(cls)})
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(
                f"cannot be read ({type(error).__name__}: {error})", where=str(path), expected="the result of a run"
            ) from error


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("torch", "brevitas", "qonnx", "onnx", "numpy")
    return {"brevitas_a2q": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in names
    }
