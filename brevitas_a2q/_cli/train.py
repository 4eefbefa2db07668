"""``brevitas-a2q train``: from a configuration to a trained, certified, exported and costed network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, messages, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._terminal import marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from brevitas_a2q.train._config import RunConfig
    from brevitas_a2q.train._result import EpochResult, RunResult

__all__ = ["command"]


@click.command("train", cls=Guarded)
@click.option("--config", "source", metavar="CFG.yaml", type=click.Path(path_type=Path), help="What to train, and how.")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run; a2q-train/CFG unless given. The same command goes on where an interrupted run stopped.",
)
@click.option("--data-root", metavar="DIR", type=click.Path(), help="Where the data set is.")
@click.option("--seed", type=int, help="Of weights, batches and augmentation.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, ...")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change a key, e.g. recipe.epochs=3.")
@click.option("--print-config", is_flag=True, help="Print the whole configuration as YAML, every default spelled out.")
@click.option("--print-schema", is_flag=True, help="Print the JSON schema of configurations, for editors.")
@click.option("--dry-run", is_flag=True, help="Load the data, build the network and try both; train and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of a table.")
def command(
    source: Path | None,
    out: Path | None,
    data_root: str | None,
    seed: int | None,
    device: str | None,
    overrides: tuple[str, ...],
    print_config: bool,
    print_schema: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Train a network within its accumulators, certify it, export it to QONNX and estimate its design.

    Without --config, the handwritten digits on a small network. docs/training.md lists the keys; `model` and `data` may
    be functions of your own, as package.module:function. Several GPUs or machines:
    `accelerate launch -m brevitas_a2q._cli.main train ...`.

    Exit status: 0 if the certificate holds, 1 if not, 2 on bad input.
    """
    from brevitas_a2q.train._config import RunConfig, with_overrides
    from brevitas_a2q.train._run import check, run

    if print_schema:
        emit_json(RunConfig.json_schema())
        return 0
    given = {"data_root": data_root, "seed": seed, "runtime.device": device}
    changes = [
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value is not None
    ] + list(overrides)
    if source is None:
        config = RunConfig.from_dict(with_overrides({}, changes))
    else:
        config = RunConfig.from_yaml(source, changes)
    if print_config:
        click.echo(config.to_yaml(), nl=False)
        return 0
    out = out or Path("a2q-train") / (source.stem if source else config.data)
    main = os.environ.get("RANK", "0") == "0"  # of several processes, one talks
    console = messages() if main else Console(quiet=True)
    if dry_run:
        check(config, out, lambda line: console.print(line, markup=False))
        return 0
    with _progress(config, console) as told:
        result = run(config, out, told, lambda line: console.print(line, markup=False))
    if main:
        console.print(f"everything is in {out}", markup=False)
        if as_json:
            emit_json(result.to_json())
        else:
            show(_table(result), ("value",))
    return 0 if result.holds else 1


@contextmanager
def _progress(config: RunConfig, console: Console) -> Iterator[Callable[[EpochResult], None]]:
    """A bar over all epochs on a terminal, a line for each elsewhere."""
    before = {"float": 0, "quantized": config.float_recipe.epochs if config.float_recipe else 0}
    total = before["quantized"] + config.recipe.epochs
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=total)

        def show(epoch: EpochResult) -> None:
            done = before[epoch.phase] + epoch.epoch
            line = f"{epoch.phase} epoch {epoch.epoch}: loss {epoch.loss:.4f}, test metric {epoch.metric:.4f}"
            progress.update(task, completed=done, description=line)
            if not console.is_terminal:
                console.print(f"{done}/{total} {line}, {epoch.seconds:.1f} s", markup=False)

        yield show


def _table(result: RunResult) -> Table:
    table = Table("", "value", title=f"{result.config.model} on {result.config.data}", title_justify="left")
    rows = {
        f"test {result.metric}, last epoch": f"{result.last:.4f}",
        f"test {result.metric}, best epoch": f"{result.best:.4f}",
        f"test {result.metric}, float": None if result.float_last is None else f"{result.float_last:.4f}",
        "zero weights": None if result.sparsity is None else f"{100 * result.sparsity:.1f} %",
        "compression M / H": None if result.compression is None else f"{result.compression:.2f}",
        "certificate": None if result.certificate is None else "holds" if result.holds else "DOES NOT HOLD",
        "QONNX file": result.qonnx or result.qonnx_reason,
        "estimate": result.estimate_reason,
        **{f"estimate, accumulators {policy}": _costs(costs) for policy, costs in (result.estimate or {}).items()},
    }
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, marked(value))
    return table


def _costs(costs: Mapping[str, Any]) -> str:
    resources = ", ".join(f"{costs[key]:,} {key.upper()}" for key in ("lut", "bram18", "uram", "dsp"))
    return f"{resources}, {costs['fps']:,.0f} frames per second"
