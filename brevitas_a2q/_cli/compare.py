"""``brevitas-a2q compare``: two estimates side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, say, show
from brevitas_a2q._cli.design_options import design_options
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.report_files import Report, report_files, report_options, write_files
from brevitas_a2q._terminal import marked

if TYPE_CHECKING:
    from brevitas_a2q.hw._compare import Difference

__all__ = ["command"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("compare", cls=Guarded)
@click.argument("before", metavar="BEFORE", type=_FILE)
@click.argument("after", metavar="AFTER", type=_FILE)
@design_options
@click.option("--target-fps", type=float, help="Frames per second to fold models for.")
@click.option("--all", "show_all", is_flag=True, help="List layers that do not differ too.")
@report_options
def command(
    before: Path,
    after: Path,
    part: str,
    clock_mhz: float,
    accumulator: str,
    as_json: bool,
    target_fps: float | None,
    show_all: bool,
    html: Path | None,
    plot: Path | None,
) -> None:
    """Put two estimates side by side, layer by layer.

    BEFORE and AFTER are each an estimate as JSON, as `estimate --json` or `fold --json` print it, or a QONNX file,
    which is estimated first with the options given here. Layers are matched by name.
    """
    from brevitas_a2q.hw._compare import difference, read_estimate
    from brevitas_a2q.hw._estimation import estimate

    def load(path: Path) -> dict[str, Any]:
        if path.suffix.lower() != ".onnx":
            return read_estimate(path)
        return estimate(path, part, target_fps, clock_mhz, accumulator=accumulator).to_json()

    found = difference(load(before), load(after))
    write_files(report_files(html, plot, lambda: _report(found, before.name, after.name)))
    if as_json:
        emit_json(found.to_json())
        return
    table = Table(title=marked(f"{before.name} -> {after.name}"))
    for heading in ("layer", "op"):
        table.add_column(heading)
    for heading in ("P", "LUT", "BRAM18", "URAM", "DSP", "cycles"):
        table.add_column(heading, justify="right")
    for change in found.layers:
        if change.changed or show_all:
            rows = change.before or {}, change.after or {}
            names = ("accumulator_bit_width", "lut", "bram18", "uram", "dsp", "cycles")
            table.add_row(
                marked(change.name), marked(change.op), *(_cell(*(row.get(name) for row in rows)) for name in names)
            )
    table.add_section()
    totals = (_cell(found.before[name], found.after[name]) for name in ("lut", "bram18", "uram", "dsp", "max_cycles"))
    table.add_row("total", "", "", *totals, style="bold")
    show(table, ("LUT", "P"))
    for name, ratio in found.ratios.items():
        if ratio is not None and ratio != 1.0:
            say(f"{name}: {found.before[name]:,.6g} -> {found.after[name]:,.6g} ({ratio:.3f} times)")


def _report(found: Difference, before: str, after: str) -> Report:
    from brevitas_a2q.report._comparison_plots import difference_figure
    from brevitas_a2q.report._design_pages import difference_page

    figure = difference_figure(found, before, after)
    return figure, lambda picture: difference_page(found, before, after, picture)


def _cell(before: float | None, after: float | None) -> str:
    if before == after:
        return "" if before is None else f"{before:,}"
    return " -> ".join("-" if value is None else f"{value:,}" for value in (before, after))
