"""Curves for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from brevitas_a2q.train.result import EpochResult

__all__ = ["scalars"]

Record = Callable[[EpochResult, float], None]


@contextmanager
def scalars(folder: Path, epochs_done: int, report: Callable[[str], None]) -> Iterator[Record]:
    """Write one point per epoch of loss, penalty, metric and learning rate.

    Args:
        folder: For TensorBoard's event files.
        epochs_done: Epochs of the checkpoint the run goes on from; points beyond it are taken back.
        report: Told where TensorBoard is not installed.

    Yields:
        What to call with each epoch and its last learning rate.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        report("TensorBoard is not installed, so there are no curves for it (pip install brevitas_a2q[train])")
        yield lambda epoch, rate: None
        return
    with SummaryWriter(str(folder), purge_step=epochs_done + 1) as writer:
        done = epochs_done

        def record(epoch: EpochResult, rate: float) -> None:
            nonlocal done
            done += 1
            values = {"loss": epoch.loss, "penalty": epoch.penalty, "metric": epoch.metric, "learning_rate": rate}
            for name, value in values.items():
                writer.add_scalar(f"{epoch.phase}/{name}", value, done)
            writer.flush()

        yield record
