"""The study of a sweep: one per name and storage, which remembers what it is a sweep of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep._space import Space

__all__ = ["DIED", "END", "RELEASED", "RUN", "SURPLUS", "end_of", "error_of", "find_study", "join_study", "run_of"]

IDENTITY: Final = "sweep"  # user attributes of the study ...
RUN: Final = "run"  # ... and of its trials
END: Final = "end"


# Ends of a failed trial that say nothing about its run, which is to be done again or is done elsewhere.
DIED: Final = "its worker died"
RELEASED: Final = "its worker was stopped"
SURPLUS: Final = "another trial does the same"


def join_study(storage: BaseStorage, space: Space) -> Study:
    """Create the study of a space, or open it where it is already there; any number of processes may do so at once.

    Raises:
        SweepError: The study of this name is of another base configuration, objectives or ranges.
    """
    directions = [objective.direction for objective in space.objectives]
    study = optuna.create_study(
        storage=storage,
        sampler=_sampler(space, os.getpid()),
        directions=directions,
        study_name=space.name,
        load_if_exists=True,
    )
    identity = space.identity()
    if IDENTITY not in study.user_attrs:
        study.set_user_attr(IDENTITY, identity)
    found = study.user_attrs[IDENTITY]
    if found != identity:
        raise SweepError(
            f"found another sweep of this name, with other {', '.join(_differences(identity, found))}",
            where=f"study {space.name!r}",
            remedy="give this one another `name`",
        )
    return study


def find_study(storage: BaseStorage, name: str | None) -> Study:
    """Open a study to read it.

    Args:
        storage: Where it is.
        name: Its name; None for the only one there.

    Raises:
        SweepError: There is none, or more than one.
    """
    names = sorted(optuna.get_all_study_names(storage))
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        found = f"no sweep {name!r}" if name else f"{len(names)} sweeps"
        listed = f"one of {', '.join(names)}" if names else "a storage in which a sweep has been started"
        raise SweepError(f"found {found}", expected=listed, remedy="name one with --name" if names else None)
    return optuna.load_study(study_name=name, storage=storage)


def run_of(trial: FrozenTrial) -> str | None:
    """Name of the trial's run, as far as it is one."""
    name = trial.user_attrs.get(RUN)
    return name if isinstance(name, str) and len(name) == 16 and set(name) <= set("0123456789abcdef") else None


def end_of(trial: FrozenTrial) -> str | None:
    """Why a failed trial failed: the run's error. None for any other trial, and where no error of the run was it."""
    if trial.state is not TrialState.FAIL:
        return None
    end = trial.user_attrs.get(END)
    return str(end) if end is not None and end not in (DIED, RELEASED, SURPLUS) else None


def error_of(trials: Sequence[FrozenTrial]) -> str | None:
    """The error that a run ended with, given all its trials; None where it was tried again since and lost."""
    ends = [end_of(trial) for trial in trials if trial.user_attrs.get(END) != SURPLUS]
    return ends[-1] if ends else None


def _sampler(space: Space, worker: int) -> BaseSampler:
    """Workers draw differently, and a worker started again draws on, not the same again."""
    seed = (space.seed * 1_000_003 + worker) % 2**32
    if space.sampler == "random":
        return RandomSampler(seed)
    if space.sampler == "nsga2":
        return NSGAIISampler(population_size=max(4, min(50, space.trials // 5)), seed=seed)
    return TPESampler(seed=seed, n_startup_trials=min(10, max(2, space.trials // 5)))


def _differences(ours: dict[str, Any], theirs: Any) -> Sequence[str]:
    if not isinstance(theirs, dict):
        return ["contents"]
    names = [f"{key} of the base" for key, value in ours["base"].items() if value != _get(theirs, "base", key)]
    return names + [key for key in ("kind", "search", "objectives") if ours[key] != theirs.get(key)] or ["contents"]


def _get(values: dict[str, Any], first: str, second: str) -> Any:
    inner = values.get(first)
    return inner.get(second) if isinstance(inner, dict) else None
