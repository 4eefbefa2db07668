"""Curves for Weights & Biases and MLflow, where a run asks for them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.train._result import EpochResult
from brevitas_a2q.train._scalars import Record, points_of

__all__ = ["TRACKER", "require_tracker", "tracked"]

TRACKER: Final = "tracker.json"
"""In the folder of a run: which run of the tracker it is, so that a run that goes on goes on there, too."""

_PROJECT: Final = "brevitas_a2q"
_Log = Callable[[Mapping[str, float], int], None]


def require_tracker(name: str) -> Any:
    """The tracker's package.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"found no package {name!r}", where="runtime, tracker", remedy=f"pip install {name}, or tracker: none"
        ) from error


@contextmanager
def tracked(
    name: str, settings: Mapping[str, Any], folder: Path, epochs_done: int, report: Callable[[str], None]
) -> Iterator[Record]:
    """Send one point per epoch of loss, penalty, metric and learning rate.

    What cannot be sent is told once, and training goes on without.

    Args:
        name: ``"wandb"`` or ``"mlflow"``.
        settings: The run's configuration.
        folder: Of the run.
        epochs_done: Epochs of the checkpoint that the run goes on from.
        report: Told what cannot be sent.

    Yields:
        What to call with each epoch and its last learning rate.

    Raises:
        ConfigError: The package is not installed.
    """
    package = require_tracker(name)
    file = folder / TRACKER
    known = json.loads(file.read_text()).get(name) if file.exists() else None
    done = epochs_done
    log: _Log | None = None
    end: Callable[[], Any] = _nothing
    try:
        begin = _wandb if name == "wandb" else _mlflow
        identity, log, end = begin(package, known, settings, folder)
        write_atomically(file, json.dumps({name: identity}))
    except Exception as error:  # a service may fail in any way; the run must not
        report(f"nothing is sent to {name}: {type(error).__name__}: {error}")

    def record(epoch: EpochResult, rate: float) -> None:
        nonlocal done, log
        done += 1
        if log is None:
            return
        try:
            log(points_of(epoch, rate), done)
        except Exception as error:
            log = None
            report(f"nothing more is sent to {name}: {type(error).__name__}: {error}")

    try:
        yield record
    finally:
        try:
            end()
        except Exception as error:
            report(f"{name} could not be ended: {type(error).__name__}: {error}")


def _nothing() -> None:
    pass


def _wandb(
    package: Any, known: str | None, settings: Mapping[str, Any], folder: Path
) -> tuple[str, _Log, Callable[[], Any]]:
    run = package.init(
        project=_PROJECT, name=folder.name, id=known, resume="allow", dir=str(folder), config=dict(settings)
    )
    return run.id, lambda points, step: run.log(dict(points), step=step), run.finish


def _mlflow(
    package: Any, known: str | None, settings: Mapping[str, Any], folder: Path
) -> tuple[str, _Log, Callable[[], Any]]:
    if known is None:
        package.set_experiment(_PROJECT)
    run = package.start_run(run_id=known, run_name=None if known else folder.name)
    if known is None:
        package.log_params(_flat(settings))
    return run.info.run_id, lambda points, step: package.log_metrics(dict(points), step=step), package.end_run


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by points.

    Example:
        >>> _flat({"recipe": {"epochs": 2}, "seed": 0})
        {'recipe.epochs': 2, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
