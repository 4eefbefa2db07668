"""Where every run of a sweep stands, as the storage has it; nothing of it is taken on trust."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep._queue import BEAT, SUMMARY
from brevitas_a2q.sweep._storage import open_storage
from brevitas_a2q.sweep._study import error_of, find_study, run_of
from brevitas_a2q.sweep._summary import Summary

__all__ = ["RunStatus", "State", "SweepStatus", "read_sweep", "status_of"]

State = Literal["waiting", "running", "interrupted", "done", "failed"]


@dataclass(frozen=True)
class RunStatus:
    """One run.

    Attributes:
        run: Name of its folder below ``runs``.
        settings: What it changes in the base.
        state: ``"interrupted"`` will be gone on with; ``"failed"`` only when asked for.
        trials: How many workers took it.
        epoch: The last one known of a running one.
        metric: The test metric after it.
        error: Of a failed run.
        summary: Of a finished run.
    """

    run: str
    settings: Mapping[str, Any]
    state: State
    trials: int
    epoch: int | None
    metric: float | None
    error: str | None
    summary: Summary | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        return {**asdict(self), "settings": dict(self.settings)}


@dataclass(frozen=True)
class SweepStatus:
    """A sweep: its runs in the order in which they were first queued."""

    name: str
    objectives: tuple[str, ...]
    runs: tuple[RunStatus, ...]

    @property
    def counts(self) -> dict[State, int]:
        """How many runs are in each state."""
        found = Counter(run.state for run in self.runs)
        order: tuple[State, ...] = ("done", "running", "waiting", "interrupted", "failed")
        return {state: found[state] for state in order}

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        return {"name": self.name, "counts": self.counts, "runs": [run.to_json() for run in self.runs]}


def read_sweep(storage: str, name: str | None = None) -> SweepStatus:
    """Where a sweep stands; :func:`networks_of` its ``runs`` is what the finished ones come to.

    Args:
        storage: ``sqlite:///FILE``, ``journal:FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
        name: Of the sweep; None for the only one there.

    Raises:
        SweepError: The storage cannot be used, or has no such sweep, or more than one.
    """
    with open_storage(storage, must_exist=True) as opened:
        return status_of(find_study(opened, name))


def status_of(study: Study) -> SweepStatus:
    """Read a sweep from its study."""
    by_run: dict[str, list[FrozenTrial]] = defaultdict(list)
    for trial in study.get_trials(deepcopy=False):
        run = run_of(trial)
        if run is not None:
            by_run[run].append(trial)
    identity = study.user_attrs.get("sweep")
    names = identity.get("objectives", ()) if isinstance(identity, Mapping) else ()
    runs = tuple(_status(run, trials) for run, trials in by_run.items())
    return SweepStatus(study.study_name, tuple(str(name) for name in names), runs)


def _status(run: str, trials: list[FrozenTrial]) -> RunStatus:
    state, trial, error = _state(trials)
    beat = trial.user_attrs.get(BEAT)
    beat = beat if isinstance(beat, Mapping) and state == "running" else {}
    epoch, metric = beat.get("epoch"), beat.get("metric")
    summary = None
    if state == "done":
        try:
            summary = Summary.of_json(trial.user_attrs.get(SUMMARY))
        except SweepError as damaged:
            state, error = "failed", str(damaged)
    return RunStatus(
        run=run,
        settings=_settings(trial),
        state=state,
        trials=sum(other.datetime_start is not None for other in trials),
        epoch=epoch if isinstance(epoch, int) else None,
        metric=metric if isinstance(metric, float) and math.isfinite(metric) else None,
        error=error,
        summary=summary,
    )


def _settings(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial changes in the base; nothing where that is no mapping of plain values."""
    given = trial.user_attrs.get("settings") or trial.params
    try:
        json.dumps(given, allow_nan=False)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _state(trials: list[FrozenTrial]) -> tuple[State, FrozenTrial, str | None]:
    """State of a run, the trial that says so, and its error."""
    states: tuple[tuple[TrialState, State], ...] = (
        (TrialState.COMPLETE, "done"),
        (TrialState.RUNNING, "running"),
        (TrialState.WAITING, "waiting"),
    )
    for of_trial, state in states:
        for trial in trials:
            if trial.state is of_trial:
                return state, trial, None
    error = error_of(trials)
    return "failed" if error else "interrupted", trials[-1], error
