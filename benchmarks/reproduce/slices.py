"""Runs pending cells in slices of time; one JSON file per finished cell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cells import CELLS, Cell

from brevitas_a2q.files import write_atomically
from brevitas_a2q.train.result import EpochResult, RunResult
from brevitas_a2q.train.run import run

__all__ = ["RESULTS", "finished", "pending", "run_slice"]

RESULTS = Path(__file__).parent / "results"
_BY_NAME = {cell.name: cell for cell in CELLS}


class _TimeIsUpError(Exception):
    """The slice ends after this epoch's checkpoint; the next slice goes on from it."""


def finished(cell: Cell) -> bool:
    """Whether the cell's result is on record."""
    return (RESULTS / f"{cell.name}.json").exists()


def pending(cells: Sequence[Cell]) -> list[Cell]:
    """Cells without a result, in the queue's order."""
    return [cell for cell in cells if not finished(cell)]


def run_slice(
    cells: Sequence[Cell],
    roots: dict[str, Path],
    work: Path,
    seconds: float,
    device: str,
    say: Callable[[str], None],
) -> int:
    """Run pending cells until the time is up.

    Args:
        cells: Which, in order.
        roots: Folder of each data set.
        work: Folder of checkpoints, one below it per cell. What it holds is continued.
        seconds: When to stop: after the epoch that is running then.
        device: As ``runtime.device`` of a run.
        say: Takes a line about each run.

    Returns:
        How many cells were finished.
    """
    deadline = time.monotonic() + seconds
    done = 0
    try:
        for cell in pending(cells):
            if cell.float_cell is not None:
                _run_cell(_BY_NAME[cell.float_cell], roots, work, deadline, device, say)
            _run_cell(cell, roots, work, deadline, device, say)
            done += 1
    except _TimeIsUpError:
        say("time is up")
    return done


def _run_cell(
    cell: Cell, roots: dict[str, Path], work: Path, deadline: float, device: str, say: Callable[[str], None]
) -> None:
    """Run one cell to its end, or to the deadline. Float weights are needed even where their result is on record."""
    if (work / cell.name / "result.json").exists() and finished(cell):
        return
    if time.monotonic() > deadline:
        raise _TimeIsUpError

    def on_epoch(epoch: EpochResult) -> None:
        say(f"{cell.name}: {epoch.phase} epoch {epoch.epoch}: loss {epoch.loss:.3f}, {epoch.metric:.4f}")
        if time.monotonic() > deadline:
            raise _TimeIsUpError

    values: dict[str, Any] = {"runtime": {**cell.values.get("runtime", {}), "device": device}}
    data = cell.values["data"]
    if data not in roots:
        raise SystemExit(f"{cell.name} needs the data set {data}: give --data {data}=FOLDER")
    values["data_root"] = str(roots[data])
    if cell.float_cell is not None:
        values["float_checkpoint"] = str(work / cell.float_cell)
    result = run(cell.config(**values), work / cell.name, on_epoch=on_epoch)
    _record(cell, result)
    say(f"{cell.name}: {result.metric} {result.last:.4f}, best {result.best:.4f}, {result.seconds:.0f} s")


def _record(cell: Cell, result: RunResult) -> None:
    """The result without folders of this machine."""
    values = result.to_json()
    values["config"] |= {"data_root": None, "float_checkpoint": cell.float_cell and f"cell {cell.float_cell}"}
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"{cell.name}.json", json.dumps({"cell": cell.name, "group": cell.group, **values}))
