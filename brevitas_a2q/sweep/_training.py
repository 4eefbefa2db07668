"""A training run as the job of a sweep."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._worker import OnEpoch

if TYPE_CHECKING:
    from brevitas_a2q.train._result import EpochResult

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """Train, certify, export and cost, by :func:`brevitas_a2q.train._run.run`.

    Attributes:
        device: What to compute on here, instead of what the configuration says.
        data_root: Where the data lie here, instead of where the configuration says.
    """

    device: str | None = None
    data_root: str | None = None

    @property
    def kind(self) -> type[Any]:
        """``RunConfig``; imported only here, for it brings torch along."""
        from brevitas_a2q.train._config import RunConfig

        return RunConfig

    def check(self, space: Space) -> None:
        """Look, before anything is trained, whether this machine has the device and the data sets of a sweep.

        What only this machine lacks would end run after run with an error, for the others that share the sweep, too.

        Raises:
            ConfigError: There is no such device, or no such data set or option of one.
            DataError: A data set is missing; the message says how to get it.
        """
        from brevitas_a2q.data import load_data
        from brevitas_a2q.train._processes import start_processes

        start_processes(self.device or space.base["runtime"]["device"])
        wanted = {}
        for values in [space.values(settings) for settings in space.cells.values()] or [dict(space.base)]:
            with contextlib.suppress(ConfigError):  # a value that is refused is that run's own error
                config = self.kind.from_dict(values)
                wanted[json.dumps([config.data, config.data_options], default=str)] = config
        for config in wanted.values():
            load_data(config.data, self.data_root or config.data_root, **config.data_options)

    def run(self, values: Mapping[str, Any], folder: Path, on_epoch: OnEpoch) -> Mapping[str, Any]:
        """One training run in its folder; a finished one is read, an interrupted one goes on."""
        from brevitas_a2q.train._config import RunConfig
        from brevitas_a2q.train._run import run

        config = RunConfig.from_dict(values)
        if self.device is not None:
            config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, device=self.device))
        if self.data_root is not None:
            config = dataclasses.replace(config, data_root=self.data_root)
        epochs_before = 0 if config.float_recipe is None else config.float_recipe.epochs

        def count(epoch: EpochResult) -> None:
            on_epoch(epoch.epoch + (epochs_before if epoch.phase == "quantized" else 0), epoch.metric)

        return run(config, folder, on_epoch=count).to_json()
