"""``brevitas-a2q sweep``: many training runs, by any number of workers, and their Pareto fronts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, messages, say, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.report_files import Report, report_files, report_options, write_files
from brevitas_a2q._terminal import marked

if TYPE_CHECKING:
    from brevitas_a2q.sweep._results import Network
    from brevitas_a2q.sweep._status import SweepStatus

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_STORAGE_HELP = "sqlite:///FILE, journal:FILE or postgresql://USER@HOST/DATABASE; OUT/sweep.db unless given."
_ENVIRONMENT = "BREVITAS_A2Q_STORAGE"
_storage = click.option("--storage", metavar="URL", envvar=_ENVIRONMENT, show_envvar=True, help=_STORAGE_HELP)
_out = click.option("--out", metavar="DIR", type=_FOLDER, help="Folder of the sweep.")
_name = click.option("--name", help="Which sweep, where the storage has several.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")


@click.group("sweep", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Run many configurations: a grid of them, or a search that weighs accuracy against accumulator width or LUTs.

    docs/sweeps.md shows space files, and sweeps on several machines.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("run", cls=Guarded, short_help="Do the runs of a space file.")
@click.option("--space", "source", metavar="SPACE.yaml", type=_FILE, required=True, help="What to run.")
@click.option("--out", metavar="DIR", type=_FOLDER, help="Folder of the sweep; a2q-sweep/NAME unless given.")
@_storage
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes on this machine.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after this time; go on another time.")
@click.option("--device", help="auto, cpu, cuda, or several with commas, dealt out to the workers: cuda:0,cuda:1.")
@click.option("--data-root", metavar="DIR", help="Where the data sets are on this machine.")
@click.option("--retry-failed", is_flag=True, help="Run again what ended with an error.")
@_json
def run_command(
    source: Path,
    out: Path | None,
    storage: str | None,
    workers: int,
    minutes: float | None,
    device: str | None,
    data_root: str | None,
    retry_failed: bool,
    as_json: bool,
) -> int:
    """Do the runs of a space file that are still to be done.

    The same command goes on after an interruption or a kill, and more workers join with it, on this machine or, given
    the URL of a database server, on others.

    Exit status: 0 if every run is done, 1 if some failed or are left, 2 on bad input.
    """
    from brevitas_a2q._cli.sweep_tables import progress, status_table
    from brevitas_a2q.sweep._pool import run_sweep
    from brevitas_a2q.sweep._space import Space
    from brevitas_a2q.sweep._status import read_sweep
    from brevitas_a2q.sweep._training import Training
    from brevitas_a2q.sweep._worker import Work

    if minutes is not None and math.isnan(minutes):
        raise click.BadParameter("nan is no number of minutes", param_hint="--minutes")
    space = Space.from_yaml(source, Training().kind)
    out = out or Path("a2q-sweep") / space.name
    storage = storage or _embedded(out)
    devices = device.split(",") if device else [None]
    jobs = [Training(devices[worker % len(devices)], data_root) for worker in range(workers)]
    for job in {job.device: job for job in jobs}.values():
        job.check(space)
    with progress(space, messages()) as told:
        run_sweep([Work(space, storage, out, job) for job in jobs], minutes, retry_failed, told)
    status = read_sweep(storage, space.name)
    messages().print(f"runs are in {out / 'runs'}", markup=False)
    if as_json:
        emit_json(status.to_json())
    else:
        show(status_table(status), ("state", "metric"))
    own = [run.state for run in status.runs if space.search or run.run in space.cells]  # a larger file has others, too
    return 0 if set(own) == {"done"} else 1


@command.command("status", cls=Guarded, short_help="Show where every run stands.")
@_out
@_storage
@_name
@_json
def status_command(out: Path | None, storage: str | None, name: str | None, as_json: bool) -> None:
    """Show where every run of a sweep stands."""
    from brevitas_a2q._cli.sweep_tables import status_table
    from brevitas_a2q.sweep._status import read_sweep

    status = read_sweep(_address(out, storage), name)
    if as_json:
        emit_json(status.to_json())
    else:
        show(status_table(status), ("state", "metric"))


@command.command("report", cls=Guarded, short_help="Tables and fronts of the finished runs.")
@_out
@_storage
@_name
@_json
@report_options
def report_command(
    out: Path | None, storage: str | None, name: str | None, as_json: bool, html: Path | None, plot: Path | None
) -> None:
    """Show what the finished runs come to: accuracy, sparsity and compression against P, and LUTs against accuracy.

    Runs that differ by their seed are one row: the mean of their last epochs, and its standard deviation.
    """
    from brevitas_a2q._cli.sweep_tables import network_tables
    from brevitas_a2q.sweep._results import networks_of
    from brevitas_a2q.sweep._status import read_sweep

    status = read_sweep(_address(out, storage), name)
    networks = networks_of(status.runs)
    write_files(report_files(html, plot, lambda: _report(status, networks)))
    if as_json:
        found = {"networks": [network.to_json() for network in networks]}
        emit_json({"name": status.name, "counts": status.counts, **found})
        return
    for table in network_tables(networks):
        show(table, ("P", "±"))
    if not networks:
        say("no run is finished yet")


@command.command("pick", cls=Guarded, short_help="Lead from a sweep to one network, its file and certificate.")
@_out
@_storage
@_name
@click.option("--run", "wanted", metavar="RUN", help="This run, by the beginning of its name.")
@click.option("--tolerance", type=float, default=0.01, show_default=True, help="How much of the metric may be lost.")
@click.option("--max-width", type=float, metavar="P", help="Mean accumulator width at most.")
@click.option("--max-lut", type=float, metavar="LUT", help="LUTs at most.")
@click.option("--to", "output", metavar="DIR", type=_FOLDER, help="Copy the run's files to this folder.")
@_json
def pick_command(
    out: Path | None,
    storage: str | None,
    name: str | None,
    wanted: str | None,
    tolerance: float,
    max_width: float | None,
    max_lut: float | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Lead from a sweep to one network: its parameters, QONNX file and certificate, and what it came to.

    Of the finished runs within the limits, those within --tolerance of the best metric are looked at, and the one of
    least mean P is taken, then of fewest LUTs.
    """
    from brevitas_a2q.sweep._pick import copy_files, pick
    from brevitas_a2q.sweep._status import read_sweep

    status = read_sweep(_address(out, storage), name)
    chosen = pick(status.runs, run=wanted, tolerance=tolerance, width=max_width, lut=max_lut)
    folder = (out or Path("a2q-sweep") / status.name) / "runs" / chosen.run
    files = copy_files(folder, output)
    if as_json:
        emit_json({**chosen.to_json(), "folder": str(folder), "files": {what: str(at) for what, at in files.items()}})
        return
    table = Table("", "value", title=f"run {marked(chosen.run)}")
    table.add_row("settings", marked(", ".join(f"{key} = {value}" for key, value in chosen.settings.items())))
    assert chosen.summary is not None
    table.add_row(chosen.summary.metric, f"{chosen.summary.last:.4f}")
    table.add_row("mean P", f"{chosen.summary.mean_accumulator_bit_width or float('nan'):.1f}")
    table.add_row("LUT", "-" if chosen.summary.lut is None else f"{chosen.summary.lut:,.0f}")
    for what, at in files.items():
        table.add_row(what, marked(str(at)))
    show(table, ("value",))


def _report(status: SweepStatus, networks: tuple[Network, ...]) -> Report:
    from brevitas_a2q.report._sweep_figures import sweep_figure
    from brevitas_a2q.report._sweep_page import sweep_page

    return sweep_figure(networks, f"Sweep {status.name}"), lambda picture: sweep_page(status, networks, picture)


def _embedded(out: Path) -> str:
    return f"sqlite:///{out.resolve() / 'sweep.db'}"


def _address(out: Path | None, storage: str | None) -> str:
    if out is None and storage is None:
        raise click.UsageError(f"give --out, --storage, or the environment variable {_ENVIRONMENT}")
    return storage or _embedded(out or Path())
