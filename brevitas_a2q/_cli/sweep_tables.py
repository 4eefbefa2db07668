"""Tables and progress of ``brevitas-a2q sweep``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brevitas_a2q._terminal import marked
from brevitas_a2q.sweep._keys import SHORT
from brevitas_a2q.sweep._queue import Queue
from brevitas_a2q.sweep._results import Group, Network
from brevitas_a2q.sweep._space import Settings, Space
from brevitas_a2q.sweep._status import RunStatus, SweepStatus, status_of

__all__ = ["network_tables", "progress", "status_table"]

_LETTERS = {key: letter for letter, key in SHORT.items()}


def _settings(settings: Settings) -> str:
    """What a run changes, by the papers' letters."""
    return ", ".join(f"{_LETTERS.get(str(key), key)} = {value}" for key, value in settings.items())


def _number(metric: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2%}" if metric == "accuracy" else f"{value:.2f}"


@contextmanager
def progress(space: Space, console: Console) -> Iterator[Callable[[Queue], None]]:
    """A bar over all runs on a terminal, and a line for each that ends."""
    total = len(space.cells) or space.trials
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    note, told = TextColumn("{task.fields[note]}"), set[str]()
    with Progress(*columns, note, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(marked(space.name), total=total, note="")

        def show(queue: Queue) -> None:
            runs = status_of(queue.study).runs
            ended = [run for run in runs if run.state in ("done", "failed")]
            for run in ended:
                if run.run not in told:
                    told.add(run.run)
                    bar.console.print(f"{len(told)}/{total} {_ending(run)}", markup=False)
            running = [run for run in runs if run.state == "running"]
            bar.update(task, completed=len(ended), note=marked("; ".join(_going(run) for run in running)))

        yield show


def _ending(run: RunStatus) -> str:
    if run.summary is None:
        return f"{_settings(run.settings)}: failed: {run.error}"
    return f"{_settings(run.settings)}: {_number(run.summary.metric, run.summary.last)}"


def _going(run: RunStatus) -> str:
    metric = "" if run.metric is None else f" {run.metric:.4f}"
    return f"{_settings(run.settings)}: epoch {run.epoch or 0}{metric}"


def status_table(status: SweepStatus) -> Table:
    """One line per run."""
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items() if count)
    table = Table(title=marked(f"{status.name}: {counts or 'nothing queued'}"), title_justify="left")
    for heading in ("run", "settings", "state", "tries", "epoch", "metric", "error"):
        table.add_column(heading)
    for run in status.runs:
        done = run.summary
        metric = "" if run.metric is None else f"{run.metric:.4f}"
        cells = (
            run.run,
            _settings(run.settings),
            run.state,
            str(run.trials),
            "" if run.epoch is None else str(run.epoch),
            metric if done is None else _number(done.metric, done.last),
            run.error or "",
        )
        table.add_row(*(marked(cell) for cell in cells))
    return table


def network_tables(networks: Sequence[Network]) -> Iterator[Table]:
    """For each network, the best group of every method and width, and the groups of least LUTs."""
    for network in networks:
        where = f"{network.model} on {network.data}"
        best = [group for curve in network.methods for group in curve.best]
        yield _groups(network, best, f"{where}: the best of each method and width")
        cheapest = [group for curve in network.methods for group in curve.lut_front]
        if cheapest:
            yield _groups(network, cheapest, f"{where}: least LUTs for a metric")


def _groups(network: Network, groups: Sequence[Group], title: str) -> Table:
    table = Table(title=marked(title), title_justify="left")
    table.add_column("method")
    for heading in ("P", "M", "N", "seeds", f"{network.metric}, last", "±", "best", "sparsity", "M / H", "LUT"):
        table.add_column(marked(heading), justify="right")
    for group in groups:
        table.add_row(
            marked(group.method),
            f"{group.width:g}",
            *("" if bits is None else str(bits) for bits in (group.weight_bit_width, group.activation_bit_width)),
            str(group.seeds),
            *(_number(network.metric, value) for value in (group.metric, group.metric_std, group.best)),
            "" if group.sparsity is None else f"{group.sparsity:.1%}",
            "" if group.compression is None else f"{group.compression:.2f}",
            "" if group.lut is None else f"{group.lut:,.0f}",
        )
    return table
