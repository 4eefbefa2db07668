"""The papers' experiments as a queue of runs.

    python benchmarks/reproduce list
    python benchmarks/reproduce run --minutes 9 --data cifar10=FOLDER --data bsd300=FOLDER
    python benchmarks/reproduce render

The queue is a sweep of this package (`docs/sweeps.md`): `run` goes on where the last one stopped, and leaves one JSON
file per finished cell in `results/`; `render` writes docs/results.md from them. It ends before an epoch that would end
too late, but never before it has done one. Without a GPU it does the short cells only.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import click
import torch
from cells import CELLS, Cell
from render import render
from runs import finished, pending, run_cells

from brevitas_a2q.errors import ConfigError

HERE = Path(__file__).parent
_POSITIVE = click.FloatRange(0, min_open=True)
_DATA = sorted({cell.values["data"] for cell in CELLS})


@click.group()
def main() -> None:
    """The papers' experiments as a queue of runs."""


def _chosen(pattern: str) -> list[Cell]:
    cells = [cell for cell in CELLS if fnmatchcase(cell.name, pattern)]
    if not cells:
        raise click.BadParameter(f"no cell is named {pattern!r}; `list` shows the names", param_hint="--only")
    return cells


@main.command("list")
@click.option("--only", default="*", show_default=True, help="Glob on names.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(only: str, as_json: bool) -> None:
    """Show the queue and what is done."""
    cells = _chosen(only)
    if as_json:
        click.echo(json.dumps({"cells": [{"name": c.name, "group": c.group, "done": finished(c)} for c in cells]}))
        return
    for cell in cells:
        click.echo(f"{'done' if finished(cell) else '-':5} {cell.group:6} {cell.name}")
    click.echo(f"{len(cells) - len(pending(cells))} of {len(cells)} done", err=True)


@main.command("run")
@click.option("--minutes", type=_POSITIVE, default=9.0, show_default=True, help="When to stop.")
@click.option("--data", "data", multiple=True, metavar="NAME=PATH", help="Where a data set lies; repeat for others.")
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    default=HERE / "work",
    show_default="benchmarks/reproduce/work",
    help="Checkpoints.",
)
@click.option("--only", default="*", show_default=True, help="Glob on names.")
@click.option("--device", default="auto", show_default=True)
@click.option("--long/--short", "long", default=None, help="Which cells; long ones where there is a GPU by default.")
@click.option("--retry-failed", is_flag=True, help="Run those again, too, that ended with an error.")
def run_(
    minutes: float, data: tuple[str, ...], work: Path, only: str, device: str, long: bool | None, retry_failed: bool
) -> None:
    """Run the next pending cells within a time budget."""
    roots = {}
    for entry in data:
        name, equals, path = entry.partition("=")
        if not equals or not Path(path).exists() or name not in _DATA:
            expected = f"NAME=PATH of an existing file or folder, NAME one of {', '.join(_DATA)}"
            raise click.BadParameter(f"found {entry!r}, expected {expected}", param_hint="--data")
        roots[name] = Path(path).resolve()
    long = torch.cuda.is_available() if long is None else long
    cells = [cell for cell in _chosen(only) if cell.short is not long]
    if not cells:
        found = "short runs, for a CPU: give --short" if long else "long runs, for a GPU: give --long"
        raise click.BadParameter(f"{only!r} names only {found}", param_hint="--only")
    try:
        say = partial(click.echo, err=True)
        done = run_cells(cells, roots, work.resolve(), 60 * minutes, device, say, retry_failed)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{done} cells done, {len(pending(cells))} pending", err=True)


@main.command("render")
def render_() -> None:
    """Write docs/results.md and its figures from the results."""
    for path in render():
        click.echo(path)


if __name__ == "__main__":
    main()
