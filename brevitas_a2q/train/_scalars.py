"""Curves for TensorBoard, where it is installed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brevitas_a2q.train._result import EpochResult

__all__ = ["points_of", "scalars"]

Record = Callable[[EpochResult, float], None]


@contextmanager
def scalars(folder: Path, epochs_done: int, report: Callable[[str], None]) -> Iterator[Record]:
    """Write one point per epoch of loss, penalty, metric and learning rate.

    The events are written at once, and not by the thread of torch's ``SummaryWriter``, which on a full disk prints a
    traceback of its own. What cannot be written is told once, and training goes on without.

    Args:
        folder: For TensorBoard's event files.
        epochs_done: Epochs of the checkpoint the run goes on from; points beyond it are taken back.
        report: Told where TensorBoard is not installed, or where its file cannot be written.

    Yields:
        What to call with each epoch and its last learning rate.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
    except ImportError:
        report("TensorBoard is not installed, so there are no curves for it (pip install brevitas_a2q[train])")
        yield lambda epoch, rate: None
        return
    # As TensorBoard wants its files named; the start of a session takes back the points from its step on.
    name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
    begin = [
        Event(wall_time=time.time(), file_version="brain.Event:2"),
        Event(wall_time=time.time(), step=epochs_done + 1, session_log=SessionLog(status=SessionLog.START)),
    ]
    done, failed = epochs_done, not _appended(folder / name, begin, report)

    def record(epoch: EpochResult, rate: float) -> None:
        nonlocal done, failed
        done += 1
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in points_of(epoch, rate).items()]
        event = Event(wall_time=time.time(), step=done, summary=Summary(value=points))
        failed = failed or not _appended(folder / name, [event], report)

    yield record


def points_of(epoch: EpochResult, rate: float) -> dict[str, float]:
    """What is drawn of an epoch, by the name of the curve."""
    values = {"loss": epoch.loss, "penalty": epoch.penalty, "metric": epoch.metric, "learning_rate": rate}
    return {f"{epoch.phase}/{key}": value for key, value in values.items()}


def _appended(path: Path, events: list[Any], report: Callable[[str], None]) -> bool:
    """Whether the file took all of the events."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            for event in events:
                RecordWriter(file).write(event.SerializeToString())
    except OSError as error:
        report(f"no more curves for TensorBoard: {path} cannot be written ({error.strerror or error})")
        return False
    return True
