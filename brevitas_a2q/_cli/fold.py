"""``brevitas-a2q fold``: the optimal folding of a QONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, messages, say, show
from brevitas_a2q._cli.design_options import (
    ESTIMATE_KEEP,
    build_options,
    chosen_build,
    design_options,
    estimate_table,
    summary,
    weights_option,
)
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.report_files import Report, report_files, report_options, write_files
from brevitas_a2q._terminal import marked, visible
from brevitas_a2q.errors import A2QError

if TYPE_CHECKING:
    from brevitas_a2q.hw._build_options import BuildOptions, Hardware, Units
    from brevitas_a2q.hw._devices import Part
    from brevitas_a2q.hw._estimation import Estimate
    from brevitas_a2q.hw._folding_problem import FoldingPlan
    from brevitas_a2q.hw._folding_result import FoldResult
    from brevitas_a2q.hw._ir import Graph
    from brevitas_a2q.hw._lut_equivalent import LutEquivalent

__all__ = ["command"]


@click.command("fold", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@design_options
@click.option("--target-fps", type=float, help="Frames per second to reach at the least cost.")
@click.option("--max-fps", is_flag=True, help="The most frames per second that fit the part.")
@click.option("--pareto", is_flag=True, help="Every folding that no other one beats in both cost and rate.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write FINN's folding JSON to this file.")
@build_options
@weights_option
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
    target: Hardware,
    finn_version: str,
    standalone_thresholds: bool,
    units: Units,
    weights: dict[str, float] | None,
    html: Path | None,
    plot: Path | None,
) -> None:
    """Find the folding of least cost for a frame rate, or the fastest one that fits a part.

    The search covers PE, SIMD, kind of multiplier and memory styles of every layer, width converters and FIFOs. Its
    cost is the LUT equivalent: a block RAM, UltraRAM or DSP block counts as many LUTs as the part has for each of them,
    or as --lut-equivalent says. What no folding can undercut is printed beside it.
    """
    if [target_fps is not None, max_fps, pareto].count(True) != 1:
        raise A2QError("found none or several of --target-fps, --max-fps and --pareto", expected="exactly one")
    if pareto and out is not None:
        raise A2QError(
            "found --out beside --pareto, which finds many foldings",
            where="fold",
            remedy="give the frame rate of one of its points: --target-fps F --out FILE",
        )
    from brevitas_a2q.hw._devices import find_part
    from brevitas_a2q.hw._folding_result import fold_graph
    from brevitas_a2q.hw._frontend import read_graph
    from brevitas_a2q.hw._lut_equivalent import LutEquivalent

    chosen = find_part(part)
    cost = LutEquivalent.of(chosen, weights)
    build = chosen_build(target, finn_version, standalone_thresholds, units)
    graph = read_graph(network, standalone_thresholds=standalone_thresholds)
    if pareto:
        _curve(graph, chosen, clock_mhz, accumulator, cost, build, as_json, html, plot)
        return
    result = fold_graph(graph, chosen, target_fps, max_fps, clock_mhz, accumulator, weights, build)
    folding: list[tuple[Path, str | bytes]] = []
    if out is not None:
        folding.append((out, json.dumps(result.folding, indent=2) + "\n"))
    write_files(folding + report_files(html, plot, lambda: _report(result)))
    if as_json:
        emit_json(result.to_json())
        for warning in result.estimate.warnings:
            messages().print(visible(f"warning: {warning}"), markup=False)
        return
    show(estimate_table(result.estimate), ESTIMATE_KEEP)
    for line in (*summary(result.estimate), *_comparison(result)):
        say(line)


def _comparison(result: FoldResult) -> list[str]:
    """How good the folding is: against what is possible, and against SetFolding."""
    cost = f"{result.lut_equivalent:,.0f} LUT-equivalents"
    if result.least_lut_equivalent is not None:
        cost += f"; no folding this fast takes fewer than {result.least_lut_equivalent:,.0f}"
    if result.most_fps is not None:
        cost += f"; no folding that fits is faster than {result.most_fps:,.1f} frames per second"
    greedy = result.setfolding_lut_equivalent
    if greedy is None or result.setfolding is None:
        return [cost, "no comparison with SetFolding: FINN main cannot express this network"]
    return [cost, f"SetFolding, same cost model: {_beside(result, result.setfolding, greedy)}"]


def _beside(result: FoldResult, greedy: Estimate, cost: float) -> str:
    """SetFolding's design in words; a ratio only where it does what was asked for."""
    found = f"{greedy.total.lut:,} LUT at {greedy.fps:,.1f} frames per second; {cost:,.0f} LUT-equivalents"
    if result.setfolding_verdict is not None:
        return f"{found}; it {result.setfolding_verdict}"
    return f"{found}, {cost / result.lut_equivalent:.2f} times as many"


def _report(result: FoldResult) -> Report:
    from brevitas_a2q.report._design_pages import fold_page
    from brevitas_a2q.report._design_plots import estimate_figure

    return estimate_figure(result.estimate, result.setfolding), lambda picture: fold_page(result, picture)


def _curve(
    graph: Graph,
    part: Part,
    clock_mhz: float,
    accumulator: str,
    cost: LutEquivalent,
    build: BuildOptions,
    as_json: bool,
    html: Path | None,
    plot: Path | None,
) -> None:
    """``--pareto``: the whole curve, with SetFolding's."""
    from brevitas_a2q.hw._finn.lowering import lowered
    from brevitas_a2q.hw._folding_curve import fold_curve, setfolding_curve

    settings = (lowered(graph, build.finn_version), part, clock_mhz, accumulator, cost, build)
    points = [_point(plan, clock_mhz) for plan in fold_curve(*settings)]
    greedy = [_point(plan, clock_mhz) for plan in setfolding_curve(*settings)]
    title = f"Cost against rate of {graph.name} on {part.name}, {clock_mhz:g} MHz"
    write_files(report_files(html, plot, lambda: _curve_report(points, greedy, part, title)))
    if as_json:
        emit_json({"points": points, "setfolding": greedy})
        return
    table = Table(title=marked(title))
    for heading in ("folding", "frames per second", "max cycles", "LUT", "BRAM18", "URAM", "DSP", "LUT equivalent"):
        table.add_column(heading, justify="left" if heading == "folding" else "right")
    for name, of_name in (("optimal", points), ("SetFolding", greedy)):
        for p in of_name:
            counts = (f"{p[key]:,}" for key in ("max_cycles", "lut", "bram18", "uram", "dsp"))
            table.add_row(name, f"{p['fps']:,.1f}", *counts, f"{p['lut_equivalent']:,.0f}")
        table.add_section()
    show(table, ("frames per second", "LUT equivalent"))


def _curve_report(points: list[dict[str, Any]], greedy: list[dict[str, Any]], part: Part, title: str) -> Report:
    from brevitas_a2q.report._comparison_plots import curve_figure
    from brevitas_a2q.report._design_pages import curve_page

    figure = curve_figure(points, part, title, greedy)
    return figure, lambda picture: curve_page(points, part, title, picture, greedy)


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
