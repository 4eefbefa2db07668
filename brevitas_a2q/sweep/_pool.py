"""Several workers on one machine, and a parent that starts a new one where one dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep._queue import Queue
from brevitas_a2q.sweep._storage import open_storage
from brevitas_a2q.sweep._worker import NoSpaceError, Stop, Work, no_space, stop_on_terminate, work

__all__ = ["run_sweep"]

_DONE: Final = 0
_FRESH: Final = 75  # a worker that asks to be replaced
_REFUSED: Final = 2
_NO_SPACE: Final = 73
_SECONDS_TO_STOP: Final = 60
_MOST_EARLY_DEATHS: Final = 5  # of a worker that has not lived for ...
_EARLY_SECONDS: Final = 10
_PAUSE_SECONDS: Final = 5  # before another try: a server may be starting again


def run_sweep(
    works: Sequence[Work],
    minutes: float | None = None,
    retry_failed: bool = False,
    on_tick: Callable[[Queue], None] | None = None,
) -> bool:
    """Run a sweep with several workers, each a process of its own.

    Any number of calls, on any number of machines, may share a storage. Whatever is killed, this process included, the
    next call goes on from the last epoch's checkpoints.

    Args:
        works: One for each worker; they differ in their job's device at most.
        minutes: Stop after this time; runs in progress are left to be gone on with.
        retry_failed: First queue the runs again that ended with an error.
        on_tick: Called every second, to show what is going on.

    Returns:
        Whether everything is done.

    Raises:
        SweepError: The storage cannot be used, the study is another sweep's, or workers die as soon as they start.
        KeyboardInterrupt: Once all workers have stopped.
    """
    first = works[0]
    deadline = None if minutes is None else time.time() + 60 * minutes
    first.out.mkdir(parents=True, exist_ok=True)
    with open_storage(first.storage) as storage, _interruptible():
        queue = Queue(storage, first.space)
        queue.fill(retry_failed)
        with _Pool([] if queue.settled() else works, deadline) as pool:
            while pool.tend():
                if on_tick is not None:
                    with contextlib.suppress(SQLAlchemyError, StorageInternalError):  # it may answer at the next tick
                        on_tick(queue)
                if deadline is not None and time.time() >= deadline:
                    break
                pool.wait(1.0)
        if on_tick is not None:
            on_tick(queue)
        return queue.settled()


class _Pool:
    """The workers; leaving the block stops those that still work, and waits for them."""

    def __init__(self, works: Sequence[Work], deadline: float | None) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._works, self._deadline = works, deadline
        self._processes: dict[int, tuple[BaseProcess, float]] = {}  # place -> process, when it was started
        self._due = dict.fromkeys(range(len(works)), 0.0)  # place -> when to start a process
        self._early_deaths = 0

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for process, _started in self._processes.values():
            process.terminate()
        until = time.monotonic() + _SECONDS_TO_STOP
        for process, _started in self._processes.values():
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()

    def tend(self) -> bool:
        """Start workers, in place of dead ones too; whether any is at work or will be.

        Raises:
            SweepError: Workers die again and again as soon as they start, or the disk is full.
        """
        now = time.monotonic()
        for place, (process, started) in list(self._processes.items()):
            if process.exitcode is not None:
                del self._processes[place]
                if process.exitcode == _NO_SPACE:
                    raise no_space(self._works[place].out)
                if process.exitcode != _DONE:
                    early = process.exitcode != _FRESH and now - started < _EARLY_SECONDS
                    self._early_deaths += early
                    self._due[place] = now + (_PAUSE_SECONDS if early else 0.0)
        if self._early_deaths > _MOST_EARLY_DEATHS * len(self._works):
            raise SweepError("workers end as soon as they start, again and again", remedy="see their messages above")
        for place in [place for place, due in self._due.items() if due <= now]:
            del self._due[place]
            self._start(place)
        return bool(self._processes or self._due)

    def wait(self, seconds: float) -> None:
        """Wait until a worker ends, at most this long."""
        if self._processes:
            multiprocessing.connection.wait([process.sentinel for process, _ in self._processes.values()], seconds)
        else:
            time.sleep(seconds)

    def _start(self, place: int) -> None:
        threads = max(1, (os.cpu_count() or 1) // len(self._works))
        process = self._context.Process(
            target=_main, args=(self._works[place], self._deadline, threads), name=f"sweep-{place}"
        )
        process.start()
        self._processes[place] = (process, time.monotonic())


def _main(given: Work, deadline: float | None, threads: int) -> None:
    """A worker's process."""
    stop = Stop(deadline)
    stop_on_terminate(stop)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        done = work(given, stop, in_fresh_process=True)
    except NoSpaceError:
        raise SystemExit(_NO_SPACE) from None
    except SweepError as error:
        os.write(2, f"brevitas-a2q: worker {os.getpid()}: {error}\n".encode())
        raise SystemExit(_REFUSED) from None
    raise SystemExit(_DONE if done or stop.now else _FRESH)


def _follow_parent() -> None:
    """Stop when the parent is gone, whatever killed it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Make a request to terminate the same as Ctrl-C: workers are stopped before this process ends."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
