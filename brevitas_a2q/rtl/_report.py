"""What a build found, as a value and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brevitas_a2q.hw._estimation import Estimate
from brevitas_a2q.rtl._executor_check import ExecutorCheck
from brevitas_a2q.rtl._generate import Accelerator
from brevitas_a2q.rtl._place_route import Placed
from brevitas_a2q.rtl._proof import Proof
from brevitas_a2q.rtl._simulation import Simulation
from brevitas_a2q.rtl._synthesis import Synthesis
from brevitas_a2q.rtl._witness import Witness

__all__ = ["BuildReport"]


@dataclass(frozen=True, eq=False)
class BuildReport:
    """An accelerator in ``folder``, and what simulation, synthesis, witness and proof said about it."""

    folder: Path
    accelerator: Accelerator
    estimate: Estimate
    simulation: Simulation | None = None
    stalled: Simulation | None = None  # the same images with random gaps and stalls
    executor: ExecutorCheck | None = None
    synthesis: Synthesis | None = None
    witness: tuple[Witness, ...] = ()
    proofs: tuple[Proof, ...] = ()
    placed: Placed | None = None

    @property
    def holds(self) -> bool:
        """Whether everything that was asked for is as it must be."""
        runs = [run for run in (self.simulation, self.stalled) if run is not None]
        exact = all(run.equal and not any(run.overflows.values()) for run in runs)
        executed = self.executor is None or self.executor.equal
        synthesised = self.synthesis is None or not self.synthesis.failed
        shown = all(w.holds for w in self.witness) and all(p.holds for p in self.proofs)
        return exact and executed and synthesised and shown

    def to_json(self) -> dict[str, Any]:
        """The JSON object of ``brevitas-a2q build --json`` and of ``report.json``."""
        run, synthesis, estimate = self.simulation, self.synthesis, self.estimate
        return {
            "words": run.words if run else 0,
            "mismatches": run.mismatches + run.missing if run else 0,
            "interval_cycles": run.interval_cycles if run else None,
            "estimated_interval_cycles": estimate.max_cycles,
            "latency_cycles": run.latency_cycles if run else None,
            "estimated_latency_cycles": estimate.latency_cycles,
            "simulator": run.simulator if run else None,
            "synthesis": asdict(synthesis.total) if synthesis else None,
            "estimate": {name: getattr(estimate.total, name) for name in ("lut", "bram18", "dsp")},
            "holds": self.holds,
            "network": estimate.network,
            "part": estimate.part.name,
            "clock_mhz": estimate.clock_mhz,
            "accumulator": estimate.accumulator,
            "adder_levels": self.accelerator.context.tree_levels,  # between two registers
            "units": self.units(),
            "simulation": run.to_json() if run else None,
            "stalled": self.stalled.to_json() if self.stalled else None,
            "executor": asdict(self.executor) if self.executor else None,
            "witness": [asdict(w) for w in self.witness],
            "proofs": [asdict(p) for p in self.proofs],
            "placed": asdict(self.placed) if self.placed else None,
            "failed_synthesis": dict(synthesis.failed) if synthesis else {},
        }

    def units(self) -> list[dict[str, Any]]:
        """Every line of the estimate with what was built, measured and synthesised for it."""
        netlist = self.accelerator.netlist
        built: dict[str, list[str]] = {}
        depths = {fifo.row: (fifo.parameters["D"], fifo.parameters["W"]) for fifo in netlist.fifos}
        for instance in netlist.instances:
            built.setdefault(instance.row, []).append(instance.module)
        fills: Mapping[str, int] = self.simulation.fills if self.simulation else {}
        over: Mapping[str, int] = self.simulation.overflows if self.simulation else {}
        counts = self.synthesis.rows if self.synthesis else {}
        rows = []
        for row in self.estimate.rows:
            stream = netlist.streams.get(row.name)
            rows.append(
                {
                    "name": row.name,
                    "op": row.op,
                    "modules": built.get(row.name, []),
                    "pe": row.pe,
                    "simd": row.simd,
                    "accumulator_bit_width": row.accumulator_bit_width,
                    "stream_width": stream.port.width if stream else None,
                    "pipeline_cycles": netlist.circuits[row.name].depth_cycles if stream else None,
                    "depth": row.depth,
                    "built_depth": depths[row.name][0] if row.name in depths else None,
                    "built_width": depths[row.name][1] if row.name in depths else None,
                    "fill": fills.get(row.name),
                    "overflow_cycles": over.get(row.name),
                    "estimate": {n: getattr(row.resources, n) for n in ("lut", "bram18", "uram", "dsp")},
                    "synthesis": asdict(counts[row.name]) if row.name in counts else None,
                    "cycles": row.cycles,
                }
            )
        return rows
