"""The papers' experiments as a queue of runs.

    python benchmarks/reproduce list
    python benchmarks/reproduce run --minutes 9 --data cifar10=FOLDER --data bsd300=FOLDER
    python benchmarks/reproduce render

`run` continues where the last slice stopped and leaves one JSON file per finished cell in `results/`; `render` writes
docs/results.md from them. Without a GPU `run` does the short cells only.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import click
import torch
from cells import CELLS
from render import render
from slices import finished, pending, run_slice

HERE = Path(__file__).parent


@click.group()
def main() -> None:
    """The papers' experiments as a queue of runs."""


@main.command("list")
@click.option("--only", default="*", show_default=True, help="Glob on names.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(only: str, as_json: bool) -> None:
    """Show the queue and what is done."""
    cells = [cell for cell in CELLS if fnmatchcase(cell.name, only)]
    if as_json:
        click.echo(json.dumps({"cells": [{"name": c.name, "group": c.group, "done": finished(c)} for c in cells]}))
        return
    for cell in cells:
        click.echo(f"{'done' if finished(cell) else '-':5} {cell.group:6} {cell.name}")
    click.echo(f"{len(cells) - len(pending(cells))} of {len(cells)} done", err=True)


@main.command("run")
@click.option("--minutes", type=float, default=9.0, show_default=True, help="Length of the slice.")
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
def run_(minutes: float, data: tuple[str, ...], work: Path, only: str, device: str, long: bool | None) -> None:
    """Run the next pending cells within a time budget."""
    roots = {}
    for entry in data:
        name, equals, path = entry.partition("=")
        if not equals or not Path(path).exists():
            raise click.BadParameter(f"found {entry!r}, expected NAME=PATH of an existing file or folder")
        roots[name] = Path(path).resolve()
    long = torch.cuda.is_available() if long is None else long
    cells = [cell for cell in CELLS if fnmatchcase(cell.name, only) and cell.short is not long]
    done = run_slice(cells, roots, work.resolve(), 60 * minutes, device, lambda line: click.echo(line, err=True))
    click.echo(f"{done} cells done, {len(pending(cells))} pending", err=True)


@main.command("render")
def render_() -> None:
    """Write docs/results.md and its figures from the results."""
    for path in render():
        click.echo(path)


if __name__ == "__main__":
    main()
