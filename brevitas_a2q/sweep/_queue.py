"""The queue of a sweep: which run is next, who has it, and what became of it.

A run is identified by the hash of its configuration; a trial of Optuna is one attempt at it. The rules:

1. A trial is taken by setting its state from waiting to running, which every storage does for one process only.
2. Of two trials of the same run the one with the lower number counts: two processes that fill the queue at once
   disturb nobody, for the second trial of a run ends as surplus when it is taken.
3. A trial whose worker is gone is set to failed, which is final: should that worker live after all, it can finish
   nothing any more. A run all of whose trials ended so is queued again, and goes on from its checkpoint.
4. A run whose training raised an error keeps that error, and is tried again only when asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.sweep._space import Settings, Space
from brevitas_a2q.sweep._study import DIED, END, RELEASED, RUN, SURPLUS, end_of, error_of, join_study, run_of
from brevitas_a2q.sweep._summary import Summary

__all__ = ["BEAT", "PLACE", "SUMMARY", "Claim", "Queue"]

BEAT: Final = "beat"
PLACE: Final = "place"
SUMMARY: Final = "summary"
_MOST_DEATHS: Final = 10  # of workers, without progress between
_OPEN: Final = (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class Claim:
    """A run that this process is to do, and the trial by which it has it."""

    trial_id: int
    number: int
    run: str
    settings: Settings


class Queue:
    """One process' view of a sweep.

    Args:
        storage: Where the sweep is kept.
        space: What it covers.
    """

    def __init__(self, storage: BaseStorage, space: Space) -> None:
        self.storage, self.space = storage, space
        self.study = join_study(storage, space)
        self._study_id = storage.get_study_id_from_name(space.name)

    def trials(self) -> list[FrozenTrial]:
        """Every trial as it is now."""
        return self.storage.get_all_trials(self._study_id, deepcopy=False)

    def fill(self, retry_failed: bool = False) -> None:
        """Queue what no trial stands for: cells never queued, and runs whose trials were all lost.

        Args:
            retry_failed: Queue runs that ended with an error as well.
        """
        by_run = self._by_run()
        for run in self.space.cells or by_run:
            trials = by_run.get(run, [])
            if any(trial.state in (*_OPEN, TrialState.COMPLETE) for trial in trials):
                continue
            if error_of(trials) and not retry_failed:
                continue
            last = trials[-1] if trials else None
            self.study.add_trial(
                create_trial(
                    state=TrialState.WAITING,
                    params={} if last is None else last.params,
                    distributions={} if last is None else last.distributions,
                    user_attrs={RUN: run, "settings": dict(self.space.cells.get(run, {}))},
                )
            )

    def claim(self) -> Claim | None:
        """Take the next run: the first one waiting, in the order of the grid; for a search, else a new one."""
        ranks = {run: rank for rank, run in enumerate(self.space.cells)}
        waiting = [trial for trial in self.trials() if trial.state is TrialState.WAITING and self._ours(trial)]
        for trial in sorted(waiting, key=lambda trial: (ranks.get(run_of(trial) or "", 0), trial.number)):
            trial_id = self._id(trial)
            try:
                taken = self.storage.set_trial_state_values(trial_id, TrialState.RUNNING)
            except UpdateFinishedTrialError:
                continue
            if taken and (claim := self._checked(trial_id)):
                return claim
        if self.space.search and self._counted(self.trials()) < self.space.trials:
            distributions = {key: found.distribution for key, found in self.space.search.items()}
            return self._checked(self._id(self.study.ask(distributions)))
        return None

    def settle(self, claim: Claim, place: str) -> bool:
        """Say where the run is being done; False where the trial has been taken away.

        Args:
            claim: Of this process, which holds the lock of the run's folder.
            place: See :func:`brevitas_a2q.sweep._lease.place_of`.
        """
        try:
            self.storage.set_trial_user_attr(claim.trial_id, PLACE, place)
        except UpdateFinishedTrialError:
            return False
        return True

    def finish(self, claim: Claim, summary: Summary, values: Sequence[float]) -> bool:
        """Record a finished run and the values of its objectives; False where the trial has been taken away."""
        return self._end(claim.trial_id, TrialState.COMPLETE, SUMMARY, summary.to_json(), list(values))

    def fail(self, claim: Claim, error: str) -> bool:
        """Record a run that raised an error; False where the trial had been taken away meanwhile."""
        return self._end(claim.trial_id, TrialState.FAIL, END, error)

    def release(self, claim: Claim) -> bool:
        """Give a run back unfinished."""
        return self._end(claim.trial_id, TrialState.FAIL, END, RELEASED)

    def bury(self, trial: FrozenTrial) -> bool:
        """End the trial of a worker that is gone; a run that kills worker after worker ends as an error."""
        trial_id = self._id(trial)
        same = self._by_run().get(run_of(trial) or "", [])
        deaths = sum(other.user_attrs.get(END) == DIED and _epoch(other) == _epoch(trial) for other in same)
        if deaths + 1 >= _MOST_DEATHS:
            return self._end(trial_id, TrialState.FAIL, END, f"{deaths + 1} workers died in the same epoch of it")
        return self._end(trial_id, TrialState.FAIL, END, DIED)

    def running(self) -> list[FrozenTrial]:
        """The trials that some worker has."""
        return [trial for trial in self.trials() if trial.state is TrialState.RUNNING]

    def settled(self) -> bool:
        """Whether nothing waits or runs that this process could have to do."""
        if any(trial.state is TrialState.RUNNING or self._waits(trial) for trial in self.trials()):
            return False
        return not self.space.search or self._counted(self.trials()) >= self.space.trials

    def _waits(self, trial: FrozenTrial) -> bool:
        return trial.state is TrialState.WAITING and self._ours(trial)

    def _ours(self, trial: FrozenTrial) -> bool:
        """Whether it is of this space's file; another worker's file may have more cells."""
        return bool(self.space.search) or run_of(trial) in self.space.cells

    def _by_run(self) -> Mapping[str, list[FrozenTrial]]:
        found: dict[str, list[FrozenTrial]] = defaultdict(list)
        for trial in self.trials():
            run = run_of(trial)
            if run is not None:
                found[run].append(trial)
        return found

    def _counted(self, trials: list[FrozenTrial]) -> int:
        """Trials that count against those a search may have."""
        return sum(trial.state in (*_OPEN, TrialState.COMPLETE) or end_of(trial) is not None for trial in trials)

    def _checked(self, trial_id: int) -> Claim | None:
        """The claim of a trial just taken; None where another trial stands for it, or it asks for what it may not."""
        trial = self.storage.get_trial(trial_id)
        try:
            settings = self._settings(trial)
        except ConfigError as error:
            self._end(trial_id, TrialState.FAIL, END, str(error))
            return None
        claim = Claim(trial_id, trial.number, self.space.run_name(settings), settings)
        self.storage.set_trial_user_attr(trial_id, RUN, claim.run)
        others = [other for other in self._by_run()[claim.run] if other.number != trial.number]
        done = next((other for other in others if other.state is TrialState.COMPLETE), None)
        if done is not None and self.space.search:  # proposed again: it comes to the same
            self._end(trial_id, TrialState.COMPLETE, SUMMARY, done.user_attrs.get(SUMMARY), done.values)
        elif done is not None or self._surplus(trial, others):
            self._end(trial_id, TrialState.FAIL, END, SURPLUS)
        else:
            return claim
        return None

    def _surplus(self, trial: FrozenTrial, others: list[FrozenTrial]) -> bool:
        """Whether an earlier trial does the same, or a search has its trials already."""
        if any(other.number < trial.number and other.state in _OPEN for other in others):
            return True
        return bool(self.space.search) and self._counted(self.trials()[: trial.number]) >= self.space.trials

    def _settings(self, trial: FrozenTrial) -> Settings:
        """Settings of a trial: of a grid from this process' own file, of a search checked against its ranges."""
        if not self.space.search:
            return self.space.cells[run_of(trial) or ""]
        return {key: found.value(trial.params.get(key)) for key, found in self.space.search.items()}

    def _end(self, trial_id: int, state: TrialState, key: str, value: Any, values: list[float] | None = None) -> bool:
        try:
            self.storage.set_trial_user_attr(trial_id, key, value)
            return self.storage.set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            return False

    def _id(self, trial: FrozenTrial | optuna.Trial) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)


def _epoch(trial: FrozenTrial) -> Any:
    beat = trial.user_attrs.get(BEAT)
    return beat.get("epoch") if isinstance(beat, dict) else None
