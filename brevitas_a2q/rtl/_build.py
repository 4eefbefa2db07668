"""From a QONNX file to an accelerator in a folder: generated, simulated, synthesised, proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from brevitas_a2q._files import remove_leftovers, write_atomically
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._finn.folding_reader import read_foldings
from brevitas_a2q.hw._frontend.build import build_graph
from brevitas_a2q.hw._ir import Folding
from brevitas_a2q.hw._policies import apply_policy
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, DEFAULT_PART
from brevitas_a2q.rtl._checks import simulate_design
from brevitas_a2q.rtl._generate import generate, write_accelerator
from brevitas_a2q.rtl._outputs import write_outputs
from brevitas_a2q.rtl._place_route import need_router, place_and_route
from brevitas_a2q.rtl._progress import Progress, Silent
from brevitas_a2q.rtl._proof import layers_to_prove, prove
from brevitas_a2q.rtl._report import BuildReport
from brevitas_a2q.rtl._simulators import find_simulator
from brevitas_a2q.rtl._synthesis import synthesise
from brevitas_a2q.rtl._vectors import checked_inputs
from brevitas_a2q.rtl._witness import witness as drive_witnesses
from brevitas_a2q.rtl._yosys import need_yosys

__all__ = ["build"]

_MARK = ".brevitas_a2q_build"


def build(
    path: str | Path,
    out: str | Path,
    part: str | Part = DEFAULT_PART,
    target_fps: float | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    folding: str | Path | Mapping[str, Folding] | None = None,
    simulate: int = 0,
    synthesize: bool = False,
    *,
    accumulator: str = "trained",
    inputs: Any = None,
    simulator: str | None = None,
    gap: int = 0,
    stall: int = 0,
    seed: int = 0,
    witness: bool = False,
    prove_layers: tuple[str, ...] = (),
    synthesis_cache: str | Path | None = None,
    place_route: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Write a streaming accelerator whose accumulators are exactly P bits wide, and check it.

    Args:
        path: QONNX file.
        out: Folder to write to; it must be new, empty, or an earlier build's.
        part: Part, or the name of a part or board.
        target_fps: Frames per second to fold for; None for the least resources at any speed.
        clock_mhz: Clock in MHz; decides how adder trees are pipelined.
        folding: Folding file, or folding of each unit by name; found by a search by default.
        simulate: How many random images to simulate, repeated to three if fewer (an interval needs them); ignored where
            ``inputs`` are given.
        synthesize: Whether every distinct unit is synthesised with Yosys.
        accumulator: Policy of the accumulators' widths, see :mod:`brevitas_a2q.hw._policies`.
        inputs: Images to simulate, of the file's input shape but for their number.
        simulator: ``verilator``, ``icarus`` or ``cxxrtl``; the fastest installed by default.
        gap: Permille of cycles in which no input word is offered, in a second run.
        stall: Permille of cycles in which no output word is taken, in that run.
        seed: Of random images, gaps and stalls.
        witness: Whether every layer is driven with its worst case, at P bits and below what it needs.
        prove_layers: Layers of which one channel's accumulator is proved formally; ``("all",)`` for every one.
        synthesis_cache: Folder of synthesis results by content, shared between builds.
        place_route: Whether the accelerator is placed and routed on an open FPGA, for a clock frequency.
        progress: What shows how far it is.

    Returns:
        What was found; also written to ``report.json``.

    Raises:
        A2QError: For a bad file, part, policy or folding; a unit that has no module; a tool that is missing or fails.

    Example:
        >>> report = build("network.onnx", "accelerator", "ZCU104", target_fps=10000, simulate=4)  # doctest: +SKIP
        >>> report.simulation.equal, report.simulation.interval_cycles  # doctest: +SKIP
        (True, 9216)
    """
    shown = progress or Silent()
    chosen = find_part(part)
    network = read_network(path)
    graph = build_graph(network, name=Path(path).stem)
    wanted = simulate > 0 or inputs is not None
    tool = find_simulator(simulator) if wanted or witness else None
    if synthesize:
        need_yosys("synthesis")
    if prove_layers:
        need_yosys("a proof")
    if place_route:
        need_router()
    for what, value in (("gap", gap), ("stall", stall)):
        if not 0 <= value < 1000:
            raise RtlError(f"found a {what} of {value}", expected="0 to 999 permille of the cycles")
    layers = layers_to_prove(graph, prove_layers)
    if inputs is not None:
        inputs = checked_inputs(network, inputs)
    foldings = read_foldings(Path(folding), graph, chosen) if isinstance(folding, str | Path) else folding
    folder = Path(out).absolute()  # tools run in other folders
    _refuse_others(folder)
    with shown.step("Fold and estimate"):
        estimate = estimate_graph(graph, chosen, target_fps, clock_mhz, "synthesis", accumulator, foldings)
        sized = apply_policy(graph, accumulator).graph
    _claim(folder)
    with shown.step("Write the accelerator"):
        netlist, context = generate(sized, estimate)
        accelerator = write_accelerator(netlist, context, folder)
    report = BuildReport(folder, accelerator, estimate)
    if tool is not None and wanted:
        with shown.step(f"Simulate with {tool.name}"):
            found = simulate_design(accelerator, network, tool, inputs, simulate, gap, stall, seed, shown)
            report = replace(report, simulation=found.run, stalled=found.stalled, executor=found.executor)
        write_outputs(report)
    if tool is not None and witness:
        count = len(netlist.accumulators)
        with shown.step("Drive every layer with its witness"), shown.bar("layers", count) as advance:
            report = replace(report, witness=drive_witnesses(accelerator, tool, advance))
    if layers:
        with shown.step("Prove accumulators"), shown.bar("layers", len(layers)) as advance:
            proofs = [p for layer in layers for p in prove(accelerator, layer, progress=advance)]
            report = replace(report, proofs=tuple(proofs))
    if synthesize:
        with shown.step("Synthesise every distinct unit"), shown.bar("units", len(netlist.instances)) as advance:
            cache = Path(synthesis_cache).absolute() if synthesis_cache else None
            report = replace(report, synthesis=synthesise(accelerator, cache, progress=advance))
    if place_route:
        write_outputs(report)
        with shown.step("Place and route for ECP5"):
            report = replace(report, placed=place_and_route(accelerator, clock_mhz))
    write_outputs(report)
    return report


def _refuse_others(folder: Path) -> None:
    """Leave alone what is not a folder of this command.

    Raises:
        RtlError: It is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise RtlError("found a file", where=str(folder), expected="a folder")
    if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
        raise RtlError(
            "found a folder with other files", where=str(folder), expected="a new folder or an earlier build's"
        )


def _claim(folder: Path) -> None:
    """Make the folder, or take that of an earlier build."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _MARK).exists():
        write_atomically(folder / _MARK, "A folder that brevitas-a2q build writes to.\n")
    remove_leftovers(folder)
