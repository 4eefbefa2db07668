"""Whether the worker that has a run is alive.

Two signs, because each alone would fail somewhere:

- **A lock** on the run's folder, which the kernel releases with the process. Who sees the same folder on the same
  kernel knows at once, and for certain, whether the worker lives.
- **A beat**: the worker writes a counter into its trial every few seconds. Who cannot see the folder watches the
  counter by its own clock, and takes a trial for lost when it has stood still for the grace period; clocks of different
  machines are never compared, and a worker that died before its first beat is found like any other.

(Optuna has heartbeats of its own; they belong to its ``Study.optimize``, are kept by databases only, and never miss a
worker that died before its first one.)
"""

from __future__ import annotations

import contextlib
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from brevitas_a2q._files import exclusive
from brevitas_a2q.sweep._queue import BEAT, PLACE, Queue
from brevitas_a2q.sweep._study import run_of

__all__ = ["Beat", "Patience", "Watch", "place_of", "run_folder", "run_lock"]


@dataclass(frozen=True)
class Patience:
    """How often workers give a sign of life, and how long others wait for one.

    Attributes:
        beat_seconds: Between two beats.
        grace_seconds: Without a beat, after which a worker on another machine is taken for dead.
        poll_seconds: Between two looks of an idle worker at the queue.
    """

    beat_seconds: float = 10.0
    grace_seconds: float = 90.0
    poll_seconds: float = 1.0


def run_folder(out: Path, run: str) -> Path:
    """The folder of a run; its name is a hash, so it cannot lie outside."""
    return out / "runs" / run


def place_of(out: Path) -> str:
    """A name of this folder as this kernel sees it: the same name, and only then, where locks tell the truth."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        kernel = f"{platform.node()}-{uuid.getnode():x}"
    found = out.stat()
    return f"{kernel}:{found.st_dev:x}:{found.st_ino:x}"


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[bool]:
    """Hold the folder of a run for this process; False where another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / ".worker") as free:
        yield free


class Watch:
    """Finds trials whose worker is gone.

    Args:
        queue: The sweep.
        out: Its folder here.
        patience: How long to wait for a beat.
    """

    def __init__(self, queue: Queue, out: Path, patience: Patience) -> None:
        self._queue, self._out, self._patience = queue, out, patience
        self._place = place_of(out)
        self._seen: dict[int, tuple[Any, float]] = {}  # number -> beat, when first seen

    def bury_the_dead(self) -> None:
        """End every trial whose worker is gone."""
        for trial in self._queue.running():
            run = run_of(trial)
            if run is not None and trial.user_attrs.get(PLACE) == self._place:
                with run_lock(run_folder(self._out, run)) as free:  # workers give their place once they hold the lock
                    if free:
                        self._queue.bury(trial)
            elif self._stands_still(trial):
                self._queue.bury(trial)

    def _stands_still(self, trial: FrozenTrial) -> bool:
        sign, now = (trial.user_attrs.get(PLACE), trial.user_attrs.get(BEAT)), time.monotonic()
        seen, since = self._seen.get(trial.number, (None, now))
        if seen != sign:
            self._seen[trial.number] = (sign, now)
            return False
        return now - since > self._patience.grace_seconds


class Beat:
    """Writes signs of life into a trial, in a thread, until the block is left.

    Attributes:
        progress: Shown by ``sweep status``: epoch and metric.
        taken: Whether the trial has been taken away.
    """

    def __init__(self, storage: BaseStorage, trial_id: int, patience: Patience) -> None:
        self.progress: dict[str, Any] = {}
        self.taken = False
        self._storage, self._trial_id, self._patience = storage, trial_id, patience
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Beat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while True:
            try:
                self._storage.set_trial_user_attr(self._trial_id, BEAT, {"count": count, **self.progress})
                count += 1
            except UpdateFinishedTrialError:
                self.taken = True
                return
            except (StorageInternalError, SQLAlchemyError, OSError):
                pass  # a storage that does not answer now may do so at the next beat; others wait for several
            if self._stop.wait(self._patience.beat_seconds):
                return
