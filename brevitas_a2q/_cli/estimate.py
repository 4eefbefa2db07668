"""``brevitas-a2q estimate``: resources and speed of a QONNX file on an FPGA."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
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
    finn_build_options,
    summary,
)
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.policy_tables import policies_json, policies_of, print_policies
from brevitas_a2q._cli.report_files import Report, report_files, report_options, write_files
from brevitas_a2q._terminal import visible

if TYPE_CHECKING:
    from brevitas_a2q.hw._build_options import Hardware, Units
    from brevitas_a2q.hw._estimation import Estimate, ModelName
    from brevitas_a2q.hw._ir import MemoryStyle

__all__ = ["command"]

_NETWORK = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("estimate", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=_NETWORK)
@partial(design_options, several=True)
@click.option("--target-fps", type=float, help="Frames per second to fold for; without it, the least resources.")
@click.option(
    "--model",
    type=click.Choice(["synthesis", "finn-main", "finn-dev"]),
    default="synthesis",
    show_default=True,
    help="Cost model: ours, fitted to synthesis, or FINN's own formulas.",
)
@click.option("--folding", "folding_file", type=_NETWORK, help="FINN folding JSON, instead of a search.")
@click.option("--require-fit", is_flag=True, help="Exit with status 1 where the design does not fit the part.")
@build_options
@finn_build_options
@report_options
def command(
    network: Path,
    part: str,
    clock_mhz: float,
    accumulator: str,
    as_json: bool,
    target_fps: float | None,
    model: ModelName,
    folding_file: Path | None,
    require_fit: bool,
    target: Hardware,
    finn_version: str,
    standalone_thresholds: bool,
    units: Units,
    prefer_hls: bool,
    ram_style: MemoryStyle | None,
    ram_style_thresholds: MemoryStyle | None,
    html: Path | None,
    plot: Path | None,
) -> int:
    """LUT, BRAM, URAM, DSP, cycles and frames per second of a QONNX file on an FPGA part.

    Every unit is listed with its folding, and between the units what connects them: width converters and FIFOs, these
    with their depths. The folding is the cheapest that reaches the target; see `brevitas-a2q fold` for more of that.
    Several accumulator policies, such as --accumulator 32,data-type,exact,trained, stand side by side, each with a
    folding of its own.
    """
    from brevitas_a2q.hw._estimation import estimate_graph
    from brevitas_a2q.hw._finn.flow import FinnOptions
    from brevitas_a2q.hw._finn.folding_reader import has_input_quantizer, read_foldings
    from brevitas_a2q.hw._finn.lowering import lowered
    from brevitas_a2q.hw._frontend import read_graph
    from brevitas_a2q.hw._target import Target

    chosen = Target(part, target_fps, clock_mhz).find_part()
    policies = policies_of(accumulator)
    options, build = None, chosen_build(target, finn_version, standalone_thresholds, units)
    finns = model != "synthesis"
    if prefer_hls or ram_style or ram_style_thresholds or (finns and standalone_thresholds):
        options = FinnOptions(standalone_thresholds, prefer_hls, ram_style or "auto", ram_style_thresholds or "auto")
    graph = read_graph(network, standalone_thresholds=standalone_thresholds)
    graph = lowered(graph, "dev" if model == "finn-dev" else "main" if finns else build.finn_version)
    foldings = read_foldings(folding_file, graph, chosen, build.finn_version) if folding_file else None
    if folding_file and model == "finn-dev":
        counted = has_input_quantizer(folding_file, graph, chosen, build.finn_version)
        options = replace(options or FinnOptions(), input_quantizer=counted)
    estimates = {
        policy: estimate_graph(graph, chosen, target_fps, clock_mhz, model, policy, foldings, options, build)
        for policy in policies
    }
    if len(estimates) > 1:
        _side_by_side(estimates, html, plot, as_json)
        return 1 if require_fit and not all(found.fits for found in estimates.values()) else 0
    found = estimates[accumulator.strip()]
    write_files(report_files(html, plot, lambda: _report(found)))
    if as_json:
        emit_json(found.to_json())
        for warning in found.warnings:
            messages().print(visible(f"warning: {warning}"), markup=False)
    else:
        show(estimate_table(found), ESTIMATE_KEEP)
        for line in summary(found):
            say(line)
    return 1 if require_fit and not found.fits else 0


def _side_by_side(estimates: dict[str, Estimate], html: Path | None, plot: Path | None, as_json: bool) -> None:
    from brevitas_a2q.report._policies import policies_report

    write_files(report_files(html, plot, lambda: policies_report(estimates)))
    if as_json:
        emit_json(policies_json(estimates))
    else:
        print_policies(estimates)


def _report(found: Estimate) -> Report:
    from brevitas_a2q.report._design_pages import estimate_page
    from brevitas_a2q.report._design_plots import estimate_figure

    return estimate_figure(found), lambda picture: estimate_page(found, picture)
