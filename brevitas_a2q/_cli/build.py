"""``brevitas-a2q build``: the accelerator itself, in Verilog, simulated and synthesised without vendor tools."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, messages, say, show
from brevitas_a2q._cli.design_options import design_options
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.steps import Steps
from brevitas_a2q._terminal import marked
from brevitas_a2q.errors import RtlError

if TYPE_CHECKING:
    from brevitas_a2q.rtl._report import BuildReport

__all__ = ["command"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("build", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=_FILE)
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), required=True, help="New folder, or a build's.")
@design_options
@click.option("--target-fps", type=float, help="Frames per second to fold for; without it, the least resources.")
@click.option("--folding", type=_FILE, help="Folding file, instead of a search.")
@click.option(
    "--simulate",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    help="Simulate N random images, repeated to three if fewer.",
)
@click.option("--inputs", metavar="X.npz", type=_FILE, help="Simulate these images.")
@click.option(
    "--simulator", type=click.Choice(["verilator", "icarus", "cxxrtl"]), help="By default the fastest installed."
)
@click.option("--gap", type=int, default=0, show_default=True, help="Second run: permille of cycles without input.")
@click.option("--stall", type=int, default=0, show_default=True, help="Second run: permille of cycles without output.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of images, gaps and stalls.")
@click.option("--witness", is_flag=True, help="Drive every layer with its worst case, at P bits and below its need.")
@click.option("--prove", "layers", metavar="LAYER", multiple=True, help="Prove a layer's worst channel; or 'all'.")
@click.option("--synthesize", is_flag=True, help="Synthesise every distinct unit with Yosys.")
@click.option("--synthesis-cache", metavar="DIR", type=click.Path(path_type=Path), help="Shared between builds.")
@click.option("--place-and-route", "router", type=click.Choice(["ecp5"]), help="For a clock frequency; minutes.")
def command(
    network: Path,
    out: Path,
    part: str,
    clock_mhz: float,
    accumulator: str,
    as_json: bool,
    target_fps: float | None,
    folding: Path | None,
    simulate: int,
    inputs: Path | None,
    simulator: str | None,
    gap: int,
    stall: int,
    seed: int,
    witness: bool,
    layers: tuple[str, ...],
    synthesize: bool,
    synthesis_cache: Path | None,
    router: str | None,
) -> int:
    """Write a streaming accelerator in Verilog whose accumulators are exactly P bits wide.

    The folder gets rtl/ (modules, memories), sim/ (test bench, vectors), vivado/ (constraints, script), report.json and
    index.html. Every word that every unit writes is compared with exact integers, which are compared with the QONNX
    executor's. What an earlier run of the same folder has done is not done again. Exit status 1 where anything differs,
    2 where a tool is missing or fails.
    """
    from brevitas_a2q._cli.simulate import load_arrays
    from brevitas_a2q._ir.reader import read_network
    from brevitas_a2q.report._build_page import build_page
    from brevitas_a2q.rtl._build import build

    images = None
    if inputs is not None:
        known = read_network(network)
        images = load_arrays(inputs, known)[known.inputs[0]]
    report = build(
        network,
        out,
        part,
        target_fps,
        clock_mhz,
        folding,
        simulate,
        synthesize,
        accumulator=accumulator,
        inputs=images,
        simulator=simulator,
        gap=gap,
        stall=stall,
        seed=seed,
        witness=witness,
        prove_layers=layers,
        synthesis_cache=synthesis_cache,
        place_route=router is not None,
        progress=_Shown(Steps(messages())),
    )
    build_page(report)
    if as_json:
        emit_json(report.to_json())
    else:
        show(_table(report), ("LUT", "LUT est.", "P"))
        for line in _summary(report):
            say(line)
    if report.synthesis is not None and report.synthesis.failed:
        name, reason = next(iter(report.synthesis.failed.items()))
        raise RtlError(f"{len(report.synthesis.failed)} units were not synthesised, the first: {reason}", where=name)
    return 0 if report.holds else 1


class _Shown:
    """Steps of a build on the console."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def step(self, name: str) -> AbstractContextManager[None]:
        return self._steps.step(name)

    def bar(self, name: str, total: int) -> AbstractContextManager[Callable[[str], None]]:
        return self._steps.bar(name, total)


def _table(report: BuildReport) -> Table:
    table = Table(title=marked(f"{report.estimate.network} in {report.folder}"))
    for heading in ("unit", "modules"):
        table.add_column(heading)
    for heading in ("PE", "SIMD", "P", "cycles deep", "depth", "fill", "LUT est.", "LUT", "FF", "BRAM18", "DSP"):
        table.add_column(heading, justify="right")
    for row in report.units():
        counts = row["synthesis"] or {}
        cells = [row[k] for k in ("pe", "simd", "accumulator_bit_width", "pipeline_cycles", "built_depth", "fill")]
        cells += [row["estimate"]["lut"], *(counts.get(k) for k in ("lut", "ff", "bram18", "dsp"))]
        modules = " ".join(dict.fromkeys(row["modules"]))
        table.add_row(marked(row["name"]), marked(modules), *("" if c is None else f"{c:,}" for c in cells))
    return table


def _summary(report: BuildReport) -> list[str]:
    run, estimate = report.simulation, report.estimate
    levels = report.accelerator.context.tree_levels
    lines = [f"adder trees: a register behind every {levels} levels of adders, for {estimate.clock_mhz:g} MHz"]
    for shown in (run, report.stalled):
        if shown is None:
            continue
        gaps = f", gaps {shown.gap}, stalls {shown.stall} permille" if shown.gap or shown.stall else ""
        lines.append(
            f"{shown.simulator}: {shown.words:,} words of {shown.images} images,"
            f" {shown.mismatches + shown.missing:,} differ{gaps}"
        )
        lines += [f"  {difference}" for difference in shown.differences]
    if run is not None:
        lines.append(
            f"interval {run.interval_cycles} cycles (estimate {estimate.max_cycles}), latency {run.latency_cycles}"
            f" (estimate {estimate.latency_cycles})"
        )
    if report.executor is not None:
        lines.append(
            f"QONNX executor: {report.executor.integers:,} integers of {len(report.executor.units)} units,"
            f" {'all equal' if report.executor.equal else 'DIFFERENT'}"
        )
        lines += [f"  {text}" for text in report.executor.differences]
    for w in report.witness:
        below = "-" if w.overflows_below is None else f"{w.overflows_below} at {w.required_bit_width - 1} bits"
        lines.append(
            f"witness {w.layer}: sums {w.lowest} to {w.highest}, {w.overflows} overflows at {w.accumulator_bit_width}"
            f" bits; {below}"
        )
    lines += [
        f"proof {p.layer}, channel {p.channel}: {p.products} products in {p.accumulator_bit_width} bits"
        f" {'never overflow' if p.holds else 'CAN OVERFLOW'} ({p.seconds:.1f} s)"
        for p in report.proofs
    ]
    if report.synthesis is not None:
        total, guess = report.synthesis.total, estimate.total
        lines.append(
            f"synthesis ({report.synthesis.family}): {total.lut:,} LUT (estimate {guess.lut:,}), {total.ff:,} FF,"
            f" {total.bram18} BRAM18 ({guess.bram18}), {total.dsp} DSP ({guess.dsp})"
        )
        lines += [f"  not synthesised: {name}: {reason}" for name, reason in report.synthesis.failed.items()]
    if report.placed is not None:
        used = ", ".join(f"{count:,} {kind}" for kind, count in report.placed.used.items())
        lines.append(f"placed and routed on {report.placed.device}: {report.placed.max_mhz:g} MHz ({used})")
        lines.append("slowest path: from {} to {}".format(*report.placed.slowest_path))
    return lines
