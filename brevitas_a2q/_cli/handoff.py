"""``brevitas-a2q handoff``: everything that a FINN build starts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from brevitas_a2q._cli.console import emit_json, messages, say, show
from brevitas_a2q._cli.design_options import (
    ESTIMATE_KEEP,
    build_options,
    chosen_build,
    design_options,
    estimate_table,
    summary,
)
from brevitas_a2q._cli.guard import Guarded

if TYPE_CHECKING:
    from brevitas_a2q.export._handoff import FinnName
    from brevitas_a2q.hw._build_options import Hardware, Units

__all__ = ["command"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("handoff", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=_FILE)
@design_options
@click.option("--target-fps", type=float, help="Frames per second to fold for; without it, the most that fit the part.")
@click.option("--folding", "folding_file", type=_FILE, help="FINN folding JSON, instead of a search.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write.")
@build_options
def command(
    network: Path,
    part: str,
    clock_mhz: float,
    accumulator: str,
    as_json: bool,
    target_fps: float | None,
    folding_file: Path | None,
    out: Path,
    target: Hardware,
    finn_version: FinnName,
    standalone_thresholds: bool,
    units: Units,
) -> int:
    """Write a folder that FINN builds: model, folding, build file, and an input with its expected output.

    FINN need not be here. The folder's README says how to start it; its folding file is the design that is printed.
    """
    from brevitas_a2q.export._handoff import write_handoff
    from brevitas_a2q.hw._devices import find_part
    from brevitas_a2q.hw._finn.folding_reader import read_foldings
    from brevitas_a2q.hw._finn.lowering import lowered
    from brevitas_a2q.hw._frontend import read_graph

    build = chosen_build(target, finn_version, standalone_thresholds, units)
    foldings = None
    if folding_file is not None:
        graph = lowered(read_graph(network, standalone_thresholds=standalone_thresholds), build.finn_version)
        foldings = read_foldings(folding_file, graph, find_part(part), build.finn_version)
    done = write_handoff(
        network,
        out,
        finn_version=finn_version,
        part=part,
        target_fps=target_fps,
        clock_mhz=clock_mhz,
        accumulator=accumulator,
        foldings=foldings,
        build=build,
    )
    if as_json:
        emit_json(done.to_json())
    else:
        show(estimate_table(done.estimate), ESTIMATE_KEEP)
        for line in summary(done.estimate):
            say(line)
    messages().print(f"wrote {', '.join(done.files)} to {out}", markup=False)
    return 0
