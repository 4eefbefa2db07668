"""``brevitas-a2q parts``: the FPGA parts and boards of the table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.report_files import Report, report_files, report_options, write_files

__all__ = ["command"]


@click.command("parts", cls=Guarded)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@report_options
def command(name: str | None, as_json: bool, html: Path | None, plot: Path | None) -> None:
    """List the FPGA parts and boards the estimator knows, or the one of NAME.

    NAME is a device, an ordering code, a board, or a YAML file that describes an own part:

    \b
        {name: mine, family: UltraScale+, lut: 100000, ff: 200000, bram18: 300, uram: 0, dsp: 400}
    """
    from brevitas_a2q.hw._devices import boards, find_part, parts

    chosen = [find_part(name)] if name else list(parts().values())
    carried: dict[str, list[str]] = {}
    for board, code in boards().items():
        carried.setdefault(find_part(code).name, []).append(board)
    rows = [{**dataclasses.asdict(part), "boards": carried.get(part.name, [])} for part in chosen]
    write_files(report_files(html, plot, lambda: _report(rows)))
    if as_json:
        emit_json({"parts": rows})
        return
    table = Table(title="FPGA parts")
    for heading in ("part", "family"):
        table.add_column(heading)
    for heading in ("LUT", "FF", "BRAM18", "URAM", "DSP"):
        table.add_column(heading, justify="right")
    table.add_column("boards")
    for row in rows:
        counts = (f"{row[key]:,}" for key in ("lut", "ff", "bram18", "uram", "dsp"))
        table.add_row(row["name"], row["family"], *counts, ", ".join(row["boards"]))
    show(table, ("LUT", "BRAM18", "DSP"))


def _report(rows: list[dict[str, Any]]) -> Report:
    from brevitas_a2q.report._part_pages import parts_figure, parts_page

    return parts_figure(rows), lambda picture: parts_page(rows, picture)
