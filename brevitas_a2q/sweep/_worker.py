"""One worker: takes runs from the queue until nothing is left, time is up, or it is told to stop."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from brevitas_a2q._files import disk_is_full, write_atomically
from brevitas_a2q._interrupts import again_soon, arrived, is_under_way, quiet_where_dropped
from brevitas_a2q.errors import A2QError, SweepError
from brevitas_a2q.sweep._lease import Beat, Patience, Watch, place_of, run_folder, run_lock
from brevitas_a2q.sweep._objectives import values_of
from brevitas_a2q.sweep._queue import Claim, Queue
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._storage import open_storage
from brevitas_a2q.sweep._summary import Summary

__all__ = ["Job", "NoSpaceError", "OnEpoch", "Stop", "Stopped", "Work", "no_space", "stop_on_terminate", "work"]

OnEpoch = Callable[[int, float], None]
_MOST_OF_AN_ERROR = 500  # characters kept in the storage; the rest is in the run's folder


class Stopped(BaseException):
    """A run is left where it is, to be gone on with later. No Exception, so that nothing takes it for an error."""


class NoSpaceError(SweepError):
    """The disk is full, which is no failure of the run that met it: the sweep ends and can be gone on with."""


class Job(Protocol):
    """What a sweep does in each run."""

    @property
    def kind(self) -> type[Any]:
        """Dataclass of the configuration; see :class:`brevitas_a2q.sweep._space.Config`."""

    def run(self, values: Mapping[str, Any], folder: Path, on_epoch: OnEpoch) -> Mapping[str, Any]:
        """Do one run, or go on with it; for one that is finished, only give its result.

        Args:
            values: Plain values of its configuration.
            folder: Of the run.
            on_epoch: To be called after each epoch, once it can be resumed, with its number and its metric.

        Returns:
            What ``result.json`` of a run holds.
        """


@dataclass(frozen=True)
class Work:
    """What a worker needs to know; all of it can be sent to another process.

    Attributes:
        space: What the sweep covers.
        storage: Address of its storage.
        out: Its folder.
        job: What is done in each run.
        patience: How long to wait for other workers.
    """

    space: Space
    storage: str
    out: Path
    job: Job
    patience: Patience = field(default_factory=Patience)


class Stop:
    """Leave the run in progress when told to, or when its next epoch would end after the deadline.

    Args:
        deadline: By ``time.time()``; None for none.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline, self.told = deadline, False
        self._may_raise = False

    @property
    def now(self) -> bool:
        """Whether no further run is to be begun."""
        return self.told or (self.deadline is not None and time.time() >= self.deadline)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """A signal's handler: stops at once, but never while the storage is written."""
        self.told = True
        if self._may_raise and not is_under_way(Stopped):
            again_soon(self.handle)
            raise Stopped

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Let a signal end what is done in this block."""
        self._may_raise = True
        try:
            if self.told:
                raise Stopped
            yield
        finally:
            self._may_raise = False
            arrived()

    def after_epoch(self, seconds: float) -> None:
        """Raise, and begin nothing more, where another epoch as long as the last one would not fit."""
        if self.now or (self.deadline is not None and time.time() + seconds > self.deadline):
            self.told = True
            raise Stopped


def work(given: Work, stop: Stop, in_fresh_process: bool = False) -> bool:
    """Do runs until nothing is left to do.

    Args:
        given: The sweep.
        stop: Ends it earlier.
        in_fresh_process: Return after a run whose error may have left this process in a bad state (a CUDA error, say);
            whoever started it starts another.

    Returns:
        Whether everything is done, by this worker or by others.

    Raises:
        SweepError: The storage cannot be used, or its study is another sweep's.
        NoSpaceError: The disk is full.
    """
    given.out.mkdir(parents=True, exist_ok=True)
    with open_storage(given.storage) as storage:
        queue = Queue(storage, given.space)
        watch = Watch(queue, given.out, given.patience)
        while not stop.now:
            watch.bury_the_dead()
            queue.fill()
            claim = queue.claim()
            if claim is not None:
                sound = _do(given, queue, claim, stop)
                if not sound and in_fresh_process:
                    return False
            elif queue.settled():
                return True
            else:
                _wait(given.patience.poll_seconds, stop)
    return False


def _do(given: Work, queue: Queue, claim: Claim, stop: Stop) -> bool:
    """One claimed run. False after an error that this package did not foresee."""
    folder = run_folder(given.out, claim.run)
    with Beat(queue.storage, claim.trial_id, given.patience) as beat, _locked(folder, given.patience, stop) as locked:
        if not locked:
            queue.release(claim)
            return True
        if not queue.settle(claim, place_of(given.out)):
            return True
        try:
            with stop.raising():
                values = given.space.values(claim.settings)
                result = given.job.run(values, folder, _on_epoch(beat, stop))
            summary = Summary.of_result(result)
            objectives = values_of(given.space.objectives, summary, in_grid=not given.space.search)
        except Stopped:
            queue.release(claim)
        except Exception as error:  # whatever else a run raises is that run's failure and not the sweep's
            if disk_is_full(error):
                with contextlib.suppress(Exception):  # the storage may be on the same disk: its lease ends by itself
                    queue.release(claim)
                raise no_space(given.out) from error
            if is_under_way(Stopped, error):  # some library was stopped where it could not be
                queue.release(claim)
                return True
            if isinstance(error, A2QError):
                queue.fail(claim, _line(error))
                return True
            write_atomically(folder / "error.txt", traceback.format_exc())
            queue.fail(claim, f"{type(error).__name__}: {_line(error)}")
            return False
        else:
            queue.finish(claim, summary, objectives)
    return True


def no_space(out: Path) -> NoSpaceError:
    """The error of a sweep whose disk is full."""
    return NoSpaceError(
        "found no space left on its disk",
        where=f"folder {out}",
        remedy="make room there; the same command then goes on from the last checkpoints",
    )


def _on_epoch(beat: Beat, stop: Stop) -> OnEpoch:
    before = time.time()

    def on_epoch(epoch: int, metric: float) -> None:
        nonlocal before
        now = time.time()
        beat.progress = {"epoch": epoch, "metric": metric}
        if beat.taken:
            raise Stopped
        stop.after_epoch(now - before)
        before = now

    return on_epoch


@contextlib.contextmanager
def _locked(folder: Path, patience: Patience, stop: Stop) -> Iterator[bool]:
    """Hold the run's folder; wait where a worker that was taken for dead is still busy there."""
    while not stop.now:
        with run_lock(folder) as held:
            if held:
                yield True
                return
        _wait(patience.poll_seconds, stop)
    yield False


def _wait(seconds: float, stop: Stop) -> None:
    with contextlib.suppress(Stopped), stop.raising():
        time.sleep(seconds)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:_MOST_OF_AN_ERROR] or type(error).__name__


def stop_on_terminate(stop: Stop) -> None:
    """Stop when this process is asked to terminate; an interrupt from the keyboard is its parent's business."""
    quiet_where_dropped(Stopped)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop.handle)
