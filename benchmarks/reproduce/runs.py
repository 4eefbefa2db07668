"""Runs pending cells as a sweep; one JSON file per finished cell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cells import CELLS, Cell

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import ConfigError, ModelError
from brevitas_a2q.sweep._lease import run_folder
from brevitas_a2q.sweep._objectives import objectives_of
from brevitas_a2q.sweep._queue import Queue
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._storage import open_storage
from brevitas_a2q.sweep._worker import OnEpoch, Stop, Work, work
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._result import EpochResult, RunResult
from brevitas_a2q.train._run import run

__all__ = ["RESULTS", "finished", "is_of", "pending", "run_cells"]

RESULTS = Path(__file__).parent / "results"
_BY_NAME = {cell.name: cell for cell in CELLS}
_WHERE = ("runtime", "data_root", "float_checkpoint")  # differ from machine to machine


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


def run_cells(
    cells: Sequence[Cell],
    roots: Mapping[str, Path],
    out: Path,
    seconds: float,
    device: str,
    say: Callable[[str], None],
    retry_failed: bool = False,
) -> int:
    """Run pending cells until the time is up; any number of calls may share the folder, and go on where one stopped.

    Args:
        cells: Which, in order.
        roots: Folder of each data set; cells of other data sets are left out.
        out: Folder of the sweep: its queue, and ``runs`` with checkpoints.
        seconds: When to stop: before an epoch that would end later, but never before one epoch is done.
        device: As ``runtime.device`` of a run.
        say: Takes a line about each epoch and run.
        retry_failed: Run those again, too, that ended with an error.

    Returns:
        How many cells were finished.

    Raises:
        ConfigError: No data set of any pending cell was given.
    """
    ready = _ready(pending(cells), roots, say)
    space = Space(
        name="reproduce",
        kind=RunConfig,
        base=RunConfig().to_dict(),
        cells={},
        search={},
        objectives=objectives_of(("metric",), "reproduce"),
        sampler="random",
        trials=1,
        seed=0,
    )
    floating = {cell.float_cell: _BY_NAME[cell.float_cell] for cell in ready if cell.float_cell is not None}
    runs = {cell.name: space.run_name(_settings(cell)) for cell in (*floating.values(), *ready)}
    space = replace(space, cells={runs[cell.name]: _settings(cell) for cell in ready})
    job = Cells({runs[cell.name]: cell for cell in ready}, runs, roots, device, say)
    given = Work(space, f"sqlite:///{out / 'queue.db'}", out, job)
    out.mkdir(parents=True, exist_ok=True)
    with open_storage(given.storage) as storage:
        Queue(storage, space).fill(retry_failed)
    for cell in ready:  # done before, but no longer on record
        if (run_folder(out, runs[cell.name]) / "result.json").exists():
            _record(cell, RunResult.load(run_folder(out, runs[cell.name]) / "result.json"))
    if not work(given, Stop(time.time() + seconds)):
        say("time is up")
    return len(ready) - len(pending(ready))


@dataclass(frozen=True)
class Cells:
    """What the sweep does in each run: the cell of this name, from the float weights of another one.

    Attributes:
        cells: By the name of their run.
        runs: Name of a cell -> name of its run.
        roots: Folder of each data set.
        device: What to compute on.
        say: Takes lines.
        lost: Cells whose training ended with an error.
    """

    cells: Mapping[str, Cell]
    runs: Mapping[str, str]
    roots: Mapping[str, Path]
    device: str
    say: Callable[[str], None]
    lost: set[str] = field(default_factory=set)

    @property
    def kind(self) -> type[Any]:
        """Of a training run."""
        return RunConfig

    def run(self, values: Mapping[str, Any], folder: Path, on_epoch: OnEpoch) -> Mapping[str, Any]:
        """One cell, after the float network that it starts from, and its record."""
        cell, weights = self.cells[folder.name], None
        if cell.float_cell is not None:
            weights = folder.parent / self.runs[cell.float_cell]
            self._train(_BY_NAME[cell.float_cell], weights, None, on_epoch)
        result = self._train(cell, folder, weights, on_epoch)
        _record(cell, result)
        self.say(f"{cell.name}: {result.metric} {result.last:.4f}, best {result.best:.4f}, {result.seconds:.0f} s")
        return result.to_json()

    def _train(self, cell: Cell, folder: Path, weights: Path | None, on_epoch: OnEpoch) -> RunResult:
        if cell.name in self.lost:
            raise ModelError("its float network could not be trained", where=cell.name)

        def told(epoch: EpochResult) -> None:
            self.say(f"{cell.name}: {epoch.phase} epoch {epoch.epoch}: loss {epoch.loss:.3f}, {epoch.metric:.4f}")
            on_epoch(epoch.epoch, epoch.metric)

        here = {
            "runtime": {**cell.values.get("runtime", {}), "device": self.device},
            "data_root": str(self.roots[cell.values["data"]]),
            "float_checkpoint": None if weights is None else str(weights),
        }
        try:
            return run(cell.config(**here), folder, on_epoch=told)
        except Exception as error:
            self.lost.add(cell.name)
            self.say(f"{cell.name}: failed: {type(error).__name__}: {' '.join(str(error).split())}")
            raise


def _ready(cells: Sequence[Cell], roots: Mapping[str, Path], say: Callable[[str], None]) -> list[Cell]:
    """Cells whose data set was given."""
    missing = {cell.values["data"]: cell.name for cell in reversed(cells) if cell.values["data"] not in roots}
    lines = [f"{cell} needs the data set {data}: give --data {data}=PATH" for data, cell in missing.items()]
    ready = [cell for cell in cells if cell.values["data"] in roots]
    if missing and not ready:
        raise ConfigError("; ".join(lines))
    for line in lines:
        say(f"left out: {line}")
    return ready


def _settings(cell: Cell) -> dict[str, Any]:
    """What the cell is, wherever it runs, every default spelled out: a changed recipe is another run."""
    values = cell.config().to_dict()
    return {key: value for key, value in values.items() if key not in _WHERE} | {"float_checkpoint": cell.float_cell}


def _record(cell: Cell, result: RunResult) -> None:
    """The result without folders of this machine."""
    values = result.to_json()
    values["config"] |= {"data_root": None, "float_checkpoint": cell.float_cell and f"cell {cell.float_cell}"}
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"{cell.name}.json", json.dumps({"cell": cell.name, "group": cell.group, **values}))
