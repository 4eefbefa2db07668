"""A training run as the job of a sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brevitas_a2q.sweep.worker import OnEpoch

if TYPE_CHECKING:
    from brevitas_a2q.train.result import EpochResult

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """Train, certify, export and cost, by :func:`brevitas_a2q.train.run.run`.

    Attributes:
        device: What to compute on here, instead of what the configuration says.
        data_root: Where the data lie here, instead of where the configuration says.
    """

    device: str | None = None
    data_root: str | None = None

    @property
    def kind(self) -> type[Any]:
        """``RunConfig``; imported only here, for it brings torch along."""
        from brevitas_a2q.train.config import RunConfig

        return RunConfig

    def run(self, values: Mapping[str, Any], folder: Path, on_epoch: OnEpoch) -> Mapping[str, Any]:
        """One training run in its folder; a finished one is read, an interrupted one goes on."""
        from brevitas_a2q.train.config import RunConfig
        from brevitas_a2q.train.run import run

        config = RunConfig.from_dict(values)
        if self.device is not None:
            config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, device=self.device))
        if self.data_root is not None:
            config = dataclasses.replace(config, data_root=self.data_root)
        epochs_before = 0 if config.float_recipe is None else config.float_recipe.epochs

        def count(epoch: EpochResult) -> None:
            on_epoch(epoch.epoch + (epochs_before if epoch.phase == "quantized" else 0), epoch.metric)

        return run(config, folder, on_epoch=count).to_json()
