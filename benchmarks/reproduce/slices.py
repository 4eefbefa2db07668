"""Runs pending cells in slices of time; one JSON file per finished cell."""

from __future__ import annotations

import contextlib
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cells import CELLS, Cell

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import A2QError, ConfigError, ModelError
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._result import EpochResult, RunResult
from brevitas_a2q.train._run import run

__all__ = ["RESULTS", "finished", "is_of", "pending", "run_slice"]

RESULTS = Path(__file__).parent / "results"
_BY_NAME = {cell.name: cell for cell in CELLS}
_ERROR = "error.txt"
_WHERE = ("runtime", "data_root", "float_checkpoint")  # differ from machine to machine


class _TimeIsUpError(Exception):
    """The slice ends; the next one goes on from the last epoch's checkpoint."""


class _LostError(Exception):
    """The cell cannot be run in this slice; others can."""


def is_of(cell: Cell, result: Mapping[str, Any]) -> bool:
    """Whether a result is of the cell's configuration as it is now, and not of an earlier recipe."""
    ours, theirs = cell.config().to_dict(), RunConfig.from_dict(result["config"]).to_dict()
    return all(ours[key] == theirs[key] for key in ours if key not in _WHERE)


def finished(cell: Cell) -> bool:
    """Whether the cell's result is on record."""
    path = RESULTS / f"{cell.name}.json"
    return path.exists() and is_of(cell, json.loads(path.read_text()))


def pending(cells: Sequence[Cell]) -> list[Cell]:
    """Cells without a result, in the queue's order."""
    return [cell for cell in cells if not finished(cell)]


def run_slice(
    cells: Sequence[Cell],
    roots: Mapping[str, Path],
    work: Path,
    seconds: float,
    device: str,
    say: Callable[[str], None],
) -> int:
    """Run pending cells until the time is up; those whose training ended with an error before come last.

    Args:
        cells: Which, in order.
        roots: Folder of each data set; cells of other data sets are left out.
        work: Folder of checkpoints, one below it per cell. What it holds is continued.
        seconds: When to stop: before an epoch that would end later, but never before one epoch is done.
        device: As ``runtime.device`` of a run.
        say: Takes a line about each run.

    Returns:
        How many cells were finished.

    Raises:
        ConfigError: No data set of any pending cell was given.
    """
    return _Slice(roots, work, device, say, _Clock(seconds)).run(pending(cells))


class _Clock:
    """Ends a slice before what would end too late; its first epoch is always done, or a long one would never be."""

    def __init__(self, seconds: float) -> None:
        self._begun = time.monotonic()
        self._deadline = self._begun + seconds
        self._longest_start, self._in_start = 0.0, True  # from a cell's beginning to the end of its first epoch

    def cell_begins(self) -> None:
        self._begun, self._in_start = time.monotonic(), True
        self._require(self._longest_start)

    def epoch_ends(self, more: bool) -> None:
        """After an epoch; ``more`` if another one of its kind follows."""
        now = time.monotonic()
        took, self._begun = now - self._begun, now
        if self._in_start:
            self._longest_start, self._in_start = max(self._longest_start, took), False
        self._require(took if more else 0.0)

    def _require(self, seconds: float) -> None:
        if time.monotonic() + seconds > self._deadline:
            raise _TimeIsUpError


@dataclass(frozen=True)
class _Slice:
    roots: Mapping[str, Path]
    work: Path
    device: str
    say: Callable[[str], None]
    clock: _Clock
    lost: set[str] = field(default_factory=set)

    def run(self, cells: Sequence[Cell]) -> int:
        done = 0
        try:
            for cell in sorted(self._ready(cells), key=self._failed_before):
                with contextlib.suppress(_LostError):
                    if cell.float_cell is not None:
                        self._run_cell(_BY_NAME[cell.float_cell])
                    self._run_cell(cell)
                    done += 1
        except _TimeIsUpError:
            self.say("time is up")
        if self.lost:
            self.say(f"not done for an error: {', '.join(sorted(self.lost))}")
        return done

    def _ready(self, cells: Sequence[Cell]) -> list[Cell]:
        """Cells whose data set was given."""
        missing = {cell.values["data"]: cell.name for cell in reversed(cells) if cell.values["data"] not in self.roots}
        lines = [f"{cell} needs the data set {data}: give --data {data}=PATH" for data, cell in missing.items()]
        ready = [cell for cell in cells if cell.values["data"] in self.roots]
        if missing and not ready:
            raise ConfigError("; ".join(lines))
        for line in lines:
            self.say(f"left out: {line}")
        return ready

    def _failed_before(self, cell: Cell) -> bool:
        return any((self.work / name / _ERROR).exists() for name in (cell.name, cell.float_cell) if name)

    def _run_cell(self, cell: Cell) -> None:
        """Run one cell to its end, or to the deadline.

        Float weights are needed even where their result is on record.
        """
        folder = self.work / cell.name
        if (folder / "result.json").exists() and finished(cell):
            return
        if cell.name in self.lost:
            raise _LostError
        self.clock.cell_begins()
        config = self._config(cell)

        def on_epoch(epoch: EpochResult) -> None:
            self.say(f"{cell.name}: {epoch.phase} epoch {epoch.epoch}: loss {epoch.loss:.3f}, {epoch.metric:.4f}")
            self.clock.epoch_ends(more=epoch.epoch < config.recipe.epochs)

        try:
            result = run(config, folder, on_epoch=on_epoch)
        except _TimeIsUpError:
            raise
        except Exception as error:  # whatever a run raises must not keep the queue from the cells behind it
            self.lost.add(cell.name)
            self.say(f"{cell.name}: failed: {type(error).__name__}: {' '.join(str(error).split())}")
            if isinstance(error, ModelError) or not isinstance(error, A2QError):  # others are found before training
                write_atomically(folder / _ERROR, traceback.format_exc())
            raise _LostError from error
        _record(cell, result)
        self.say(f"{cell.name}: {result.metric} {result.last:.4f}, best {result.best:.4f}, {result.seconds:.0f} s")

    def _config(self, cell: Cell) -> RunConfig:
        """What the cell is on this machine."""
        here: dict[str, Any] = {"runtime": {**cell.values.get("runtime", {}), "device": self.device}}
        here["data_root"] = str(self.roots[cell.values["data"]])
        if cell.float_cell is not None:
            here["float_checkpoint"] = str(self.work / cell.float_cell)
        return cell.config(**here)


def _record(cell: Cell, result: RunResult) -> None:
    """The result without folders of this machine."""
    values = result.to_json()
    values["config"] |= {"data_root": None, "float_checkpoint": cell.float_cell and f"cell {cell.float_cell}"}
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"{cell.name}.json", json.dumps({"cell": cell.name, "group": cell.group, **values}))
