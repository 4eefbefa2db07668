"""``brevitas-a2q fold``: the optimal folding of a QONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from brevitas_a2q.cli.console import emit_json, tables
from brevitas_a2q.cli.design_options import design_options, estimate_table, summary
from brevitas_a2q.cli.report_files import Report, report_files, report_options, write_files
from brevitas_a2q.errors import A2QError

if TYPE_CHECKING:
    from brevitas_a2q.hw.devices import Part
    from brevitas_a2q.hw.folding_problem import FoldingPlan
    from brevitas_a2q.hw.folding_result import FoldResult

__all__ = ["command"]


@click.command("fold")
@click.argument("network", metavar="MODEL.onnx", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@design_options
@click.option("--target-fps", type=float, help="Frames per second to reach at the least cost.")
@click.option("--max-fps", is_flag=True, help="The most frames per second that fit the part.")
@click.option("--pareto", is_flag=True, help="Every folding that no other one beats in both cost and rate.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write FINN's folding JSON to this file.")
@report_options
def command(
    network: Path,
    part: str,
    clock_mhz: float,
    accumulator: str,
    as_json: bool,
    target_fps: float | None,
    max_fps: bool,
    pareto: bool,
    out: Path | None,
    html: Path | None,
    plot: Path | None,
) -> None:
    """Find the folding of least cost for a frame rate, or the fastest one that fits a part.

    The search is exact over PE, SIMD, kind of multiplier and memory styles of every layer. Its cost is the LUT
    equivalent: a block RAM, UltraRAM or DSP block counts as many LUTs as the part has for each of them.
    """
    if [target_fps is not None, max_fps, pareto].count(True) != 1:
        raise A2QError("found none or several of --target-fps, --max-fps and --pareto", expected="exactly one")
    from brevitas_a2q.hw.devices import find_part
    from brevitas_a2q.hw.folding_result import fold_curve, fold_graph
    from brevitas_a2q.hw.frontend import read_graph

    chosen, graph = find_part(part), read_graph(network)
    if pareto:
        points = [_point(plan, clock_mhz) for plan in fold_curve(graph, chosen, clock_mhz, accumulator)]
        title = f"Cost against rate of {graph.name} on {chosen.name}, {clock_mhz:g} MHz"
        write_files(report_files(html, plot, lambda: _curve_report(points, chosen, title)))
        _show_curve(points, as_json)
        return
    result = fold_graph(graph, chosen, target_fps, max_fps, clock_mhz, accumulator)
    folding: list[tuple[Path, str | bytes]] = []
    if out is not None:
        folding.append((out, json.dumps(result.folding, indent=2) + "\n"))
    write_files(folding + report_files(html, plot, lambda: _report(result)))
    if as_json:
        emit_json(result.to_json())
        return
    tables().print(estimate_table(result.estimate))
    for line in (*summary(result.estimate), _comparison(result)):
        tables().print(line, markup=False)


def _comparison(result: FoldResult) -> str:
    greedy = result.setfolding_lut_equivalent
    if greedy is None or result.setfolding is None:
        return "no comparison with SetFolding: FINN main cannot express this network"
    ratio = greedy / result.lut_equivalent
    return (
        f"SetFolding, same cost model: {result.setfolding.total.lut:,} LUT at {result.setfolding.fps:,.1f} frames per "
        f"second; {greedy:,.0f} LUT-equivalents, {ratio:.2f} times the {result.lut_equivalent:,.0f} of this folding"
    )


def _report(result: FoldResult) -> Report:
    from brevitas_a2q.report.design_pages import fold_page
    from brevitas_a2q.report.design_plots import estimate_figure

    return estimate_figure(result.estimate, result.setfolding), lambda picture: fold_page(result, picture)


def _curve_report(points: list[dict[str, Any]], part: Part, title: str) -> Report:
    from brevitas_a2q.report.comparison_plots import curve_figure
    from brevitas_a2q.report.design_pages import curve_page

    return curve_figure(points, part, title), lambda picture: curve_page(points, part, title, picture)


def _show_curve(points: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit_json({"points": points})
        return
    table = Table(title="Cost against rate; FIFOs of the least depth")
    for heading in ("frames per second", "max cycles", "LUT", "BRAM18", "URAM", "DSP", "LUT equivalent"):
        table.add_column(heading, justify="right")
    for p in points:
        rate, cost = f"{p['fps']:,.1f}", f"{p['lut_equivalent']:,.0f}"
        counts = (f"{p[name]:,}" for name in ("max_cycles", "lut", "bram18", "uram", "dsp"))
        table.add_row(rate, *counts, cost)
    tables().print(table)


def _point(plan: FoldingPlan, clock_mhz: float) -> dict[str, Any]:
    used = plan.resources
    return {
        "fps": clock_mhz * 1e6 / plan.max_cycles,
        "max_cycles": plan.max_cycles,
        "lut": used.lut,
        "bram18": used.bram18,
        "uram": used.uram,
        "dsp": used.dsp,
        "lut_equivalent": plan.lut_equivalent,
    }
